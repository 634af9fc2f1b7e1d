//! Looks up the facts for [`super::plan`]. It only reads, and stops at the first fact that decides the step.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::deadline::{self, is_to_be_replaced};
use super::plan::{
    Backing, ClaimState, ConnectionState, DatabaseStop, Facts, FinalBackupState, Grace, Hosted, Issued, ProjectLook,
    ProjectOrigin,
};
use super::unclear::{self, Unclear};
use super::{Pass, adopted, create, entry, final_backup, grace, holder, identity, login, power};
use crate::api::names::{CONNECTED_LABEL, PASSWORD_LABEL};
use crate::api::{DATABASE_FINALIZER, OrchestraDatabaseStatus, SupabaseProject, is_abandoned};
use crate::class;
use crate::controller::error::Error;
use crate::credentials::entries::Trouble;
use crate::supabase::listed::ListedProject;
use crate::supabase::poll::Listing;
use crate::supabase::types::StatusClass;
use crate::supabase::{self, Account};

/// How many poll intervals old a listing may be before the first create request: a minute by default. Only a resource
/// whose status was lost can already have a project then, and that project is older.
const FIRST_LOOK: u32 = 12;

/// A project that was requested longer ago is not searched for in a listing that starts at the youngest.
const YOUNG: Duration = Duration::from_mins(10);

/// Least time between two requests to restore a project. A restore that fails was seen to return to INACTIVE after
/// some 15 minutes (github.com/orgs/supabase/discussions/51807).
const RESTORE_SPACING: Duration = Duration::from_mins(20);

/// What was looked up.
pub struct Observed {
    pub facts: Facts,
    /// The time of the look.
    pub now: Timestamp,
    /// What is wrong with its entry, for an entry of a static pool.
    pub trouble: Option<Trouble>,
    /// What the provider last said about the project, for the message of a deadline that passed.
    pub said: Option<String>,
    /// Entries of the listing that may be the project, by their identities; none when it is listed without a reference.
    pub unclear: Vec<String>,
    /// The account, for a hosted database whose finalizer is on.
    pub account: Option<Arc<Account>>,
    /// The project with our marker.
    pub project: Option<ListedProject>,
    /// How long a released database still waits for its destruction.
    pub wait: Option<Duration>,
    /// What is wrong with its final backup.
    pub final_backup: Option<String>,
    /// The identities of the listed projects that have no name.
    pub unnamed: Vec<String>,
}

/// The placeholder for a project that is not looked up, because the next step does not depend on it.
const UNSEEN: Hosted = Hosted {
    origin: ProjectOrigin::Made,
    password: false,
    project: ProjectLook::Absent,
    issued: Issued::Settling,
    connection: ConnectionState::Unread,
};

pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
    let object = &pass.object;
    holder::are_known(pass)?;
    let (now, claim) = (Timestamp::now(), holder::claim(pass).await?);
    let deleting = object.metadata.deletion_timestamp.is_some();
    let mut observed = Observed {
        facts: Facts {
            deleting,
            abandon: is_abandoned(object),
            finalizer: object.finalizers().iter().any(|name| name == DATABASE_FINALIZER),
            claim,
            destroy: object.is_to_be_destroyed(),
            grace: Grace::None,
            refused: false,
            final_backup: FinalBackupState::NotWanted,
            backing: Backing::Static(entry::UNSEEN),
        },
        now,
        trouble: None,
        said: None,
        unclear: Vec::new(),
        account: None,
        project: None,
        wait: None,
        final_backup: None,
        unnamed: Vec::new(),
    };
    let Some(wanted) = &object.spec.supabase else {
        let seen;
        (seen, observed.trouble) = entry::observe(pass, claim).await?;
        if let Some(class) = entry::class_of_reset(pass, seen.reset)? {
            if !deleting {
                (observed.facts.grace, observed.wait) = grace::look(pass, &class).await?;
            }
            (observed.facts.final_backup, observed.final_backup) = final_backup::look(pass, &class).await?;
        }
        observed.facts.backing = Backing::Static(seen);
        return Ok(observed);
    };
    let facts = &observed.facts;
    let held = deleting && claim == ClaimState::Held && !power::concerns(pass);
    let hosted = if !facts.finalizer || facts.abandon || held {
        UNSEEN
    } else {
        look_up(pass, wanted, &mut observed).await?
    };
    observed.facts.backing = Backing::Hosted(hosted);
    Ok(observed)
}

