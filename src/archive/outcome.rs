//! The outcome of a pod: the termination message of its container (`terminationMessagePath`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text;

/// The most bytes of an outcome: the kubelet keeps 4,096 of a termination message.
pub const MOST: usize = 4000;
/// The most discrepancies, and parts that are not covered, that are named.
const DISCREPANCIES: usize = 20;
/// The most characters of one of them.
const DISCREPANCY: usize = 200;

/// How the work ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumIter,
    strum::Display,
)]
pub enum OutcomeReason {
    /// Success.
    Done,
    /// The database cannot be reached, or the connection broke.
    Unreachable,
    /// The database refuses the login.
    WrongPassword,
    /// The database's certificate is not one that the login accepts.
    UntrustedServer,
    /// The database refuses a statement.
    DatabaseRefused,
    /// A table stayed locked.
    LockTimeout,
    /// `pg_dump` failed for another reason.
    DumpFailed,
    /// `pg_restore` failed for another reason.
    RestoreFailed,
    /// The store has no room.
    StoreFull,
    /// The store refuses the credentials or the request.
    StoreRefused,
    /// There is no such bucket, folder or backup.
    StoreMissing,
    /// The store cannot be reached, or has an error of its own.
    StoreUnreachable,
    /// The store overwrites an existing object although the request only allows creation: a backup could be replaced.
    StoreUnsafe,
    /// The path contains a backup already.
    AlreadyExists,
    /// Server, clients, manifest or database are incompatible.
    Incompatible,
    /// The backup differs from what was written.
    Damaged,
    /// The backup is encrypted to another key.
    WrongKey,
    /// The target of a restore is not empty.
    NotEmpty,
    /// The restored database differs from the backup's snapshot.
    Discrepancies,
    /// The deadline was exceeded.
    DeadlineExceeded,
    /// The program was interrupted.
    Interrupted,
    /// The order or a file beside it cannot be used.
    InvalidOrder,
    /// The login leads to another database than the order names.
    OtherDatabase,
    /// The database is another Orchestra's.
    OtherTenant,
}

impl OutcomeReason {
    /// Whether the error is transient, so that another attempt may succeed.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::LockTimeout
                | Self::DumpFailed
                | Self::RestoreFailed
                | Self::StoreFull
                | Self::StoreUnreachable
                | Self::DeadlineExceeded
                | Self::Interrupted
        )
    }
}

/// How the work of a pod ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The reason.
    pub reason: OutcomeReason,
    /// Whether another attempt may succeed.
    pub retry: bool,
    /// What is wrong, and what to do. At most 1,000 characters, and no secret in it.
    pub message: String,
    /// The backup that was made, restored or verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFacts>,
    /// The restore of a drill, and its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillFacts>,
}

/// A summary of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupFacts {
    /// The manifest's path below the store's prefix.
    pub manifest: String,
    /// The manifest's SHA-256, hexadecimal.
    pub manifest_digest: String,
    /// When the snapshot was taken.
    pub snapshot_time: Timestamp,
    /// Bytes as stored, the manifest included.
    pub bytes: u64,
    /// Bytes of the archives before compression and encryption.
    pub raw_bytes: u64,
    /// Major version of the server.
    pub server_major: u32,
    /// The newest migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_head: Option<String>,
    /// Tables whose rows it holds.
    pub tables: u64,
    /// What it does not contain.
    #[serde(default)]
    pub not_covered: Vec<String>,
}

/// A restore and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillFacts {
    /// Seconds from the first look at the manifest to the restored database: the recovery time.
    pub restore_seconds: u64,
    /// When the snapshot was taken: what came later is lost in a recovery.
    pub snapshot_time: Timestamp,
    /// Bytes that were read from the store.
    pub bytes: u64,
    /// The first differences.
    #[serde(default)]
    pub discrepancies: Vec<String>,
    /// How many there are.
    pub discrepancy_count: u64,
}

impl Outcome {
    /// The outcome of success.
    pub fn done(message: impl AsRef<str>) -> Self {
        Self {
            reason: OutcomeReason::Done,
            retry: false,
            message: text::line(message.as_ref(), text::MESSAGE - 1),
            backup: None,
            drill: None,
        }
    }

    /// JSON of at most [`MOST`] bytes: where it is longer, discrepancies are cut first, then `not_covered`, then the message.
    pub fn to_json(&self) -> String {
        let mut outcome = self.clone();
        outcome.message = text::whole_words(&outcome.message, text::MESSAGE);
        if let Some(drill) = &mut outcome.drill {
            drill.discrepancies.truncate(DISCREPANCIES);
            for discrepancy in &mut drill.discrepancies {
                *discrepancy = text::line(discrepancy, DISCREPANCY);
            }
        }
        if let Some(backup) = &mut outcome.backup {
            backup.migration_head = backup
                .migration_head
                .as_deref()
                .map(|head| text::line(head, DISCREPANCY));
            backup.not_covered.truncate(DISCREPANCIES);
            for part in &mut backup.not_covered {
                *part = text::line(part, DISCREPANCY);
            }
        }
        loop {
            let json = serde_json::to_string(&outcome).unwrap_or_default();
            if json.len() <= MOST {
                return json;
            }
            let discrepancies = outcome.drill.as_mut().map(|drill| &mut drill.discrepancies);
            let not_covered = outcome.backup.as_mut().map(|backup| &mut backup.not_covered);
            let dropped = discrepancies.and_then(Vec::pop).or_else(|| not_covered?.pop());
            if dropped.is_some() {
                continue;
            }
            if let Some(backup) = outcome.backup.as_mut().filter(|backup| backup.migration_head.is_some()) {
                backup.migration_head = None;
            } else if outcome.message.len() > 200 {
                outcome.message = text::whole_words(&outcome.message, outcome.message.len() / 2);
            } else {
                outcome.backup = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_outcome_fits_into_a_termination_message_whatever_it_holds() {
        for (unit, count) in [("x", 100_000), ("å ", 100_000), ("\u{1}\"\\", 50_000), ("\"", 900)] {
            let long = unit.repeat(count);
            let outcome = Outcome {
                reason: OutcomeReason::Discrepancies,
                retry: false,
                message: long.clone(),
                backup: Some(BackupFacts {
                    manifest: "m".repeat(900),
                    manifest_digest: "0".repeat(64),
                    snapshot_time: Timestamp::UNIX_EPOCH,
                    bytes: u64::MAX,
                    raw_bytes: u64::MAX,
                    server_major: 17,
                    migration_head: Some(long.clone()),
                    tables: 1,
                    not_covered: vec![long.clone(); 40],
                }),
                drill: Some(DrillFacts {
                    restore_seconds: 1,
                    snapshot_time: Timestamp::UNIX_EPOCH,
                    bytes: 1,
                    discrepancies: vec![long.clone(); 100],
                    discrepancy_count: 100,
                }),
            };
            let json = outcome.to_json();
            assert!(json.len() <= MOST, "{}", json.len());
            let read: Outcome = serde_json::from_str(&json).unwrap();
            assert_eq!(read.drill.unwrap().discrepancy_count, 100);
            assert!(!read.message.is_empty() && read.message.len() <= 1000);
        }
        let small = Outcome::done("a backup was made");
        assert_eq!(serde_json::from_str::<Outcome>(&small.to_json()).unwrap(), small);
    }
}
