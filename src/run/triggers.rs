//! Which objects a changed object concerns. Each function reads the stores and the changed object, and names the objects
//! that a controller reconciles again.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::api::condition::Reason;
use crate::api::names::{
    BACKUP_CLASS_LABEL, BACKUP_LABEL, DATABASE_LABEL, GENERATION_LABEL, HOLDER_LABEL, KEYS_LABEL, label_of,
};
use crate::api::{
    ExistingDatabase, Migrations, Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool,
    ScriptSource,
};
use crate::class;
use crate::controller::Core;
use crate::controller::latest::Latest;
use crate::credentials::inventory;
use crate::pool::candidates;

/// The Orchestra that holds or held the claim on a database.
pub fn claimant(database: &OrchestraDatabase) -> Option<ObjectRef<Orchestra>> {
    let claim = database.spec.claim_ref.as_ref()?;
    Some(ObjectRef::new(&claim.name).within(&claim.namespace))
}

/// Orchestras without a database that name this one, or its project.
pub fn waiting_for(core: &Core, database: &OrchestraDatabase) -> Vec<ObjectRef<Orchestra>> {
    let (name, project) = (Some(database.name_any()), database.project_ref());
    select(&core.stores.orchestras, |orchestra| {
        let names = |existing: &ExistingDatabase| {
            let wanted = existing.project_ref.as_deref();
            existing.database_name == name || wanted.is_some() && wanted == project
        };
        candidates::is_unmet(orchestra) && orchestra.spec.existing().is_some_and(names)
    })
}

