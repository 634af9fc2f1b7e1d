//! Reads an Orchestra's schedule and the backups that it has made. It reads stores only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use rust_decimal::Decimal;

use super::estimate::Sizes;
use super::plan::Facts;
use super::price::Acceptance;
use super::retention::{BackupState, Made, Rules};
use super::times::Times;
use super::{drills, own, price, recovery, sizes};
use crate::api::condition::Reason;
use crate::api::names::VERIFY_ANNOTATION;
use crate::api::{
    BackupEstimate, BackupSchedule, ClassBackup, DeletionPolicy, Orchestra, OrchestraBackup, OrchestraClass,
    ProviderBackups, RetentionLimits,
};
use crate::backup::{Context, order, stored};
use crate::controller::error::Error;
use crate::controller::{Core, unreadable};
use crate::cron::{Schedule, zone};

/// The wait before a schedule that was refused for money, or whose cost is not known yet, is looked at again.
const AGAIN: Duration = Duration::from_mins(1);

/// What was observed.
pub struct Observed {
    /// The facts of the plan.
    pub facts: Facts,
    /// The OrchestraBackup of the manifest that the Orchestra names, where it is missing.
    pub stored: Option<OrchestraBackup>,
    /// The schedule that applies to the Orchestra.
    pub schedule: BackupSchedule,
    /// The drills that the schedule asks for.
    pub drills: drills::DrillFacts,
    /// The drill that is to be requested now.
    pub ask: Option<drills::Ask>,
    /// How new the data in backups is, and should be.
    pub recovery: recovery::RecoveryFacts,
    /// Why the schedule of backups, or that of drills, is invalid.
    pub trouble: Option<(Reason, String)>,
    /// What the accepted schedule stores and transfers, if that is known.
    pub estimate: Option<BackupEstimate>,
    /// The backups that the provider makes of its project.
    pub provider: Option<ProviderBackups>,
    /// When to look again, whatever the times are.
    pub again: Option<Duration>,
}

/// Reads everything. `sizes`: those of a backup, if they are known. `taken`: the room in the budget that this pass has taken.
pub fn observe(ctx: &Context, object: &Orchestra, (sizes, taken): (Option<Sizes>, Option<Decimal>)) -> Observed {
    let (core, now) = (&*ctx.core, Timestamp::now());
    let class = class_of(core, object);
    let of_class = class.as_ref().ok().and_then(|it| it.as_ref()?.spec.backup.as_ref());
    let schedule = schedule(object, of_class);
    let (mut times, mut trouble) = split(match &class {
        Ok(class) => times(object, class.as_deref(), &schedule, now),
        Err(unknown) => Err((unknown.reason(), unknown.to_string())),
    });
    let own = backups_of(core, object);
    let of_drills = |class: &Option<Arc<OrchestraClass>>| drill_times(object, class.as_deref(), &schedule, now);
    let (drills, wrong) = drills_and_trouble(&own, object, class.as_ref().map_or(Ok(None), of_drills));
    trouble = trouble.or(wrong);
    let known = object.status.as_ref().and_then(|status| status.backup.as_ref());
    let zone = zone(schedule.time_zone.as_deref());
    let mut rules = rules(&schedule, of_class);
    let (mut estimate, mut room, mut again) = (None, None, None);
    if let (Ok(Some(class)), Some(running)) = (&class, &times) {
        let sizes = sizes.or_else(|| sizes::recorded(object));
        match price::look(ctx, (object, class), (running.schedule(), &rules), (sizes, taken)) {
            Ok(Acceptance::Accepted(known)) => estimate = known,
            Ok(Acceptance::HasRoom(monthly)) => room = Some(monthly),
            Err(refused) => (times, trouble, again) = (None, trouble.or(Some(refused)), Some(AGAIN)),
        }
    }
    if trouble.is_some() {
        // What was accepted counts until the schedule is another one.
        estimate = estimate.or_else(|| known.and_then(|known| known.estimate.clone()));
    }
    // Nothing is deleted while the class, its store or the time zone is missing.
    if trouble.is_some() || zone.is_none() || of_class.is_none() {
        rules = Rules::default();
    }
    let stored = stored::missing(ctx, object);
    let ask = drills.ask(now);
    let usable = object.is_published() && !object.is_asleep();
    let makes = times.clone().filter(|_| usable);
    let recovery = recovery_of(&own, object, makes, usable && trouble.is_some());
    Observed {
        facts: Facts {
            now,
            stored_is_missing: stored.is_some(),
            drill_is_due: ask.is_some(),
            times,
            room,
            known: known.and_then(|known| known.next_time.as_ref()).map(|next| next.0),
            usable,
            made: made(core, object, (own.as_slice(), &schedule), now),
            keep: rules,
            zone: zone.unwrap_or(TimeZone::UTC),
        },
        stored,
        drills,
        ask,
        recovery,
        schedule,
        trouble,
        estimate,
        provider: provider_backups(core, object),
        again,
    }
}

