//! What manifests would change, compared with the objects in the cluster: what is created, migrated and destroyed, and what
//! that costs. It only computes: nothing is written, and no database is read.

mod pending;

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::api::{
    DEFAULT_CLASS_ANNOTATION, DeletionPolicy, ENVIRONMENT_ANNOTATION, Orchestra, OrchestraClass, OrchestraDatabase,
    PowerState,
};
use crate::class::{Way, ways};
use crate::money;
use crate::pool::candidates;
pub use pending::{ListedMigrations, PreviewSource, scripts_of};

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PreviewAction {
    /// It is created.
    Create,
    /// It is changed.
    Change,
    /// It stays as it is.
    None,
    /// It is deleted.
    Delete,
    /// The API server refuses it.
    Refused,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewChange {
    /// `orchestra.stagesub.io/<namespace>/<name>`.
    pub object: String,
    /// What happens to it.
    pub action: PreviewAction,
    /// Where its database comes from.
    pub database: Option<String>,
    /// Migrations that are applied, in their order.
    pub migrations: Vec<String>,
    /// What is destroyed or ended.
    pub destroys: Vec<String>,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// What it adds to the monthly cost, as a decimal string; none where nothing is known.
    pub monthly: Option<String>,
    /// The currency of the cost.
    pub currency: Option<String>,
}

impl PreviewChange {
    /// An object to which nothing happens.
    pub fn none(object: &Orchestra) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            object: format!("orchestra.stagesub.io/{namespace}/{}", object.name_any()),
            action: PreviewAction::None,
            database: None,
            migrations: Vec::new(),
            destroys: Vec::new(),
            notes: Vec::new(),
            monthly: None,
            currency: None,
        }
    }
}

/// The objects in the cluster that may be read.
#[derive(Default)]
pub struct ClusterObjects {
    /// The classes; none where they may not be read.
    pub classes: Option<Vec<OrchestraClass>>,
    /// The databases; none where they may not be read.
    pub databases: Option<Vec<OrchestraDatabase>>,
    /// ConfigMaps by namespace and name, with those of the manifests replacing those of the cluster; or why one cannot
    /// be read, as the end of a sentence.
    pub config_maps: BTreeMap<(String, String), Result<ConfigMap, String>>,
    /// The migrations in artifacts of registries, or why they cannot be listed.
    pub artifacts: HashMap<PreviewSource, Result<ListedMigrations, String>>,
    /// Namespace of the operator.
    pub operator: String,
    /// Databases of pools that an earlier object of the manifests takes.
    pub taken: HashSet<String>,
    /// What the earlier objects of the manifests add to the cost of each class.
    pub spent: BTreeMap<String, Decimal>,
}

impl ClusterObjects {
    /// The class that meets a claim, as the operator chooses it.
    pub fn class(&self, object: &Orchestra) -> Option<&OrchestraClass> {
        let classes = self.classes.as_ref()?;
        let decided = object.decided_class().or(object.spec.class_name.as_deref());
        if let Some(name) = decided {
            return classes.iter().find(|class| class.name_any() == name);
        }
        let is =
            |class: &OrchestraClass, annotation| class.annotations().get(annotation).is_some_and(|is| is == "true");
        let defaults = classes.iter().filter(|class| is(class, DEFAULT_CLASS_ANNOTATION));
        defaults.max_by_key(|class| {
            (
                !is(class, ENVIRONMENT_ANNOTATION),
                class.creation_timestamp(),
                class.name_any(),
            )
        })
    }

    /// The database that an Orchestra has, or has claimed while its status does not say so yet.
    fn database(&self, object: &Orchestra) -> Option<&OrchestraDatabase> {
        let name = object.database_or_claiming()?;
        let mut databases = self.databases.iter().flatten();
        let found = databases.find(|database| database.name_any() == name);
        found.filter(|database| object.has_told_of_database() || database.is_held_by(object))
    }
}

