//! Where scripts come from: ConfigMaps, the resource itself, OCI artifacts, and folders of the operator's
//! pod. Whatever it is, a bounded set of [`Files`] comes out.
//!
//! What a source holds now is known by its [`Version`], which costs little to ask for; its files are
//! fetched once for each version, however many tenants name it.

mod archive;
mod config_map;
mod error;
mod files;
mod flaw;
mod flights;
mod folder;
pub mod layout;
pub mod oci;
pub mod pull_secret;
mod registry;

pub use error::Error;
pub use files::{Files, MAX_BYTES, MAX_FILES};
pub use flaw::Flaw;
pub use flights::Flights;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt as _};

use crate::api::{OciSource, Orchestra, ScriptSource};
use oci::Artifact;
use pull_secret::Login;

/// How long files are kept beside what was made of them: migrations and seed may share an artifact.
const FILES_KEPT: Duration = Duration::from_mins(1);

/// How often a folder is read at most.
const FOLDER_FRESH: Duration = Duration::from_secs(10);

/// A source, and who named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Namespace of its ConfigMaps and Secrets.
    pub namespace: String,
    /// A class named it: it may lead to any host.
    pub by_class: bool,
    /// What was named.
    pub source: ScriptSource,
}

impl Place {
    /// Named by an Orchestra.
    pub fn of_orchestra(object: &Orchestra, source: &ScriptSource) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            by_class: false,
            source: source.clone(),
        }
    }

    /// Named by a class, or by one of its templates.
    pub fn of_class(namespace: &str, source: &ScriptSource) -> Self {
        Self {
            namespace: namespace.to_owned(),
            by_class: true,
            source: source.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        if let Some(oci) = &source.oci {
            write!(f, "artifact {}", oci.image)
        } else if let Some(folder) = &source.folder {
            write!(f, "folder {folder}")
        } else if source.inline.is_some() {
            f.write_str("inline")
        } else {
            let names: Vec<_> = source.config_maps().collect();
            write!(f, "ConfigMap {}/{}", self.namespace, names.join(", "))
        }
    }
}

/// What tells one state of a source from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    state: String,
    /// Digest of the manifest, where it is an artifact.
    pub revision: Option<String>,
}

/// What sources may lead to, and how often they are looked at.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Folder of the sources that are mounted into the operator's pod.
    pub folder: Option<PathBuf>,
    /// Registries that an Orchestra may name, each `host` or `host:port`.
    pub oci_hosts: Vec<String>,
    /// How often a tag is looked up.
    pub resync: Duration,
}

/// What is known of artifacts and folders, and files that were just fetched.
pub struct Sources {
    /// Client of the Kubernetes API.
    client: Client,
    /// Metadata of all ConfigMaps.
    config_maps: Store<PartialObjectMeta<ConfigMap>>,
    reach: Reach,
    artifacts: Flights<Place, Artifact>,
    folders: Flights<Place, (String, Arc<Files>)>,
    files: Flights<String, Arc<Files>>,
}

impl Sources {
    /// Nothing is known. What settled tenants use is asked for at every `resync`, and kept.
    pub fn new(client: Client, config_maps: Store<PartialObjectMeta<ConfigMap>>, reach: Reach) -> Self {
        Self {
            client,
            config_maps,
            artifacts: Flights::new(reach.resync * 3),
            reach,
            folders: Flights::new(FILES_KEPT),
            files: Flights::new(FILES_KEPT),
        }
    }
}

/// What the source holds now. A tag is looked up once in a resync at most, a folder read every ten seconds.
///
/// # Errors
/// See [`Error`].
pub async fn version(sources: &Sources, place: &Place) -> Result<Version, Error> {
    let of = |state: String| Version { state, revision: None };
    if let Some(oci) = &place.source.oci {
        let artifact = artifact(sources, place, oci).await?;
        return Ok(Version {
            state: artifact.digest.clone(),
            revision: Some(artifact.digest),
        });
    }
    if let Some(name) = &place.source.folder {
        let (digest, _) = folder(sources, place, name).await?;
        return Ok(of(digest));
    }
    // What is inline is a part of the place.
    let versions = place.source.config_maps().map(|name| {
        let seen = sources
            .config_maps
            .get(&ObjectRef::new(name).within(&place.namespace))
            .ok_or_else(|| missing(&place.namespace, name))?;
        Ok(seen.meta().resource_version.clone().unwrap_or_default())
    });
    Ok(of(versions.collect::<Result<Vec<_>, Error>>()?.join(",")))
}

/// The files of a source at a version.
///
/// # Errors
/// See [`Error`].
pub async fn files(sources: &Sources, place: &Place, version: &Version) -> Result<Arc<Files>, Error> {
    let source = &place.source;
    if let Some(texts) = &source.inline {
        let files = config_map::inline(texts).map_err(|flaw| Error::invalid(place, flaw))?;
        return Ok(Arc::new(files));
    }
    if let Some(name) = &source.folder {
        let (digest, files) = folder(sources, place, name).await?;
        return if digest == version.state {
            Ok(files)
        } else {
            Err(Error::moved(place))
        };
    }
    if let Some(oci) = &source.oci {
        return pulled(sources, place, oci, version).await;
    }
    let (client, whole) = (sources.client.clone(), place.clone());
    let work = async move || config_maps(&client, &whole).await.map(Arc::new);
    let key = format!("{place}@{}", version.state);
    sources.files.get(&key, &place.to_string(), FILES_KEPT, work).await
}

