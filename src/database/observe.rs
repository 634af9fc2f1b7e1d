//! Looks things up for [`super::plan`]. It reads only, and stops at the first thing that decides.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::deadline::{self, is_to_be_replaced};
use super::plan::{Claim, Connection, Hosted, Issued, Kind, Project, Seen};
use crate::api::condition::Reason;
use crate::api::names::{CONNECTED_LABEL, PASSWORD_LABEL};
use crate::api::{DATABASE_FINALIZER, DeletionPolicy, Orchestra, OrchestraDatabaseStatus, SupabaseProject};
use crate::class;
use crate::controller::error::Error;
use crate::supabase::poll::Listing;
use crate::supabase::types::{ListedProject, StatusClass};
use crate::supabase::{self, Account};

/// A listing that is as many paces of polling old still answers for a project that nothing was sent
/// for yet: a minute by default. Only a resource whose status was lost can have one, and that is
/// then older.
const FIRST_LOOK: u32 = 12;

/// A project that has been on its way for longer is not looked for from the youngest on.
const YOUNG: Duration = Duration::from_mins(10);

/// Least time between two requests to restore a project. One that could not be restored was seen to
/// fall back to INACTIVE after some 15 minutes (github.com/orgs/supabase/discussions/51807).
const RESTORE_SPACING: Duration = Duration::from_mins(20);

/// What was looked up.
pub struct Observed {
    pub seen: Seen,
    /// The account, for a hosted database whose finalizer is on.
    pub account: Option<Arc<Account>>,
    /// The project under our marker.
    pub project: Option<ListedProject>,
}

pub async fn observe(pass: &mut Pass) -> Result<Observed, Error> {
    pass.abandoned = is_abandoned(pass).await?;
    let object = &pass.object;
    let finalizer = object.finalizers().iter().any(|name| name == DATABASE_FINALIZER);
    let claim = pass.claim();
    let deleting = object.metadata.deletion_timestamp.is_some();
    let destroy = object.spec.reclaim_policy == DeletionPolicy::Delete;
    let mut seen = Seen {
        deleting,
        finalizer,
        claim,
        destroy,
        kind: Kind::Static,
    };
    let mut observed = Observed {
        seen,
        account: None,
        project: None,
    };
    let Some(wanted) = &object.spec.supabase else {
        return Ok(observed);
    };
    if !finalizer || (deleting && claim == Claim::Held) {
        // Nothing of the project matters to the next step.
        let (project, issued, connection) = (Project::Absent, Issued::Settling, Connection::Unread);
        observed.seen.kind = Kind::Hosted(Hosted {
            password: false,
            project,
            issued,
            connection,
        });
        return Ok(observed);
    }
    let class = class::resolve(&pass.ctx.class, object.spec.class_name.as_deref())?;
    let asked = object.status.as_ref().and_then(|status| status.organization.as_deref());
    let account = class::account(&pass.ctx.class, &class, asked).await?;
    let listing = listing(pass, &account).await?;
    let secret = ObjectRef::new(pass.name()).within(&pass.ctx.core.settings.namespace);
    let secret = pass.ctx.core.stores.secrets.get(&secret);
    let connected = pass.connected
        || secret
            .as_ref()
            .is_some_and(|secret| secret.labels().contains_key(CONNECTED_LABEL));
    let found = found(pass, wanted, &listing);
    let project = project(pass, &account, &found, &listing, connected).await?;
    observed.project = found.first().map(|project| (*project).clone());
    observed.account = Some(account);
    seen.kind = Kind::Hosted(Hosted {
        password: pass.stored || secret.is_some_and(|secret| secret.labels().contains_key(PASSWORD_LABEL)),
        project,
        issued: issued(pass, &listing),
        connection: connection(pass, connected, observed.project.as_ref()),
    });
    observed.seen = seen;
    let said = observed.project.as_ref().map(|project| project.status.to_string());
    if said.is_some() {
        pass.said = said;
    }
    Ok(observed)
}

