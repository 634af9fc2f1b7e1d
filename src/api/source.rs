//! Where migration scripts and seeds come from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::NAME;

/// A repository of an OCI registry, with its host, without tag or digest.
const IMAGE: &str = r"^(oci://)?[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$";

/// A registry whose host is an address of the same machine: only there may an Orchestra do without TLS.
pub(super) const LOOPBACK_IMAGE: &str =
    r"^(oci://)?(localhost|127[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3})(:[0-9]{1,5})?/";

/// A relative path: no empty part, and none that begins with two dots.
const PATH: &str = r"^\.?[^./\\][^/\\]*(/\.?[^./\\][^/\\]*)*$";

/// Where the scripts of migrations or of a seed are: exactly one of `configMapRef`, `configMapRefs`,
/// `inline`, `oci` and `folder`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.configMapRef), has(self.configMapRefs), has(self.inline), has(self.oci), has(self.folder)].filter(is, is).size() == 1").message("exactly one of configMapRef, configMapRefs, inline, oci and folder must be set"))]
#[x_kube(validation = Rule::new("!has(self.inline) || self.inline.map(name, self.inline[name].size()).sum() <= 131072").message("inline holds more than 131072 characters: put the files into a ConfigMap"))]
pub struct ScriptSource {
    /// One ConfigMap with a key for each file. A key of `binaryData` that ends in `.tar.gz` or `.tgz`
    /// is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapReference>,
    /// Several ConfigMaps, read as one set: a ConfigMap holds at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub config_map_refs: Option<Vec<ConfigMapReference>>,
    /// The files themselves, by name; at most 131072 characters in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inline")]
    pub inline: Option<BTreeMap<String, String>>,
    /// An artifact of an OCI registry, as `oras push` and `flux push artifact` create it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
    /// A folder below the operator's `--sources-folder`, on a volume of the operator's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub folder: Option<String>,
    /// Folder, or one file, inside the source. Omitted: a folder `prisma/migrations` or
    /// `supabase/migrations`, or else the deepest folder that contains all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub path: Option<String>,
}

impl ScriptSource {
    /// Names of the ConfigMaps, in order.
    pub fn config_maps(&self) -> impl Iterator<Item = &str> {
        self.config_map_ref
            .iter()
            .chain(self.config_map_refs.iter().flatten())
            .map(|reference| reference.name.as_str())
    }
}

/// At most 256 files. A rule bounds all together, because the operator keeps its watched objects in memory; the length
/// of one file lets the API server estimate the cost of that rule.
fn inline(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 256,
        "additionalProperties": {"type": "string", "maxLength": 131_072},
    })
}

/// A ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapReference {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// An artifact of an OCI registry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.tag) != has(self.digest)").message("exactly one of tag and digest must be set"))]
pub struct OciSource {
    /// Host and repository, for example `oci://ghcr.io/acme/migrations`; `oci://` may be omitted. An
    /// Orchestra may name only the hosts of the operator's `--oci-hosts`; a class may name any.
    #[schemars(length(min = 3, max = 512), regex(pattern = IMAGE))]
    pub image: String,
    /// Tag. The operator looks it up at every `--resync`; all tenants that name the tag then use the
    /// artifact that it points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"))]
    pub tag: Option<String>,
    /// Digest of the manifest: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// Secret of type `kubernetes.io/dockerconfigjson` with the login, in the Orchestra's namespace;
    /// for a class in the operator's. Omitted: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<PullSecretReference>,
    /// Uses HTTP, without TLS. Anyone on the network path can read the login and change the artifact of a
    /// tag. An Orchestra may say so only of a registry at a loopback address (`localhost`, `127.0.0.1`); a
    /// class of any.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// A Secret with the login of a registry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}
