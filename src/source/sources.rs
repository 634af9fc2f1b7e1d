//! Reads sources, and keeps their content for all tenants that name the same source.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource as _};

use super::error::Error;
use super::files::Files;
use super::flaw::Flaw;
use super::flights::Flights;
use super::limits::{KEPT_BYTES, KEPT_MANIFESTS, SMALL_OF_CLASSES, SMALL_OF_ORCHESTRAS};
use super::oci::{self, Artifact};
use super::place::SourcePlace;
use super::room::{Share, SourceRoom};
use super::{config_map, folder, hosts, login};
use crate::api::slim::Slim;
use crate::api::{OciSource, ScriptSource};
use crate::migrate::aside;

/// How long files are kept after they were last asked for: migrations and seed may share an artifact.
const FILES_KEPT: Duration = Duration::from_mins(1);

/// How often a folder is read at most.
const FOLDER_FRESH: Duration = Duration::from_secs(10);

/// How long a source waits for memory before its tenant's status says so.
const ROOM_WAIT: Duration = Duration::from_mins(1);

/// How long an unused large source stays in memory while another one waits. Waiting tenants ask for theirs every few
/// seconds.
pub const ROOM_UNUSED: Duration = Duration::from_secs(10);

/// The version of a source: it differs when the content may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceVersion {
    state: String,
    /// Digest of the manifest, when the source is an artifact.
    pub revision: Option<String>,
}

/// The sources that the operator can read, and a cache of their content.
pub struct Sources {
    client: Client,
    /// Metadata of the watched ConfigMaps: their resource versions are the versions of these sources.
    config_maps: Store<PartialObjectMeta<ConfigMap>>,
    /// The folder of sources that is mounted into the operator's pod.
    folder: Option<PathBuf>,
    /// The registries that an Orchestra may name, each `host` or `host:port`.
    oci_hosts: Vec<String>,
    /// How long the digest of a tag is used before the tag is looked up again.
    resync: Duration,
    artifacts: Flights<SourcePlace, Artifact>,
    folders: Flights<SourcePlace, (String, Arc<Files>)>,
    files: Flights<String, Arc<Files>>,
    /// For the sources that Orchestras name, and for those that classes name: no tenant delays the sources of the classes.
    rooms: [SourceRoom; 2],
}

impl Sources {
    /// An empty cache. Settled tenants ask for their sources at every `resync`, so used content is kept for three of them.
    pub fn new(
        client: Client,
        config_maps: Store<PartialObjectMeta<ConfigMap>>,
        folder: Option<PathBuf>,
        oci_hosts: Vec<String>,
        resync: Duration,
    ) -> Self {
        Self {
            client,
            config_maps,
            folder,
            oci_hosts,
            resync,
            artifacts: Flights::new(resync * 3).weighed(Artifact::weight, KEPT_MANIFESTS),
            folders: Flights::new(FILES_KEPT).weighed(|(_, files)| files.weight(), KEPT_BYTES),
            files: Flights::new(FILES_KEPT).weighed(|files| files.weight(), KEPT_BYTES),
            rooms: [SMALL_OF_ORCHESTRAS, SMALL_OF_CLASSES].map(SourceRoom::new),
        }
    }

