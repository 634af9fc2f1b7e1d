//! `OrchestraBackup`: a logical copy of one Orchestra's database in the store of its class.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{BackupDrill, DeletionPolicy, NAME};

/// The form of the folder of a backup.
const STORED_PATH: &str = "^[0-9a-f]{12}/[a-z0-9-]+/[a-z0-9.-]+/[0-9]{8}T[0-9]{6}Z-[0-9a-f-]{36}$";

/// The form of a digest of a manifest.
const DIGEST: &str = "^[0-9a-f]{64}$";

/// A backup of an Orchestra's database, taken once, by a Job in the operator's namespace. It is complete when its
/// manifest is stored: until then there is no backup.
///
/// It has no owner: it outlives its Orchestra, and another Orchestra can be restored from it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "stagesub.io",
    version = "v1alpha1",
    kind = "OrchestraBackup",
    plural = "orchestrabackups",
    shortname = "orchbackup",
    category = "stagesub",
    namespaced,
    status = "OrchestraBackupStatus",
    derive = "PartialEq",
    doc = "OrchestraBackup is a logical copy of an Orchestra's database, in the store that the Orchestra's class names. It outlives the Orchestra.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Orchestra", type_ = "string", json_path = ".spec.orchestraRef.name"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".status.bytes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Verified",
        type_ = "date",
        json_path = ".status.verification.lastVerifiedTime"
    ),
    printcolumn(
        name = "Database",
        type_ = "string",
        priority = 1,
        json_path = ".status.databaseName"
    ),
    printcolumn(
        name = "Snapshot",
        type_ = "string",
        priority = 1,
        json_path = ".status.snapshotTime"
    ),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        priority = 1,
        json_path = ".status.progress.bytes"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.orchestraRef == oldSelf.orchestraRef").message("orchestraRef is immutable: create another OrchestraBackup"),
    validation = Rule::new("has(self.stored) == has(oldSelf.stored) && (!has(self.stored) || self.stored == oldSelf.stored)").message("stored is immutable: create another OrchestraBackup"),
)]
pub struct OrchestraBackupSpec {
    /// Orchestra whose database is backed up, in the namespace of this resource. Immutable.
    pub orchestra_ref: OrchestraReference,
    /// A backup that already exists in the store, such as one of a lost cluster: nothing is backed up, and the operator
    /// reads its manifest. `orchestraRef` names the Orchestra of which it is a backup, and which need not exist. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredBackup>,
    /// What happens to the stored data when this resource is deleted: `Retain` (default) keeps it, and `Delete` removes it
    /// from the store before the resource is removed. May be changed at any time before the deletion.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub deletion_policy: DeletionPolicy,
}

/// An Orchestra of the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraReference {
    /// Name of the Orchestra.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// A backup that is in a store already.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredBackup {
    /// Class in whose store it is. The class admits this namespace, and its `backup.recoverFrom` names the cluster of `path`.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: String,
    /// Folder of the backup below the prefix of the class's destination, `CLUSTER/NAMESPACE/ORCHESTRA-UID/TIME-UID`. Its
    /// namespace is that of this resource.
    #[schemars(length(min = 1, max = 512), regex(pattern = STORED_PATH))]
    pub path: String,
    /// SHA-256 digest of the manifest: 64 hexadecimal digits. Another manifest is refused. Omitted: the manifest is used as
    /// the operator first reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST))]
    pub manifest_digest: Option<String>,
}

/// The last observed state of a backup. The facts about the stored data are copied from its manifest.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraBackupStatus {
    /// Generation that this status describes; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// The current step, for people: Pending, Queued, Running, Completed, Verifying, Failed or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ready: the backup is complete. Verified: its last drill restored it, and the restored database equals the snapshot;
    /// Unknown, where the drill could not be executed. Reconciling and Stalled as kstatus defines them.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Class in whose store the backup is. Written before the first Job is made, as are the next four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// OrchestraDatabase that is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// UID of the Orchestra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestra_uid: Option<String>,
    /// Folder of the backup, below the prefix of its class's destination. The operator chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When the backup was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Number of Jobs that were made for the backup. Written before each.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub attempts: i32,
    /// Number of them whose end is known: the last one is under way while it is less than `attempts`.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub concluded: i32,
    /// Why the last Job failed; absent once one was successful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<BackupFailure>,
    /// How far the Job is that makes the backup, or verifies it; absent while none runs, or its log cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<BackupProgress>,
    /// When the manifest was stored, if the operator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Time of the snapshot: transactions that were committed before are in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_time: Option<Time>,
    /// Stored bytes, compressed and perhaps encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Bytes of the archives before compression, which is about what the database has sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<i64>,
    /// Where the backup is, for people: the bucket or the claim, and the folder in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// SHA-256 digest of the manifest: 64 hexadecimal digits. A restore and a drill refuse another manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Major version of the PostgreSQL server. It is restored into a server of this version or a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_major: Option<i32>,
    /// Name of the last migration in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Number of tables in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<i64>,
    /// Parts of the database that the backup does not contain, such as files in storage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_covered: Vec<String>,
    /// The drills; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<BackupDrill>,
}

/// How far a running Job is, by its log.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupProgress {
    /// What the Job does: `snapshot`, `manifest`, `empty`, `compare`, or the archive that it writes or reads: `app`, `managed` or
    /// `hooks`.
    pub stage: String,
    /// Bytes of the archive so far, before compression.
    pub bytes: i64,
    /// Bytes that are expected: of a restore those of the archive, and of a backup the size of the whole database, of which an
    /// archive has less, because it contains no indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bytes: Option<i64>,
    /// When the operator read it. It is written every 25 seconds at most.
    pub time: Time,
}

/// Why a Job of a backup failed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupFailure {
    /// The reason of the condition Ready.
    pub reason: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// When the operator learned of it.
    pub time: Time,
    /// Whether a person must act before another attempt can be successful.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub last: bool,
    /// Value of the annotation `stagesub.io/retry-requested-at` at that time: another one asks for another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}
