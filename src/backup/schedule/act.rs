//! Executes a step.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ObjectMeta, Patch};
use kube::runtime::reflector::ObjectRef;
use rust_decimal::Decimal;
use serde_json::json;

use super::Pass;
use super::drills::Ask;
use super::observe::Observed;
use super::own;
use super::plan::Step;
use super::retention::BackupRemoval;
use crate::api::condition::Reason;
use crate::api::names::{
    FIELD_MANAGER, HOLDER_LABEL, MANAGED_BY, ORCHESTRA_LABEL, SCHEDULED_LABEL, VERIFY_ANNOTATION, label_of,
};
use crate::api::{Orchestra, OrchestraBackup, OrchestraBackupSpec, OrchestraReference};
use crate::backup::{Context, stored};
use crate::class::budget;
use crate::controller::clock::{self, TimeCheck};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::{delete, namespaced, patch_parameters, post_parameters};

/// The longest wait for a time, after which the clock is read again.
const LONGEST: Duration = Duration::from_hours(1);

/// The shortest wait.
const SHORTEST: Duration = Duration::from_secs(1);

/// Executes a step. Returns none when the pass continues. `due`: the next time of a backup.
pub async fn act(
    pass: &mut Pass,
    step: Step,
    due: Option<Timestamp>,
    observed: &Observed,
) -> Result<Option<Next>, Error> {
    let (ctx, object, now) = (&pass.ctx, &pass.object, observed.facts.now);
    // A backup that is due waits for its database or for the backup before it, whose watches trigger the Orchestra.
    let next = [due, observed.drills.due(now)];
    let ahead = next.into_iter().flatten().filter(|due| *due > now);
    let ahead = ahead.min().map(|due| clock::left(due, now).clamp(SHORTEST, LONGEST));
    let ahead = ahead.into_iter().chain(observed.again).min();
    match step {
        Step::MakeStored => {
            if let Some(wanted) = &observed.stored {
                stored::make(ctx, object, wanted).await?;
            }
        }
        Step::Reserve(monthly) => pass.taken = reserve(ctx, object, monthly),
        Step::AskForDrill => {
            if let Some(drill) = &observed.ask {
                ask(ctx, object, drill).await?;
            }
        }
        Step::Make(due) => make(ctx, object, due, observed).await?,
        Step::Remove(removal) => {
            let wait = remove(ctx, object, removal, observed).await?;
            return Ok(wait.map(|wait| Next::After(ahead.map_or(wait, |ahead| wait.min(ahead)))));
        }
        Step::Wait => return Ok(Some(ahead.map_or(Next::Rest, Next::After))),
    }
    Ok(None)
}

/// Takes room in the budget of the class for backups at this price a month. None where another Orchestra has just taken it:
/// the next look says so.
fn reserve(ctx: &Context, object: &Orchestra, monthly: Decimal) -> Option<Decimal> {
    let class = ctx.core.stores.classes.get(&ObjectRef::new(object.decided_class()?))?;
    let uid = object.uid().unwrap_or_default();
    let taken = budget::take_room_for_backups(&ctx.class, &class, &uid, monthly);
    taken.is_ok().then_some(monthly)
}

/// Asks for a drill of a backup.
async fn ask(ctx: &Context, object: &Orchestra, ask: &Ask) -> Result<(), Error> {
    let api: Api<OrchestraBackup> = namespaced(&ctx.core.client, object);
    let parameters = patch_parameters(FIELD_MANAGER);
    let patch = json!({"metadata": {"annotations": {VERIFY_ANNOTATION: ask.value}}});
    match api.patch(&ask.name, &parameters, &Patch::Merge(patch)).await {
        Ok(asked) => ctx.core.stores.backups.wrote(&asked),
        // Another backup is the last one now.
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let key = ObjectRef::new(&ask.name).within(&object.namespace().unwrap_or_default());
            ctx.core.stores.backups.removed(&key);
        }
        Err(error) => return Err(error.into()),
    }
    tracing::info!(backup = ask.name, "the schedule asks for a drill");
    Ok(())
}