    /// The current version of the source's content. A tag is looked up once in a resync at most, and a folder
    /// is read every ten seconds at most.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self, place: &SourcePlace) -> Result<SourceVersion, Error> {
        let of = |state: String| SourceVersion { state, revision: None };
        if let Some(oci) = &place.source.oci {
            let artifact = self.artifact(place, oci).await?;
            return Ok(SourceVersion {
                state: artifact.digest.clone(),
                revision: Some(artifact.digest),
            });
        }
        if let Some(name) = &place.source.folder {
            let (digest, _) = self.read_folder(place, name).await?;
            return Ok(of(digest));
        }
        // Inline files are a part of the place: they need no version.
        let versions = place.source.config_maps().map(|name| {
            let map = self
                .config_maps
                .get(&ObjectRef::new(name).within(&place.namespace))
                .ok_or_else(|| missing(&place.namespace, name))?;
            Ok(map.meta().resource_version.clone().unwrap_or_default())
        });
        Ok(of(versions.collect::<Result<Vec<_>, Error>>()?.join(",")))
    }

    fn room(&self, place: &SourcePlace) -> SourceRoom {
        self.rooms[usize::from(place.by_class)].clone()
    }

    /// Whether a large source waits until another one is no longer in memory.
    pub fn want_room(&self) -> bool {
        self.rooms.iter().any(SourceRoom::is_wanted)
    }

    /// Drops the large sources among the files that are no longer used, so that another one can be read.
    pub fn make_room(&self) {
        self.folders.forget(ROOM_UNUSED, |(_, files)| files.permit().is_large());
        self.files.forget(ROOM_UNUSED, |files| files.permit().is_large());
    }

    /// Whether the small sources in memory leave too little for this one.
    pub fn is_tight(&self, place: &SourcePlace) -> bool {
        self.room(place).is_tight()
    }

    /// Drops the files of small sources, which are kept for another reader only. The version of a folder is read with its files,
    /// which are needed next: those of folders stay where `place` is one.
    pub fn forget_small(&self, place: &SourcePlace) {
        if place.source.folder.is_none() {
            self.folders
                .forget(Duration::ZERO, |(_, files)| !files.permit().is_large());
        }
        self.files.forget(Duration::ZERO, |files| !files.permit().is_large());
    }

    /// Drops large files whose scripts were read or refused.
    pub fn release(&self, large: &Arc<Files>) {
        if large.permit().is_large() {
            self.folders
                .forget(Duration::ZERO, |(_, files)| Arc::ptr_eq(files, large));
            self.files.forget(Duration::ZERO, |files| Arc::ptr_eq(files, large));
        }
    }

    /// The files of a source at a version.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn files(&self, place: &SourcePlace, version: &SourceVersion) -> Result<Arc<Files>, Error> {
        let source = &place.source;
        if let Some(texts) = &source.inline {
            let files = config_map::inline(texts, Share::default()).map_err(|flaw| Error::invalid(place, flaw))?;
            return Ok(Arc::new(files));
        }
        if let Some(name) = &source.folder {
            let (digest, files) = self.read_folder(place, name).await?;
            return if digest == version.state {
                Ok(files)
            } else {
                Err(Error::moved(place))
            };
        }
        if let Some(oci) = &source.oci {
            return self.pulled(place, oci, version).await;
        }
        let (client, whole, room) = (self.client.clone(), place.clone(), self.room(place));
        let work = async move || {
            let first = config_maps(&client, &whole, Share::of(&room)).await;
            let read = match room_for(&room, &first).await {
                Some(share) => config_maps(&client, &whole, share).await,
                None => first,
            };
            read.map(complete)
        };
        let key = format!("{place}@{}", version.state);
        self.files.get(&key, &place.to_string(), FILES_KEPT, work).await
    }

    /// The files of an artifact. The cache key is the repository and the digest, without the login: a caller
    /// whose login may read the manifest of a repository may read the layers that the manifest lists.
    async fn pulled(&self, place: &SourcePlace, oci: &OciSource, version: &SourceVersion) -> Result<Arc<Files>, Error> {
        let artifact = self.artifact(place, oci).await?;
        if artifact.digest != version.state {
            return Err(Error::moved(place));
        }
        let login = login::of_source(&self.client, &place.namespace, oci).await?;
        let oci = oci.clone();
        let (host, repository) = oci::split(&oci.image);
        let key = format!("{host}/{repository}@{}", version.state);
        let room = self.room(place);
        let work = async move || {
            let first = oci::pull(&oci, artifact.clone(), login.clone(), Share::of(&room)).await;
            let read = match room_for(&room, &first).await {
                Some(share) => oci::pull(&oci, artifact, login, share).await,
                None => first,
            };
            read.map(complete)
        };
        self.files.get(&key, &place.to_string(), FILES_KEPT, work).await
    }

    async fn read_folder(&self, place: &SourcePlace, name: &str) -> Result<(String, Arc<Files>), Error> {
        let Some(root) = self.folder.clone() else {
            return Err(Error::NotAllowed(
                "the operator has no folder of sources: start it with --sources-folder, or name another source".into(),
            ));
        };
        let (whole, folder) = (place.to_string(), name.to_owned());
        let at = self.room(place);
        let read = async move || {
            let first = read_folder(&whole, &root, &folder, Share::of(&at)).await;
            match room_for(&at, &first).await {
                Some(share) => read_folder(&whole, &root, &folder, share).await,
                None => first,
            }
        };
        self.folders.get(place, &place.to_string(), FOLDER_FRESH, read).await
    }

    async fn artifact(&self, place: &SourcePlace, oci: &OciSource) -> Result<Artifact, Error> {
        hosts::check(place, oci, &self.oci_hosts)?;
        // The manifest of a digest never changes.
        let fresh = if oci.digest.is_some() {
            Duration::MAX
        } else {
            self.resync
        };
        let work = {
            let (client, namespace, oci) = (self.client.clone(), place.namespace.clone(), oci.clone());
            async move || {
                let login = login::of_source(&client, &namespace, &oci).await?;
                oci::look_up(&oci, login).await
            }
        };
        // The key is without the path, so that one lookup serves the migrations and the seed.
        let key = SourcePlace {
            source: ScriptSource {
                oci: Some(oci.clone()),
                ..ScriptSource::default()
            },
            ..place.clone()
        };
        self.artifacts.get(&key, &place.to_string(), fresh, work).await
    }
}

