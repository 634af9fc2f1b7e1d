//! OrchestraDatabase: the life of a database, which is what costs money. [`plan`] has it on one page.

mod act;
mod adopted;
mod charges;
mod create;
mod deadline;
mod describe;
mod entry;
mod final_backup;
mod former;
mod grace;
mod holder;
mod identity;
mod key_rotation;
mod keys;
mod leaving;
mod login;
mod object;
mod observe;
mod password;
pub mod plan;
mod power;
mod provider_backups;
mod published_keys;
mod reentry;
mod refused;
mod region;
mod status;
mod unclear;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, ProviderBackups, retry_wish};
use crate::class;
use crate::controller::Core;
use crate::controller::background::Works;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::credentials;
use crate::supabase::Permit;
use crate::telemetry::traces;

use crate::postgres::RefusedLogins;
pub use adopted::{RecordedClaim, recorded_claims};
pub use keys::KeyReads;
pub use provider_backups::BackupReads;
pub use reentry::enter_released;
pub use refused::{quota_freed, quota_freed_by_pause};
pub use region::nearest;
pub use status::report;

/// What is needed to reconcile databases.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Classes, accounts and budgets.
    pub class: Arc<class::Context>,
    /// The entries of static pools.
    pub credentials: Arc<credentials::Context>,
    /// Databases whose contents are being dropped.
    pub resets: Works<OrchestraDatabase, ()>,
    /// Refused logins, and when the next one may be tried.
    pub logins: Arc<RefusedLogins>,
    /// When the keys of each project were read.
    pub keys: KeyReads,
    /// When the provider's backups of each project were read.
    pub backup_reads: BackupReads,
    /// Databases whose owner's login was refused to an Orchestra.
    pub refused: UnboundedSender<ObjectRef<OrchestraDatabase>>,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

impl Context {
    /// Triggers a pass over the database now.
    pub fn wake(&self, database: &str) {
        // Nothing receives it while the operator stops.
        let _ = self.refused.send(ObjectRef::new(database));
    }

    /// Forgets a database that is gone.
    fn forget(&self, database: &str) {
        self.logins.forget(database);
        self.core.refusals.forget(database);
        self.keys.forget(database);
        self.backup_reads.forget(database);
        self.core.clock.forget(database);
        self.core.backoff.reset(&former::key(database));
        self.credentials.entries.forget(database);
    }
}

/// One pass: observe → plan → status → act, step by step until it has to wait.
pub async fn pass(database: Arc<OrchestraDatabase>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(object) = current(&ctx.core, &*database).await? else {
        ctx.forget(&database.name_any());
        return Ok(Next::Gone);
    };
    let mut pass = Pass::new(object, ctx);
    loop {
        let observed = observe::observe(&pass).await?;
        let step = plan::plan(&observed.facts);
        tracing::debug!(?step, "next");
        status::write(&mut pass, step, &observed).await?;
        let act = Box::pin(act::act(&mut pass, step, observed));
        let acted = match step.carries_out() {
            Some(name) => traces::span(name, traces::Side::Internal, act).await,
            None => act.await,
        };
        if let Some(next) = acted? {
            return Ok(next);
        }
    }
}

/// One pass over an OrchestraDatabase, with what it alone knows. Only `act` and the status writer change it, and each field
/// has one writer.
struct Pass {
    ctx: Arc<Context>,
    /// The resource, as the last write of this pass left it.
    object: OrchestraDatabase,
    /// Set when the intent to create was written in this pass and no request was sent since: the request may be sent.
    announced: Option<Permit>,
    /// Whether the keys that were published work, when that was asked in this pass.
    keys_work: Option<published_keys::PublishedKeys>,
    /// The provider's backups, when they were read in this pass.
    provider_backups: Option<ProviderBackups>,
    /// The database was found to equal an empty one in this pass.
    is_reset: bool,
    /// A login succeeded in this pass.
    proven: bool,
    /// The progress with a new password of the owner, if it has started.
    password: Option<password::PasswordAttempt>,
    /// The progress of the rotation of API keys, if it has started.
    keys: Option<key_rotation::KeyAttempt>,
    /// Why the logins of the Orchestra that has released the database could not be revoked in this pass.
    former_logins: Option<(Reason, String)>,
    /// When the first of the work that has failed is tried again.
    again: Option<Duration>,
    /// What a person had asked for when the pass began, of the database or its Orchestra.
    wish: String,
}

impl Pass {
    fn new(object: OrchestraDatabase, ctx: Arc<Context>) -> Self {
        let claim = object.spec.claim_ref.as_ref().filter(|_| object.is_held());
        let claimant = claim.and_then(|claim| {
            let orchestra = ObjectRef::new(&claim.name).within(&claim.namespace);
            ctx.core.stores.orchestras.get(&orchestra)
        });
        let asked = claimant.map(|orchestra| retry_wish(&*orchestra)).unwrap_or_default();
        Self {
            wish: retry_wish(&object) + &asked,
            ctx,
            object,
            announced: None,
            keys_work: None,
            provider_backups: None,
            is_reset: false,
            proven: false,
            password: None,
            keys: None,
            former_logins: None,
            again: None,
        }
    }

    /// Records that a login succeeded.
    fn prove(&mut self) {
        self.proven = true;
    }

    /// Records that work has failed, and is tried again after this time. The shortest one decides when the pass is repeated.
    fn try_again_in(&mut self, wait: Duration) {
        self.again = self.again.into_iter().chain([wait]).min();
    }

    /// Whether the owner's Secret has this label.
    fn has_stored(&self, label: &str) -> bool {
        let secret = ObjectRef::new(self.name()).within(&self.ctx.core.settings.namespace);
        let secret = self.ctx.core.stores.secrets.get(&secret);
        secret.is_some_and(|secret| secret.labels().contains_key(label))
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// UID of the Orchestra that holds the claim, or held it last; empty when nobody ever held it.
    fn claim_uid(&self) -> &str {
        let claim = self.object.spec.claim_ref.as_ref();
        claim.map_or("", |claim| claim.uid.as_str())
    }
}
