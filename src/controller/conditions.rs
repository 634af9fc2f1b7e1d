//! Conditions as kstatus and `kubectl wait` read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::condition::{ConditionType, Reason};
pub use crate::api::condition::{find, is_true};
use crate::text;

/// Longest message of a condition, in characters: enough for an error with its context, and still readable in
/// a table.
pub const MESSAGE_LIMIT: usize = 1000;

/// What begins the message of a condition whose part is lost.
const LAST_SEEN: &str = "as last seen: ";

/// How an object stands: whether anything is to be done, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is to be done.
    Settled,
    /// The operator is working on it, or waits and then continues.
    Reconciling,
    /// A person must act.
    Stalled,
}

/// Builds the conditions of an object. A transition time changes only when the status flips, and every condition
/// carries the generation that it was computed for.
pub struct Conditions<'a> {
    old: &'a [Condition],
    generation: i64,
    now: Timestamp,
    new: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts without conditions.
    pub fn new(old: &'a [Condition], generation: Option<i64>) -> Self {
        Self {
            old,
            generation: generation.unwrap_or_default(),
            now: Timestamp::now(),
            new: Vec::new(),
        }
    }

    /// Adds a condition.
    pub fn set(&mut self, type_: ConditionType, status: bool, reason: Reason, message: &str) {
        self.put(type_, if status { "True" } else { "False" }, reason, message);
    }

    /// Adds a condition of which it is not known whether it is met.
    pub fn set_unknown(&mut self, type_: ConditionType, reason: Reason, message: &str) {
        self.put(type_, "Unknown", reason, message);
    }

    fn put(&mut self, type_: ConditionType, status: &str, reason: Reason, message: &str) {
        let last = self.old.iter().find(|condition| condition.type_ == type_.as_str());
        let last_transition_time = match last {
            Some(last) if last.status == status => last.last_transition_time.clone(),
            _ => Time(self.now),
        };
        self.new.push(Condition {
            type_: type_.as_str().into(),
            status: status.into(),
            reason: reason.as_str().into(),
            message: text::whole_words(message, MESSAGE_LIMIT),
            observed_generation: Some(self.generation),
            last_transition_time,
        });
    }

    /// Keeps a condition as it was, under the new generation; one that did not exist is False with this reason.
    pub fn keep(&mut self, type_: ConditionType, reason: Reason) {
        match self.old.iter().find(|condition| condition.type_ == type_.as_str()) {
            Some(last) => self.new.push(Condition {
                observed_generation: Some(self.generation),
                ..last.clone()
            }),
            None => self.set(type_, false, reason, "not started"),
        }
    }

    /// Keeps a condition of this very generation that has this status and reason; false when there is none.
    pub fn keep_current(&mut self, type_: ConditionType, status: bool, reason: Reason) -> bool {
        let status = if status { "True" } else { "False" };
        let last = find(self.old, type_).filter(|last| {
            last.status == status && last.reason == reason.as_str() && last.observed_generation == Some(self.generation)
        });
        self.new.extend(last.cloned());
        last.is_some()
    }

    /// Keeps a condition of a part that was not looked at, because the pass failed before or the part is not there now: it
    /// still describes the generation that it did before. One that did not exist is False with the reason of the failure.
    pub fn keep_stale(&mut self, type_: ConditionType, failure: Reason) {
        match find(self.old, type_) {
            Some(last) => self.new.push(last.clone()),
            None => self.set(type_, false, failure, "not started"),
        }
    }

    /// The same for a part of a database that is lost: reason and message say that it is the last one.
    pub fn keep_last_seen(&mut self, type_: ConditionType) {
        self.keep_stale(type_, Reason::Pending);
        let existed = find(self.old, type_).is_some();
        let kept = self.new.last_mut().filter(|_| existed);
        if let Some(kept) = kept.filter(|kept| kept.reason != Reason::DatabaseLost.as_str()) {
            Reason::DatabaseLost.as_str().clone_into(&mut kept.reason);
            kept.message = text::whole_words(&format!("{LAST_SEEN}{}", kept.message), MESSAGE_LIMIT);
        }
    }

    /// Whether a condition was True before.
    pub fn was_true(&self, type_: ConditionType) -> bool {
        is_true(self.old, type_)
    }

    /// Whether a condition was True for this very generation before. One of an earlier generation says nothing about the
    /// current spec.
    pub fn was_met(&self, type_: ConditionType) -> bool {
        let last = find(self.old, type_);
        self.was_true(type_) && last.is_some_and(|last| last.observed_generation == Some(self.generation))
    }

    /// Keeps an optional condition, which exists only while it reports something, if it exists.
    pub fn keep_shown(&mut self, type_: ConditionType) {
        if find(self.old, type_).is_some() {
            self.keep(type_, Reason::Pending);
        }
    }

    /// The same under the generation that it describes.
    pub fn keep_shown_stale(&mut self, type_: ConditionType) {
        self.new.extend(find(self.old, type_).cloned());
    }

    /// Adds Reconciling or Stalled, never both, and neither for a settled object.
    pub fn stand(&mut self, standing: Standing, reason: Reason, message: &str) {
        match standing {
            Standing::Settled => {}
            Standing::Reconciling => self.set(ConditionType::Reconciling, true, reason, message),
            Standing::Stalled => self.set(ConditionType::Stalled, true, reason, message),
        }
    }

    /// The conditions, in the order in which they were set.
    pub fn finish(self) -> Vec<Condition> {
        self.new
    }
}