/// What a manifest would change; `wanted` is as the API server would store it.
pub fn applied(cluster: &mut ClusterObjects, wanted: &Orchestra, current: Option<&Orchestra>) -> PreviewChange {
    let mut change = PreviewChange::none(wanted);
    match current {
        None => {
            change.action = PreviewAction::Create;
            claim(cluster, wanted, &mut change);
        }
        Some(current) => {
            if current.spec != wanted.spec || current.metadata.annotations != wanted.metadata.annotations {
                change.action = PreviewAction::Change;
            }
            ended(current, wanted, &mut change);
        }
    }
    pending::pending(cluster, wanted, current, &mut change);
    change
}

/// How the claim of a new Orchestra is met.
fn claim(cluster: &mut ClusterObjects, wanted: &Orchestra, change: &mut PreviewChange) {
    if let Some(existing) = wanted.spec.existing() {
        let name = existing.database_name.as_ref().or(existing.project_ref.as_ref());
        change.database = name.map(|name| format!("takes back {name}, with its data"));
        return;
    }
    if let Some(backup) = wanted.spec.backup() {
        change.notes.push(format!(
            "OrchestraBackup {}, once it is complete, is restored into it before its migrations",
            backup.backup_name()
        ));
    }
    if cluster.classes.is_none() {
        change
            .notes
            .push("how the claim is met is not known: you may not read OrchestraClasses".into());
        return;
    }
    let Some(class) = cluster.class(wanted).cloned() else {
        let told = match &wanted.spec.class_name {
            Some(name) => format!("it waits: OrchestraClass {name} does not exist"),
            None => "it waits: no class is named, and none is the default one".into(),
        };
        change.notes.push(told);
        return;
    };
    for way in ways(&class) {
        let met = match way {
            Way::Pools => take(cluster, wanted, &class, change),
            Way::Provider => create(cluster, wanted, &class, change),
        };
        if met {
            return;
        }
    }
    change.notes.push(format!(
        "it waits: no pool of class {} has a free database for it",
        class.name_any()
    ));
}

/// Takes a database of a pool, if one is free.
fn take(cluster: &mut ClusterObjects, wanted: &Orchestra, class: &OrchestraClass, change: &mut PreviewChange) -> bool {
    let Some(databases) = &cluster.databases else {
        change
            .notes
            .push("whether a pool has a free database is not known: you may not read OrchestraDatabases".into());
        return false;
    };
    let free = databases.iter().find(|database| {
        let fits = database.is_ready() && candidates::fits(wanted, class, database);
        fits && !cluster.taken.contains(&database.name_any())
    });
    let Some(free) = free else { return false };
    let pool = free.pool().unwrap_or_default().to_owned();
    change.database = Some(format!("takes {} of pool {pool}", free.name_any()));
    cluster.taken.insert(free.name_any());
    if free.is_spare() {
        change
            .notes
            .push(format!("pool {pool} creates another database instead"));
        spend(cluster, class, change);
    }
    true
}

/// Requests a project from the provider.
fn create(
    cluster: &mut ClusterObjects,
    wanted: &Orchestra,
    class: &OrchestraClass,
    change: &mut PreviewChange,
) -> bool {
    let placement = wanted.spec.placement.as_ref();
    let region = placement.and_then(|placement| placement.region.as_ref());
    let place = region.map_or_else(|| "a region of the class's choice".to_owned(), Clone::clone);
    change.database = Some(format!("creates a project in {place}"));
    spend(cluster, class, change);
    true
}

/// Counts one more project of a class.
fn spend(cluster: &mut ClusterObjects, class: &OrchestraClass, change: &mut PreviewChange) {
    let name = class.name_any();
    let cost = class.status.as_ref().and_then(|status| status.cost.as_ref());
    let Some((cost, price)) = cost.and_then(|cost| Some((cost, money::parse(&cost.price_per_project)?))) else {
        change
            .notes
            .push(format!("the price of a project of class {name} is not known"));
        return;
    };
    let spent = cluster.spent.entry(name.clone()).or_default();
    *spent += price;
    (change.monthly, change.currency) = (Some(money::text(price)), Some(cost.currency.clone()));
    let limit = class
        .spec
        .budget
        .as_ref()
        .and_then(|budget| money::parse(budget.monthly_limit.as_ref()?));
    let projected = money::parse(&cost.projected).unwrap_or_default();
    if let Some(limit) = limit.filter(|limit| projected + *spent > *limit) {
        change.notes.push(format!(
            "the budget of class {name} has no room for it ({} {} a month): it waits",
            money::text(limit),
            cost.currency
        ));
    }
}

