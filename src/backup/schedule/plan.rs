//! What is to be done for the schedule of one Orchestra: make a backup whose time has come, delete those that are not
//! kept, or wait. A backup is made in the name of its time, so that whoever makes it again makes it once; times that nobody
//! was there for are made up for by one backup.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::retention::{Made, Removal, State, removals};
use super::times::Times;
use crate::api::BackupRetention;

/// What one pass has observed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The time of the look.
    pub now: Timestamp,
    /// The times of the schedule; none where there is none, it is suspended, or it cannot be carried out.
    pub times: Option<Times>,
    /// The next time as it is written down.
    pub known: Option<Timestamp>,
    /// The database is in use, and runs.
    pub usable: bool,
    /// The backups that the schedule has made.
    pub made: Vec<Made>,
    /// Which of them are kept; none where all are.
    pub keep: Option<BackupRetention>,
    /// Where the days begin by which they are counted.
    pub zone: TimeZone,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the backup of this time.
    Make(Timestamp),
    /// Delete a backup.
    Remove(Removal),
    /// Wait for the next time, if there is one.
    Wait,
}

/// The next step for what was observed, and the next time to write down.
pub fn plan(seen: &Seen) -> (Step, Option<Timestamp>) {
    let due = due(seen);
    if let Some(due) = due.filter(|due| *due <= seen.now)
        && seen.usable
        && !seen.made.iter().any(|made| made.state.is_under_way())
    {
        return (Step::Make(due), Some(due));
    }
    let removals = removals(&seen.made, seen.keep.as_ref(), &seen.zone, seen.now);
    let removal = removals.into_iter().next();
    (removal.map_or(Step::Wait, Step::Remove), due)
}

/// The next time, which may have passed.
fn due(seen: &Seen) -> Option<Timestamp> {
    let times = seen.times.as_ref()?;
    let due = times.due_or_next(seen.known, seen.now)?;
    let fired = times.fired(due);
    if due <= seen.now && seen.made.iter().any(|made| made.fired == fired) {
        return times.next(seen.now);
    }
    Some(due)
}

/// What the backups of a schedule say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// None has ended.
    Nothing,
    /// The last one is complete.
    Complete(&'a Made),
    /// The last one failed, or waits for a person.
    Trouble(&'a Made, &'a str, &'a str),
}

/// The verdict over these backups: of the last one that has ended, or that waits for a person.
pub fn verdict(made: &[Made]) -> Verdict<'_> {
    let mut newest: Vec<_> = made.iter().collect();
    newest.sort_by_key(|made| std::cmp::Reverse(made.fired));
    let told = newest.into_iter().find_map(|made| match &made.state {
        State::UnderWay | State::Leaving => None,
        State::Complete => Some(Verdict::Complete(made)),
        State::Held(reason, message) | State::Failed(reason, message) => Some(Verdict::Trouble(made, reason, message)),
    });
    told.unwrap_or(Verdict::Nothing)
}

impl State {
    /// Whether it is not known yet what becomes of it.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay | Self::Held(..))
    }
}

#[cfg(test)]
mod tests;
