//! OrchestraClass: which class meets a claim, its token and whether the provider accepts it, and what its projects
//! cost, may cost and have cost.

pub mod admission;
pub mod budget;
mod defaults;
mod drift;
pub mod environment;
mod facts;
mod leaving;
pub mod ledger;
pub mod orphan;
mod orphans;
mod outage;
pub mod placement;
pub mod price;
mod progress;
mod reconcile;
mod status;
pub mod token;

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::condition::Reason;
use crate::api::{DEFAULT_CLASS_ANNOTATION, ENVIRONMENT_ANNOTATION, OrchestraClass, PoolPolicy};
use crate::controller::error::Error;
use crate::controller::unreadable;
use crate::controller::{Core, Stores};
use crate::supabase::marker::{CLUSTER_NAMESPACE, ClusterMarker};
use crate::supabase::{Account, Accounts};
use crate::{content, rollout};

pub use budget::Budgets;
pub use facts::facts;
pub use ledger::Ledger;
pub use orphans::Orphans;
pub use outage::Outages;
pub use reconcile::pass;
pub use status::report;
pub use token::Tokens;

/// What is needed to look up a class, its account and its budget.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Scripts.
    pub content: Arc<content::Context>,
    /// Turns of migrations.
    pub rollout: Arc<rollout::Context>,
    /// Management API accounts, one for each token and organization.
    pub accounts: Accounts,
    /// Tokens that were read from Secrets.
    pub tokens: Tokens,
    /// Classes whose provider does not answer.
    pub outages: Outages,
    /// The marker of this cluster's projects.
    pub cluster: ClusterMarker,
    /// Orphans that were found.
    pub orphans: Orphans,
    /// Prices, and the grants of budgets.
    pub budgets: Budgets,
    /// Which months the ledger has closed.
    pub ledger: Ledger,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// The marker of this cluster's projects: the UID of the namespace `kube-system`. None when the store
/// does not hold that namespace, or its UID is not a UUID.
pub fn cluster(stores: &Stores) -> Option<ClusterMarker> {
    let namespace = stores.namespaces.get(&ObjectRef::new(CLUSTER_NAMESPACE))?;
    ClusterMarker::of(namespace.metadata.uid.as_deref()?)
}

/// Name of the OrchestraDatabase that is created for an Orchestra, by the Orchestra's UID.
pub fn database_name(uid: &str) -> String {
    format!("orchdb-{uid}")
}

/// The class by its name, or the default one.
pub fn resolve(ctx: &Context, name: Option<&str>) -> Result<Arc<OrchestraClass>, Error> {
    if let Some(name) = name {
        return unreadable::get(&ctx.core.stores.classes, &ObjectRef::new(name))?.ok_or_else(|| {
            Error::blocked(
                Reason::ClassNotFound,
                format!("OrchestraClass {name} does not exist: create it"),
            )
        });
    }
    // An admin's default class takes precedence over the one from the environment; of several, the youngest is used,
    // as with StorageClasses.
    let mut classes = ctx
        .core
        .stores
        .classes
        .state_filter(|class| is_default(class) && !is_ending(class));
    classes.sort_by_key(|class| {
        (
            !annotated(class, ENVIRONMENT_ANNOTATION),
            class.creation_timestamp(),
            class.name_any(),
        )
    });
    let class = classes.pop().ok_or_else(|| {
        Error::blocked(
            Reason::NoDefaultClass,
            format!(
                "spec.className is not set and no OrchestraClass is the default one: set it, or annotate a class with \
                 {DEFAULT_CLASS_ANNOTATION}=true"
            ),
        )
    })?;
    unreadable::check(&*class)?;
    Ok(class)
}

/// Forgets a class that is gone.
fn forget(ctx: &Context, class: &OrchestraClass) {
    orphans::forget(ctx, class);
    ctx.tokens.forget(class);
    ctx.outages.forget(class);
}

/// Whether a class is marked as a default one.
pub fn is_default(class: &OrchestraClass) -> bool {
    annotated(class, DEFAULT_CLASS_ANNOTATION)
}

/// Whether a class is being deleted: it is no default one any more.
fn is_ending(class: &OrchestraClass) -> bool {
    class.metadata.deletion_timestamp.is_some()
}

fn annotated(class: &OrchestraClass, annotation: &str) -> bool {
    class.annotations().get(annotation).is_some_and(|value| value == "true")
}

/// Ways to meet a claim, in the order of the class's policy.
pub fn ways(class: &OrchestraClass) -> Vec<Way> {
    let provider = class.spec.provider.is_some().then_some(Way::Provider);
    let pools = class.spec.pools.is_some().then_some(Way::Pools);
    let policy = class
        .spec
        .pools
        .as_ref()
        .map_or(PoolPolicy::CloudOnly, |pools| pools.policy);
    let order = match policy {
        PoolPolicy::CloudFirst => [provider, pools],
        PoolPolicy::PoolFirst => [pools, provider],
        PoolPolicy::PoolOnly => [pools, None],
        PoolPolicy::CloudOnly => [provider, None],
    };
    order.into_iter().flatten().collect()
}

/// A way to meet a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A new database from the provider.
    Provider,
    /// A database of a pool.
    Pools,
}

/// The Management API account of a class: the token that its Secret contains now, and the organization: the database's where
/// it is `known`, otherwise the class's.
pub async fn account(ctx: &Context, class: &OrchestraClass, known: Option<&str>) -> Result<Arc<Account>, Error> {
    let Some(provider) = class.spec.provider.as_ref().map(|provider| &provider.supabase) else {
        let message = format!("class {} has no provider", class.name_any());
        return Err(Error::blocked(Reason::NoProvider, message));
    };
    let token = token::token(ctx, provider).await?;
    let named = known
        .or(provider.organization.as_deref())
        .or(ctx.core.settings.organization.as_deref());
    Ok(ctx.accounts.get(&token, named).await?)
}