/// Whether the Orchestra that holds the claim is gone without having let it go, as after a finalizer
/// was taken off by hand. Asked of the API server before it is believed.
async fn is_abandoned(pass: &Pass) -> Result<bool, Error> {
    let (Some(claim), None) = (&pass.object.spec.claim_ref, &pass.object.spec.released_at) else {
        return Ok(false);
    };
    let holder = ObjectRef::<Orchestra>::new(&claim.name).within(&claim.namespace);
    let watched = pass.ctx.core.stores.orchestras.get(&holder);
    if watched.is_some_and(|orchestra| orchestra.metadata.uid.as_ref() == Some(&claim.uid)) {
        return Ok(false);
    }
    let api: Api<Orchestra> = Api::namespaced(pass.ctx.core.client.clone(), &claim.namespace);
    let holder = api.get_opt(&claim.name).await?;
    Ok(holder.is_none_or(|orchestra| orchestra.metadata.uid.as_ref() != Some(&claim.uid)))
}

/// The projects under our marker, but for those that are replaced.
fn found<'a>(pass: &Pass, wanted: &SupabaseProject, listing: &'a Listing) -> Vec<&'a ListedProject> {
    let replaced = pass.object.status.as_ref().map(|status| status.replaced.as_slice());
    let mut found = listing.by_name(&wanted.name);
    found.retain(|project| replaced.is_none_or(|replaced| !replaced.contains(&project.reference)));
    found
}

/// A listing that is new enough for the question: of a project that something was sent for, one as
/// new as the pace of polling; before that, one that any other database asked for will do; and of one
/// that is settled, one that any other has asked for within a resync: one listing a resync is for all.
async fn listing(pass: &Pass, account: &Account) -> Result<Arc<Listing>, Error> {
    let status = pass.object.status.as_ref();
    let settings = &pass.ctx.core.settings;
    let awaited = status.is_some_and(|status| status.project.is_some() && status.usable_since.is_none());
    if awaited && pass.object.metadata.deletion_timestamp.is_none() && deadline::passed(pass).is_none() {
        // Before it is worth a look, an older listing tells as much.
        let age = settings.poll_interval.max(too_early(pass, account));
        return Ok(account.poll().youngest(age, || all_awaited(pass, account)).await?);
    }
    // What was announced in this very pass goes by the listing that it was announced by, or a later one.
    let sent = pass.announced.is_none() && status.is_some_and(|status| status.create_issued_at.is_some());
    let ready = pass.object.is_ready();
    let age = match (pass.object.metadata.deletion_timestamp.is_some(), ready, sent) {
        (true, ..) | (false, false, true) => settings.poll_interval,
        (false, true, _) => settings.resync,
        (false, false, false) => settings.poll_interval * FIRST_LOOK,
    };
    let now = Instant::now();
    Ok(account
        .poll()
        .projects_since(now.checked_sub(age).unwrap_or(now))
        .await?)
}

/// How long it takes until the project is worth a look, by what others took.
pub fn too_early(pass: &Pass, account: &Account) -> Duration {
    let age = deadline::age(pass).unwrap_or(Duration::MAX);
    account.poll().worth_a_look_after().saturating_sub(age)
}

/// The projects of the account's organization that are on their way, and not for too long.
fn all_awaited(pass: &Pass, account: &Account) -> HashSet<String> {
    let young = |status: &OrchestraDatabaseStatus| {
        let issued = status.create_issued_at.as_ref();
        status.usable_since.is_none()
            && status.organization.as_deref() == Some(account.organization())
            && issued.is_some_and(|at| Timestamp::now() < settled_at(at.0, YOUNG))
    };
    let databases = pass.ctx.core.stores.databases.state();
    databases
        .iter()
        .filter_map(|database| {
            database
                .status
                .as_ref()
                .filter(|status| young(status))?
                .project
                .as_ref()
        })
        .map(|project| project.reference.clone())
        .collect()
}

