//! Artifacts of an OCI registry as `oras push` and `flux push artifact` make them.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use oci_client::Reference;
use tokio::sync::Semaphore;

use super::archive::unpack;
use super::error::Error;
use super::files::Files;
use super::flaw::Flaw;
use super::limits::{DOWNLOADS, LOOK_UPS};
use super::manifest::{Layer, LayerContent, TITLE, layers};
use super::pull_secret::RegistryLogin;
use super::registry::Repository;
use super::room::Share;
use crate::api::OciSource;
use crate::migrate::aside;

/// The longest that a pull may take in all.
const LIMIT: Duration = Duration::from_mins(2);

/// The longest that a look-up may take, once it is its turn.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(30);

/// Layers that are fetched at the same time.
const AT_ONCE: usize = 4;

/// The downloads in progress.
static DOWNLOADING: Semaphore = Semaphore::const_new(DOWNLOADS);

/// The manifests that are being looked up.
static LOOKING_UP: Semaphore = Semaphore::const_new(LOOK_UPS);

/// A manifest that was looked up.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Digest of the manifest.
    pub digest: String,
    layers: Arc<[Layer]>,
}

impl Artifact {
    /// The bytes that it takes in memory.
    pub fn weight(&self) -> usize {
        let layers = self.layers.iter().map(Layer::weight);
        size_of::<Self>() + self.digest.capacity() + layers.sum::<usize>()
    }
}

/// Host and repository of an image.
pub fn split(image: &str) -> (&str, &str) {
    let bare = image.strip_prefix("oci://").unwrap_or(image);
    bare.split_once('/').unwrap_or((bare, ""))
}

fn reference(source: &OciSource) -> Reference {
    let (host, repository) = split(&source.image);
    let (host, repository) = (host.to_owned(), repository.to_owned());
    match (&source.digest, &source.tag) {
        (Some(digest), _) => Reference::with_digest(host, repository, digest.clone()),
        (None, tag) => Reference::with_tag(host, repository, tag.clone().unwrap_or_default()),
    }
}

/// Looks up the manifest that the tag or the digest of a source names.
///
/// # Errors
/// See [`Error`].
pub async fn look_up(source: &OciSource, login: Option<RegistryLogin>) -> Result<Artifact, Error> {
    let reference = reference(source);
    let place = reference.to_string();
    let work = async {
        let repository = Repository::open(reference, source.insecure, login.as_ref()).await?;
        let (digest, bytes) = repository.manifest().await?;
        let layers = layers(&bytes).map_err(|flaw| repository.flaw(flaw))?;
        Ok(Artifact {
            digest,
            layers: layers.into(),
        })
    };
    let _turn = LOOKING_UP.acquire().await;
    within(&place, LOOK_UP_LIMIT, work).await
}

/// The files of an artifact that was looked up.
///
/// # Errors
/// See [`Error`].
pub async fn pull(
    source: &OciSource,
    artifact: Artifact,
    login: Option<RegistryLogin>,
    share: Share,
) -> Result<Files, Error> {
    let reference = reference(source).clone_with_digest(artifact.digest);
    let place = reference.to_string();
    let work = async {
        let repository = Repository::open(reference, source.insecure, login.as_ref()).await?;
        let mut empty = Files::within(share);
        let sizes = artifact.layers.iter().map(|layer| layer.size);
        let total = sizes.fold(0, usize::saturating_add);
        let _turn = DOWNLOADING.acquire().await;
        empty.hold_packed(total).map_err(|flaw| repository.flaw(flaw))?;
        let fetch = async |layer: Layer| {
            let bytes = repository.blob(&layer.digest, layer.size).await?;
            Ok::<_, Error>((layer, bytes))
        };
        let layers: Vec<_> = futures::stream::iter(artifact.layers.to_vec())
            .map(fetch)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let unpacked = aside(move || files(layers, empty)).await;
        unpacked
            .ok_or_else(|| Error::unavailable(&place, "the operator stopped while it unpacked the artifact"))?
            .map_err(|flaw| repository.flaw(flaw))
    };
    within(&place, LIMIT, work).await
}

async fn within<T>(place: &str, limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::unavailable(
            &place,
            format!("it takes longer than {} s", limit.as_secs()),
        ))
    })
}

fn files(layers: Vec<(Layer, Vec<u8>)>, mut files: Files) -> Result<Files, Flaw> {
    for (layer, bytes) in layers {
        add(&layer, bytes, &mut files)?;
    }
    Ok(files)
}

/// Adds one layer: an archive, or the file that its title names.
fn add(layer: &Layer, bytes: Vec<u8>, files: &mut Files) -> Result<(), Flaw> {
    let packed = bytes.len();
    match &layer.content {
        LayerContent::Archive => {
            let unpacked = unpack(&bytes, files);
            files.drop_packed(packed);
            unpacked
        }
        LayerContent::File(path) => {
            files.drop_packed(packed);
            files.insert(path, bytes)
        }
        LayerContent::Unknown(kind) => Err(Flaw::Artifact(format!(
            "a layer of type {kind:?} has no title ({TITLE}) and is not a tar archive: push it with `oras push` or `flux push artifact`"
        ))),
    }
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
