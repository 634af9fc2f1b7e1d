//! The orphans of a class: the operator counts them and publishes an event for each. It never deletes one.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use rust_decimal::Decimal;

use super::orphan;
use super::{budget, price};
use crate::api::condition::Reason;
use crate::api::slim::Slim;
use crate::api::{OrchestraClass, OrchestraDatabase};
use crate::class::Context;
use crate::controller::error::Error;
use crate::controller::status::{self, News};
use crate::money;
use crate::supabase::Account;
use crate::supabase::listed::ListedProject;
use crate::telemetry::orphans::OrphanFacts;

/// The orphans that were found, by class.
#[derive(Default)]
pub struct Orphans(Mutex<BTreeMap<String, ClassOrphans>>);

/// The orphans of one class: the name of each, and what it costs a month.
#[derive(Clone, Default)]
struct ClassOrphans {
    currency: &'static str,
    projects: BTreeMap<String, Option<Decimal>>,
    databases: BTreeMap<String, Option<Decimal>>,
    /// Listed projects without a reference or a name.
    odd: Odd,
}

/// Listed projects without a reference or a name.
#[derive(Clone, Default)]
struct Odd {
    count: usize,
    /// Listed projects without a reference or a name.
    unclear: usize,
}

/// An orphan without an event yet.
struct Unreported {
    kind: &'static str,
    name: String,
    note: String,
}

