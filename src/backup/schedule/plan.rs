//! Decides what to do for the schedule of one Orchestra: make the backup of a manifest that it names, take the schedule's room
//! in the budget, ask for a drill, make the backup whose time has come, delete a backup that is not kept, or wait. A backup is
//! named after its time, so that it is made once; one backup makes up for all missed times.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::retention::{BackupRemoval, BackupState, Made, Rules, removals};
use super::times::Times;
use crate::api::condition::Reason;

/// What one pass has observed.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time of the look.
    pub now: Timestamp,
    /// The Orchestra names a manifest whose OrchestraBackup does not exist.
    pub stored_is_missing: bool,
    /// The time of a drill has come, and there is a backup for it.
    pub drill_is_due: bool,
    /// The times of the schedule; none where there is none, it is suspended, or it is invalid.
    pub times: Option<Times>,
    /// What the schedule costs a month, while the budget has room for it that is not taken yet.
    pub room: Option<Decimal>,
    /// The next time that is recorded in the status.
    pub known: Option<Timestamp>,
    /// The database is in use, and runs.
    pub usable: bool,
    /// The backups that the schedule has made.
    pub made: Vec<Made>,
    /// Which of them are kept.
    pub keep: Rules,
    /// The time zone in which days begin, for the counts of the retention.
    pub zone: TimeZone,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the OrchestraBackup of the manifest that the Orchestra names.
    MakeStored,
    /// Take room in the budget for backups at this price a month: then the schedule is accepted.
    Reserve(Decimal),
    /// Ask for a drill of the newest backup.
    AskForDrill,
    /// Make the backup of this time.
    Make(Timestamp),
    /// Delete a backup.
    Remove(BackupRemoval),
    /// Wait for the next time, if there is one.
    Wait,
}

impl Step {
    /// Whether the status is written before the step. It reports a schedule as accepted once its room is taken.
    pub fn follows_status(self) -> bool {
        !matches!(self, Self::MakeStored | Self::Reserve(_))
    }
}

/// The next step for these facts, and the next time to record.
pub fn plan(facts: &Facts) -> (Step, Option<Timestamp>) {
    if facts.stored_is_missing {
        return (Step::MakeStored, None);
    }
    if let Some(monthly) = facts.room {
        return (Step::Reserve(monthly), None);
    }
    let due = due(facts);
    if facts.drill_is_due {
        return (Step::AskForDrill, due);
    }
    if let Some(due) = due.filter(|due| *due <= facts.now)
        && facts.usable
        && !is_held_up(&facts.made)
    {
        return (Step::Make(due), Some(due));
    }
    let removals = removals(&facts.made, &facts.keep, &facts.zone, facts.now);
    let removal = removals.into_iter().next();
    (removal.map_or(Step::Wait, Step::Remove), due)
}

/// The next time, which may have passed.
fn due(facts: &Facts) -> Option<Timestamp> {
    let times = facts.times.as_ref()?;
    let due = times.due_or_next(facts.known, facts.now)?;
    let fired = times.fired(due);
    if due <= facts.now && facts.made.iter().any(|made| made.fired == fired) {
        return times.next(facts.now);
    }
    Some(due)
}

/// Whether the next backup waits for one that has not ended. One for an earlier time than that of a prompt backup does not
/// count: the schedule has not made it, because it makes one after the other.
fn is_held_up(made: &[Made]) -> bool {
    let last = made.iter().filter(|made| made.prompt).map(|made| made.fired).max();
    made.iter().any(|made| {
        let is_last = made.timed && last.is_none_or(|last| last < made.fired);
        made.state.is_under_way() && (made.replaces() || is_last)
    })
}

/// What the backups of a schedule say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleVerdict<'a> {
    /// None has ended.
    Nothing,
    /// The last one is complete.
    Complete(&'a Made),
    /// The last one failed, or is stalled.
    Trouble(&'a Made, Reason, &'a str),
}

/// The verdict over these backups: that of the last one that has ended or is stalled.
pub fn verdict(made: &[Made]) -> ScheduleVerdict<'_> {
    let mut newest: Vec<_> = made.iter().collect();
    newest.sort_by_key(|made| std::cmp::Reverse(made.fired));
    let told = newest.into_iter().find_map(|made| match &made.state {
        BackupState::UnderWay | BackupState::Leaving => None,
        BackupState::Complete => Some(ScheduleVerdict::Complete(made)),
        BackupState::Stalled(reason, message) | BackupState::Failed(reason, message) => {
            Some(ScheduleVerdict::Trouble(made, *reason, message))
        }
    });
    told.unwrap_or(ScheduleVerdict::Nothing)
}

impl BackupState {
    /// Whether it has not ended.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay | Self::Stalled(..))
    }
}

#[cfg(test)]
mod tests;
