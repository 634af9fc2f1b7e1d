//! What a step means for people and machines: phase, conditions, events.

use std::sync::Arc;

use jiff::Timestamp;

use super::deadline::{self, REPLACEMENTS};
use super::describe::{describe, is_at_rest, is_replacing};
use super::observe::Observed;
use super::plan::{ClaimState, DatabaseStop, Step};
use super::published_keys::PublishedKeys;
use super::{Context, Pass, charges, entry, final_backup, former, grace, unclear};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraDatabaseStatus};
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{self, News};

/// Who writes the status of a step, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WrittenBy {
    /// Before the step is executed, because it waits.
    Before,
    /// The next waiting step writes it: this one only takes a moment. Each write is a request, and triggers other
    /// controllers.
    Later,
    /// `act`, together with the step's entry in the journal.
    WithJournal,
}

fn told(step: Step) -> WrittenBy {
    match step {
        Step::AddFinalizer
        | Step::StorePassword
        | Step::Announce
        | Step::Create
        | Step::TellRefusal
        | Step::Record
        | Step::Replace
        | Step::Renew
        | Step::Pause
        | Step::Restore
        | Step::Connect
        | Step::Probe
        | Step::ReadKeys
        | Step::RotateKeys(_)
        | Step::RevokeLogins
        | Step::BeginPassword
        | Step::ChangePassword
        | Step::Schedule
        | Step::MakeFinalBackup
        | Step::DecideReset
        | Step::DeleteSelf
        | Step::Forget
        | Step::Abandon => WrittenBy::Later,
        Step::Rest | Step::Sleep | Step::Hold => WrittenBy::WithJournal,
        Step::AwaitOutcome
        | Step::AwaitRequest
        | Step::RunOn
        | Step::AwaitPause
        | Step::AwaitRestore
        | Step::AwaitHealthy
        | Step::ResetPassword
        | Step::AwaitFinalBackup
        | Step::AwaitEntry { .. }
        | Step::Reset
        | Step::Destroy
        | Step::AwaitGone
        | Step::Stop(_) => WrittenBy::Before,
    }
}

/// Writes the status for a step that has to wait, when it differs from the last one.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    // A Ready database whose stored password is lost is no longer proven. Its status says so before another
    // password is stored; otherwise a restart could not tell that the project still has the old one.
    let loses_proof = step == Step::StorePassword && pass.object.is_ready();
    // What prevents a reset from ending is shown until it has ended.
    let was_told = step == Step::Reset && pass.object.stalled_reason().is_some();
    // The pool has not checked the entry yet: its status stays.
    let stays = matches!(step, Step::AwaitEntry { .. }) && observed.trouble.is_none();
    if (told(step) != WrittenBy::Before && !loses_proof) || was_told || stays {
        return Ok(());
    }
    change(pass, step, observed, |_| {}).await
}

/// Changes the journal in the status, by compare-and-swap, together with what the step means.
pub async fn change(
    pass: &mut Pass,
    step: Step,
    observed: &Observed,
    change: impl FnOnce(&mut OrchestraDatabaseStatus),
) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    let message = render(pass, step, observed, &mut new);
    change(&mut new);
    store(pass, new, message).await
}

/// The state of the database, for its Stalled or Reconciling condition and for the event.
struct Message {
    standing: Standing,
    reason: Reason,
    text: String,
}

/// Fills the status with what a step means.
fn render(pass: &Pass, step: Step, observed: &Observed, new: &mut OrchestraDatabaseStatus) -> Message {
    let claim = observed.facts.claim;
    let replaces = is_replacing(step, is_replacement(pass));
    let mut said = describe(step, claim, replaces);
    let ends = step == Step::Sleep || (is_at_rest(step) && claim == ClaimState::Released);
    let reclaimed = grace::told(pass).filter(|_| ends);
    if reclaimed.is_some() {
        (said.phase, said.reason) = ("Reclaiming", Reason::Reclaiming);
    }
    let entry = observed.trouble.as_ref();
    let entry = entry.filter(|_| matches!(step, Step::AwaitEntry { .. }));
    let late = (said.standing == Standing::Reconciling && !replaces && entry.is_none())
        .then(|| too_late(pass, observed.said.as_deref(), said.text, observed.now))
        .flatten();
    let message = late.unwrap_or_else(|| Message {
        standing: said.standing,
        reason: said.reason,
        text: match (step, entry) {
            (Step::Stop(DatabaseStop::Unclear), _) => unclear::advice(pass.name(), &observed.unclear),
            (Step::Stop(DatabaseStop::FinalBackup) | Step::AwaitFinalBackup, _) => {
                final_backup::told(pass, step, observed, said.text)
            }
            (_, Some(trouble)) => trouble.message.clone(),
            _ => reclaimed.unwrap_or_else(|| said.text.to_owned()),
        },
    });
    let mut conditions = Conditions::new(&new.conditions, pass.object.metadata.generation);
    // A project that keeps running is as usable as before.
    said.ready &= !matches!(step, Step::AwaitRequest | Step::RunOn) || pass.object.is_ready();
    conditions.set(ConditionType::Ready, said.ready, message.reason, &message.text);
    match pass.keys_work.as_ref().map(PublishedKeys::wrong) {
        None => conditions.keep_shown(ConditionType::KeysUsable),
        Some(None) => {}
        Some(Some(wrong)) => conditions.set(ConditionType::KeysUsable, false, Reason::KeysDisabled, &wrong),
    }
    entry::tell(pass, observed, &mut conditions);
    former::report(pass, step, observed, &mut conditions);
    conditions.stand(message.standing, message.reason, &message.text);
    let conditions = conditions.finish();
    new.conditions = conditions;
    new.phase = Some(said.phase.into());
    charges::note(pass, observed, new);
    new.cost = crate::class::price::of_database(&pass.ctx.class, &pass.object, new);
    new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
    let claim = pass.object.spec.claim_ref.as_ref();
    new.claim = claim.map(|claim| format!("{}/{}", claim.namespace, claim.name));
    message
}