/// Makes the OrchestraBackup of a time, without an owner reference: it outlives its Orchestra.
async fn make(ctx: &Context, object: &Orchestra, due: Timestamp, observed: &Observed) -> Result<(), Error> {
    let Some(times) = &observed.facts.times else {
        return Ok(());
    };
    let wanted = wanted(object, times.fired(due), observed);
    let api: Api<OrchestraBackup> = namespaced(&ctx.core.client, object);
    let parameters = post_parameters(FIELD_MANAGER);
    let made = match api.create(&parameters, &wanted).await {
        // Another operator made it, or this one before a crash.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let there = api.get(&wanted.name_any()).await?;
            if own::fired(object, &there, observed.facts.now) != Some(times.fired(due)) {
                return Err(Error::blocked(
                    Reason::ScheduleInvalid,
                    format!(
                        "the name of the next backup, {}, is used by an OrchestraBackup that the schedule did not make: delete \
                         that OrchestraBackup",
                        wanted.name_any()
                    ),
                ));
            }
            there
        }
        made => made?,
    };
    ctx.core.stores.backups.wrote(&made);
    tracing::info!(backup = made.name_any(), "the schedule made a backup");
    Ok(())
}

/// The OrchestraBackup of a time.
fn wanted(object: &Orchestra, fired: Timestamp, observed: &Observed) -> OrchestraBackup {
    let (orchestra, uid) = (object.name_any(), object.uid().unwrap_or_default());
    let spec = OrchestraBackupSpec {
        orchestra_ref: OrchestraReference {
            name: orchestra.clone(),
        },
        deletion_policy: observed.schedule.deletion_policy(),
        stored: None,
    };
    let labels = [
        (ORCHESTRA_LABEL, label_of(&orchestra)),
        (SCHEDULED_LABEL, fired.as_second().to_string()),
        (MANAGED_BY.0, MANAGED_BY.1.to_owned()),
        (HOLDER_LABEL, uid.clone()),
    ];
    OrchestraBackup {
        metadata: ObjectMeta {
            name: Some(own::name(&orchestra, &uid, fired)),
            namespace: object.namespace(),
            labels: Some(BTreeMap::from(labels.map(|(label, value)| (label.to_owned(), value)))),
            ..ObjectMeta::default()
        },
        ..OrchestraBackup::new("", spec)
    }
}

/// Deletes a backup, whose deletion policy decides about the data. A backup that is deleted because of its age must have that
/// age by the API server's clock as well; until then, returns the wait before the next look.
async fn remove(
    ctx: &Context,
    object: &Orchestra,
    removal: BackupRemoval,
    observed: &Observed,
) -> Result<Option<Duration>, Error> {
    let made = &observed.facts.made[removal.of];
    let namespace = object.namespace().unwrap_or_default();
    let key = ObjectRef::new(&made.name).within(&namespace);
    let Some(backup) = ctx.core.stores.backups.get(&key) else {
        return Ok(None);
    };
    // It has changed since the look, as when a person has taken it out of the retention.
    if own::fired(object, &backup, observed.facts.now) != Some(made.fired) {
        return Ok(None);
    }
    let uid = backup.uid().unwrap_or_default();
    if let Some(since) = removal.since {
        let age = Duration::try_from(since.duration_since(made.taken)).unwrap_or_default();
        if let TimeCheck::In(wait) = ctx.core.clock.has_come(&ctx.core.client, &uid, since, age).await? {
            return Ok(Some(wait.max(SHORTEST)));
        }
    }
    delete(&ctx.core, &*backup).await?;
    ctx.core.clock.forget(&uid);
    tracing::info!(backup = made.name, "deleted a backup that the retention does not keep");
    Ok(None)
}
