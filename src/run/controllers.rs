//! Which controller is woken by what.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join4;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::pace::paced;
use super::stopped;
use super::watches::{Watched, ability, advance, standing};
use crate::api::condition::ConditionType;
use crate::api::names::DATABASE_LABEL;
use crate::api::{Migrations, Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool, Preparation, ScriptSource};
use crate::controller::Core;
use crate::controller::conditions::is_true;
use crate::controller::latest::Latest;
use crate::controller::reconcile::reconcile;
use crate::pool::candidates;
use crate::{class, database, orchestra, pool};

/// How often a class or a pool counts its databases at most, while they change.
const COUNTED: Duration = Duration::from_secs(1);

/// Runs all controllers until told to stop; what is under way is finished.
pub async fn run(
    ctx: Arc<orchestra::Context>,
    watched: Watched,
    (ended, prepared): (
        UnboundedReceiver<ObjectRef<Orchestra>>,
        UnboundedReceiver<ObjectRef<OrchestraPool>>,
    ),
    stop: watch::Receiver<bool>,
) {
    let config = Config::default().concurrency(ctx.core.settings.concurrency);
    let stores = &ctx.core.stores;

    let (by_class, by_map) = (stores.orchestras.clone(), ctx.clone());
    let orchestras = Controller::for_shared_stream(watched.orchestras.wishes(), stores.orchestras.store().clone())
        .watches_shared_stream(watched.databases.events(), |database: Arc<OrchestraDatabase>| {
            claimant(&database)
        })
        .watches_shared_stream(watched.databases.events(), {
            let ctx = ctx.clone();
            move |database: Arc<OrchestraDatabase>| candidates::awaiting(&ctx.pool, &database)
        })
        .watches_shared_stream(watched.classes.news(ability), move |_: Arc<OrchestraClass>| {
            unclaimed(&by_class)
        })
        .watches_shared_stream(
            watched.config_maps.events(),
            move |map: Arc<PartialObjectMeta<ConfigMap>>| naming(&map, &by_map.core),
        )
        .watches_shared_stream(watched.namespaces.wishes(), unclaimed_in(&stores.orchestras))
        .owns_shared_stream(watched.connections.events())
        .reconcile_on(each(ended))
        .reconcile_all_on(at_start())
        .with_config(config.clone())
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(
            |object, ctx| reconcile("orchestra", object, ctx, orchestra::pass, orchestra::report),
            again,
            ctx.clone(),
        )
        .for_each(|_| async {});

    let hosted = stores.databases.clone();
    let databases = Controller::for_shared_stream(watched.databases.wishes(), stores.databases.store().clone())
        .watches_shared_stream(watched.secrets.events(), |secret: Arc<PartialObjectMeta<Secret>>| {
            secret.labels().get(DATABASE_LABEL).map(|name| ObjectRef::new(name))
        })
        // Whoever touches an Orchestra wants its database looked at, too.
        .watches_shared_stream(watched.orchestras.wishes(), |orchestra: Arc<Orchestra>| {
            let name = orchestra.status.as_ref()?.database_name.as_ref()?;
            Some(ObjectRef::new(name))
        })
        .watches_shared_stream(watched.classes.news(ability), move |class: Arc<OrchestraClass>| {
            of_class(&class, &hosted)
        })
        .reconcile_all_on(at_start())
        .with_config(config.clone())
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(
            |object, ctx| reconcile("database", object, ctx, database::pass, database::report),
            again,
            ctx.database.clone(),
        )
        .for_each(|_| async {});

    let by_token = stores.classes.clone();
    let classes = Controller::for_shared_stream(watched.classes.wishes(), stores.classes.store().clone())
        .watches_shared_stream(
            watched.secrets.events(),
            move |secret: Arc<PartialObjectMeta<Secret>>| with_token(&secret, &by_token),
        )
        // Another default class changes what a default class says of itself.
        .watches_shared_stream(watched.classes.news(standing), default_classes(&stores.classes))
        // A class counts its databases: once for all that change together.
        .reconcile_on(paced(watched.databases.events().filter_map(its_class), COUNTED))
        // So it does with its rollout.
        .reconcile_on(paced(watched.orchestras.news(advance).filter_map(class_of), COUNTED))
        .watches_shared_stream(watched.config_maps.events(), migrating(&ctx.core))
        .reconcile_all_on(at_start())
        .reconcile_all_on(verdicts(&ctx))
        .with_config(config.clone())
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(
            |object, ctx| reconcile("class", object, ctx, class::pass, class::report),
            again,
            ctx.class.clone(),
        )
        .for_each(|_| async {});

    join4(
        orchestras,
        databases,
        classes,
        pools(&ctx, &watched, config, (prepared, stop)),
    )
    .await;
}