/// Orchestras without a database, and those of the class that are Stalled, because the change of the class may unblock them.
pub fn unclaimed(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<Orchestra>> {
    let name = class.name_any();
    select(&core.stores.orchestras, |orchestra| {
        let waits = || orchestra.stalled_reason().is_some() || orchestra.is_without_template();
        let of_another = orchestra.spec.class_name.as_ref().is_some_and(|of| *of != name);
        candidates::is_unmet(orchestra) && !of_another || orchestra.decided_class() == Some(&name) && waits()
    })
}

/// Orchestras without a database that wait for the provider of a class, when it answers again.
pub fn waiting_orchestras(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<Orchestra>> {
    let name = class.name_any();
    if class.is_reconciling() {
        return Vec::new();
    }
    select(&core.stores.orchestras, |orchestra| {
        candidates::is_unmet(orchestra) && orchestra.decided_class() == Some(&name) && orchestra.waits_for_provider()
    })
}

/// Databases that wait for the provider of a class, when it answers again.
pub fn waiting_databases(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<OrchestraDatabase>> {
    if class.is_reconciling() {
        return Vec::new();
    }
    select(&core.stores.databases, |database| {
        database.is_of(class) && database.waits_for_provider()
    })
}

/// Orchestras without a database in a namespace: a label of it may admit them.
pub fn unclaimed_in(core: &Core, namespace: &PartialObjectMeta<Namespace>) -> Vec<ObjectRef<Orchestra>> {
    let name = Some(namespace.name_any());
    select(&core.stores.orchestras, |orchestra| {
        orchestra.namespace() == name && candidates::is_unmet(orchestra)
    })
}

/// Orchestras whose migrations or seed are in a ConfigMap: their own, or those of their class and its
/// templates in the operator's namespace.
pub fn orchestras_with_source(core: &Core, map: &PartialObjectMeta<ConfigMap>) -> Vec<ObjectRef<Orchestra>> {
    let (namespace, name) = (map.namespace(), map.name_any());
    let of_class = |class: &OrchestraClass| has_migrations_in(class, &name) || has_seed_in(class, &name);
    let by_class = is_operators(core, map) && core.stores.classes.find(of_class).is_some();
    select(&core.stores.orchestras, |orchestra| {
        let spec = &orchestra.spec;
        let own = spec.migrations.as_ref();
        let inherits = own.is_none_or(|own| own.source.is_none()) || spec.seed.is_none();
        let here = orchestra.namespace() == namespace
            && (uses(scripts(own), &name) || uses(spec.seed.as_ref().map(|seed| &seed.source), &name));
        here || (by_class && inherits)
    })
}

/// The Orchestra whose plan of pending migrations is in a ConfigMap.
pub fn orchestra_with_plan(map: &PartialObjectMeta<ConfigMap>) -> Option<ObjectRef<Orchestra>> {
    let owner = map
        .owner_references()
        .iter()
        .find(|owner| owner.kind == Orchestra::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&map.namespace()?))
}

/// The Orchestra whose plan cannot be written while somebody else's ConfigMap has its name.
pub fn orchestra_of_plan_name(core: &Core, map: &PartialObjectMeta<ConfigMap>) -> Vec<ObjectRef<Orchestra>> {
    let (namespace, name) = (map.namespace(), map.name_any());
    select(&core.stores.orchestras, |orchestra| {
        orchestra.stalled_reason() == Some(Reason::ConfigMapConflict)
            && orchestra.namespace() == namespace
            && orchestra.plan_name() == name
    })
}

/// Orchestras in trouble whose database is an entry of an inventory in this Secret.
pub fn orchestras_with_inventory(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Orchestra>> {
    let pools = pools_with_inventory(core, secret);
    if pools.is_empty() {
        return Vec::new();
    }
    let of_pool = |database: &OrchestraDatabase| {
        let pool = database.spec.inventory.as_ref().map(|entry| entry.pool.as_str());
        database.is_held() && pool.is_some_and(|name| pools.iter().any(|pool| pool.name == name))
    };
    let held = core.stores.databases.state_filter(of_pool);
    let in_trouble = |key: &ObjectRef<Orchestra>| {
        let orchestra = core.stores.orchestras.get(key);
        orchestra.is_some_and(|orchestra| !orchestra.is_quiet())
    };
    held.iter()
        .filter_map(|database| claimant(database))
        .filter(in_trouble)
        .collect()
}

/// The database whose Secret it is.
pub fn database_of_secret(secret: &PartialObjectMeta<Secret>) -> Option<ObjectRef<OrchestraDatabase>> {
    secret.labels().get(DATABASE_LABEL).map(|name| ObjectRef::new(name))
}

/// The Orchestra whose database has other API keys than before: they are stored in a Secret of the operator's.
pub fn claimant_of_keys(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Orchestra>> {
    let changed = secret.labels().contains_key(KEYS_LABEL);
    let database = database_of_secret(secret).filter(|_| changed);
    let database = database.and_then(|database| core.stores.databases.get(&database));
    database.and_then(|database| claimant(&database)).into_iter().collect()
}

/// The database of an Orchestra: a change of the Orchestra by a user may concern its database as well.
pub fn database_of_orchestra(orchestra: &Orchestra) -> Option<ObjectRef<OrchestraDatabase>> {
    orchestra.database_or_claiming().map(ObjectRef::new)
}

/// Databases of a class that are not usable now, or wait for the provider.
pub fn unready_databases(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<OrchestraDatabase>> {
    let name = Some(class.name_any());
    select(&core.stores.databases, |database| {
        database.spec.class_name == name && (!database.is_ready() || !database.is_quiet())
    })
}

/// Classes whose token is in a Secret.
pub fn classes_with_token(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<OrchestraClass>> {
    let name = secret.name_any();
    select(&core.stores.classes, |class| {
        let provider = class.spec.provider.as_ref();
        let token = provider.and_then(|provider| provider.supabase.token_secret_ref.as_ref());
        token.is_some_and(|token| token.name == name)
    })
}

/// Classes that are marked as the default one: each reports when there are several.
pub fn default_classes(core: &Core, _: &OrchestraClass) -> Vec<ObjectRef<OrchestraClass>> {
    select(&core.stores.classes, class::is_default)
}

/// Classes whose migrations or templates are in a ConfigMap.
pub fn classes_with_source(core: &Core, map: &PartialObjectMeta<ConfigMap>) -> Vec<ObjectRef<OrchestraClass>> {
    if !is_operators(core, map) {
        return Vec::new();
    }
    let name = map.name_any();
    select(&core.stores.classes, |class| has_migrations_in(class, &name))
}

/// The class that a database counts for.
pub fn class_of_database(database: &OrchestraDatabase) -> Option<ObjectRef<OrchestraClass>> {
    database.spec.class_name.as_ref().map(|name| ObjectRef::new(name))
}

/// The class whose rollout an Orchestra belongs to.
pub fn class_of_orchestra(orchestra: &Orchestra) -> Option<ObjectRef<OrchestraClass>> {
    let status = orchestra.status.as_ref()?;
    status.class_name.as_ref().map(|name| ObjectRef::new(name))
}

/// The pool that a database counts for.
pub fn pool_of_database(database: &OrchestraDatabase) -> Option<ObjectRef<OrchestraPool>> {
    database.pool().map(ObjectRef::new)
}

/// Pools whose inventory may be in a Secret.
pub fn pools_with_inventory(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<OrchestraPool>> {
    select(&core.stores.pools, |pool| inventory::concerns(pool, secret))
}

/// The pool on whose server the database of a rotated login is: its owner may get a new password as well.
pub fn pool_of_login(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<OrchestraPool>> {
    let rotated = secret.labels().contains_key(GENERATION_LABEL);
    let database = database_of_secret(secret).filter(|_| rotated);
    database
        .and_then(|database| on_server(core, &database))
        .into_iter()
        .collect()
}

/// The pool on whose server the database of an Orchestra is: its spec may ask for the rotation of the owner's password.
pub fn pool_of_orchestra(core: &Core, orchestra: &Orchestra) -> Vec<ObjectRef<OrchestraPool>> {
    let database = database_of_orchestra(orchestra);
    database
        .and_then(|database| on_server(core, &database))
        .into_iter()
        .collect()
}

fn on_server(core: &Core, database: &ObjectRef<OrchestraDatabase>) -> Option<ObjectRef<OrchestraPool>> {
    let pool = pool_of_database(&*core.stores.databases.get(database)?)?;
    let found = core.stores.pools.get(&pool)?;
    found.spec.server.is_some().then_some(pool)
}

/// Pools whose databases are made by a class, or prepared from it.
pub fn pools_of_class(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<OrchestraPool>> {
    let name = class.name_any();
    of_class(core, |class| class == name)
}

/// Pools whose databases are prepared: their scripts may be in a ConfigMap of the operator's namespace.
pub fn pools_with_source(core: &Core, map: &PartialObjectMeta<ConfigMap>) -> Vec<ObjectRef<OrchestraPool>> {
    let ours = is_operators(core, map);
    of_class(core, |_| ours)
}

fn of_class(core: &Core, wanted: impl Fn(&str) -> bool) -> Vec<ObjectRef<OrchestraPool>> {
    select(&core.stores.pools, |pool| {
        let of_server = pool.spec.server.as_ref().and_then(|server| server.template.as_ref());
        if pool.spec.class_name.is_none() && of_server.is_some() {
            // Of the default class, which may be any.
            return true;
        }
        let preparation = pool.spec.prepare.as_ref().map(|prepare| &prepare.class_name);
        pool.spec
            .class_name
            .as_ref()
            .or(preparation)
            .is_some_and(|class| wanted(class))
    })
}

/// The backup that a Job works for.
pub fn backup_of_job(core: &Core, job: &PartialObjectMeta<Job>) -> Vec<ObjectRef<OrchestraBackup>> {
    let uid = job.labels().get(BACKUP_LABEL);
    select(&core.stores.backups, |backup| backup.metadata.uid.as_ref() == uid)
}

/// The Orchestra whose database a Job fills.
pub fn orchestra_of_job(core: &Core, job: &PartialObjectMeta<Job>) -> Vec<ObjectRef<Orchestra>> {
    let Some(uid) = job.labels().get(HOLDER_LABEL) else {
        return Vec::new();
    };
    select(&core.stores.orchestras, |orchestra| {
        orchestra.metadata.uid.as_ref() == Some(uid)
    })
}

/// Orchestras without a database that are restored from a backup.
pub fn restored_from(core: &Core, backup: &OrchestraBackup) -> Vec<ObjectRef<Orchestra>> {
    let (namespace, name) = (backup.namespace(), backup.name_any());
    select(&core.stores.orchestras, |orchestra| {
        let names = orchestra.spec.backup().is_some_and(|named| named.backup_name() == name);
        names && orchestra.namespace() == namespace && candidates::is_unmet(orchestra)
    })
}

/// The database that waits for its final backup.
pub fn database_of_final(core: &Core, backup: &OrchestraBackup) -> Vec<ObjectRef<OrchestraDatabase>> {
    select(&core.stores.databases, |database| database.names_final_backup(backup))
}

/// Backups that may have waited for a Job of their class that is gone.
pub fn queued_backups(core: &Core, job: &PartialObjectMeta<Job>) -> Vec<ObjectRef<OrchestraBackup>> {
    let class = job.labels().get(BACKUP_CLASS_LABEL);
    select(&core.stores.backups, |backup| {
        let of = backup.status.as_ref().and_then(|status| status.class_name.as_deref());
        backup.is_under_way() && of.map(label_of).as_ref() == class
    })
}

/// Backups of an Orchestra that have not started.
pub fn backups_of_orchestra(core: &Core, orchestra: &Orchestra) -> Vec<ObjectRef<OrchestraBackup>> {
    let (namespace, name) = (orchestra.namespace(), orchestra.name_any());
    select(&core.stores.backups, |backup| {
        let is_recorded = backup.status.as_ref().is_some_and(|status| status.path.is_some());
        !is_recorded && backup.namespace() == namespace && backup.spec.orchestra_ref.name == name
    })
}

/// Orchestras of a class, whose schedule of backups may apply to them.
pub fn orchestras_of_class(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<Orchestra>> {
    let name = class.name_any();
    select(&core.stores.orchestras, |orchestra| {
        orchestra.decided_class() == Some(&name)
    })
}

/// The class in whose store a backup was.
pub fn class_of_backup(backup: &OrchestraBackup) -> Option<ObjectRef<OrchestraClass>> {
    Some(ObjectRef::new(backup.status.as_ref()?.class_name.as_deref()?))
}

/// Backups for whose store a Secret has the credentials.
pub fn backups_with_store(core: &Core, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<OrchestraBackup>> {
    if secret.namespace().as_ref() != Some(&core.settings.namespace) {
        return Vec::new();
    }
    let name = secret.name_any();
    let classes = core.stores.classes.state_filter(|class| {
        let destination = class.spec.backup.as_ref().map(|backup| &backup.destination);
        let s3 = destination.and_then(|destination| destination.s3.as_ref());
        s3.is_some_and(|s3| s3.credentials_secret_ref.name == name)
    });
    if classes.is_empty() {
        return Vec::new();
    }
    select(&core.stores.backups, |backup| {
        let of = backup.status.as_ref().and_then(|status| status.class_name.as_ref());
        let is_stored = of.is_some_and(|of| classes.iter().any(|class| class.name_any() == *of));
        backup.is_under_way() && is_stored
    })
}

/// Backups that a change of a class may unblock.
pub fn backups_of_class(core: &Core, class: &OrchestraClass) -> Vec<ObjectRef<OrchestraBackup>> {
    let name = class.name_any();
    select(&core.stores.backups, |backup| {
        let of = backup.status.as_ref().and_then(|status| status.class_name.as_ref());
        backup.is_under_way() && of.is_none_or(|of| *of == name)
    })
}

fn select<K>(store: &Latest<K>, wanted: impl Fn(&K) -> bool) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let found = store.state_filter(wanted);
    found.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// Whether a ConfigMap is in the operator's namespace, where classes have their sources.
fn is_operators(core: &Core, map: &PartialObjectMeta<ConfigMap>) -> bool {
    map.namespace().as_ref() == Some(&core.settings.namespace)
}

fn uses(source: Option<&ScriptSource>, map: &str) -> bool {
    source.is_some_and(|source| source.config_maps().any(|used| used == map))
}

fn scripts(migrations: Option<&Migrations>) -> Option<&ScriptSource> {
    migrations?.source.as_ref()
}

/// Whether the migrations of a class or of its templates are in a ConfigMap.
fn has_migrations_in(class: &OrchestraClass, map: &str) -> bool {
    let mut templates = class.spec.templates.iter().flatten();
    uses(scripts(class.spec.migrations.as_ref()), map)
        || templates.any(|template| uses(template.migrations.source.as_ref(), map))
}

/// Whether a template of a class has its seed in a ConfigMap.
fn has_seed_in(class: &OrchestraClass, map: &str) -> bool {
    let mut templates = class.spec.templates.iter().flatten();
    templates.any(|template| uses(template.seed.as_ref().map(|seed| &seed.source), map))
}