/// What the provider and the owner's Secret know about a hosted database.
async fn look_up(pass: &Pass, wanted: &SupabaseProject, observed: &mut Observed) -> Result<Hosted, Error> {
    let (object, now, claim) = (&pass.object, observed.now, observed.facts.claim);
    let class = class::resolve(&pass.ctx.class, object.spec.class_name.as_deref())?;
    (observed.facts.grace, observed.wait) = grace::look(pass, &class).await?;
    (observed.facts.final_backup, observed.final_backup) = final_backup::look(pass, &class).await?;
    let asked = object.status.as_ref().and_then(|status| status.organization.as_deref());
    let account = class::account(&pass.ctx.class, &class, asked).await?;
    let listing = listing(pass, &account, now).await?;
    let connected = pass.has_stored(CONNECTED_LABEL);
    let refused = pass.ctx.logins.wrong_password(pass.name());
    let doubted = refused || adopted::is_untried(pass, claim);
    let password = pass.has_stored(PASSWORD_LABEL) && !(doubted && adopted::has_another(pass).await?);
    let mut found = found(pass, wanted, &listing);
    let named;
    let mut is_unclear = false;
    if found.is_empty() && is_unrecorded(pass) && pass.object.adopted().is_none() {
        let unclear = unclear::look(pass, &wanted.name, &listing, &account).await;
        is_unclear = matches!(unclear, Unclear::Unusable | Unclear::Perhaps(_));
        match unclear {
            Unclear::No | Unclear::Unusable => {}
            Unclear::Perhaps(perhaps) => observed.unclear = perhaps,
            Unclear::Is(project) => {
                named = project;
                found.push(&named);
            }
        }
    }
    let project = match project(pass, observed, (&account, &listing), &found, connected).await? {
        ProjectLook::Absent if is_unclear => ProjectLook::Unclear,
        project => project,
    };
    observed.project = found.first().map(|project| (*project).clone());
    observed.unnamed = listing.unnamed().into_iter().map(str::to_owned).collect();
    observed.said = observed.project.as_ref().map(|listed| listed.status.to_string());
    let issued = issued(pass, &listing);
    observed.facts.refused = issued == Issued::Settling && create::is_refused_meanwhile(pass, &account);
    observed.account = Some(account);
    Ok(Hosted {
        origin: adopted::origin(pass),
        password,
        project,
        issued,
        connection: login::connection(pass, (claim, now), connected, observed.project.as_ref()),
    })
}

/// The projects with our marker, without those that are replaced; or the one that was adopted.
fn found<'a>(pass: &Pass, wanted: &SupabaseProject, listing: &'a Listing) -> Vec<&'a ListedProject> {
    if let Some(adopted) = &wanted.adopted {
        return listing.by_ref(&adopted.reference).into_iter().collect();
    }
    let replaced = pass.object.status.as_ref().map(|status| status.replaced.as_slice());
    let mut found = listing.by_name(&wanted.name);
    found.retain(|project| replaced.is_none_or(|replaced| !replaced.contains(&project.reference)));
    found
}

/// Whether the status records no project.
fn is_unrecorded(pass: &Pass) -> bool {
    pass.object
        .status
        .as_ref()
        .is_none_or(|status| status.project.is_none())
}

