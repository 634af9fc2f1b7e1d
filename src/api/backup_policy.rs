//! Where the databases of a class are backed up to, and how.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BackupPrices, BackupSchedule, GoDuration, NAME, RetentionLimits, SecretReference};

/// The form of the marker of a cluster.
const CLUSTER: &str = "^[0-9a-f]{12}$";

/// The form of an age recipient (X25519, Bech32 in lower case).
const RECIPIENT: &str = "^age1[02-9ac-hj-np-z]{58}$";

/// The form of the address of a store: no login, query or fragment.
const ENDPOINT: &str = r"^https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._/-]*)?$";

/// The form of the name of a bucket.
const BUCKET: &str = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$";

/// The form of a folder in a store: names without leading dots, with slashes between them.
const PREFIX: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$";

/// The form of the reference of an image.
const IMAGE: &str = "^[a-z0-9][A-Za-z0-9._:/@-]*$";

/// Most backups of a class that run at once, where the class does not say.
const MAX_CONCURRENT: i32 = 4;

/// Most backups that run at once on one database server, where the class does not say.
const MAX_CONCURRENT_PER_SERVER: i32 = 1;

/// How long a Job may take, where the class does not say.
const DEADLINE: GoDuration = GoDuration::from_mins(6 * 60);

/// Backups of a class's databases.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassBackup {
    /// Store of the backups. A change is for later backups; those that exist are found only where they were stored.
    pub destination: BackupDestination,
    /// Clusters whose stored backups namespaces of this cluster may have, by the 12 hexadecimal digits with which the folders
    /// in the store begin: an OrchestraBackup with `stored` may name those of a namespace with the name of its own. Everyone
    /// who may create one there gets that namespace's data, also of this cluster if it is in the list. Omitted: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 12, max = 12), regex(pattern = CLUSTER)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub recover_from: Vec<String>,
    /// Encryption of the stored data. Omitted: only the store encrypts, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<BackupEncryption>,
    /// Backups of this class that run at once, from 1 to 100. Omitted: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: Option<i32>,
    /// Backups of this class that run at once on one database server, from 1 to 100. Omitted: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent_per_server: Option<i32>,
    /// How long one Job may take, from 1m to 168h. Omitted: 6h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('168h')").message("deadline must be from 1m to 168h"))]
    pub deadline: Option<GoDuration>,
    /// Image of the Jobs, with PostgreSQL's clients. Omitted: as the operator's flag `--backup-image` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE))]
    pub image: Option<String>,
    /// OrchestraPool with `server` on whose server drills make their scratch databases, as many at once as
    /// `maxConcurrentPerServer` says: one of `pools.names`, or one whose `server.drillClassNames` names this class. Its server has to be of the backups' major version or a newer one, and to have their
    /// extensions. Omitted: the server of the Orchestra's own database, where its login may make one; hosted projects need a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub scratch_pool_name: Option<String>,
    /// Bounds of the retention of the class's Orchestras. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_limits: Option<RetentionLimits>,
    /// Prices of what is stored and transferred, for the estimate of each Orchestra and the class's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<BackupPrices>,
    /// When Orchestras are backed up that do not say, and which of the backups are kept. Omitted: on demand only.
    #[serde(flatten)]
    pub schedule: BackupSchedule,
}

impl ClassBackup {
    /// Most backups that run at once.
    pub fn max_concurrent(&self) -> usize {
        count(self.max_concurrent, MAX_CONCURRENT)
    }

    /// Most backups that run at once on one database server.
    pub fn max_concurrent_per_server(&self) -> usize {
        count(self.max_concurrent_per_server, MAX_CONCURRENT_PER_SERVER)
    }

    /// How long one Job may take.
    pub fn deadline(&self) -> GoDuration {
        self.deadline.unwrap_or(DEADLINE)
    }
}

fn count(given: Option<i32>, default: i32) -> usize {
    usize::try_from(given.unwrap_or(default)).unwrap_or(1).max(1)
}

/// Where backups are stored.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.s3) != has(self.persistentVolumeClaim)").message("set either s3 or persistentVolumeClaim"))]
pub struct BackupDestination {
    /// Storage that speaks the protocol of Amazon S3, with create-only puts (`If-None-Match: *`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Destination>,
    /// A volume in the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<VolumeDestination>,
}

/// A bucket.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.endpoint.startsWith('http://') || (has(self.insecure) && self.insecure)").message("endpoint is without TLS, and others on the network could read the backups and the login: use https, or set insecure: true"))]
pub struct S3Destination {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = BUCKET))]
    pub bucket: String,
    /// Address of the store, such as `https://s3.example.com`. Omitted: Amazon S3 in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = ENDPOINT))]
    pub endpoint: Option<String>,
    /// Region of the bucket. Omitted: `us-east-1`, which stores without regions accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = super::REGION))]
    pub region: Option<String>,
    /// Folder in the bucket. Omitted: the bucket's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = PREFIX))]
    pub prefix: Option<String>,
    /// Whether the bucket's name is in the path of the address rather than in its host. Omitted: with an `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Allows an `endpoint` without TLS.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub insecure: bool,
    /// Secret in the operator's namespace with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and optionally
    /// `ca.crt`, the certificates by which the store is trusted. Each Job gets a copy of them.
    pub credentials_secret_ref: SecretReference,
}

/// A volume.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDestination {
    /// PersistentVolumeClaim in the operator's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub claim_name: String,
    /// Folder in the volume. Omitted: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = PREFIX))]
    pub prefix: Option<String>,
}

/// Encryption by age (age-encryption.org) before anything leaves the Job.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupEncryption {
    /// Public keys of those who can decrypt the backups, such as `age1…`. Keep the private keys outside of the cluster:
    /// without one of them an encrypted backup is lost.
    #[schemars(length(min = 1, max = 16), inner(length(min = 62, max = 62), regex(pattern = RECIPIENT)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub recipients: Vec<String>,
    /// Secret in the operator's namespace with the key `identity`, a private key of one of the recipients. Only restores
    /// need it: create it for the time of a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_secret_ref: Option<SecretReference>,
}
