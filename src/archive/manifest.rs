//! The manifest of a backup: its archives, and the facts about the database in the snapshot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::order::BackupSubject;
use super::outcome::OutcomeReason;
use super::seal;

/// Name of the manifest in the backup's folder.
pub const NAME: &str = "manifest.json";
/// The version of the format that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// The most bytes of a manifest.
pub const MOST: u64 = 64 << 20;

/// The manifest of a backup, as `manifest.json` in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// The folder below the store's prefix that it was written to. A manifest in another folder is a copy.
    pub path: String,
    /// Whose database it is.
    pub subject: BackupSubject,
    /// When the snapshot was taken: the backup holds the database as it was then.
    pub snapshot_time: Timestamp,
    /// When the backup was complete.
    pub finished_time: Timestamp,
    /// The version of the server, as `server_version` says it.
    pub server_version: String,
    /// The major version of the server and of the clients that made the archives.
    pub server_major: u32,
    /// The output of `pg_dump --version`.
    pub client_version: String,
    /// The version of this program.
    pub program_version: String,
    /// The archives.
    pub objects: Vec<ManifestObject>,
    /// age recipients that can read the archives. None: they are not encrypted.
    pub recipients: Vec<String>,
    /// Facts about the database.
    pub facts: SnapshotFacts,
    /// What the backup does not contain, one sentence each.
    pub not_covered: Vec<String>,
}

/// An archive of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestObject {
    /// Which part of the database.
    pub part: Part,
    /// Name in the backup's folder.
    pub name: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// SHA-256 of the bytes as stored, hexadecimal.
    pub sha256: String,
    /// Bytes of the archive itself: before compression and encryption.
    pub raw_bytes: u64,
}

/// The part of a database that an archive contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Part {
    /// What the tenant has made: schemas, tables, functions, and their data.
    App,
    /// The rows of a hosted project's `auth` and `storage`.
    Managed,
    /// The triggers and policies that the tenant has made on tables of a hosted project's `auth` and `storage`.
    Hooks,
}

/// Facts about a database in the snapshot. Names are quoted as in SQL. Compared facts are maps from a name to a value; a value
/// that may be long is replaced by the first 16 hexadecimal digits of its SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotFacts {
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// The last value of each sequence that has given one.
    pub sequences: BTreeMap<String, i64>,
    /// The rights on each object, as a digest. The owner of the database has no name in them.
    pub rights: BTreeMap<String, String>,
    /// Each policy, as a digest of its definition.
    pub policies: BTreeMap<String, String>,
    /// Tables with row level security: `enabled` or `forced`.
    pub row_security: BTreeMap<String, String>,
    /// Each constraint, as a digest of its definition and of whether it was validated.
    pub constraints: BTreeMap<String, String>,
    /// Extensions.
    pub extensions: BTreeMap<String, Extension>,
    /// Triggers and policies of the tenant's on tables of a hosted project's `auth` and `storage`.
    pub hooks: Vec<Hook>,
    /// Triggers of the tenant's that send data to other systems: no restored database has them.
    pub outgoing: Vec<Hook>,
    /// What a restore leaves out, because it would belong to the owner there, and run with the owner's rights.
    pub left_out: Vec<LeftOut>,
    /// Objects of roles that are neither the owner nor superusers. They belong to the owner after a restore.
    pub of_others: Vec<String>,
    /// Roles that the database names as owners, in rights or in policies.
    pub roles: Vec<String>,
    /// Schemas of the tenant's.
    pub schemas: Vec<String>,
    /// Whether it is a hosted project with the provider's schemas.
    pub hosted: bool,
    /// The newest migration that each history table names, by the table's name.
    pub migration_heads: BTreeMap<String, String>,
    /// Bytes of the database on its server's disk.
    pub database_bytes: u64,
    /// The owner of the database, who made the archives.
    pub owner: String,
}

/// An extension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Schema of its objects.
    pub schema: String,
    /// Version.
    pub version: String,
}

/// A trigger or a policy on a table of the provider's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// `TRIGGER` or `POLICY`.
    pub kind: String,
    /// Schema of the table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Name.
    pub name: String,
}

/// An object that a restore leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Oid of the catalog that it is in, as `1259` of `pg_class`.
    pub catalog: u32,
    /// Oid of the object.
    pub oid: u32,
    /// Why it is left out.
    pub cause: LeftOutCause,
    /// Its name.
    pub name: String,
}

/// Why a restore leaves an object out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LeftOutCause {
    /// A tenant's login owns it.
    Tenant,
    /// It is code of another role than the owner.
    OtherRole,
    /// It depends on an object that is left out.
    Depends,
    /// It is a part of an object that is left out.
    Part,
}

impl SnapshotFacts {
    /// The newest migration, if the database has one history.
    pub fn migration_head(&self) -> Option<&str> {
        self.migration_heads.values().next().map(String::as_str)
    }
}

impl Manifest {
    /// The manifest as it is stored, sealed with the key of its backup.
    ///
    /// # Errors
    /// [`OutcomeReason::Incompatible`], when it is longer than [`MOST`].
    pub fn to_bytes(&self, key: &SecretString) -> Result<Vec<u8>> {
        let bytes = seal::seal(&serde_json::to_vec_pretty(self).unwrap_or_default(), key);
        if bytes.is_empty() || bytes.len() as u64 > MOST {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                "the database has too many tables, sequences and rights for a manifest of 64 MiB",
            ));
        }
        Ok(bytes)
    }

    /// Reads a manifest, which must have this SHA-256 where one is given.
    ///
    /// # Errors
    /// [`OutcomeReason::Damaged`], when it is not what was written; [`OutcomeReason::Incompatible`], when another version of
    /// this program wrote it.
    pub fn parse(bytes: &[u8], digest: Option<&str>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if let Some(wanted) = digest {
            let found = digest_of(bytes);
            if !found.eq_ignore_ascii_case(wanted) {
                return Err(damaged(format!(
                    "the manifest has SHA-256 {found} instead of {wanted}: it was modified; use another backup"
                )));
            }
        }
        let unreadable = |error: serde_json::Error| damaged(format!("the manifest cannot be read: {error}"));
        let Versioned { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version != VERSION {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                format!(
                    "the manifest has version {version} of its format, and this program reads version {VERSION}: use the \
                     program that wrote it, or a newer one"
                ),
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        let plain = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !name.is_empty() && !name.starts_with('.') && name.len() <= 100 && name.chars().all(fits)
        };
        match manifest.objects.iter().find(|object| !plain(&object.name)) {
            Some(object) => Err(damaged(format!(
                "the manifest names the object {:?}, which is not the name of an archive: use another backup",
                object.name
            ))),
            None => Ok(manifest),
        }
    }

    /// An archive.
    pub fn object(&self, part: Part) -> Option<&ManifestObject> {
        self.objects.iter().find(|object| object.part == part)
    }
}

/// SHA-256, hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn damaged(message: impl AsRef<str>) -> Error {
    Error::new(OutcomeReason::Damaged, message)
}
