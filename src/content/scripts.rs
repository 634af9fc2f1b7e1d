//! Migrations and seeds, read once for each version of their source and shared by all tenants. The cache is
//! bounded in time and in bytes. It holds the text of the scripts, and no parse trees.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Context;
use crate::api::MigrationFormat;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::migrate::{SeedSource, Source, SourceError, aside};
use crate::source::{self, Files, ROOM_UNUSED, SourcePlace, SourceVersion, layout};

/// Most bytes of scripts that the cache holds. The source that was used longest ago is removed first; it is read again when
/// it is needed.
const MAX_BYTES: usize = 24 << 20;

/// Most bytes of scripts that the cache holds while the scripts in use leave little memory for others.
const TIGHT_BYTES: usize = 4 << 20;

/// The memory of one script or of one place, without its text and its name.
const PLACE: usize = 128;

/// How long a large source is kept for a tenant that uses it, while another one waits: a tenant needs seconds to begin
/// its migrations, which then hold the source themselves.
const ROOM_KEPT: Duration = Duration::from_secs(30);

/// How long a refusal is kept after it was last asked for. It holds no scripts, and without it the tenant's large source would
/// wait for room once more, for the same answer.
const REFUSAL_KEPT: Duration = Duration::from_hours(6);

/// The scripts that were read, by place and purpose. A new version replaces the old one.
pub struct Scripts {
    read: Mutex<HashMap<ScriptsKey, CachedScripts>>,
    /// Migrations by their digest, so that copies of one set are held once.
    same: Mutex<Same>,
    /// Scripts that were not used for this long are removed; refusals after [`REFUSAL_KEPT`].
    idle: Duration,
}

/// By digest and revision.
type Same = HashMap<(String, Option<String>), Weak<Source>>;

type ScriptsKey = (SourcePlace, ScriptsPurpose);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ScriptsPurpose {
    /// In this format, or in the one that the names of the files show.
    Migrations(Option<MigrationFormat>),
    Seed,
}

struct CachedScripts {
    version: SourceVersion,
    /// A refusal is remembered as well: the same files are not read again at every event.
    loaded: Result<Loaded, RefusedSource>,
    bytes: usize,
    since: Instant,
    used: Instant,
}

#[derive(Clone)]
enum Loaded {
    Migrations(Arc<Source>),
    Seed(Arc<SeedSource>),
}

impl Loaded {
    fn is_large(&self) -> bool {
        match self {
            Self::Migrations(source) => source.is_large(),
            Self::Seed(source) => source.is_large(),
        }
    }
}

/// Why files cannot be used. The refusal does not depend on anything else.
#[derive(Clone)]
enum RefusedSource {
    Files(source::Error),
    Scripts(SourceError),
}

impl From<RefusedSource> for Error {
    fn from(refused: RefusedSource) -> Self {
        match refused {
            RefusedSource::Files(error) => error.into(),
            RefusedSource::Scripts(error) => crate::migrate::Error::from(error).into(),
        }
    }
}

impl CachedScripts {
    fn is_kept(&self, idle: Duration) -> bool {
        let most = if self.loaded.is_err() {
            REFUSAL_KEPT.max(idle)
        } else {
            idle
        };
        self.used.elapsed() < most
    }

    fn size(&self) -> Size {
        Size {
            used: self.used,
            bytes: self.bytes,
            address: match &self.loaded {
                Ok(Loaded::Migrations(source)) => Some(Arc::as_ptr(source).addr()),
                Ok(Loaded::Seed(source)) => Some(Arc::as_ptr(source).addr()),
                Err(_) => None,
            },
        }
    }
}

impl Scripts {
    /// An empty cache. Settled tenants use their scripts at every `resync`, so those are kept.
    pub fn new(resync: Duration) -> Self {
        Self {
            read: Mutex::default(),
            same: Mutex::default(),
            idle: resync * 3,
        }
    }

    fn known(&self, key: &ScriptsKey, version: &SourceVersion) -> Option<Result<Loaded, RefusedSource>> {
        let mut read = self.read.lock();
        read.retain(|_, entry| entry.is_kept(self.idle));
        let entry = read.get_mut(key).filter(|entry| entry.version == *version)?;
        entry.used = Instant::now();
        Some(entry.loaded.clone())
    }

    /// Drops the large sources that are not used, or have been kept for long, so that another one can be read.
    fn make_room(&self) {
        let is_due = |entry: &CachedScripts| entry.used.elapsed() >= ROOM_UNUSED || entry.since.elapsed() >= ROOM_KEPT;
        let mut read = self.read.lock();
        read.retain(|_, entry| !(is_due(entry) && entry.loaded.as_ref().is_ok_and(Loaded::is_large)));
    }