impl Orphans {
    fn known(&self, class: &str) -> ClassOrphans {
        self.lock().get(class).cloned().unwrap_or_default()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, BTreeMap<String, ClassOrphans>> {
        self.0.lock()
    }
}

/// The message of a class about projects that are listed in an undocumented form; none when there are no such projects.
pub(super) fn odd_projects(ctx: &Context, class: &OrchestraClass) -> Option<String> {
    let Odd { count, unclear } = ctx.orphans.known(&class.name_any()).odd;
    let unclear = match unclear {
        0 => String::new(),
        unclear => format!(", {unclear} of them without a reference or a name"),
    };
    (count > 0).then(|| {
        format!(
            "the provider lists {count} of the organization's projects in an undocumented form{unclear}. The operator \
             continues; only a claim whose project may be one of these waits"
        )
    })
}

/// Looks for orphans of a class, counts them, and publishes one event for each. Any listing of the last resync
/// interval is recent enough. Without a listing, the projects found before still count.
pub(super) async fn look(ctx: &Context, class: &OrchestraClass, account: &Account) {
    let (name, known) = (class.name_any(), ctx.orphans.known(&class.name_any()));
    let mut found = ClassOrphans {
        currency: budget::currency(class).as_str(),
        projects: known.projects.clone(),
        databases: BTreeMap::new(),
        odd: known.odd.clone(),
    };
    let mut newly = Vec::new();
    let users = orphan::Users::of(ctx.core.stores.orchestras.state());
    if speaks_for(ctx, class, account.organization()) {
        let now = Instant::now();
        let not_before = now.checked_sub(ctx.core.settings.resync).unwrap_or(now);
        match listed(ctx, account, not_before, &known).await {
            Ok((orphans, odd)) => {
                found.odd = odd;
                found.projects.clear();
                for project in &orphans {
                    let cost = price::of_size(ctx, class, project.instance_size()).map(|quote| quote.price.monthly);
                    found.projects.insert(project.reference.clone(), cost);
                    newly.push(of_project(project, account.organization(), cost, &users));
                }
            }
            Err(error) => tracing::debug!(%error, "the projects cannot be listed; orphans are looked for later"),
        }
    } else {
        found.projects.clear();
        found.odd = Odd::default();
    }
    for (database, why) in databases(ctx, &name) {
        let cost = database.status.as_ref().and_then(|status| status.cost.as_ref());
        let cost = cost.and_then(|cost| money::parse(&cost.monthly));
        found.databases.insert(database.name_any(), cost);
        newly.push(Unreported {
            kind: "OrchestraDatabase",
            name: database.name_any(),
            note: format!(
                "no Orchestra claims OrchestraDatabase {}, and it costs {} a month; {}",
                database.name_any(),
                amount(cost),
                orphan::next_step(&database, why, &users)
            ),
        });
    }
    newly.retain(|one| !known.projects.contains_key(&one.name) && !known.databases.contains_key(&one.name));
    publish(ctx, class, newly).await;
    set(ctx, name, found);
}

fn of_project(project: &ListedProject, organization: &str, cost: Option<Decimal>, users: &orphan::Users) -> Unreported {
    let (reference, name) = (&project.reference, &project.name);
    let user = match users.of_project(project) {
        Some(user) => format!("Orchestra {user} uses it: keep it, and "),
        None => String::new(),
    };
    Unreported {
        kind: "Project",
        name: reference.clone(),
        note: format!(
            "project {reference} of organization {organization} was created by this cluster, no OrchestraDatabase refers \
             to it, and it costs {} a month; {user}see: orchestra-operator orphans. Its name is {name}",
            amount(cost)
        ),
    }
}

fn amount(cost: Option<Decimal>) -> String {
    cost.map_or_else(|| "an unknown amount".into(), money::text)
}

/// Whether this class counts the projects of its organization. Of several classes with one organization, the first
/// by name whose token works does, so that no project counts twice.
fn speaks_for(ctx: &Context, class: &OrchestraClass, organization: &str) -> bool {
    let name = class.name_any();
    let earlier = ctx.core.stores.classes.find(|other| {
        let account = other.status.as_ref().and_then(|status| status.account.as_ref());
        other.name_any() < name
            && other.metadata.deletion_timestamp.is_none()
            && account.is_some_and(|account| account.organization == organization)
            && other.is_available()
    });
    earlier.is_none()
}

/// The orphans among the projects. The watch may lag behind: before an orphan is reported for the first time, the
/// databases are read from the API server, after the listing.
async fn listed(
    ctx: &Context,
    account: &Account,
    not_before: Instant,
    known: &ClassOrphans,
) -> Result<(Vec<ListedProject>, Odd), Error> {
    let listing = account.poll().projects_since(not_before).await?;
    let mut found = orphan::projects(&ctx.cluster, &listing.projects, ctx.core.stores.databases.state());
    if !found
        .iter()
        .all(|project| known.projects.contains_key(&project.reference))
    {
        let api: Api<Slim<OrchestraDatabase>> = Api::all(ctx.core.client.clone());
        let now = api.list(&ListParams::default()).await?;
        let now = now.items.into_iter().map(|Slim(database)| Arc::new(database));
        found = orphan::projects(&ctx.cluster, &listing.projects, now);
    }
    let odd = Odd {
        count: listing.odd,
        unclear: listing.unclear.len(),
    };
    Ok((found.into_iter().cloned().collect(), odd))
}

/// The databases of a class that no Orchestra claims.
fn databases(ctx: &Context, class: &str) -> Vec<(Arc<OrchestraDatabase>, orphan::Unclaimed)> {
    let orchestras: HashSet<String> = ctx
        .core
        .stores
        .orchestras
        .state()
        .iter()
        .filter_map(|it| it.uid())
        .collect();
    let of_class = ctx
        .core
        .stores
        .databases
        .state_filter(|database| database.spec.class_name.as_deref() == Some(class));
    let has_pool = |pool: &str| ctx.core.stores.pools.get(&ObjectRef::new(pool)).is_some();
    let why = |database: &OrchestraDatabase| orphan::unclaimed(database, |uid| orchestras.contains(uid), has_pool);
    of_class
        .into_iter()
        .filter_map(|database| why(&database).map(|why| (database, why)))
        .collect()
}

/// Publishes one event for each orphan. They differ in their `related` object, so they are not aggregated into one.
async fn publish(ctx: &Context, class: &OrchestraClass, newly: Vec<Unreported>) {
    for one in newly {
        tracing::warn!(
            class = class.name_any(),
            kind = one.kind,
            name = one.name,
            "an orphan was found"
        );
        let news = News::warning(Reason::Orphaned, one.note).about(one.kind, one.name);
        status::tell(&ctx.core, class, &news).await;
    }
}

/// Remembers the orphans of a class, and updates the metrics.
fn set(ctx: &Context, class: String, found: ClassOrphans) {
    let mut all = ctx.orphans.lock();
    all.insert(class, found);
    tell(ctx, &all);
}

/// Forgets the orphans of a class that is gone, or that no longer has a provider.
pub(super) fn forget(ctx: &Context, class: &OrchestraClass) {
    let mut all = ctx.orphans.lock();
    if all.remove(&class.name_any()).is_some() {
        tell(ctx, &all);
    }
}

fn tell(ctx: &Context, all: &BTreeMap<String, ClassOrphans>) {
    let facts = all.iter().flat_map(|(class, found)| {
        [("project", &found.projects), ("database", &found.databases)].map(|(kind, orphans)| {
            let sum: Decimal = orphans.values().flatten().sum();
            OrphanFacts {
                class: class.clone(),
                kind,
                count: orphans.len(),
                currency: found.currency.into(),
                monthly: sum.to_string().parse().unwrap_or(f64::NAN),
            }
        })
    });
    ctx.core.metrics.set_orphans(facts);
}