/// What the listing means. A project that was recorded and is not listed is gone only when the
/// provider says so of it by name.
async fn project(
    pass: &Pass,
    account: &Account,
    found: &[&ListedProject],
    listing: &Listing,
    connected: bool,
) -> Result<Project, Error> {
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    let status = pass.object.status.as_ref();
    let recorded = status.and_then(|status| status.project.as_ref());
    if let Some((status, recorded)) = status.zip(recorded)
        && status.replaced.contains(&recorded.reference)
    {
        return discarded(account, &recorded.reference, listing).await;
    }
    let listed = match (found, recorded) {
        ([], None) => return Ok(Project::Absent),
        ([], Some(_)) if !listing.complete => return Ok(Project::Waiting),
        // A listing may lag behind the creation.
        ([], Some(_)) if !deleting && issued(pass, listing) == Issued::Settling => return Ok(Project::Waiting),
        ([], Some(recorded)) => {
            return match account.client().get_project(&recorded.reference).await {
                Err(error) if error.is_gone() => Ok(Project::Lost),
                Err(error) => Err(error.into()),
                // Listed under another name now, or not listed yet.
                Ok(project) => Ok(state(pass, &project.status)),
            };
        }
        ([one], _) => one,
        (many, _) => {
            let references: Vec<_> = many.iter().map(|project| project.reference.as_str()).collect();
            tracing::error!(?references, "several projects carry one marker");
            return Ok(Project::Many);
        }
    };
    if recorded.is_none_or(|recorded| recorded.reference != listed.reference) {
        return Ok(Project::Unrecorded);
    }
    if is_to_be_replaced(pass, &listed.status, connected) {
        return Ok(Project::Stuck);
    }
    Ok(state(pass, &listed.status))
}

/// What has become of a project that is being replaced. That it is gone is asked by name: only then
/// another one may be bought.
async fn discarded(account: &Account, reference: &str, listing: &Listing) -> Result<Project, Error> {
    let class = match listing.by_ref(reference).map(|listed| listed.status.class()) {
        Some(class) if class != StatusClass::Gone => class,
        _ => match account.client().get_project(reference).await {
            Err(error) if error.is_gone() => return Ok(Project::Replaced),
            project => project?.status.class(),
        },
    };
    Ok(match class {
        StatusClass::Gone => Project::Replaced,
        StatusClass::Deleting => Project::Discarding,
        _ => Project::Discarded,
    })
}

fn state(pass: &Pass, said: &supabase::types::ProjectStatus) -> Project {
    let status = pass.object.status.as_ref();
    let used = status.is_some_and(|status| status.usable_since.is_some());
    match said.class() {
        // Of one in use a login tells more.
        _ if used && said.is_vague() => Project::Active,
        StatusClass::Waiting | StatusClass::Degraded => Project::Waiting,
        StatusClass::Usable => Project::Active,
        StatusClass::Paused if is_to_be_restored(pass) => {
            let asked = status.and_then(|status| status.restore_issued_at.as_ref());
            Project::Paused {
                asked: asked.is_some_and(|at| Timestamp::now() < settled_at(at.0, RESTORE_SPACING)),
            }
        }
        StatusClass::Paused => Project::Stopped(Reason::ProjectPaused),
        StatusClass::Failed => Project::Stopped(Reason::ProviderFailed),
        StatusClass::Deleting | StatusClass::Gone => Project::Leaving,
    }
}

fn is_to_be_restored(pass: &Pass) -> bool {
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref());
    pass.claim() == Claim::Held && class.is_ok_and(|class| class.spec.auto_restore)
}

/// The settling time has passed only when a listing that was begun after it shows nothing.
fn issued(pass: &Pass, listing: &Listing) -> Issued {
    if pass.announced.is_some() {
        return Issued::Now;
    }
    let Some(at) = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.create_issued_at.as_ref())
    else {
        return Issued::Never;
    };
    if listing.at > settled_at(at.0, pass.ctx.core.settings.create_settle) {
        Issued::Settled
    } else {
        Issued::Settling
    }
}

/// When the outcome of a request that was issued then counts as known.
pub fn settled_at(issued: Timestamp, settle: Duration) -> Timestamp {
    SignedDuration::try_from(settle)
        .ok()
        .and_then(|settle| issued.checked_add(settle).ok())
        .unwrap_or(Timestamp::MAX)
}

fn connection(pass: &Pass, connected: bool, project: Option<&ListedProject>) -> Connection {
    let vague = project.is_some_and(|project| project.status.is_vague());
    match connected {
        false => Connection::Unread,
        true if pass.proven || (!vague && pass.object.is_ready()) => Connection::Proven,
        true if pass.ctx.logins.wrong_password(pass.name()) => Connection::WrongPassword,
        true => Connection::Unproven,
    }
}
