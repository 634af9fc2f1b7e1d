//! The manifest of an artifact: only the used parts of a registry's answer are held in memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::archive::is_archive;
use super::flaw::Flaw;
use super::limits::{MAX_BYTES, MAX_PATH_BYTES};

/// The most layers of an artifact: `oras push` makes one for each file.
pub const MAX_LAYERS: usize = 2000;

/// Annotation with the path of the file that a layer holds (OCI image specification, predefined annotations).
pub const TITLE: &str = "org.opencontainers.image.title";

/// The most bytes of a digest or a media type. A longer one is cut, and is invalid then.
const MAX_NAME: usize = 255;

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of its content.
    pub digest: String,
    /// Its size, as it is stated.
    pub size: usize,
    /// Its content.
    pub content: LayerContent,
}

/// The content of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerContent {
    /// An archive with files.
    Archive,
    /// The file of this path.
    File(String),
    /// Nothing that is known, of this media type.
    Unknown(String),
}

impl Layer {
    /// The bytes that it takes in memory.
    pub fn weight(&self) -> usize {
        let text = match &self.content {
            LayerContent::Archive => 0,
            LayerContent::File(text) | LayerContent::Unknown(text) => text.capacity(),
        };
        size_of::<Self>() + self.digest.capacity() + text
    }
}

/// The layers of a manifest.
///
/// # Errors
/// When they are too many or too large, or it is no manifest of an image.
pub fn layers(manifest: &[u8]) -> Result<Vec<Layer>, Flaw> {
    let artifact = |what: &str| Flaw::Artifact(what.to_owned());
    let manifest: OciManifest =
        serde_json::from_slice(manifest).map_err(|_| artifact("its manifest is not that of an OCI image"))?;
    let layers = match manifest {
        OciManifest {
            layers: Some(layers),
            config: Some(_),
            ..
        } => layers,
        OciManifest { manifests: Some(_), .. } => {
            return Err(artifact(
                "it is an index of several manifests: set digest to that of one of them",
            ));
        }
        _ => return Err(artifact("its manifest is not that of an OCI image")),
    };
    if layers.count == 0 || layers.count > MAX_LAYERS {
        return Err(Flaw::Artifact(format!(
            "it has {} layers, but 1 to {MAX_LAYERS} are allowed",
            layers.count
        )));
    }
    let total = layers
        .first
        .iter()
        .map(|layer| layer.size)
        .fold(0, usize::saturating_add);
    if total > MAX_BYTES {
        return Err(Flaw::TooLarge);
    }
    Ok(layers.first)
}

#[derive(serde::Deserialize)]
struct OciManifest {
    config: Option<IgnoredAny>,
    layers: Option<Layers>,
    manifests: Option<IgnoredAny>,
}

/// The first layers, and how many there are.
#[derive(Default)]
struct Layers {
    first: Vec<Layer>,
    count: usize,
}

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seq;
        impl<'de> Visitor<'de> for Seq {
            type Value = Layers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("layers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Layers, A::Error> {
                let mut layers = Layers::default();
                while layers.count < MAX_LAYERS {
                    let Some(next) = all.next_element::<Descriptor>()? else {
                        return Ok(layers);
                    };
                    layers.first.push(next.into());
                    layers.count += 1;
                }
                while all.next_element::<IgnoredAny>()?.is_some() {
                    layers.count += 1;
                }
                Ok(layers)
            }
        }
        deserializer.deserialize_seq(Seq)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: i64,
    annotations: Option<Annotations>,
}

#[derive(Default, serde::Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.title")]
    title: Option<String>,
    /// Of a layer that is the archive of a folder (oras-go, content/file).
    #[serde(rename = "io.deis.oras.content.unpack")]
    unpack: Option<String>,
}

impl From<Descriptor> for Layer {
    fn from(found: Descriptor) -> Self {
        let Annotations { title, unpack } = found.annotations.unwrap_or_default();
        let kind = found.media_type;
        let archive = [".tar", "+tar", ".tar+gzip", ".tar.gzip", "+gzip"]
            .iter()
            .any(|end| kind.ends_with(end));
        let content = match title {
            _ if unpack.is_some_and(|unpack| unpack == "true") => LayerContent::Archive,
            // `oras push` of an archive that exists already.
            Some(title) if is_archive(&title) => LayerContent::Archive,
            // A path that is too long stays one.
            Some(title) => LayerContent::File(cut(&title, MAX_PATH_BYTES + 1)),
            None if archive => LayerContent::Archive,
            None => LayerContent::Unknown(cut(&kind, MAX_NAME)),
        };
        Self {
            digest: cut(&found.digest, MAX_NAME),
            size: usize::try_from(found.size).unwrap_or(usize::MAX),
            content,
        }
    }
}

/// A copy of the first bytes, no fewer than these, in memory of their own.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.ceil_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