/// A listing that is recent enough: for a requested project, one of the last poll interval; before the request, one of
/// the last [`FIRST_LOOK`] intervals; and for a settled project, one of the last resync, so that one listing a resync
/// serves all databases.
async fn listing(pass: &Pass, account: &Account, now: Timestamp) -> Result<Arc<Listing>, Error> {
    let status = pass.object.status.as_ref();
    let settings = &pass.ctx.core.settings;
    let awaited = status.is_some_and(|status| status.project.is_some() && status.usable_since.is_none());
    // An adopted project may be old.
    let awaited = awaited && pass.object.adopted().is_none();
    if awaited && pass.object.metadata.deletion_timestamp.is_none() && deadline::passed(pass, now).is_none() {
        // Before the project can be ready, an older listing is sufficient.
        let age = settings.poll_interval.max(too_early(pass, account, now));
        return Ok(account.poll().youngest(age, || all_awaited(pass, account, now)).await?);
    }
    // Whether a request to pause or to restore took effect is seen in a listing that is newer than the request.
    if power::concerns(pass) {
        let now = Instant::now();
        let since = now.checked_sub(settings.poll_interval).unwrap_or(now);
        return Ok(account.poll().projects_since(since).await?);
    }
    // An intent that was written in this pass was decided by a listing; the same one or a later one is used.
    // After a refusal, too, another request is sent only when a listing that is newer shows no project.
    let sent = pass.announced.is_none()
        && (status.is_some_and(|status| status.create_issued_at.is_some()) || create::is_tried_again(pass, account));
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

/// How long polling the project is still too early, by the time that other projects took.
pub fn too_early(pass: &Pass, account: &Account, now: Timestamp) -> Duration {
    let age = deadline::age(pass, now).unwrap_or(Duration::MAX);
    account.poll().worth_a_look_after().saturating_sub(age)
}

/// The projects of the account's organization that are being created and were requested recently.
fn all_awaited(pass: &Pass, account: &Account, now: Timestamp) -> HashSet<String> {
    let young = |status: &OrchestraDatabaseStatus| {
        let issued = status.create_issued_at.as_ref();
        status.usable_since.is_none()
            && status.organization.as_deref() == Some(account.organization())
            && issued.is_some_and(|at| now < settled_at(at.0, YOUNG))
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

/// What the listing means. A recorded project that is not listed is gone only when a request for that very project
/// says so.
async fn project(
    pass: &Pass,
    observed: &Observed,
    (account, listing): (&Account, &Listing),
    found: &[&ListedProject],
    connected: bool,
) -> Result<ProjectLook, Error> {
    let (now, claim) = (observed.now, observed.facts.claim);
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    let status = pass.object.status.as_ref();
    let recorded = status.and_then(|status| status.project.as_ref());
    if let Some((status, recorded)) = status.zip(recorded)
        && status.replaced.contains(&recorded.reference)
    {
        identity::check_discarded(&recorded.reference, connected)?;
        return discarded(account, &recorded.reference, listing).await;
    }
    let listed = match (found, recorded) {
        ([], None) if pass.object.adopted().is_none() => return Ok(ProjectLook::Absent),
        ([], _) if !listing.complete => return Ok(ProjectLook::Waiting),
        // A listing may lag behind the creation.
        ([], _) if !deleting && issued(pass, listing) == Issued::Settling => return Ok(ProjectLook::Waiting),
        ([], _) => {
            let reference = pass.object.project_ref().unwrap_or_default();
            return match account.client().get_project(reference).await {
                Err(error) if error.is_gone() => Ok(ProjectLook::Lost),
                Err(error) => Err(error.into()),
                // It was adopted, and was moved to another organization before it was recorded.
                Ok(_) if recorded.is_none() => Ok(ProjectLook::Stopped(DatabaseStop::Elsewhere)),
                // Listed under another name now, or not listed yet.
                Ok(project) => {
                    identity::check_unlisted(&pass.object, &project, listing, connected)?;
                    Ok(state(pass, claim, &project.status, now))
                }
            };
        }
        ([one], _) => one,
        (many, _) => {
            let references: Vec<_> = many.iter().map(|project| project.reference.as_str()).collect();
            tracing::error!(?references, "several projects carry one marker");
            return Ok(ProjectLook::Many);
        }
    };
    if recorded.is_none_or(|recorded| recorded.reference != listed.reference) {
        return Ok(ProjectLook::Unrecorded);
    }
    if is_to_be_replaced(pass, claim, &listed.status, connected, now) {
        return Ok(ProjectLook::Stuck);
    }
    Ok(state(pass, claim, &listed.status, now))
}

/// The state of a project that is being replaced. Another one may be bought only when a request for this very project
/// says that it is gone.
async fn discarded(account: &Account, reference: &str, listing: &Listing) -> Result<ProjectLook, Error> {
    let class = match listing.by_ref(reference).map(|listed| listed.status.class()) {
        Some(class) if class != StatusClass::Gone => class,
        _ => match account.client().get_project(reference).await {
            Err(error) if error.is_gone() => return Ok(ProjectLook::Replaced),
            project => project?.status.class(),
        },
    };
    Ok(match class {
        StatusClass::Gone => ProjectLook::Replaced,
        StatusClass::Deleting => ProjectLook::Discarding,
        _ => ProjectLook::Discarded,
    })
}

fn state(pass: &Pass, claim: ClaimState, said: &supabase::types::ProjectState, now: Timestamp) -> ProjectLook {
    let status = pass.object.status.as_ref();
    let used = status.is_some_and(|status| status.usable_since.is_some());
    if let Some(project) = power::to_be_paused(pass, said, now) {
        return project;
    }
    match said.class() {
        // For a project in use, a login is better evidence.
        _ if used && said.is_vague() => ProjectLook::Active,
        StatusClass::Waiting | StatusClass::Degraded => ProjectLook::Waiting,
        StatusClass::Usable => ProjectLook::Active,
        StatusClass::Paused if is_to_be_restored(pass, claim) => {
            let asked = status.and_then(|status| status.restore_issued_at.as_ref());
            ProjectLook::Paused {
                asked: asked.is_some_and(|at| now < settled_at(at.0, RESTORE_SPACING)),
            }
        }
        StatusClass::Paused => ProjectLook::Stopped(DatabaseStop::Paused),
        StatusClass::Failed => ProjectLook::Stopped(DatabaseStop::Failed),
        StatusClass::Deleting | StatusClass::Gone => ProjectLook::Leaving,
    }
}

fn is_to_be_restored(pass: &Pass, claim: ClaimState) -> bool {
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref());
    let by_class = class.is_ok_and(|class| class.spec.auto_restore);
    match claim {
        ClaimState::Held => by_class || pass.object.was_paused(),
        // It is to be kept, and was paused only for its grace period.
        ClaimState::Released => pass.object.was_paused(),
        _ => by_class && pass.object.is_spare(),
    }
}

/// Whether a create request was issued. The settling time has passed only when a listing that was requested after it
/// shows no project.
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

/// When the outcome of a request that was issued at this time counts as known.
pub fn settled_at(issued: Timestamp, settle: Duration) -> Timestamp {
    SignedDuration::try_from(settle)
        .ok()
        .and_then(|settle| issued.checked_add(settle).ok())
        .unwrap_or(Timestamp::MAX)
}
