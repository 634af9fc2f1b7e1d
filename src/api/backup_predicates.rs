//! Questions about backups that have one answer for every room.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::{ConditionType, Reason, find, is_true};
use super::names::request;
use super::{BackupFailure, OrchestraBackup, RETRY_ANNOTATION, VERIFY_ANNOTATION, known_reason};

impl OrchestraBackup {
    /// Whether its manifest is stored.
    pub fn is_complete(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.manifest_digest.is_some())
    }

    /// Whether it is to be made or its deletion was requested.
    pub fn is_under_way(&self) -> bool {
        !self.is_complete() || self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it failed, and nobody has asked for another attempt since.
    pub fn has_failed(&self) -> bool {
        let failure = self.status.as_ref().and_then(|status| status.failure.as_ref());
        let asked = || request(&self.metadata, RETRY_ANNOTATION);
        !self.is_complete() && failure.is_some_and(|failure| failure.last && failure.retry == asked())
    }

    /// Whether an attempt is under way, whose Job reads the database.
    pub fn is_being_made(&self) -> bool {
        let attempted = self
            .status
            .as_ref()
            .is_some_and(|status| status.attempts > status.concluded && status.completion_time.is_none());
        attempted && !self.is_stalled()
    }

    /// Whether a person must act.
    pub fn is_stalled(&self) -> bool {
        is_true(self.conditions(), ConditionType::Stalled)
    }

    /// Why a person must act, with the message in the status. A reason that another version of the operator wrote is
    /// `BackupFailed`.
    pub fn stalled(&self) -> Option<(Reason, &str)> {
        let stalled = find(self.conditions(), ConditionType::Stalled)?;
        Some((known_reason(stalled).unwrap_or(Reason::BackupFailed), &stalled.message))
    }

    /// What its Ready condition says; none before the first pass.
    pub fn ready_message(&self) -> Option<&str> {
        Some(find(self.conditions(), ConditionType::Ready)?.message.as_str())
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    /// Whether a drill has restored it, and no later one has found it different.
    pub fn is_verified(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let drill = status.verification.as_ref();
        drill.is_some_and(|drill| drill.last_verified_time.is_some()) && !self.is_refuted()
    }

    /// Whether the last drill has found it damaged or different from its snapshot.
    pub fn is_refuted(&self) -> bool {
        find(self.conditions(), ConditionType::Verified).is_some_and(|is| is.status == "False")
    }

    /// The value of the annotation that asks for a drill, while none was started for it.
    pub fn asks_for_drill(&self) -> Option<String> {
        let asked = request(&self.metadata, VERIFY_ANNOTATION)?;
        let drill = self.status.as_ref().and_then(|status| status.verification.as_ref());
        let begun = drill.and_then(|drill| drill.requested.as_ref());
        (begun != Some(&asked)).then_some(asked)
    }

    /// Whether a drill of it is under way, or its scratch database exists.
    pub fn is_being_verified(&self) -> bool {
        let drill = self.status.as_ref().and_then(|status| status.verification.as_ref());
        drill.is_some_and(|drill| drill.attempts > drill.concluded || drill.scratch.is_some())
    }

    /// Time of the snapshot, or of the creation while there is none.
    pub fn taken(&self) -> Option<jiff::Timestamp> {
        let snapshot = self.status.as_ref().and_then(|status| status.snapshot_time.as_ref());
        let at = snapshot.or(self.metadata.creation_timestamp.as_ref());
        at.map(|at| at.0)
    }
}

impl BackupFailure {
    /// The reason; none when another version of the operator gave one that this one does not know.
    pub fn known_reason(&self) -> Option<Reason> {
        self.reason.parse().ok()
    }
}
