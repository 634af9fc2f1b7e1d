//! Decides which backups of a schedule are deleted.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::condition::Reason;
use crate::api::{BackupRetention, GoDuration, RetentionLimits};

/// Number of failed backups that are kept, the last ones, whatever the retention says.
const FAILED: usize = 3;

/// A backup that the schedule has made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// It was created soon after its time. Another one makes up for a time that was missed, or a person has forged it.
    pub prompt: bool,
    /// Its time is one of the schedule as it is now.
    pub timed: bool,
}

impl Made {
    /// Whether it takes the place of an earlier prompt one: of those there is one for each time of the schedule, and nobody
    /// can forge more of them than the schedule would have made.
    pub fn replaces(&self) -> bool {
        self.prompt && self.timed
    }
}

/// The state of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// It is being made, or waits.
    UnderWay,
    /// It is Stalled, a person must act: reason and message.
    Stalled(Reason, String),
    /// Its manifest is stored.
    Complete,
    /// It failed: reason and message.
    Failed(Reason, String),
    /// Its deletion was requested, or it has a value that this version does not know: it is left as it is.
    Leaving,
}

/// Which backups are kept: as the Orchestra says, or its class for it, within the bounds of the class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The retention; none where all are kept.
    pub own: Option<BackupRetention>,
    /// The bounds.
    pub limits: Option<RetentionLimits>,
}

impl Rules {
    /// Whether a backup may have to be deleted.
    pub fn are_some(&self) -> bool {
        self.own.is_some() || self.limits.is_some()
    }

    /// The most backups that are kept at the same time, of so many that are made in a span: those of one span, where nothing
    /// bounds them.
    pub fn most_kept(&self, made: u32, span: Duration) -> u32 {
        let own = self.own.clone().unwrap_or_default();
        let limits = self.limits.clone().unwrap_or_default();
        let within = |age: GoDuration| {
            let times = u64::from(made).saturating_mul(age.as_std().as_secs());
            u32::try_from(times.div_ceil(span.as_secs().max(1))).unwrap_or(u32::MAX)
        };
        let counts = [own.last, own.daily, own.weekly, own.monthly];
        let counted = counts.into_iter().flatten().map(number).reduce(u32::saturating_add);
        let ages = [own.max_age, limits.max_age].map(|age| age.map(within));
        let most = [counted, limits.max_count.map(number)].into_iter().chain(ages);
        let least = [limits.min_count.map(number), limits.min_age.map(within)];
        let kept = most.flatten().min().unwrap_or(made);
        least.into_iter().flatten().fold(kept, u32::max).max(1)
    }
}

fn number(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
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
/// A backup that is not complete is kept while it is under way; of those that failed, the last three are. A prompt backup of a
/// time of the schedule is displaced only by newer ones of that kind, every other by any newer one. The most that the class
/// allows counts them all, whatever the schedule was when they were made.
pub fn removals(made: &[Made], rules: &Rules, zone: &TimeZone, now: Timestamp) -> Vec<BackupRemoval> {
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
    if rules.are_some() {
        let complete = newest_first(|made| made.state == BackupState::Complete);
        removals.extend(of_complete(made, &complete, rules, zone, now));
    }
    removals.sort_by_key(|removal| (made[removal.of].taken, made[removal.of].name.as_str()));
    removals
}

/// Those of the complete ones to delete. The input is sorted, the newest first.
fn of_complete(
    made: &[Made],
    complete: &[usize],
    rules: &Rules,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<BackupRemoval> {
    let mut protected = BTreeSet::<usize>::new();
    protected.extend(complete.first());
    protected.extend(complete.iter().find(|of| made[**of].verified));
    protected.extend(complete.iter().find(|of| made[**of].replaces()));
    protected.extend(complete.iter().find(|of| made[**of].replaces() && made[**of].verified));
    protected.extend(complete.iter().filter(|of| made[**of].in_use));
    let limits = rules.limits.clone().unwrap_or_default();
    let counted = rules.own.as_ref().and_then(|own| counted(made, complete, own, zone));
    let old_since = |of: usize, age: GoDuration| old_since(made[of].taken, age.as_std());
    let max_age = rules.own.as_ref().and_then(|own| own.max_age).into_iter();
    let max_age = max_age.chain(limits.max_age).min_by_key(|age| age.as_std());
    let most = limits
        .max_count
        .map(|most| within(made, complete, &protected, limits.min_count, most));
    let removal = |(place, of): (usize, usize)| {
        let is_within_least = limits.min_count.is_some_and(|least| place < number(least) as usize);
        let is_young = limits
            .min_age
            .is_some_and(|age| old_since(of, age).is_none_or(|since| now < since));
        if protected.contains(&of) || is_young {
            return None;
        }
        // Its age decides as well: until it is certain that it is not younger than it must be, it is kept.
        let counts = BackupRemoval {
            of,
            since: limits.min_age.and_then(|age| old_since(of, age)),
        };
        if most.as_ref().is_some_and(|most| !most.contains(&of)) {
            return Some(counts);
        }
        if is_within_least {
            return None;
        }
        let since = max_age.and_then(|age| old_since(of, age));
        if since.is_some_and(|since| since <= now) {
            return Some(BackupRemoval { of, since });
        }
        let uncounted = counted.as_ref().is_some_and(|counted| !counted.contains(&of));
        uncounted.then_some(counts)
    };
    places(made, complete).into_iter().filter_map(removal).collect()
}

/// The complete ones, each with the number of newer ones that may take its place.
fn places(made: &[Made], complete: &[usize]) -> Vec<(usize, usize)> {
    let mut replacing = 0;
    let place = |(newer, of): (usize, &usize)| {
        let place = if made[*of].replaces() { replacing } else { newer };
        replacing += usize::from(made[*of].replaces());
        (place, *of)
    };
    complete.iter().enumerate().map(place).collect()
}

/// Those within the most that the class allows: those that stay in any case; then the least that it keeps, of those that only
/// prompt ones of the schedule's times replace, so that forged ones do not displace them; then the newest.
fn within(
    made: &[Made],
    complete: &[usize],
    protected: &BTreeSet<usize>,
    min_count: Option<i32>,
    max_count: i32,
) -> BTreeSet<usize> {
    let (least, most) = (min_count.map_or(0, number) as usize, number(max_count) as usize);
    let mut within = protected.clone();
    within.extend(complete.iter().filter(|of| made[**of].replaces()).take(least));
    for of in complete {
        if within.len() >= most {
            break;
        }
        within.insert(*of);
    }
    within
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
        let (mut replacing, mut all) = (BTreeSet::<(i32, i32)>::new(), BTreeSet::<(i32, i32)>::new());
        for (place, of) in complete.iter().enumerate() {
            let period = period(place, date(of));
            let newer = if made[*of].replaces() { &replacing } else { &all };
            if newer.len() < most && !newer.contains(&period) {
                counted.insert(*of);
            }
            if made[*of].replaces() {
                replacing.insert(period);
            }
            all.insert(period);
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