/// The class that the Orchestra has, if its resource can be read.
fn class_of(core: &Core, object: &Orchestra) -> Result<Option<Arc<OrchestraClass>>, Error> {
    match object.decided_class() {
        Some(name) => unreadable::get(&core.stores.classes, &ObjectRef::new(name)),
        None => Ok(None),
    }
}

/// The times of a schedule, and what is wrong with it.
fn split(read: Result<Option<Times>, (Reason, String)>) -> (Option<Times>, Option<(Reason, String)>) {
    match read {
        Ok(times) => (times, None),
        Err(trouble) => (None, Some(trouble)),
    }
}

/// Whether a schedule asks for backups of the Orchestra.
pub fn is_scheduled(ctx: &Context, object: &Orchestra) -> bool {
    let class = object.decided_class().map(ObjectRef::new);
    let class = class.and_then(|class| ctx.core.stores.classes.get(&class));
    let of_class = class.as_ref().and_then(|class| class.spec.backup.as_ref());
    let schedule = schedule(object, of_class);
    schedule.schedule.is_some() && !schedule.suspend
}

/// The schedule that applies. Where a class bounds what is kept, the Orchestra does not decide that the data stays.
fn schedule(object: &Orchestra, of_class: Option<&ClassBackup>) -> BackupSchedule {
    let Some(of_class) = of_class else {
        return object.spec.backup.clone();
    };
    let mut schedule = object.spec.backup.or(&of_class.schedule);
    let limits = of_class.retention_limits.as_ref();
    if limits.is_some_and(RetentionLimits::has_most) {
        schedule.deletion_policy = Some(of_class.schedule.deletion_policy.unwrap_or(DeletionPolicy::Delete));
    }
    schedule
}

/// Which backups are kept, of a schedule.
fn rules(schedule: &BackupSchedule, of_class: Option<&ClassBackup>) -> Rules {
    Rules {
        own: schedule.retention.clone(),
        limits: of_class.and_then(|of_class| of_class.retention_limits.clone()),
    }
}

/// What the provider was last heard to have, of the project that the Orchestra holds.
fn provider_backups(core: &Core, object: &Orchestra) -> Option<ProviderBackups> {
    let name = object.status.as_ref()?.database_name.as_deref()?;
    let database = core.stores.databases.get(&ObjectRef::new(name))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let is_its_own = Some(&claim.uid) == object.metadata.uid.as_ref() && database.is_held();
    database
        .status
        .as_ref()
        .filter(|_| is_its_own)?
        .provider_backups
        .clone()
}

/// The drills that are asked for, and what is wrong with their schedule.
fn drills_and_trouble(
    own: &[Arc<OrchestraBackup>],
    object: &Orchestra,
    times: Result<Option<Times>, String>,
) -> (drills::DrillFacts, Option<(Reason, String)>) {
    match times {
        Ok(times) => (drills_of(own, object, times), None),
        Err(wrong) => (drills::DrillFacts::default(), Some((Reason::ScheduleInvalid, wrong))),
    }
}