    fn keep(&self, key: ScriptsKey, version: SourceVersion, outcome: &Result<(Loaded, usize), RefusedSource>) {
        let entry = CachedScripts {
            version,
            bytes: outcome.as_ref().map_or(0, |(_, bytes)| *bytes) + weight_of(&key.0),
            loaded: outcome.as_ref().map(|(loaded, _)| loaded.clone()).map_err(Clone::clone),
            since: Instant::now(),
            used: Instant::now(),
        };
        let mut read = self.read.lock();
        read.insert(key, entry);
        fit(&mut read, MAX_BYTES, |_| true);
    }

    /// Drops most scripts that Orchestras name, or that classes name, so that others can be read.
    fn forget_most(&self, by_class: bool) {
        fit(&mut self.read.lock(), TIGHT_BYTES, |place| place.by_class == by_class);
    }

    /// The copy that is in use already, if there is one.
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

/// Of the entries of some places, drops those that were used longest ago, until the others have at most this many bytes.
fn fit(read: &mut HashMap<ScriptsKey, CachedScripts>, most: usize, of: impl Fn(&SourcePlace) -> bool) {
    let entries = read.iter().filter(|(key, _)| of(&key.0));
    let sizes = entries.map(|(_, entry)| entry.size()).collect();
    if let Some(oldest) = oldest_that_fits(sizes, most) {
        read.retain(|key, entry| !of(&key.0) || entry.used >= oldest);
    }
}

/// The bytes of a place, with the texts that it holds itself.
fn weight_of(place: &SourcePlace) -> usize {
    let texts = place.source.inline.iter().flatten();
    let texts: usize = texts.map(|(name, text)| name.len() + text.len()).sum();
    PLACE + place.to_string().len() + texts
}

/// The properties of an entry that the bound of the cache counts.
#[derive(Clone, Copy)]
struct Size {
    used: Instant,
    bytes: usize,
    /// The address, equal for all entries that share one copy. A refusal shares none.
    address: Option<usize>,
}

/// When the oldest entry was used that still fits into this many bytes. The entry that was used last
/// fits in any case, and entries that share one copy count once.
fn oldest_that_fits(mut sizes: Vec<Size>, most: usize) -> Option<Instant> {
    sizes.sort_by_key(|size| Reverse(size.used));
    let (mut counted, mut bytes, mut oldest) = (HashSet::new(), 0, None);
    for size in sizes {
        if size.address.is_none_or(|address| counted.insert(address)) {
            bytes += size.bytes;
        }
        if bytes > most && oldest.is_some() {
            break;
        }
        oldest = Some(size.used);
    }
    oldest
}

/// The migrations of a source.
pub async fn migrations(
    ctx: &Context,
    place: SourcePlace,
    format: Option<MigrationFormat>,
) -> Result<Arc<Source>, Error> {
    match load(ctx, (place, ScriptsPurpose::Migrations(format))).await? {
        Loaded::Migrations(source) => Ok(source),
        Loaded::Seed(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "a seed was found instead of migrations",
        )),
    }
}

/// The seed of a source.
pub async fn seed(ctx: &Context, place: SourcePlace) -> Result<Arc<SeedSource>, Error> {
    match load(ctx, (place, ScriptsPurpose::Seed)).await? {
        Loaded::Seed(source) => Ok(source),
        Loaded::Migrations(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "migrations were found instead of a seed",
        )),
    }
}

async fn load(ctx: &Context, key: ScriptsKey) -> Result<Loaded, Error> {
    let place = &key.0;
    if ctx.sources.want_room() {
        ctx.sources.make_room();
        ctx.scripts.make_room();
    }
    let version = ctx.sources.version(place).await?;
    if let Some(known) = ctx.scripts.known(&key, &version) {
        return known.map_err(Error::from);
    }
    if ctx.sources.is_tight(place) {
        ctx.sources.forget_small(place);
        ctx.scripts.forget_most(place.by_class);
    }
    let files = ctx.sources.files(place, &version).await?;
    let (whole, what, revision) = (place.clone(), key.1, version.revision.clone());
    let kept = files.clone();
    let read = aside(move || read(&whole, what, &kept, revision)).await;
    ctx.sources.release(&files);
    let read =
        read.ok_or_else(|| Error::transient(Reason::SourceUnavailable, "the work on the scripts was interrupted"))?;
    let outcome = match read {
        Ok((ReadScripts::Migrations(source), bytes)) => Ok((Loaded::Migrations(ctx.scripts.shared(source)), bytes)),
        Ok((ReadScripts::Seed(source), bytes)) => Ok((Loaded::Seed(Arc::new(source)), bytes)),
        Err(refused) => Err(refused),
    };
    ctx.scripts.keep(key, version, &outcome);
    outcome.map(|(loaded, _)| loaded).map_err(Error::from)
}

