//! What a restore is for.

use super::order::RestoreTarget;

/// What happens with the restored database.
pub(super) enum RestorePurpose<'a> {
    /// An Orchestra uses it. It must have that Orchestra's claim record.
    Claimed(RestoreClaim<'a>),
    /// It is used, and no Orchestra claims it.
    Unclaimed,
    /// It is compared with the backup, with the rights of all roles, and dropped.
    Drill,
}

/// The restore for an Orchestra.
pub(super) struct RestoreClaim<'a> {
    /// UID of the Orchestra.
    pub uid: &'a str,
    /// SHA-256 of the manifest.
    pub digest: String,
    /// The database of the Orchestra, where its address may be that of another one.
    pub target: Option<&'a RestoreTarget>,
}

impl RestorePurpose<'_> {
    /// The claim that the database of an Orchestra must have.
    pub fn claim(&self) -> Option<&RestoreClaim<'_>> {
        match self {
            Self::Claimed(claim) => Some(claim),
            Self::Unclaimed | Self::Drill => None,
        }
    }
}