/// Whoever may read the manifest in a repository may read what it lists there: what one has fetched is
/// there for all of them.
async fn pulled(sources: &Sources, place: &Place, oci: &OciSource, version: &Version) -> Result<Arc<Files>, Error> {
    let artifact = artifact(sources, place, oci).await?;
    if artifact.digest != version.state {
        return Err(Error::moved(place));
    }
    let login = login(&sources.client, &place.namespace, oci).await?;
    let oci = oci.clone();
    let (host, repository) = oci::split(&oci.image);
    let key = format!("{host}/{repository}@{}", version.state);
    let work = async move || oci::pull(&oci, artifact, login).await.map(Arc::new);
    sources.files.get(&key, &place.to_string(), FILES_KEPT, work).await
}

async fn config_maps(client: &Client, place: &Place) -> Result<Files, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &place.namespace);
    let mut files = Files::default();
    for name in place.source.config_maps() {
        let map = api
            .get_opt(name)
            .await
            .map_err(|error| Error::unavailable(place, error.to_string()))?
            .ok_or_else(|| missing(&place.namespace, name))?;
        config_map::add(map, &mut files)
            .map_err(|(key, flaw)| Error::invalid(&format!("key {key} of ConfigMap {name}"), flaw))?;
    }
    Ok(files)
}

fn missing(namespace: &str, name: &str) -> Error {
    Error::NotFound(format!("ConfigMap {namespace}/{name}"))
}

async fn folder(sources: &Sources, place: &Place, name: &str) -> Result<(String, Arc<Files>), Error> {
    let Some(root) = sources.reach.folder.clone() else {
        return Err(Error::NotAllowed(
            "the operator has no folder of sources: start it with --sources-folder, or name another source".into(),
        ));
    };
    let (whole, folder) = (place.to_string(), name.to_owned());
    let read = move || async move {
        let at = whole.clone();
        let read = tokio::task::spawn_blocking(move || folder::read(&root, &folder)).await;
        let files = match read {
            Err(_) => return Err(Error::unavailable(&at, "the reading was cut off")),
            Ok(Err(folder::FolderError::Missing)) => return Err(Error::NoFolder(at)),
            Ok(Err(folder::FolderError::Flaw(flaw))) => return Err(Error::invalid(&at, flaw)),
            Ok(Err(folder::FolderError::Io(error))) => return Err(Error::unavailable(&at, error.to_string())),
            Ok(Ok(files)) => files,
        };
        Ok((files.digest(), Arc::new(files)))
    };
    sources.folders.get(place, &place.to_string(), FOLDER_FRESH, read).await
}

async fn artifact(sources: &Sources, place: &Place, oci: &OciSource) -> Result<Artifact, Error> {
    check_host(&sources.reach, place, oci)?;
    // What a digest leads to never changes.
    let fresh = if oci.digest.is_some() {
        Duration::MAX
    } else {
        sources.reach.resync
    };
    let work = {
        let (client, namespace, oci) = (sources.client.clone(), place.namespace.clone(), oci.clone());
        async move || {
            let login = login(&client, &namespace, &oci).await?;
            oci::look_up(&oci, login).await
        }
    };
    // One lookup serves the migrations and the seed, whatever their paths.
    let key = Place {
        source: ScriptSource {
            oci: Some(oci.clone()),
            ..ScriptSource::default()
        },
        ..place.clone()
    };
    sources.artifacts.get(&key, &place.to_string(), fresh, work).await
}

/// The author of an Orchestra must not make the operator call whatever it can reach.
fn check_host(reach: &Reach, place: &Place, oci: &OciSource) -> Result<(), Error> {
    let (host, _) = oci::split(&oci.image);
    let known = reach.oci_hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
    if place.by_class || known {
        return Ok(());
    }
    Err(Error::NotAllowed(format!(
        "an Orchestra may not name the registry {host}: ask the cluster's admin to add it to the operator's --oci-hosts"
    )))
}

async fn login(client: &Client, namespace: &str, oci: &OciSource) -> Result<Option<Login>, Error> {
    let Some(reference) = &oci.pull_secret_ref else {
        return Ok(None);
    };
    let place = format!("Secret {namespace}/{}", reference.name);
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api
        .get_opt(&reference.name)
        .await
        .map_err(|error| Error::unavailable(&place, error.to_string()))?
        .ok_or_else(|| Error::denied(&place, "it does not exist: create it with the login of the registry"))?;
    let config = secret
        .data
        .filter(|_| secret.type_.as_deref() == Some(pull_secret::TYPE))
        .and_then(|mut data| data.remove(pull_secret::KEY))
        .ok_or_else(|| Error::denied(&place, format!("it is not of type {}", pull_secret::TYPE)))?;
    let (host, repository) = oci::split(&oci.image);
    pull_secret::login(&config.0, host, repository)
        .map(Some)
        .map_err(|what| Error::denied(&place, what))
}