/// The controller of the pools.
fn pools(
    ctx: &orchestra::Context,
    watched: &Watched,
    config: Config,
    (preparations, stop): (UnboundedReceiver<ObjectRef<OrchestraPool>>, watch::Receiver<bool>),
) -> impl Future<Output = ()> + use<> {
    let stores = &watched.stores;
    let by_inventory = stores.pools.clone();
    let (by_class, by_map) = (stores.pools.clone(), stores.pools.clone());
    let namespace = ctx.core.settings.namespace.clone();
    Controller::for_shared_stream(watched.pools.wishes(), stores.pools.store().clone())
        .watches_shared_stream(
            watched.secrets.events(),
            move |secret: Arc<PartialObjectMeta<Secret>>| with_inventory(&secret, &by_inventory),
        )
        .watches_shared_stream(watched.classes.wishes(), move |class: Arc<OrchestraClass>| {
            let name = class.name_any();
            prepared(&by_class, |wanted| wanted.class_name == name)
        })
        .watches_shared_stream(
            watched.config_maps.events(),
            move |map: Arc<PartialObjectMeta<ConfigMap>>| {
                let ours = map.namespace().as_ref() == Some(&namespace);
                prepared(&by_map, |_| ours)
            },
        )
        // A pool counts its databases, too.
        .reconcile_on(paced(watched.databases.events().filter_map(its_pool), COUNTED))
        .reconcile_on(each(preparations))
        .reconcile_all_on(at_start())
        .with_config(config)
        .graceful_shutdown_on(stopped(stop))
        .run(
            |object, ctx| reconcile("pool", object, ctx, pool::pass, pool::report),
            again,
            ctx.pool.clone(),
        )
        .for_each(|_| async {})
}

/// What a channel receives.
fn each<T>(channel: UnboundedReceiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::unfold(channel, |mut channel| async { Some((channel.recv().await?, channel)) })
}

async fn its_class(database: Arc<OrchestraDatabase>) -> Option<ObjectRef<OrchestraClass>> {
    database.spec.class_name.as_ref().map(|name| ObjectRef::new(name))
}

async fn its_pool(database: Arc<OrchestraDatabase>) -> Option<ObjectRef<OrchestraPool>> {
    database.pool().map(ObjectRef::new)
}

async fn class_of(orchestra: Arc<Orchestra>) -> Option<ObjectRef<OrchestraClass>> {
    let status = orchestra.status.as_ref()?;
    status.class_name.as_ref().map(|name| ObjectRef::new(name))
}

/// Classes whose migrations are in a ConfigMap.
fn migrating(
    core: &Core,
) -> impl Fn(Arc<PartialObjectMeta<ConfigMap>>) -> Vec<ObjectRef<OrchestraClass>> + Send + Sync + 'static {
    let (classes, namespace) = (core.stores.classes.clone(), core.settings.namespace.clone());
    move |map| {
        if map.namespace().as_ref() != Some(&namespace) {
            return Vec::new();
        }
        let named = classes.state_filter(|class| migrates_by(class, &map.name_any()));
        named.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
    }
}

fn uses(source: Option<&ScriptSource>, map: &str) -> bool {
    source.is_some_and(|source| source.config_maps().any(|used| used == map))
}

fn scripts(migrations: Option<&Migrations>) -> Option<&ScriptSource> {
    migrations?.source.as_ref()
}

/// Whether the migrations of a class or its templates are in a ConfigMap.
fn migrates_by(class: &OrchestraClass, map: &str) -> bool {
    let mut templates = class.spec.templates.iter().flatten();
    uses(scripts(class.spec.migrations.as_ref()), map)
        || templates.any(|template| uses(template.migrations.source.as_ref(), map))
}

/// Whether a template of a class has its seed in a ConfigMap.
fn seeds_by(class: &OrchestraClass, map: &str) -> bool {
    let mut templates = class.spec.templates.iter().flatten();
    templates.any(|template| uses(template.seed.as_ref().map(|seed| &seed.source), map))
}

/// The provider has begun or ceased to accept a token.
fn verdicts(ctx: &orchestra::Context) -> impl futures::Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(ctx.class.accounts.verdicts(), async |mut verdicts| {
        verdicts.changed().await.ok()?;
        Some(((), verdicts))
    })
}

/// What was in the stores before a controller subscribed is looked at once.
fn at_start() -> impl futures::Stream<Item = ()> + Send + 'static {
    futures::stream::once(async {})
}

