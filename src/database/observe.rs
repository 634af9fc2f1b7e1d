//! Looks things up for [`super::plan`]. It reads only, and stops at the first thing that decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::plan::{Claim, Connection, Hosted, Issued, Kind, Project, Seen};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{DATABASE_FINALIZER, DeletionPolicy, SupabaseProject};
use crate::class;
use crate::controller::conditions::is_true;
use crate::controller::error::Error;
use crate::credentials::owner::{CONNECTED_LABEL, PASSWORD_LABEL};
use crate::supabase::Account;
use crate::supabase::poll::Listing;
use crate::supabase::types::{ListedProject, StatusClass};

/// A listing this old still answers for a project that nothing was sent for yet.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// What was looked up.
pub struct Observed {
    pub seen: Seen,
    /// The account, for a hosted database whose finalizer is on.
    pub account: Option<Arc<Account>>,
    /// The project under our marker.
    pub project: Option<ListedProject>,
}

pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
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
    let class = class::resolve(&pass.ctx, object.spec.class_name.as_deref())?;
    let asked = object.status.as_ref().and_then(|status| status.organization.as_deref());
    let account = class::account(&pass.ctx, &class, asked).await?;
    let listing = listing(pass, &account).await?;
    let found = listing.by_name(&wanted.name);
    let project = project(pass, &account, wanted, &found, &listing).await?;
    observed.project = found.first().map(|project| (*project).clone());
    observed.account = Some(account);
    let secret = ObjectRef::new(pass.name()).within(&pass.ctx.settings.namespace);
    let secret = pass.ctx.stores.secrets.get(&secret);
    let connected = pass.connected
        || secret
            .as_ref()
            .is_some_and(|secret| secret.labels().contains_key(CONNECTED_LABEL));
    seen.kind = Kind::Hosted(Hosted {
        password: pass.stored || secret.is_some_and(|secret| secret.labels().contains_key(PASSWORD_LABEL)),
        project,
        issued: issued(pass, &listing),
        connection: connection(pass, connected),
    });
    observed.seen = seen;
    Ok(observed)
}

/// A listing that is new enough for the question: of a project that something was sent for, one as
/// new as the pace of polling; before that, one that any other database asked for will do.
async fn listing(pass: &Pass, account: &Account) -> Result<Arc<Listing>, Error> {
    let status = pass.object.status.as_ref();
    let sent = status.is_some_and(|status| status.create_issued_at.is_some() && status.usable_since.is_none());
    let age = if sent || pass.object.metadata.deletion_timestamp.is_some() {
        pass.ctx.settings.poll_interval
    } else {
        FIRST_LOOK
    };
    let now = Instant::now();
    Ok(account
        .poll()
        .projects_since(now.checked_sub(age).unwrap_or(now))
        .await?)
}

/// What the listing means. A project that was recorded and is not listed is gone only when the
/// provider says so of it by name.
async fn project(
    pass: &Pass,
    account: &Account,
    wanted: &SupabaseProject,
    found: &[&ListedProject],
    listing: &Listing,
) -> Result<Project, Error> {
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    let recorded = pass.object.status.as_ref().and_then(|status| status.project.as_ref());
    let listed = match (found, recorded) {
        ([], None) => return Ok(Project::Absent),
        // A listing may lag behind the creation.
        ([], Some(_)) if !deleting && issued(pass, listing) == Issued::Settling => return Ok(Project::Waiting),
        ([], Some(recorded)) => {
            return match account.client().get_project(&recorded.reference).await {
                Err(error) if error.is_gone() => Ok(Project::Lost),
                Err(error) => Err(error.into()),
                // Listed under another name now, or not listed yet.
                Ok(project) => Ok(state(project.status.class())),
            };
        }
        ([one], _) => one,
        (many, _) => {
            let references: Vec<_> = many.iter().map(|project| project.reference.as_str()).collect();
            tracing::error!(name = wanted.name, ?references, "several projects carry one marker");
            return Ok(Project::Many);
        }
    };
    if recorded.is_none_or(|recorded| recorded.reference != listed.reference) {
        return Ok(Project::Unrecorded);
    }
    Ok(state(listed.status.class()))
}

fn state(class: StatusClass) -> Project {
    match class {
        StatusClass::Waiting | StatusClass::Degraded => Project::Waiting,
        StatusClass::Usable => Project::Active,
        StatusClass::Paused => Project::Stopped(Reason::ProjectPaused),
        StatusClass::Failed => Project::Stopped(Reason::ProviderFailed),
        StatusClass::Deleting | StatusClass::Gone => Project::Leaving,
    }
}

/// The settling time has passed only when a listing that was begun after it shows nothing.
fn issued(pass: &Pass, listing: &Listing) -> Issued {
    if pass.announced {
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
    if listing.at > settled_at(at.0, pass.ctx.settings.create_settle) {
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

fn connection(pass: &Pass, connected: bool) -> Connection {
    let conditions = pass
        .object
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    match connected {
        false => Connection::Unread,
        true if pass.proven || is_true(conditions, ConditionType::Ready) => Connection::Proven,
        true if pass.ctx.logins.wrong_password(pass.name()) => Connection::WrongPassword,
        true => Connection::Unproven,
    }
}
