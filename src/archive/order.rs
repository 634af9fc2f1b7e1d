//! The order of a pod: the file `order.json` of its Secret. The secrets themselves are files beside it.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::outcome::OutcomeReason;

/// The most bytes of `order.json`: the limit of a Secret.
pub const ORDER: usize = 1 << 20;
/// The most assertions of a drill.
pub const ASSERTIONS: usize = 100;
/// The most characters of a path in a store: S3 has 1024 for a whole key.
const PATH: usize = 800;

/// The work of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// The kind of work.
    pub work: Work,
    /// Where backups are.
    pub store: Store,
    /// Seconds after which the program ends, earlier than its Job's deadline.
    pub deadline_seconds: u64,
}

/// The kind of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "a program holds one order")]
pub enum Work {
    /// Write a backup of the database.
    Backup(BackupOrder),
    /// Restore a backup into an empty database.
    Restore(RestoreOrder),
    /// A drill: restore a backup into an empty database, and compare it with the backup's snapshot.
    Verify(VerifyOrder),
    /// Read the manifest of a stored backup, and check that the backup is whole. Needs no database.
    Read(ReadOrder),
    /// Remove a backup's objects, its manifest first.
    Delete {
        /// The backup's folder below the store's prefix.
        path: String,
    },
}

/// Where backups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Store {
    /// A bucket of an S3-compatible service.
    S3 {
        /// URL of the service; none is AWS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// Region; none is `us-east-1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// Bucket.
        bucket: String,
        /// Path in the bucket below which all objects are. May be empty.
        #[serde(default)]
        prefix: String,
        /// The bucket is named in the path of a URL, and not in its host.
        #[serde(default)]
        path_style: bool,
    },
    /// A mounted volume.
    Folder {
        /// Where it is mounted.
        path: String,
        /// Path in the volume below which all files are. May be empty.
        #[serde(default)]
        prefix: String,
    },
}

/// Whose database a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSubject {
    /// The cluster's own identity.
    pub cluster: String,
    /// Namespace of the Orchestra.
    pub namespace: String,
    /// Name of the Orchestra.
    pub orchestra: String,
    /// UID of the Orchestra.
    pub orchestra_uid: String,
    /// Name of the class.
    pub class: String,
    /// Name of the `OrchestraDatabase`.
    pub database_name: String,
    /// Reference of the hosted project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<String>,
    /// Region of the hosted project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the `OrchestraBackup`.
    pub backup_name: String,
}

/// A backup to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupOrder {
    /// The backup's own folder below the store's prefix.
    pub path: String,
    /// Whose database it is. It is copied into the manifest.
    pub subject: BackupSubject,
    /// [`DatabaseIdentity::digest`](crate::postgres::DatabaseIdentity::digest) of the database that the login must lead to.
    /// None: the address cannot lead to another database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// age recipients (X25519, `age1…`) that can read the backup. None: it is not encrypted.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Whether the schema `supabase_migrations` of a hosted project is in the backup: its migrations are those of the
    /// Supabase CLI's format.
    #[serde(default)]
    pub history_schema_included: bool,
    /// Further schemas that are left out.
    #[serde(default)]
    pub exclude_schemas: Vec<String>,
    /// Seconds that the dump waits for a lock on a table.
    #[serde(default = "lock_wait")]
    pub lock_wait_seconds: u32,
}

fn lock_wait() -> u32 {
    60
}

/// A backup to be restored into the empty database of `database-url`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreOrder {
    /// The backup's folder below the store's prefix.
    pub path: String,
    /// SHA-256 of the manifest, hexadecimal. None: the manifest is not checked against a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// UID of the Orchestra whose claim the database must record. An interrupted restore is started again there after the
    /// database was emptied, and no other tenant's role gets rights on restored objects. None: the database is claimed by
    /// nobody, and must be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The database that the login must lead to. None: the address cannot lead to another database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RestoreTarget>,
    /// Whether a backup that is not encrypted is refused.
    #[serde(default)]
    pub encrypted_only: bool,
}

/// The database that a restore must reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreTarget {
    /// Name of the `OrchestraDatabase`.
    pub database_name: String,
    /// [`DatabaseIdentity::digest`](crate::postgres::DatabaseIdentity::digest) of the database.
    pub identity: String,
}

/// A drill in the empty database of `database-url`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyOrder {
    /// The backup's folder below the store's prefix.
    pub path: String,
    /// SHA-256 of the manifest, hexadecimal.
    pub manifest_digest: String,
    /// Whether a backup that is not encrypted is refused.
    #[serde(default)]
    pub encrypted_only: bool,
    /// Assertions about the restored database.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