/// Never called: a pass turns its errors into a requeue itself.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that kube-runtime calls")]
fn again<K, C>(_: Arc<K>, never: &std::convert::Infallible, _: Arc<C>) -> Action {
    match *never {}
}

/// The Orchestra that holds or held a claim.
fn claimant(database: &OrchestraDatabase) -> Option<ObjectRef<Orchestra>> {
    let claim = database.spec.claim_ref.as_ref()?;
    Some(ObjectRef::new(&claim.name).within(&claim.namespace))
}

fn unclaimed(orchestras: &Latest<Orchestra>) -> Vec<ObjectRef<Orchestra>> {
    let unmet = orchestras.state_filter(candidates::is_unmet);
    unmet.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// Orchestras of a namespace that wait: a label of it may admit them.
fn unclaimed_in(
    orchestras: &Latest<Orchestra>,
) -> impl Fn(Arc<PartialObjectMeta<Namespace>>) -> Vec<ObjectRef<Orchestra>> + Send + Sync + 'static {
    let orchestras = orchestras.clone();
    move |namespace| {
        let mut waiting = unclaimed(&orchestras);
        waiting.retain(|orchestra| orchestra.namespace.as_deref() == Some(&namespace.name_any()));
        waiting
    }
}

/// Orchestras whose migrations or seed are in a ConfigMap: their own, or those of their class and its
/// templates in the operator's namespace.
fn naming(map: &PartialObjectMeta<ConfigMap>, core: &Core) -> Vec<ObjectRef<Orchestra>> {
    let (namespace, name) = (map.namespace(), map.name_any());
    let ours = namespace.as_deref() == Some(&core.settings.namespace);
    let by_class = ours
        && core
            .stores
            .classes
            .find(|class| migrates_by(class, &name) || seeds_by(class, &name))
            .is_some();
    let names = |object: &Orchestra| {
        let spec = &object.spec;
        let own = spec.migrations.as_ref();
        let inherits = own.is_none_or(|own| own.source.is_none()) || spec.seed.is_none();
        let here = object.namespace() == namespace
            && (uses(scripts(own), &name) || uses(spec.seed.as_ref().map(|seed| &seed.source), &name));
        here || (by_class && inherits)
    };
    core.stores
        .orchestras
        .state_filter(names)
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}

/// Databases of a class that are not usable now.
fn of_class(class: &OrchestraClass, databases: &Latest<OrchestraDatabase>) -> Vec<ObjectRef<OrchestraDatabase>> {
    let name = class.name_any();
    let waits = |database: &OrchestraDatabase| {
        database.spec.class_name.as_ref() == Some(&name)
            && database
                .status
                .as_ref()
                .is_none_or(|status| !is_true(&status.conditions, ConditionType::Ready))
    };
    databases
        .state_filter(waits)
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}

/// The classes that are marked as default ones.
fn default_classes(
    classes: &Latest<OrchestraClass>,
) -> impl Fn(Arc<OrchestraClass>) -> Vec<ObjectRef<OrchestraClass>> + Send + Sync + 'static {
    let classes = classes.clone();
    move |_| {
        let marked = classes.state_filter(class::is_default);
        marked.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
    }
}

/// Classes whose token is in a Secret.
fn with_token(secret: &PartialObjectMeta<Secret>, classes: &Latest<OrchestraClass>) -> Vec<ObjectRef<OrchestraClass>> {
    let name = secret.name_any();
    let uses = |class: &OrchestraClass| {
        let token = class
            .spec
            .provider
            .as_ref()
            .and_then(|provider| provider.supabase.token_secret_ref.as_ref());
        token.is_some_and(|token| token.name == name)
    };
    classes
        .state_filter(uses)
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}

/// Pools whose databases are prepared from what `wanted` says.
fn prepared(pools: &Latest<OrchestraPool>, wanted: impl Fn(&Preparation) -> bool) -> Vec<ObjectRef<OrchestraPool>> {
    pools
        .state_filter(|pool| pool.spec.prepare.as_ref().is_some_and(&wanted))
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}

/// Pools whose inventory is in a Secret.
fn with_inventory(secret: &PartialObjectMeta<Secret>, pools: &Latest<OrchestraPool>) -> Vec<ObjectRef<OrchestraPool>> {
    let name = secret.name_any();
    let uses = |pool: &OrchestraPool| {
        pool.spec
            .inventory
            .secret_ref
            .as_ref()
            .is_some_and(|used| used.name == name)
    };
    pools
        .state_filter(uses)
        .iter()
        .map(|object| ObjectRef::from_obj(&**object))
        .collect()
}