/// The times of the schedule of drills that applies; none where there is none, or it is suspended.
fn drill_times(
    object: &Orchestra,
    class: Option<&OrchestraClass>,
    schedule: &BackupSchedule,
    now: Timestamp,
) -> Result<Option<Times>, String> {
    let Some(verify) = schedule.verify.as_ref().filter(|_| !schedule.suspend) else {
        return Ok(None);
    };
    let at = match class.filter(|_| object.spec.backup.verify.is_none()) {
        Some(class) => format!("OrchestraClass {}: spec.backup.verify", class.name_any()),
        None => "spec.backup.verify".to_owned(),
    };
    let read = verify.read(&at, now)?;
    Ok(read.map(|schedule| Times::new(schedule, &object.uid().unwrap_or_default())))
}

/// The backups of this Orchestra, whoever has made them.
fn backups_of(core: &Core, object: &Orchestra) -> Vec<Arc<OrchestraBackup>> {
    let (name, namespace) = (object.name_any(), &object.metadata.namespace);
    let is_of =
        |backup: &OrchestraBackup| backup.spec.orchestra_ref.name == name && backup.metadata.namespace == *namespace;
    core.stores.backups.state_filter(is_of)
}

/// Whether a backup is complete, of the Orchestra with this UID.
fn is_complete_of(backup: &OrchestraBackup, uid: Option<&String>) -> bool {
    let of = backup.status.as_ref().and_then(|status| status.orchestra_uid.as_ref());
    of == uid && state(backup) == BackupState::Complete
}

/// How new the data in this Orchestra's backups is, and should be. A backup that a drill has found damaged does not count.
fn recovery_of(
    own: &[Arc<OrchestraBackup>],
    object: &Orchestra,
    times: Option<Times>,
    is_wrong: bool,
) -> recovery::RecoveryFacts {
    let known = object.status.as_ref().and_then(|status| status.backup.as_ref());
    let deadline = known.and_then(|known| known.recovery_point_deadline.as_ref());
    let uid = object.metadata.uid.as_ref();
    let good = own
        .iter()
        .filter(|backup| is_complete_of(backup, uid) && !backup.is_refuted());
    recovery::RecoveryFacts {
        times,
        is_wrong,
        point: good.filter_map(|backup| backup.taken()).max(),
        deadline: deadline.map(|at| at.0),
    }
}

/// The drills of this Orchestra's backups, whoever has made them.
fn drills_of(own: &[Arc<OrchestraBackup>], object: &Orchestra, times: Option<Times>) -> drills::DrillFacts {
    let known = object
        .status
        .as_ref()
        .and_then(|status| status.backup.clone())
        .unwrap_or_default();
    if times.is_none() {
        return drills::DrillFacts::default();
    }
    let uid = object.metadata.uid.as_ref();
    let all: Vec<_> = own.iter().filter(|backup| is_complete_of(backup, uid)).collect();
    let newest = all.iter().max_by_key(|backup| (backup.taken(), backup.name_any()));
    let verified = all.iter().filter(|backup| backup.is_verified());
    let verified = verified.filter_map(|backup| {
        backup
            .status
            .as_ref()?
            .verification
            .as_ref()?
            .last_verified_time
            .clone()
    });
    drills::DrillFacts {
        times,
        known: known.next_verify_time.map(|at| at.0),
        newest: newest.map(|backup| drills::Newest {
            name: backup.name_any(),
            asked: backup.annotations().get(VERIFY_ANNOTATION).cloned(),
        }),
        verified: verified.map(|at| at.0).max(),
        deadline: known.verify_deadline.map(|at| at.0),
    }
}

