//! The controllers: each with what triggers it. [`super::triggers`] says which objects a change concerns.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, join, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnboundedReceiverStream, WatchStream};

use super::changes::{
    backup_facts, is_default, is_paused, is_waiting, provider_backups, rollout_facts, schedule_facts,
    spec_and_conditions, spec_and_keys,
};
use super::pace::paced;
use super::stopped;
use super::triggers;
use super::watches::Watched;
use crate::api::{Orchestra, OrchestraBackup, OrchestraDatabase, OrchestraPool};
use crate::backup::schedule;
use crate::controller::Core;
use crate::controller::reconcile::reconcile;
use crate::pool::candidates;
use crate::{backup, class, database, orchestra, pool};

/// A class counts its databases and the progress of its rollout at most once in this time while they change. Rollouts
/// continue meanwhile: each turn that ends triggers the next Orchestra.
const CLASS_PERIOD: Duration = Duration::from_secs(3);

/// A pool counts its databases at most once in this time while they change, because it refills itself.
const POOL_PERIOD: Duration = Duration::from_secs(1);

/// Objects that background work triggers.
pub struct Woken {
    /// Orchestras whose work ended, or whose turn to migrate has come.
    pub orchestras: UnboundedReceiver<ObjectRef<Orchestra>>,
    /// Databases whose owner's login was refused to an Orchestra.
    pub databases: UnboundedReceiver<ObjectRef<OrchestraDatabase>>,
    /// Pools of which a database was prepared.
    pub pools: UnboundedReceiver<ObjectRef<OrchestraPool>>,
}

/// Runs all controllers until `stop` becomes true. Passes that are under way are finished.
pub async fn run(ctx: Arc<orchestra::Context>, watched: Watched, woken: Woken, stop: watch::Receiver<bool>) {
    let parts = ControllerParts {
        ctx: &ctx,
        watched: &watched,
        stop: &stop,
    };
    join!(
        orchestras(&parts, woken.orchestras),
        databases(&parts, woken.databases),
        classes(&parts),
        pools(&parts, woken.pools),
        backups(&parts),
        schedules(&parts),
    );
}

/// The parts of every controller.
struct ControllerParts<'a> {
    ctx: &'a Arc<orchestra::Context>,
    watched: &'a Watched,
    stop: &'a watch::Receiver<bool>,
}

impl ControllerParts<'_> {
    fn config(&self) -> Config {
        Config::default().concurrency(self.ctx.core.settings.concurrency)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        stopped(self.stop.clone())
    }

    /// A trigger as a controller takes it, with the stores that it looks into.
    fn by<E, K>(&self, trigger: fn(&Core, &E) -> Vec<ObjectRef<K>>) -> impl Fn(Arc<E>) -> Vec<ObjectRef<K>> + use<E, K>
    where
        K: Resource<DynamicType = ()>,
    {
        let core = self.ctx.core.clone();
        move |changed| trigger(&core, &changed)
    }
}