/// The scripts that were read from files, and their size in bytes.
enum ReadScripts {
    Migrations(Source),
    Seed(SeedSource),
}

fn read(
    place: &SourcePlace,
    what: ScriptsPurpose,
    files: &Files,
    revision: Option<String>,
) -> Result<(ReadScripts, usize), RefusedSource> {
    let path = place.source.path.as_deref();
    let flaw = |flaw: source::Flaw| {
        RefusedSource::Files(source::Error::Invalid {
            place: place.to_string(),
            flaw: flaw.brief(),
        })
    };
    let size = |found: &layout::FoundFiles| {
        let sizes = found.iter().map(|(path, content)| PLACE + path.len() + content.len());
        sizes.sum()
    };
    match what {
        ScriptsPurpose::Seed => {
            let found = layout::seed(files, path).map_err(flaw)?;
            let bytes = size(&found);
            let source = SeedSource::read(found).map_err(RefusedSource::Scripts)?;
            let (permit, bytes) = files.part(bytes);
            Ok((ReadScripts::Seed(source.with_permit(permit)), bytes))
        }
        ScriptsPurpose::Migrations(wanted) => {
            let (found, format) = layout::migrations(files, path, wanted).map_err(flaw)?;
            let bytes = size(&found);
            let without = layout::without_migration(&found, &place.source);
            let source = Source::read(format, found).map_err(RefusedSource::Scripts)?;
            let above = layout::settings_above(files, path);
            source.check_settings(&above).map_err(RefusedSource::Scripts)?;
            if let Some(without) = without.filter(|_| source.is_empty()) {
                return Err(flaw(without));
            }
            let (permit, bytes) = files.part(bytes);
            let source = source.with_revision(revision).with_permit(permit);
            Ok((ReadScripts::Migrations(source), bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ScriptSource;

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let start = Instant::now();
        // Each with its bytes and its copy, the one that was used longest ago first.
        for (entries, stay) in [
            ([(30, Some(1)), (30, Some(2)), (30, Some(3))], 3),
            ([(30, Some(1)), (30, Some(2)), (50, Some(3))], 2),
            ([(30, Some(1)), (30, Some(2)), (500, Some(3))], 1),
            ([(60, Some(1)), (60, Some(1)), (60, Some(1))], 3),
            ([(60, None), (60, None), (60, None)], 1),
        ] {
            let used = |number: u64| start + Duration::from_secs(number);
            let sizes: Vec<_> = (0..)
                .zip(entries)
                .map(|(number, (bytes, address))| Size {
                    used: used(number),
                    bytes,
                    address,
                })
                .collect();
            assert_eq!(oldest_that_fits(sizes, 100), Some(used(3 - stay)), "{entries:?}");
        }
        assert_eq!(oldest_that_fits(Vec::new(), 100), None);
    }

    #[test]
    fn settings_of_sqlx_above_the_path_are_refused() {
        let mut files = Files::default();
        let settings = b"[migrate]\ntable-name = \"app.done\"".to_vec();
        for (path, text) in [
            ("app/sqlx.toml", settings),
            ("app/migrations/1_a.sql", b"SELECT 1".to_vec()),
        ] {
            assert!(files.insert(path, text).is_ok());
        }
        let refused = |format, path: &str| {
            let source = ScriptSource {
                path: Some(path.to_owned()),
                ..ScriptSource::default()
            };
            let place = SourcePlace::of_class("operator", &source);
            let read = read(&place, ScriptsPurpose::Migrations(Some(format)), &files, None);
            let Err(RefusedSource::Scripts(error)) = read else {
                return String::new();
            };
            error.to_string()
        };
        let said = refused(MigrationFormat::Sqlx, "app/migrations/");
        assert!(said.starts_with("app/sqlx.toml: it sets table-name, "), "{said}");
        assert_eq!(refused(MigrationFormat::Supabase, "app/migrations"), "");
    }

    #[test]
    fn a_refusal_is_kept_longer_than_scripts() {
        let Some(used) = Instant::now().checked_sub(Duration::from_mins(10)) else {
            return;
        };
        let entry = |loaded| CachedScripts {
            version: SourceVersion::default(),
            loaded,
            bytes: 0,
            since: used,
            used,
        };
        let seed =
            SeedSource::read(vec![("a.sql".to_owned(), b"SELECT 1".to_vec())]).map(|seed| Loaded::Seed(Arc::new(seed)));
        let idle = Duration::from_mins(1);
        assert!(!entry(seed.map_err(RefusedSource::Scripts)).is_kept(idle));
        let refused = RefusedSource::Files(source::Error::NotFound(String::new()));
        assert!(entry(Err(refused)).is_kept(idle));
    }
}
