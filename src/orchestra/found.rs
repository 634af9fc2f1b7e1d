//! The results of looks into a usable database and at its connection Secret.

use crate::api::condition::Reason;
use crate::api::{MigrationStatus, PublishedSecret};
use crate::migrate::guard::Review;

/// The result of a look into the database.
pub struct InsideLook {
    /// The state of the migrations; none when none apply.
    pub migrations: Option<MigrationStatus>,
    /// No migration is pending, and no unfinished one has to be settled.
    pub migrated: bool,
    /// The guard's review of the pending migrations.
    pub review: Option<Review>,
    /// Digest of the seed that is applied.
    pub seed: Option<String>,
    /// Reason and message of tables that the tenant's login cannot read.
    pub unreadable: Option<(Reason, String)>,
}

/// The connection Secret, if it was read.
#[derive(Default)]
pub struct SecretState {
    /// A Secret of this Orchestra exists.
    pub exists: bool,
    /// The Secret, when it holds the right values.
    pub right: Option<PublishedSecret>,
}

impl InsideLook {
    /// The result when all migrations are applied.
    pub fn migrated(migrations: MigrationStatus, unreadable: Option<(Reason, String)>) -> Self {
        Self {
            migrations: Some(migrations),
            migrated: true,
            review: None,
            seed: None,
            unreadable,
        }
    }
}
