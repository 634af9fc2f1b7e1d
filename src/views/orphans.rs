//! Orphans: projects of this cluster that no OrchestraDatabase holds, and hosted databases that no
//! Orchestra claims. Each costs money and serves no tenant.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde::Serialize;

use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class::{self, budget, orphan, price};
use crate::controller::error::Error;
use crate::supabase::listed::ListedProject;
use crate::supabase::poll::Listing;

/// One orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// `Project` or `OrchestraDatabase`.
    pub kind: &'static str,
    /// The provider's reference of the project.
    pub project: Option<String>,
    /// Name of the project or of the OrchestraDatabase.
    pub name: String,
    /// Class whose organization pays.
    pub class: Option<String>,
    /// Region of the project.
    pub region: Option<String>,
    /// The provider's status of a project; why nobody claims a database.
    pub status: String,
    /// When the project was created, or the database was released.
    pub since: Option<Timestamp>,
    /// Currency of the cost.
    pub currency: Option<String>,
    /// Monthly cost as a decimal string.
    pub monthly: Option<String>,
    /// What an administrator can do.
    pub next: String,
}

/// The projects of all organizations, each listed once.
#[derive(Default)]
pub struct Organizations {
    /// By organization: the first class that names it, and its projects.
    listed: BTreeMap<String, (Arc<OrchestraClass>, Arc<Listing>)>,
    /// One line for each class whose organization could not be listed.
    pub missed: Vec<String>,
}

/// Lists the projects of every organization that a class names.
pub async fn organizations(ctx: &class::Context) -> Organizations {
    let mut classes = ctx.core.stores.classes.state();
    classes.retain(|class| class.spec.provider.is_some());
    classes.sort_by_key(|class| class.name_any());
    let mut all = Organizations::default();
    for class in classes {
        if let Err(error) = list(ctx, &class, &mut all).await {
            all.missed.push(format!("class {}: {error}", class.name_any()));
        }
    }
    all
}

async fn list(ctx: &class::Context, class: &Arc<OrchestraClass>, all: &mut Organizations) -> Result<(), Error> {
    let account = class::account(ctx, class, None).await?;
    let organization = account.organization();
    if !all.listed.contains_key(organization) {
        let listing = account.poll().projects_since(Instant::now()).await?;
        all.listed.insert(organization.to_owned(), (class.clone(), listing));
    }
    Ok(())
}

/// The orphans among the listed projects and these databases.
///
/// The databases must be read after the projects were listed, and the Orchestras after the databases:
/// otherwise a project or a database that was created in between looks like an orphan.
pub fn orphans(
    ctx: &class::Context,
    organizations: &Organizations,
    databases: &[Arc<OrchestraDatabase>],
    orchestras: &[Arc<Orchestra>],
) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    let users = orphan::Users::of(orchestras);
    for (class, listing) in organizations.listed.values() {
        let found = orphan::projects(&ctx.cluster, &listing.projects, databases);
        orphans.extend(found.into_iter().map(|project| of_project(ctx, class, project, &users)));
    }
    let has_pool = |pool: &str| ctx.core.stores.pools.get(&ObjectRef::new(pool)).is_some();
    orphans.extend(self::databases(databases, orchestras, has_pool));
    orphans
}

/// The hosted databases among these that no Orchestra claims. The Orchestras must be read after the databases.
pub fn databases(
    databases: &[Arc<OrchestraDatabase>],
    orchestras: &[Arc<Orchestra>],
    has_pool: impl Fn(&str) -> bool,
) -> Vec<Orphan> {
    let users = orphan::Users::of(orchestras);
    let tenants: HashSet<String> = orchestras.iter().filter_map(|it| it.uid()).collect();
    let unclaimed = |database: &Arc<OrchestraDatabase>| {
        let why = orphan::unclaimed(database, |uid| tenants.contains(uid), &has_pool)?;
        Some(of_database(database, why, &users))
    };
    databases.iter().filter_map(unclaimed).collect()
}

fn of_project(ctx: &class::Context, class: &OrchestraClass, project: &ListedProject, users: &orphan::Users) -> Orphan {
    let quote = price::of_size(ctx, class, project.instance_size());
    let cost = quote.map(|quote| quote.price.cost(budget::currency(class)));
    let reference = &project.reference;
    Orphan {
        kind: "Project",
        project: Some(reference.clone()),
        name: project.name.clone(),
        class: Some(class.name_any()),
        region: project.region.clone(),
        status: project.status.to_string(),
        since: project.inserted_at,
        currency: cost.as_ref().map(|cost| cost.currency.clone()),
        monthly: cost.map(|cost| cost.monthly),
        next: orphan::next_step_of_project(project, users),
    }
}

fn of_database(database: &OrchestraDatabase, why: orphan::Unclaimed, users: &orphan::Users) -> Orphan {
    let status = database.status.as_ref();
    let project = status.and_then(|status| status.project.as_ref());
    let cost = status.and_then(|status| status.cost.as_ref());
    let since = match why {
        orphan::Unclaimed::Released => database.spec.released_at.as_ref(),
        // The time at which the Orchestra or the pool was removed is not recorded.
        orphan::Unclaimed::Deserted | orphan::Unclaimed::Poolless => None,
    };
    let wanted = database.spec.supabase.as_ref().map(|wanted| &wanted.region);
    Orphan {
        kind: "OrchestraDatabase",
        project: project.map(|project| project.reference.clone()),
        name: database.name_any(),
        class: database.spec.class_name.clone(),
        region: project.map(|project| &project.region).or(wanted).cloned(),
        status: <&str>::from(why).to_owned(),
        since: since.map(|at| at.0),
        currency: cost.map(|cost| cost.currency.clone()),
        monthly: cost.map(|cost| cost.monthly.clone()),
        next: orphan::next_step(database, why, users),
    }
}