/// What a change of the spec destroys or ends.
fn ended(current: &Orchestra, wanted: &Orchestra, change: &mut PreviewChange) {
    let (was, is) = (&current.spec, &wanted.spec);
    if is.power_state == Some(PowerState::Paused) && was.power_state != is.power_state {
        change
            .destroys
            .push("the sessions of the database: it is paused".into());
    }
    if was.connection.secret_name != is.connection.secret_name && current.is_published() {
        let told = format!(
            "Secret {} (replaced by {}, deleted after the overlap)",
            current.secret_name(),
            wanted.secret_name()
        );
        change.destroys.push(told);
    }
    if is.ttl != was.ttl
        && let Some(ttl) = is.ttl
    {
        change
            .destroys
            .push(format!("the Orchestra and its database, when its ttl of {ttl} is over"));
    }
    if is.deletion_policy != was.deletion_policy {
        let policy = is.deletion_policy.unwrap_or_default();
        change
            .notes
            .push(format!("its deletionPolicy is {policy:?} from now on"));
    }
}

/// What the deletion of an Orchestra destroys.
pub fn deleted(cluster: &ClusterObjects, current: &Orchestra) -> PreviewChange {
    let mut change = PreviewChange::none(current);
    change.action = PreviewAction::Delete;
    change
        .destroys
        .push(format!("Secret {} and the tenant's login", current.secret_name()));
    let class = cluster.class(current);
    let database = cluster.database(current);
    let told = current.database_or_claiming();
    let Some(name) = told.filter(|_| current.has_told_of_database() || database.is_some()) else {
        if let Some(name) = told.filter(|_| cluster.databases.is_none()) {
            change.notes.push(format!(
                "whether it has claimed {name}, and what happens to it, is not known: you may not read OrchestraDatabases"
            ));
        }
        return change;
    };
    let policy = current
        .spec
        .deletion_policy
        .or_else(|| Some(class?.spec.deletion.policy));
    let of_database = || database?.status.as_ref()?.cost.as_ref();
    let cost = current.status.as_ref().and_then(|status| status.cost.as_ref());
    let cost = cost.or_else(of_database);
    let grace = class.and_then(|class| class.spec.deletion.grace_period);
    match policy {
        None => change.notes.push(format!(
            "what happens to {name} is not known: you may not read its OrchestraClass"
        )),
        Some(DeletionPolicy::Retain) => {
            let costs = cost.map(|cost| format!(", and still costs {} {} a month", cost.monthly, cost.currency));
            change
                .notes
                .push(format!("{name} is kept with its data{}", costs.unwrap_or_default()));
        }
        // Databases of pools are not destroyed with their Orchestra.
        Some(DeletionPolicy::Delete) if database.is_some_and(|database| database.spec.inventory.is_some()) => {
            change.notes.push(format!(
                "{name} is an entry of a pool: it is kept, or reset where the pool says so"
            ));
        }
        Some(DeletionPolicy::Delete) if database.is_some_and(|database| !database.is_destroyable()) => {
            change.notes.push(format!("{name} was adopted, and is kept"));
        }
        Some(DeletionPolicy::Delete) => {
            let when = grace.map_or_else(|| "at once".to_owned(), |grace| format!("after {grace}"));
            change
                .destroys
                .push(format!("the database {name} with its data, {when}"));
            if let Some(amount) = cost.and_then(|cost| Some((money::parse(&cost.monthly)?, cost.currency.clone()))) {
                (change.monthly, change.currency) = (Some(money::text(-amount.0)), Some(amount.1));
            }
        }
    }
    change
}

/// The sums of what manifests add, by currency.
pub fn totals(changes: &[PreviewChange]) -> BTreeMap<String, Decimal> {
    let mut totals = BTreeMap::new();
    for change in changes {
        if let (Some(monthly), Some(currency)) = (&change.monthly, &change.currency) {
            *totals.entry(currency.clone()).or_default() += monthly.parse::<Decimal>().unwrap_or_default();
        }
    }
    totals
}

#[cfg(test)]
mod tests;