/// The memory for a source that was not read because there was none, once it is free; none for another outcome.
async fn room_for<T>(room: &SourceRoom, outcome: &Result<T, Error>) -> Option<Share> {
    let Err(Error::Busy { flaw, .. }) = outcome else {
        return None;
    };
    tokio::time::timeout(ROOM_WAIT, room.wait(*flaw == Flaw::Busy))
        .await
        .ok()
}

/// A set that was read whole.
fn complete(mut files: Files) -> Arc<Files> {
    files.settle();
    Arc::new(files)
}

async fn read_folder(place: &str, root: &Path, folder: &str, share: Share) -> Result<(String, Arc<Files>), Error> {
    let (root, folder) = (root.to_owned(), folder.to_owned());
    aside(move || folder::read(&root, &folder, share).map(|files| (files.digest(), complete(files))))
        .await
        .ok_or_else(|| Error::unavailable(&place, "the operator stopped while it read the folder"))?
        .map_err(|error| match error {
            folder::FolderError::Missing => Error::NoFolder(place.to_owned()),
            folder::FolderError::Flaw(flaw) => Error::invalid(&place, flaw),
            folder::FolderError::Io(error) => Error::unavailable(&place, error.to_string()),
        })
}

async fn config_maps(client: &Client, place: &SourcePlace, share: Share) -> Result<Files, Error> {
    let api: Api<Slim<ConfigMap>> = Api::namespaced(client.clone(), &place.namespace);
    let mut files = Files::within(share);
    for name in place.source.config_maps() {
        let Slim(map) = api
            .get_opt(name)
            .await
            .map_err(|error| Error::unavailable(place, error.to_string()))?
            .ok_or_else(|| missing(&place.namespace, name))?;
        let added = aside(move || config_map::add(map, &mut files).map(|()| files)).await;
        files = added
            .ok_or_else(|| Error::unavailable(place, "the operator stopped while it unpacked the ConfigMap"))?
            .map_err(|(key, flaw)| Error::invalid(&format!("key {key} of ConfigMap {name}"), flaw))?;
    }
    Ok(files)
}

fn missing(namespace: &str, name: &str) -> Error {
    Error::NotFound(format!("ConfigMap {namespace}/{name}"))
}
