//! The contexts of all rooms, from the lowest to the highest.

use std::sync::Arc;

use anyhow::Context as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::api::{Orchestra, OrchestraDatabase, OrchestraPool};
use crate::controller::Core;
use crate::controller::background::Works;
use crate::rollout::Turns;
use crate::source::Sources;
use crate::supabase::marker::CLUSTER_NAMESPACE;
use crate::supabase::{self, Accounts};
use crate::{backup, class, content, credentials, database, health, orchestra, pool, rollout};

/// How background work triggers objects, and is stopped.
pub struct Wakers {
    /// Orchestras whose work ended, or whose turn to migrate has come.
    pub ended: UnboundedSender<ObjectRef<Orchestra>>,
    /// Databases whose owner's login was refused to an Orchestra.
    pub refused: UnboundedSender<ObjectRef<OrchestraDatabase>>,
    /// Pools whose probe of an entry, or preparation of a member, ended.
    pub prepared: UnboundedSender<ObjectRef<OrchestraPool>>,
    /// Orchestras whose database was probed.
    pub probed: UnboundedSender<ObjectRef<Orchestra>>,
    /// Becomes true when the operator is to stop.
    pub stop: watch::Receiver<bool>,
}

/// The context of the room `class`, which holds those of the rooms below it. Commands that ask about
/// classes use it without an operator. Orchestras whose turn to migrate has come are
/// sent to `ended`.
///
/// # Errors
/// When the namespace is missing whose UID identifies the cluster.
pub fn class(
    core: Arc<Core>,
    provider: Arc<supabase::ApiSettings>,
    ended: UnboundedSender<ObjectRef<Orchestra>>,
) -> anyhow::Result<Arc<class::Context>> {
    let settings = &core.settings;
    let cluster = class::cluster(&core.stores).with_context(|| {
        format!(
            "the UID of namespace {CLUSTER_NAMESPACE} marks the projects of this cluster, and it is missing or no UUID"
        )
    })?;
    let content = Arc::new(content::Context {
        core: core.clone(),
        sources: Sources::new(
            core.client.clone(),
            core.stores.config_maps.store().clone(),
            settings.sources_folder.clone(),
            settings.oci_hosts.clone(),
            settings.resync,
        ),
        scripts: content::Scripts::new(settings.resync),
    });
    let credentials = Arc::new(credentials::Context {
        core: core.clone(),
        servers: credentials::servers::EntryServers::default(),
        entries: credentials::entries::Entries::default(),
        inventories: credentials::inventory::Inventories::default(),
    });
    let rollout = Arc::new(rollout::Context {
        core: core.clone(),
        credentials,
        turns: Arc::new(Turns::new(settings.migrations_per_server.into(), ended)),
    });
    Ok(Arc::new(class::Context {
        accounts: Accounts::new(provider, core.metrics.clone()).with_poll_interval(settings.poll_interval),
        core,
        content,
        rollout,
        tokens: class::Tokens::default(),
        outages: class::Outages::default(),
        cluster,
        orphans: class::Orphans::default(),
        budgets: class::Budgets::default(),
        ledger: class::Ledger::default(),
    }))
}

/// The context of the highest room, which holds those of all others.
///
/// # Errors
/// When the namespace is missing whose UID identifies the cluster.
pub fn orchestra(
    core: Arc<Core>,
    provider: Arc<supabase::ApiSettings>,
    wakers: Wakers,
) -> anyhow::Result<Arc<orchestra::Context>> {
    let class = class(core.clone(), provider.clone(), wakers.ended.clone())?;
    let (content, rollout) = (class.content.clone(), class.rollout.clone());
    let credentials = rollout.credentials.clone();
    let database = Arc::new(database::Context {
        core: core.clone(),
        class: class.clone(),
        credentials: credentials.clone(),
        resets: Works::new(credentials.entries.waker(), wakers.stop.clone()),
        logins: Arc::default(),
        keys: database::KeyReads::default(),
        backup_reads: database::BackupReads::default(),
        refused: wakers.refused,
    });
    let pool = Arc::new(pool::Context {
        core: core.clone(),
        class: class.clone(),
        content: content.clone(),
        credentials: credentials.clone(),
        rollout: rollout.clone(),
        logins: database.logins.clone(),
        refused: database.refused.clone(),
        choices: Arc::default(),
        preparations: Works::new(wakers.prepared.clone(), wakers.stop.clone()),
        probes: Works::new(wakers.prepared, wakers.stop.clone()),
        wake: wakers.ended.clone(),
        memory: Arc::default(),
    });
    let backup = Arc::new(backup::Context {
        core: core.clone(),
        class: class.clone(),
        credentials: credentials.clone(),
        logins: database.logins.clone(),
        size_reads: backup::schedule::SizeReads::default(),
        starting: tokio::sync::Mutex::default(),
        queue: backup::queue::JobQueue::default(),
        drops: backup::Drops::default(),
    });
    let health = Arc::new(health::Context::new(
        credentials.clone(),
        provider,
        database.logins.clone(),
        Works::new(wakers.probed, wakers.stop.clone()),
        wakers.ended.clone(),
    ));
    Ok(Arc::new(orchestra::Context {
        core,
        content,
        credentials,
        rollout,
        class,
        database,
        pool,
        backup,
        works: Works::new(wakers.ended, wakers.stop),
        health,
        foreign: orchestra::Awaited::default(),
        looks: orchestra::UseLooks::default(),
        ungrouped: orchestra::Ungrouped::default(),
        pass_limit: orchestra::PassLimit::default(),
    }))
}
