//! Decides which backups of a schedule are deleted.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::BackupRetention;

/// Number of failed backups that are kept, the last ones, whatever the retention says.
const FAILED: usize = 3;

/// A backup that the schedule has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// When the schedule fired for it.
    pub fired: Timestamp,
    /// Time of its snapshot, or of its creation while there is none.
    pub taken: Timestamp,
    /// How far it is.
    pub state: BackupState,
    /// A drill has restored it.
    pub verified: bool,
    /// An Orchestra is being restored from it, or a drill is under way.
    pub in_use: bool,
}

/// The state of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// It is being made, or waits.
    UnderWay,
    /// It is Stalled, a person must act: reason and message.
    Stalled(String, String),
    /// Its manifest is stored.
    Complete,
    /// It failed: reason and message.
    Failed(String, String),
    /// Its deletion was requested, or it has a value that this version does not know: it is left as it is.
    Leaving,
}

/// A backup that is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupRemoval {
    /// Its place in the list of backups.
    pub of: usize,
    /// When it was old enough, where it is deleted because of its age.
    pub since: Option<Timestamp>,
}

/// The backups to delete, the oldest first. `zone` is where days begin.
///
/// A backup that is not complete is kept while it is under way; of those that failed, the last three are.
pub fn removals(made: &[Made], keep: Option<&BackupRetention>, zone: &TimeZone, now: Timestamp) -> Vec<BackupRemoval> {
    let newest_first = |is: fn(&Made) -> bool| {
        let mut found: Vec<usize> = (0..made.len()).filter(|of| is(&made[*of])).collect();
        found.sort_by_key(|of| (Reverse(made[*of].taken), Reverse(made[*of].name.as_str())));
        found
    };
    let failed = newest_first(|made| matches!(made.state, BackupState::Failed(..)));
    let mut removals: Vec<_> = failed
        .into_iter()
        .skip(FAILED)
        .map(|of| BackupRemoval { of, since: None })
        .collect();
    if let Some(keep) = keep {
        let complete = newest_first(|made| made.state == BackupState::Complete);
        removals.extend(of_complete(made, &complete, keep, zone, now));
    }
    removals.sort_by_key(|removal| (made[removal.of].taken, made[removal.of].name.as_str()));
    removals
}

/// Those of the complete ones to delete. The input is sorted, the newest first.
fn of_complete(
    made: &[Made],
    complete: &[usize],
    keep: &BackupRetention,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<BackupRemoval> {
    let mut protected = BTreeSet::<usize>::new();
    protected.extend(complete.first());
    protected.extend(complete.iter().find(|of| made[**of].verified));
    protected.extend(complete.iter().filter(|of| made[**of].in_use));
    let counted = counted(made, complete, keep, zone);
    let removal = |of: usize| {
        let since = keep.max_age.and_then(|age| old_since(made[of].taken, age.as_std()));
        if since.is_some_and(|since| since <= now) {
            return Some(BackupRemoval { of, since });
        }
        let uncounted = counted.as_ref().is_some_and(|counted| !counted.contains(&of));
        uncounted.then_some(BackupRemoval { of, since: None })
    };
    let rest = complete.iter().filter(|of| !protected.contains(*of));
    rest.filter_map(|of| removal(*of)).collect()
}

/// When a backup reaches this age; never, where that time cannot be represented.
fn old_since(taken: Timestamp, age: Duration) -> Option<Timestamp> {
    taken.checked_add(SignedDuration::try_from(age).ok()?).ok()
}

/// Those that a count keeps; none where no count is given.
fn counted(made: &[Made], complete: &[usize], keep: &BackupRetention, zone: &TimeZone) -> Option<BTreeSet<usize>> {
    let date = |of: &usize| made[*of].taken.to_zoned(zone.clone()).date();
    let mut counted = BTreeSet::new();
    let mut any = false;
    let mut count = |most: Option<i32>, period: &dyn Fn(usize, Date) -> (i32, i32)| {
        let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else {
            return;
        };
        any = true;
        let mut periods = BTreeSet::new();
        for (place, of) in complete.iter().enumerate() {
            if periods.len() == most {
                break;
            }
            if periods.insert(period(place, date(of))) {
                counted.insert(*of);
            }
        }
    };
    count(keep.last, &|place, _| (i32::try_from(place).unwrap_or(i32::MAX), 0));
    count(keep.daily, &|_, date| (date.year().into(), date.day_of_year().into()));
    count(keep.weekly, &|_, date| {
        let week = date.iso_week_date();
        (week.year().into(), week.week().into())
    });
    count(keep.monthly, &|_, date| (date.year().into(), date.month().into()));
    any.then_some(counted)
}

#[cfg(test)]
mod tests;
