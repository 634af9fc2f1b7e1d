//! Artifacts of an OCI registry as `oras push` and `flux push artifact` make them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use oci_client::Reference;
use oci_client::manifest::{OciDescriptor, OciManifest};
use tokio::sync::Semaphore;

use super::archive::{is_archive, unpack};
use super::error::Error;
use super::files::Files;
use super::flaw::Flaw;
use super::limits::{DOWNLOADS, MAX_BYTES};
use super::pull_secret::RegistryLogin;
use super::registry::Repository;
use super::room::Share;
use crate::api::OciSource;
use crate::migrate::aside;

/// The longest that a pull may take in all.
const LIMIT: Duration = Duration::from_mins(2);

/// The most layers of an artifact: `oras push` makes one for each file.
const MAX_LAYERS: usize = 2000;

/// Layers that are fetched at the same time.
const AT_ONCE: usize = 4;

/// The downloads in progress.
static DOWNLOADING: Semaphore = Semaphore::const_new(DOWNLOADS);

/// Annotation with the path of the file that a layer holds (OCI image specification, predefined annotations).
const TITLE: &str = "org.opencontainers.image.title";

/// Annotation of a layer that is the archive of a folder (oras-go, content/file).
const UNPACK: &str = "io.deis.oras.content.unpack";

/// A manifest that was looked up.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Digest of the manifest.
    pub digest: String,
    layers: Vec<OciDescriptor>,
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
        Ok(Artifact { digest, layers })
    };
    within(&place, work).await
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
        let total = artifact.layers.iter().map(size).fold(0, usize::saturating_add);
        empty.reserve(total).map_err(|flaw| repository.flaw(flaw))?;
        let _turn = DOWNLOADING.acquire().await;
        let fetch = async |layer: OciDescriptor| {
            let bytes = repository.blob(&layer.digest, size(&layer)).await?;
            Ok::<_, Error>((layer, bytes))
        };
        let layers: Vec<_> = futures::stream::iter(artifact.layers)
            .map(fetch)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let unpacked = aside(move || files(layers, empty)).await;
        unpacked
            .ok_or_else(|| Error::unavailable(&place, "the operator stopped while it unpacked the artifact"))?
            .map_err(|flaw| repository.flaw(flaw))
    };
    within(&place, work).await
}

async fn within<T>(place: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::unavailable(
            &place,
            format!("it takes longer than {} s", LIMIT.as_secs()),
        ))
    })
}

fn size(layer: &OciDescriptor) -> usize {
    usize::try_from(layer.size).unwrap_or(usize::MAX)
}

/// The layers of a manifest.
///
/// # Errors
/// When they are too many or too large, or it is no manifest of an image.
fn layers(manifest: &[u8]) -> Result<Vec<OciDescriptor>, Flaw> {
    let artifact = |what: &str| Flaw::Artifact(what.to_owned());
    let manifest: OciManifest =
        serde_json::from_slice(manifest).map_err(|_| artifact("its manifest is not that of an OCI image"))?;
    let OciManifest::Image(manifest) = manifest else {
        return Err(artifact(
            "it is an index of several manifests: set digest to that of one of them",
        ));
    };
    if manifest.layers.is_empty() || manifest.layers.len() > MAX_LAYERS {
        return Err(Flaw::Artifact(format!(
            "it has {} layers, but 1 to {MAX_LAYERS} are allowed",
            manifest.layers.len()
        )));
    }
    let total = manifest.layers.iter().map(size).fold(0, usize::saturating_add);
    if total > MAX_BYTES {
        return Err(Flaw::TooLarge);
    }
    Ok(manifest.layers)
}

fn files(layers: Vec<(OciDescriptor, Vec<u8>)>, mut files: Files) -> Result<Files, Flaw> {
    for (layer, bytes) in layers {
        add(&layer, bytes, &mut files)?;
    }
    Ok(files)
}

/// Adds one layer: an archive, also when its title says so, or the file that its title names.
fn add(layer: &OciDescriptor, bytes: Vec<u8>, files: &mut Files) -> Result<(), Flaw> {
    let told = |key: &str| layer.annotations.as_ref().and_then(|all: &BTreeMap<_, _>| all.get(key));
    let kind = layer.media_type.as_str();
    let archive = [".tar", "+tar", ".tar+gzip", ".tar.gzip", "+gzip"]
        .iter()
        .any(|end| kind.ends_with(end));
    match told(TITLE) {
        _ if told(UNPACK).is_some_and(|unpack| unpack == "true") => unpack(&bytes, files),
        // `oras push` of an archive that exists already.
        Some(title) if is_archive(title) => unpack(&bytes, files),
        Some(title) => files.insert(title, bytes),
        None if archive => unpack(&bytes, files),
        None => Err(Flaw::Artifact(format!(
            "a layer of type {kind:?} has no title ({TITLE}) and is not a tar archive: push it with `oras push` or `flux push artifact`"
        ))),
    }
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
