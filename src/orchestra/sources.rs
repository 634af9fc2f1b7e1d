//! Migrations and seeds from ConfigMaps, read once for each version and shared by all tenants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use crate::api::MigrationFormat;
use crate::api::condition::Reason;
use crate::controller::Context;
use crate::controller::error::{Class, Error};
use crate::migrate::{SeedSource, Source};

/// What was read, by namespace, names and kind; a new version takes the place of the old one.
#[derive(Default)]
pub struct Sources(Mutex<HashMap<Key, Entry>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    names: Vec<String>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// In this format, or in the one that the files tell.
    Migrations(Option<MigrationFormat>),
    Seed,
}

struct Entry {
    versions: Vec<Option<String>>,
    loaded: Loaded,
}

#[derive(Clone)]
enum Loaded {
    Migrations(Arc<Source>),
    Seed(Arc<SeedSource>),
}

/// The migrations in these ConfigMaps.
pub async fn migrations(
    ctx: &Context,
    namespace: &str,
    names: Vec<String>,
    format: Option<MigrationFormat>,
) -> Result<Arc<Source>, Error> {
    match load(
        ctx,
        Key {
            namespace: namespace.into(),
            names,
            what: What::Migrations(format),
        },
    )
    .await?
    {
        Loaded::Migrations(source) => Ok(source),
        Loaded::Seed(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "a seed was found in the place of migrations",
        )),
    }
}

/// The seed in this ConfigMap.
pub async fn seed(ctx: &Context, namespace: &str, name: &str) -> Result<Arc<SeedSource>, Error> {
    match load(
        ctx,
        Key {
            namespace: namespace.into(),
            names: vec![name.into()],
            what: What::Seed,
        },
    )
    .await?
    {
        Loaded::Seed(source) => Ok(source),
        Loaded::Migrations(_) => Err(Error::transient(
            Reason::SourceInvalid,
            "migrations were found in the place of a seed",
        )),
    }
}

async fn load(ctx: &Context, key: Key) -> Result<Loaded, Error> {
    let versions = key
        .names
        .iter()
        .map(|name| version(ctx, &key.namespace, name))
        .collect::<Result<Vec<_>, _>>()?;
    {
        let known = ctx.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(&key).filter(|entry| entry.versions == versions) {
            return Ok(entry.loaded.clone());
        }
    }
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let mut files = Vec::new();
    let mut read = Vec::new();
    for name in &key.names {
        let map = api
            .get_opt(name)
            .await?
            .ok_or_else(|| not_found(&key.namespace, name))?;
        read.push(map.metadata.resource_version);
        files.extend(
            map.data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, text)| (key, text.into_bytes())),
        );
        files.extend(
            map.binary_data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, bytes)| (key, bytes.0)),
        );
    }
    let loaded = match key.what {
        What::Seed => {
            let source = SeedSource::read(files).map_err(crate::migrate::Error::from)?;
            Loaded::Seed(Arc::new(source))
        }
        What::Migrations(format) => {
            let source = Source::read(format, files).map_err(crate::migrate::Error::from)?;
            Loaded::Migrations(Arc::new(source))
        }
    };
    let entry = Entry {
        versions: read,
        loaded: loaded.clone(),
    };
    ctx.sources
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, entry);
    Ok(loaded)
}

fn version(ctx: &Context, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    let seen = ctx.stores.config_maps.get(&ObjectRef::new(name).within(namespace));
    Ok(seen
        .ok_or_else(|| not_found(namespace, name))?
        .meta()
        .resource_version
        .clone())
}

fn not_found(namespace: &str, name: &str) -> Error {
    Error::Stop {
        class: Class::Invalid,
        reason: Reason::SourceNotFound,
        message: format!("ConfigMap {namespace}/{name} does not exist: create it, and the operator goes on by itself"),
    }
}