async fn orchestras(parts: &ControllerParts<'_>, woken: UnboundedReceiver<ObjectRef<Orchestra>>) {
    let (ctx, watched) = (parts.ctx, parts.watched);
    let pool = ctx.pool.clone();
    Controller::for_shared_stream(watched.orchestras.user_changes(), watched.orchestras.store())
        .watches_shared_stream(watched.databases.events(), |database: Arc<OrchestraDatabase>| {
            triggers::claimant(&database)
        })
        .watches_shared_stream(watched.databases.events(), move |database: Arc<OrchestraDatabase>| {
            candidates::awaiting(&pool, &database)
        })
        .watches_shared_stream(watched.databases.events(), parts.by(triggers::waiting_for))
        .watches_shared_stream(watched.databases.deletions(), parts.by(triggers::waiting_for))
        .watches_shared_stream(
            watched.classes.changes_of(spec_and_conditions),
            parts.by(triggers::unclaimed),
        )
        .watches_shared_stream(
            watched.classes.changes_of(is_waiting),
            parts.by(triggers::waiting_orchestras),
        )
        .watches_shared_stream(watched.config_maps.events(), parts.by(triggers::orchestras_with_source))
        .watches_shared_stream(watched.config_maps.deletions(), |map| {
            triggers::orchestra_with_plan(&map)
        })
        .watches_shared_stream(
            watched.config_maps.deletions(),
            parts.by(triggers::orchestra_of_plan_name),
        )
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::orchestras_with_inventory))
        .watches_shared_stream(watched.namespaces.user_changes(), parts.by(triggers::unclaimed_in))
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::claimant_of_keys))
        .watches_shared_stream(watched.backups.events(), parts.by(triggers::restored_from))
        .watches_shared_stream(watched.jobs.events(), parts.by(triggers::orchestra_of_job))
        .owns_shared_stream(watched.connections.events())
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_all_on(at_start())
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("orchestra", object, ctx, orchestra::pass, orchestra::report),
            never_fails,
            ctx.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn databases(parts: &ControllerParts<'_>, woken: UnboundedReceiver<ObjectRef<OrchestraDatabase>>) {
    let watched = parts.watched;
    let changes = parts.ctx.credentials.entries.changes();
    Controller::for_shared_stream(watched.databases.user_changes(), watched.databases.store())
        .watches_shared_stream(watched.secrets.events(), |secret: Arc<PartialObjectMeta<Secret>>| {
            triggers::database_of_secret(&secret)
        })
        .watches_shared_stream(
            watched.orchestras.changed(spec_and_keys),
            |orchestra: Arc<Orchestra>| triggers::database_of_orchestra(&orchestra),
        )
        .watches_shared_stream(
            watched.classes.changes_of(spec_and_conditions),
            parts.by(triggers::unready_databases),
        )
        .watches_shared_stream(
            watched.classes.changes_of(is_waiting),
            parts.by(triggers::waiting_databases),
        )
        .watches_shared_stream(watched.databases.deletions(), parts.by(database::quota_freed))
        .watches_shared_stream(watched.backups.events(), parts.by(triggers::database_of_final))
        .watches_shared_stream(
            watched.databases.changes_of(is_paused),
            parts.by(database::quota_freed_by_pause),
        )
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_on(UnboundedReceiverStream::new(changes))
        .reconcile_all_on(at_start())
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("database", object, ctx, database::pass, database::report),
            never_fails,
            parts.ctx.database.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn classes(parts: &ControllerParts<'_>) {
    let (ctx, watched) = (parts.ctx, parts.watched);
    let databases = watched
        .databases
        .events()
        .filter_map(async |database| triggers::class_of_database(&database));
    let rollouts = watched.orchestras.changes_of(rollout_facts);
    let rollouts = rollouts.filter_map(async |orchestra| triggers::class_of_orchestra(&orchestra));
    let backups = watched.backups.deletions();
    let backups = backups.filter_map(async |backup| triggers::class_of_backup(&backup));
    // The provider has accepted or rejected a token.
    let verdicts = WatchStream::from_changes(ctx.class.accounts.verdicts()).map(drop);
    Controller::for_shared_stream(watched.classes.user_changes(), watched.classes.store())
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::classes_with_token))
        .watches_shared_stream(
            watched.classes.changes_of(is_default),
            parts.by(triggers::default_classes),
        )
        .watches_shared_stream(watched.config_maps.events(), parts.by(triggers::classes_with_source))
        .reconcile_on(paced(databases, CLASS_PERIOD))
        .reconcile_on(paced(rollouts, CLASS_PERIOD))
        .reconcile_on(paced(backups, CLASS_PERIOD))
        .reconcile_all_on(at_start())
        .reconcile_all_on(verdicts)
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("class", object, ctx, class::pass, class::report),
            never_fails,
            ctx.class.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn pools(parts: &ControllerParts<'_>, woken: UnboundedReceiver<ObjectRef<OrchestraPool>>) {
    let (pool, watched) = (parts.ctx.pool.clone(), parts.watched);
    let databases = watched
        .databases
        .events()
        .filter_map(async |database| triggers::pool_of_database(&database));
    Controller::for_shared_stream(watched.pools.user_changes(), watched.pools.store())
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::pools_with_inventory))
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::pool_of_login))
        .watches_shared_stream(watched.orchestras.user_changes(), parts.by(triggers::pool_of_orchestra))
        .watches_shared_stream(
            watched.classes.changes_of(spec_and_conditions),
            parts.by(triggers::pools_of_class),
        )
        .watches_shared_stream(watched.config_maps.events(), parts.by(triggers::pools_with_source))
        .watches_shared_stream(watched.databases.deletions(), move |gone: Arc<OrchestraDatabase>| {
            candidates::with_duplicates(&pool, &gone)
        })
        .watches_shared_stream(watched.databases.deletions(), |gone: Arc<OrchestraDatabase>| {
            triggers::pool_of_database(&gone)
        })
        .reconcile_on(paced(databases, POOL_PERIOD))
        .reconcile_on(UnboundedReceiverStream::new(woken))
        .reconcile_all_on(at_start())
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("pool", object, ctx, pool::pass, pool::report),
            never_fails,
            parts.ctx.pool.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn backups(parts: &ControllerParts<'_>) {
    let watched = parts.watched;
    Controller::for_shared_stream(watched.backups.user_changes(), watched.backups.store())
        .watches_shared_stream(watched.jobs.events(), parts.by(triggers::backup_of_job))
        .watches_shared_stream(watched.jobs.deletions(), parts.by(triggers::queued_backups))
        .watches_shared_stream(
            watched.orchestras.changes_of(rollout_facts),
            parts.by(triggers::backups_of_orchestra),
        )
        .watches_shared_stream(
            watched.classes.changes_of(spec_and_conditions),
            parts.by(triggers::backups_of_class),
        )
        .watches_shared_stream(watched.secrets.events(), parts.by(triggers::backups_with_store))
        .reconcile_all_on(at_start())
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("backup", object, ctx, backup::pass, backup::report),
            never_fails,
            parts.ctx.backup.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn schedules(parts: &ControllerParts<'_>) {
    let watched = parts.watched;
    let orchestras = &watched.orchestras;
    Controller::for_shared_stream(orchestras.changed(schedule_facts), orchestras.store())
        .watches_shared_stream(
            watched.classes.changes_of(spec_and_conditions),
            parts.by(triggers::orchestras_of_class),
        )
        .watches_shared_stream(
            watched.backups.changes_of(backup_facts),
            |backup: Arc<OrchestraBackup>| schedule::orchestra_of(&backup),
        )
        .watches_shared_stream(
            watched.databases.changes_of(provider_backups),
            |database: Arc<OrchestraDatabase>| triggers::claimant(&database),
        )
        .reconcile_all_on(at_start())
        .with_config(parts.config())
        .graceful_shutdown_on(parts.stopped())
        .run(
            |object, ctx| reconcile("schedule", object, ctx, schedule::pass, schedule::report),
            never_fails,
            parts.ctx.backup.clone(),
        )
        .for_each(|_| async {})
        .await;
}

/// Fires once: objects that were in the stores before a controller subscribed are reconciled then.
fn at_start() -> impl Stream<Item = ()> + Send + 'static {
    stream::once(async {})
}

/// The error policy of a controller. It is never called: a pass turns its errors into a requeue itself.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that kube-runtime calls")]
fn never_fails<K, C>(_: Arc<K>, never: &Infallible, _: Arc<C>) -> Action {
    match *never {}
}