/// How conditions contradict their reasons, or each other; none when they do not.
#[cfg(test)]
pub(crate) fn contradiction(conditions: &[Condition]) -> Option<String> {
    let is = |type_| is_true(conditions, type_);
    let reason = |condition: &Condition| condition.reason.parse::<Reason>().ok();
    let told = |condition: &&Condition| {
        let Some(reason) = reason(condition) else { return true };
        let works = [ConditionType::Reconciling, ConditionType::Stalled];
        let unmet = condition.status == "False" || works.iter().any(|type_| type_.as_str() == condition.type_);
        unmet && reason.is_fulfilled()
    };
    if let Some(odd) = conditions.iter().find(told) {
        return Some(format!("{odd:?}"));
    }
    let (reconciling, stalled) = (is(ConditionType::Reconciling), is(ConditionType::Stalled));
    match (is(ConditionType::Ready), reconciling, stalled) {
        (_, true, true) => Some("it goes on by itself, and a person must act".into()),
        (true, _, true) => Some("it is Ready, and a person must act".into()),
        (false, false, false) => Some("it is not Ready, and nobody acts".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_object_that_was_recorded_contradicts_itself() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/standings");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "yaml") {
                continue;
            }
            let object: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let conditions = object["status"]["conditions"].clone();
            let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
            // A paused database is settled and not Ready; one in use whose deletion was requested is Ready and Stalled.
            let is_database = object["kind"] == "OrchestraDatabase";
            let odd = contradiction(&conditions).filter(|odd| !is_database || !odd.starts_with("it is"));
            assert_eq!(odd, None, "{}", path.display());
            count += usize::from(!conditions.is_empty());
        }
        assert!(count > 40, "{count} objects have conditions");
    }

    #[test]
    fn a_transition_time_moves_only_on_a_flip() {
        let mut first = Conditions::new(&[], Some(1));
        first.now = Timestamp::UNIX_EPOCH;
        first.set(ConditionType::Ready, false, Reason::Pending, "begins");
        let first = first.finish();

        let mut same = Conditions::new(&first, Some(2));
        same.set(ConditionType::Ready, false, Reason::Migrating, "goes on");
        let same = same.finish();
        assert_eq!(same[0].last_transition_time.0, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (same[0].observed_generation, same[0].reason.as_str()),
            (Some(2), "Migrating")
        );

        let mut flipped = Conditions::new(&same, Some(2));
        flipped.set(ConditionType::Ready, true, Reason::Ready, "done");
        assert!(flipped.finish()[0].last_transition_time.0 > Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_an_earlier_generation_met_is_not_met_by_this_one() {
        let mut first = Conditions::new(&[], Some(1));
        first.set(ConditionType::Ready, true, Reason::Ready, "done");
        let first = first.finish();
        for (generation, met) in [(Some(1), true), (Some(2), false), (None, false)] {
            let conditions = Conditions::new(&first, generation);
            assert!(conditions.was_true(ConditionType::Ready));
            assert_eq!(conditions.was_met(ConditionType::Ready), met, "{generation:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_kept_under_its_generation() {
        let mut first = Conditions::new(&[], Some(1));
        first.set(ConditionType::Migrated, true, Reason::Ready, "everything is applied");
        let first = first.finish();
        let mut failed = Conditions::new(&first, Some(2));
        failed.keep_stale(ConditionType::Migrated, Reason::SourceInvalid);
        failed.keep_stale(ConditionType::Seeded, Reason::SourceInvalid);
        let failed = failed.finish();
        assert_eq!(failed[0], first[0]);
        assert_eq!(
            (
                failed[1].status.as_str(),
                failed[1].reason.as_str(),
                failed[1].observed_generation
            ),
            ("False", "SourceInvalid", Some(2))
        );

        let mut paused = Conditions::new(&first, Some(2));
        paused.keep_shown_stale(ConditionType::Migrated);
        paused.keep_shown_stale(ConditionType::HistoryAgrees);
        assert_eq!(paused.finish(), first);
    }

    #[test]
    fn what_is_lost_is_told_once_as_last_seen() {
        let mut first = Conditions::new(&[], Some(1));
        first.set(ConditionType::Migrated, true, Reason::Ready, "everything is applied");
        let mut kept = first.finish();
        for generation in [1, 2] {
            let mut lost = Conditions::new(&kept, Some(generation));
            lost.keep_last_seen(ConditionType::Migrated);
            lost.keep_last_seen(ConditionType::TablesReadable);
            kept = lost.finish();
            let migrated = (&*kept[0].status, &*kept[0].reason, &*kept[0].message);
            assert_eq!(
                migrated,
                ("True", "DatabaseLost", "as last seen: everything is applied")
            );
            assert_eq!(kept[0].observed_generation, Some(1));
            assert!(kept[1].message.ends_with("not started"), "{kept:?}");
        }
    }

    #[test]
    fn a_condition_of_this_generation_is_kept_as_it_is() {
        let mut first = Conditions::new(&[], Some(1));
        first.set(ConditionType::Available, false, Reason::Ready, "claims can be met");
        let first = first.finish();
        for (generation, status, reason, kept) in [
            (1, false, Reason::Ready, true),
            (2, false, Reason::Ready, false),
            (1, true, Reason::Ready, false),
            (1, false, Reason::Pending, false),
        ] {
            let mut conditions = Conditions::new(&first, Some(generation));
            assert_eq!(conditions.keep_current(ConditionType::Available, status, reason), kept);
            assert_eq!(conditions.finish() == first, kept);
        }
    }

    #[test]
    fn reconciling_and_stalled_exclude_each_other() {
        for (progress, expected) in [
            (Standing::Settled, None),
            (Standing::Reconciling, Some("Reconciling")),
            (Standing::Stalled, Some("Stalled")),
        ] {
            let mut conditions = Conditions::new(&[], None);
            conditions.stand(progress, Reason::Pending, "");
            assert_eq!(
                conditions
                    .finish()
                    .first()
                    .map(|condition| condition.type_.clone())
                    .as_deref(),
                expected
            );
        }
    }
}