/// A query to a restored database, which must return true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assertion {
    /// Its name in the list of discrepancies.
    pub name: String,
    /// A query of one row with one boolean.
    pub sql: String,
}

/// A stored backup to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadOrder {
    /// The backup's folder below the store's prefix.
    pub path: String,
    /// SHA-256 of the manifest, hexadecimal. None: the manifest is not checked against a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
}

impl Order {
    /// Reads `order.json`.
    ///
    /// # Errors
    /// [`OutcomeReason::InvalidOrder`], when it is not an order, or when a path in it would lead outside of the store's
    /// prefix.
    pub fn parse(text: &str) -> Result<Self> {
        let order: Self = serde_json::from_str(text).map_err(|error| invalid(format!("order.json: {error}")))?;
        check_path(order.work.path())?;
        order.store.check()?;
        if order.deadline_seconds == 0 {
            return Err(invalid("deadlineSeconds must be at least 1"));
        }
        match &order.work {
            Work::Verify(verify) if verify.assertions.len() > ASSERTIONS => Err(invalid(format!(
                "a drill has at most {ASSERTIONS} assertions, and there are {}",
                verify.assertions.len()
            ))),
            Work::Backup(backup) if !(1..=3600).contains(&backup.lock_wait_seconds) => {
                Err(invalid("lockWaitSeconds must be from 1 to 3600"))
            }
            _ => Ok(order),
        }
    }
}

impl Store {
    /// Checks the prefix.
    ///
    /// # Errors
    /// [`OutcomeReason::InvalidOrder`], when it is not a path.
    pub fn check(&self) -> Result<()> {
        let (Self::S3 { prefix, .. } | Self::Folder { prefix, .. }) = self;
        if prefix.is_empty() { Ok(()) } else { check_path(prefix) }
    }
}

impl Work {
    /// The backup's folder below the store's prefix.
    pub fn path(&self) -> &str {
        match self {
            Self::Backup(BackupOrder { path, .. })
            | Self::Restore(RestoreOrder { path, .. })
            | Self::Verify(VerifyOrder { path, .. })
            | Self::Read(ReadOrder { path, .. })
            | Self::Delete { path } => path,
        }
    }
}

fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(OutcomeReason::InvalidOrder, message)
}

/// A path below another: no part leads upwards, is hidden, or means something to a shell or an S3 service.
fn check_path(path: &str) -> Result<()> {
    let fits = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.=".contains(c))
    };
    if path.len() <= PATH && path.split('/').all(fits) {
        return Ok(());
    }
    Err(invalid(format!(
        "the path {path:?} of a store must be of at most {PATH} characters: letters, digits, - _ . = between slashes, and no \
         part that begins with a dot"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ORDER: &str = r#"{"work": {"kind": "backup", "path": "prod/tenants/acme-1/20261101T020000Z-b", "subject":
        {"cluster": "c", "namespace": "tenants", "orchestra": "acme", "orchestraUid": "1", "class": "standard",
        "databaseName": "orchdb-1", "backupName": "acme-1"}},
        "store": {"kind": "s3", "endpoint": "http://127.0.0.1:1", "bucket": "backups", "prefix": "a/b", "pathStyle": true},
        "deadlineSeconds": 3600}"#;

    #[test]
    fn an_order_is_read_with_its_defaults() {
        let order = Order::parse(ORDER).unwrap();
        let Work::Backup(backup) = &order.work else {
            panic!("{order:?}")
        };
        assert_eq!((backup.lock_wait_seconds, backup.recipients.len()), (60, 0));
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(Order::parse(&text).unwrap(), order);
    }

    #[test]
    fn what_leads_out_of_the_prefix_or_is_unknown_is_refused() {
        for (from, to) in [
            ("prod/tenants", "prod/../tenants"),
            ("prod/tenants", "prod//tenants"),
            ("prod/tenants", "/tenants"),
            ("prod/tenants", "prod/.hidden"),
            ("prod/tenants", "prod/a b"),
            ("a/b", "a/.."),
            ("3600}", "0}"),
            ("\"pathStyle\"", "\"pathstyle\""),
            ("\"subject\"", "\"whose\""),
            ("\"s3\"", "\"tape\""),
        ] {
            let text = ORDER.replacen(from, to, 1);
            assert_ne!(text, ORDER);
            let error = Order::parse(&text).unwrap_err();
            assert_eq!(error.reason, OutcomeReason::InvalidOrder, "{to}");
        }
    }
}
