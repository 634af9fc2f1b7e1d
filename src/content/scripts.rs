//! Migrations and seeds, read once for each version of their source and shared by all tenants.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Context;
use crate::api::MigrationFormat;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::migrate::{SeedSource, Source};
use crate::source::{self, Place, Version, layout};

/// What was read, by where it came from and what it is; a new version takes the place of the old one.
pub struct Scripts {
    read: Mutex<HashMap<Key, Entry>>,
    /// Migrations by their digest, so that copies of one set are held once.
    same: Mutex<Same>,
    /// What nobody asked for this long is forgotten.
    idle: Duration,
}

/// By digest and revision.
type Same = HashMap<(String, Option<String>), Weak<Source>>;

type Key = (Place, What);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// In this format, or in the one that the files tell.
    Migrations(Option<MigrationFormat>),
    Seed,
}

struct Entry {
    version: Version,
    loaded: Loaded,
    used: Instant,
}

#[derive(Clone)]
enum Loaded {
    Migrations(Arc<Source>),
    Seed(Arc<SeedSource>),
}

impl Scripts {
    /// Nothing is read. What settled tenants use is asked for at every `resync`, and kept.
    pub fn new(resync: Duration) -> Self {
        Self {
            read: Mutex::default(),
            same: Mutex::default(),
            idle: resync * 3,
        }
    }

    fn known(&self, key: &Key, version: &Version) -> Option<Loaded> {
        let mut read = self.read.lock();
        read.retain(|_, entry| entry.used.elapsed() < self.idle);
        let entry = read.get_mut(key).filter(|entry| entry.version == *version)?;
        entry.used = Instant::now();
        Some(entry.loaded.clone())
    }

    fn keep(&self, key: Key, version: Version, loaded: Loaded) {
        let entry = Entry {
            version,
            loaded,
            used: Instant::now(),
        };
        self.read.lock().insert(key, entry);
    }

    /// The one in use, if the same is in use.
    fn shared(&self, source: Source) -> Arc<Source> {
        let key = (source.digest(), source.revision().map(ToString::to_string));
        let mut same = self.same.lock();
        same.retain(|_, source| source.strong_count() > 0);
        if let Some(known) = same.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let source = Arc::new(source);
        same.insert(key, Arc::downgrade(&source));
        source
    }
}

/// The migrations of a source.
pub async fn migrations(ctx: &Context, place: Place, format: Option<MigrationFormat>) -> Result<Arc<Source>, Error> {
    match load(ctx, (place, What::Migrations(format))).await? {
        Loaded::Migrations(source) => Ok(source),
        Loaded::Seed(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "a seed was found in the place of migrations",
        )),
    }
}

/// The seed of a source.
pub async fn seed(ctx: &Context, place: Place) -> Result<Arc<SeedSource>, Error> {
    match load(ctx, (place, What::Seed)).await? {
        Loaded::Seed(source) => Ok(source),
        Loaded::Migrations(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "migrations were found in the place of a seed",
        )),
    }
}

async fn load(ctx: &Context, key: Key) -> Result<Loaded, Error> {
    let place = &key.0;
    let version = ctx.sources.version(place).await?;
    if let Some(loaded) = ctx.scripts.known(&key, &version) {
        return Ok(loaded);
    }
    let files = ctx.sources.files(place, &version).await?;
    let path = place.source.path.as_deref();
    let flaw = |flaw| source::Error::Invalid {
        place: place.to_string(),
        flaw,
    };
    let loaded = match key.1 {
        What::Seed => {
            let found = layout::seed(&files, path).map_err(flaw)?;
            Loaded::Seed(Arc::new(SeedSource::read(found).map_err(crate::migrate::Error::from)?))
        }
        What::Migrations(wanted) => {
            let (found, format) = layout::migrations(&files, path, wanted).map_err(flaw)?;
            let source = Source::read(format, found).map_err(crate::migrate::Error::from)?;
            let source = source.with_revision(version.revision.clone());
            Loaded::Migrations(ctx.scripts.shared(source))
        }
    };
    ctx.scripts.keep(key, version, loaded.clone());
    Ok(loaded)
}
