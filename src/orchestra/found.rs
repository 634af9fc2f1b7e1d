//! The results of looks into a usable database and at its connection Secret.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use crate::api::condition::Reason;
use crate::api::names::KEYS_LABEL;
use crate::api::{MigrationStatus, PublishedSecret};
use crate::credentials::inventory;
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

/// Whether the connection Secret is the version that was written last, with the keys that are stored for the
/// database.
pub fn is_untouched(pass: &Pass) -> bool {
    if pass.published.is_some() {
        return true;
    }
    let name = pass.secret_name();
    let status = pass.object.status.as_ref();
    let written = status
        .and_then(|status| status.secret_ref.as_ref())
        .filter(|written| written.name == name);
    pass.known_secret().is_some_and(|secret| {
        written.is_some_and(|written| {
            written.resource_version == secret.metadata.resource_version && has_stored_keys(pass, written)
        })
    })
}

/// Whether a Secret was written with the keys that are stored for the database, according to the watch.
fn has_stored_keys(pass: &Pass, written: &PublishedSecret) -> bool {
    let status = pass.object.status.as_ref();
    let Some(database) = status.and_then(|status| status.database_name.as_ref()) else {
        return true;
    };
    let core = &pass.ctx.core;
    let known = core.stores.databases.get(&ObjectRef::new(database));
    if let Some(entry) = known.as_ref().and_then(|database| database.spec.inventory.as_ref()) {
        return inventory::has_published(&pass.ctx.credentials, entry, written.keys.as_ref());
    }
    let owner = ObjectRef::new(database).within(&core.settings.namespace);
    let owner = core.stores.secrets.get(&owner);
    owner.is_none_or(|owner| owner.labels().get(KEYS_LABEL) == written.keys.as_ref())
}