/// Writes the error that ended a pass. A database that was usable keeps its Ready condition: an error on the way
/// to the provider does not stop it from serving.
pub async fn report(database: Arc<OrchestraDatabase>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(object) = status::current(&ctx.core, &*database).await? else {
        return Ok(());
    };
    let mut pass = Pass::new(object, ctx);
    let mut new = pass.object.status.clone().unwrap_or_default();
    new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
    let (reason, text) = (error.reason(), error.to_string());
    let old = new.conditions.clone();
    let mut conditions = Conditions::new(&old, pass.object.metadata.generation);
    let was_usable = new.usable_since.is_some();
    let leaving = pass.object.metadata.deletion_timestamp.is_some();
    if was_usable && !leaving && is_of_account(reason) {
        // The class reports it. One rejected token must not turn every database in use into a failed one.
        conditions.keep(ConditionType::Ready, reason);
        conditions.keep_shown(ConditionType::KeysUsable);
        conditions.keep_shown(ConditionType::EntryUsable);
        conditions.keep_shown(ConditionType::AccessRevoked);
        new.conditions = conditions.finish();
        return pass.write_status(new, None).await;
    }
    if was_usable {
        conditions.keep(ConditionType::Ready, reason);
    } else {
        conditions.set(ConditionType::Ready, false, reason, &text);
    }
    conditions.keep_shown(ConditionType::KeysUsable);
    conditions.keep_shown(ConditionType::EntryUsable);
    conditions.keep_shown(ConditionType::AccessRevoked);
    let passing = error.is_passing();
    let late = passing
        .then(|| too_late(&pass, None, &text, Timestamp::now()))
        .flatten();
    let standing = if passing {
        Standing::Reconciling
    } else {
        Standing::Stalled
    };
    let message = late.unwrap_or(Message { standing, reason, text });
    conditions.stand(message.standing, message.reason, &message.text);
    new.conditions = conditions.finish();
    match (passing, was_usable) {
        (false, false) => new.phase = Some("Failed".into()),
        (true, false) if message.reason == Reason::Queued => new.phase = Some("Queued".into()),
        _ => {}
    }
    store(&mut pass, new, message).await
}

/// Whether an error is about the provider's account. The class reports those, and they stop only creations and deletions.
fn is_of_account(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenMissing | Reason::TokenRejected | Reason::PermissionDenied | Reason::OrganizationNotFound
    )
}

async fn store(pass: &mut Pass, new: OrchestraDatabaseStatus, message: Message) -> Result<(), Error> {
    let old = pass.object.status.as_ref();
    let old = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    // The Orchestra reports its claim, as a PersistentVolumeClaim does for its volume.
    let news = status::is_news(old, &new.conditions) && message.reason != Reason::Bound;
    let news = news.then(|| News::of(message.standing, message.reason, message.text));
    let warned = [
        (ConditionType::KeysUsable, Reason::KeysDisabled),
        (ConditionType::EntryUsable, Reason::EntryRemoved),
        (ConditionType::EntryUsable, Reason::InvalidEntry),
        (ConditionType::EntryUsable, Reason::LoginFailed),
    ];
    let warnings = status::warnings(old, &new.conditions, &warned);
    pass.write_status(new, news).await?;
    for warning in &warnings {
        status::tell(&pass.ctx.core, &pass.object, warning).await;
    }
    Ok(())
}

/// The message of a database that is past its deadline: what the provider last said about it, and what to do.
fn too_late(pass: &Pass, said: Option<&str>, waits_for: &str, now: Timestamp) -> Option<Message> {
    let late = deadline::passed(pass, now)?;
    let said = said.map(|said| format!("; the project is {said}")).unwrap_or_default();
    let replaced = pass.object.status.as_ref().map_or(0, |status| status.replaced.len());
    let replaced = match replaced {
        0 => String::new(),
        count => format!("; replaced {count} of {REPLACEMENTS} times"),
    };
    let cure = if pass.object.is_spare() {
        "or delete this OrchestraDatabase, which nobody has claimed: its pool makes another one"
    } else if deadline::is_surely_unused(pass) {
        "or delete the Orchestra and create it again"
    } else {
        "and delete the Orchestra only if nobody has ever used its database"
    };
    Some(Message {
        standing: Standing::Stalled,
        reason: Reason::DeadlineExceeded,
        text: format!(
            "{late}{said}{replaced}; {waits_for}. The operator continues when the project becomes usable; otherwise \
             ask the provider's support, {cure}"
        ),
    })
}

/// Whether the project is deleted because another one takes its place.
fn is_replacement(pass: &Pass) -> bool {
    let status = pass.object.status.as_ref();
    let recorded = status.and_then(|status| status.project.as_ref());
    let replaced =
        recorded.is_some_and(|project| status.is_some_and(|status| status.replaced.contains(&project.reference)));
    replaced && pass.object.metadata.deletion_timestamp.is_none()
}