/// The times of the schedule that applies; none where there is none, or it is suspended.
fn times(
    object: &Orchestra,
    class: Option<&OrchestraClass>,
    schedule: &BackupSchedule,
    now: Timestamp,
) -> Result<Option<Times>, (Reason, String)> {
    if schedule.schedule.is_none() || schedule.suspend {
        return Ok(None);
    }
    let Some(class) = class else {
        let name = object.decided_class().unwrap_or_default();
        let message = format!("OrchestraClass {name}, whose store has the backups, does not exist: create it again");
        return Err((Reason::ClassNotFound, message));
    };
    order::of_class(class).map_err(|error| (error.reason(), error.to_string()))?;
    let at = if object.spec.backup.schedule.is_some() {
        "spec.backup".to_owned()
    } else {
        format!("OrchestraClass {}: spec.backup", class.name_any())
    };
    let read = schedule
        .read(&at, now)
        .map_err(|wrong| (Reason::ScheduleInvalid, wrong))?;
    Ok(read.map(|schedule| Times::new(schedule, &object.uid().unwrap_or_default())))
}

/// The backups that the schedule of this Orchestra has made (by UID).
fn made(
    core: &Core,
    object: &Orchestra,
    (all, schedule): (&[Arc<OrchestraBackup>], &BackupSchedule),
    now: Timestamp,
) -> Vec<Made> {
    if !all.iter().any(|backup| own::fired(object, backup, now).is_some()) {
        return Vec::new();
    }
    let restored = being_restored(core, object.metadata.namespace.as_deref());
    // Also while it is suspended.
    let cron = schedule.schedule.as_deref();
    let read = cron.and_then(|cron| Schedule::read("spec.backup", cron, schedule.time_zone.as_deref()).ok());
    let one = |backup: &Arc<OrchestraBackup>| {
        let fired = own::fired(object, backup, now)?;
        Some(Made {
            name: backup.name_any(),
            fired,
            taken: backup.taken()?,
            state: state(backup),
            verified: backup.is_verified(),
            in_use: backup.is_being_verified() || restored.contains(&backup.name_any()),
            prompt: own::is_prompt(backup, fired),
            timed: read.as_ref().is_some_and(|schedule| schedule.fires_at(fired)),
        })
    };
    all.iter().filter_map(one).collect()
}

/// Names of the backups from which Orchestras of a namespace are being restored, or will be.
fn being_restored(core: &Core, namespace: Option<&str>) -> BTreeSet<String> {
    let is_under_way = |object: &Orchestra| {
        let restore = object.status.as_ref().and_then(|status| status.restore.as_ref());
        object.metadata.namespace.as_deref() == namespace
            && object.spec.backup().is_some()
            && restore.is_none_or(|restore| restore.completion_time.is_none())
    };
    let restored = core.stores.orchestras.state_filter(is_under_way);
    let names = restored
        .iter()
        .filter_map(|object| Some(object.spec.backup()?.backup_name()));
    names.collect()
}

fn state(backup: &OrchestraBackup) -> BackupState {
    if backup.metadata.deletion_timestamp.is_some() || unreadable::check(backup).is_err() {
        return BackupState::Leaving;
    }
    if backup.is_complete() {
        return BackupState::Complete;
    }
    let status = backup.status.as_ref();
    if let Some(failure) = status
        .and_then(|status| status.failure.as_ref())
        .filter(|_| backup.has_failed())
    {
        let reason = failure.known_reason().unwrap_or(Reason::BackupFailed);
        return BackupState::Failed(reason, failure.message.clone());
    }
    match backup.stalled() {
        Some((reason, message)) => BackupState::Stalled(reason, message.to_owned()),
        None => BackupState::UnderWay,
    }
}

/// The Orchestra of a backup, whose schedule may have made it, or may ask for a drill of it.
pub fn orchestra_of(backup: &OrchestraBackup) -> Option<ObjectRef<Orchestra>> {
    let namespace = backup.namespace()?;
    Some(ObjectRef::new(&backup.spec.orchestra_ref.name).within(&namespace))
}
