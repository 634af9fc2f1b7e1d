//! What was tried in the background for pools, and how it ended. Probes of entries and preparations of members are
//! remembered here, so that a pass can read their outcome and none is repeated too early.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::users;
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::error::ErrorClass;

/// The last attempt on each entry or member, by the UID of its pool and by its key. A successful attempt
/// has a `T`.
pub struct Attempts<T>(Mutex<HashMap<String, HashMap<String, Attempt<T>>>>);

/// The last attempt on one entry or member.
#[derive(Clone, Debug)]
pub struct Attempt<T> {
    /// What was tried, as a digest: an attempt on something else does not count.
    subject: String,
    /// What a person had asked for when it started ([`crate::api::retry_wish`]).
    wish: String,
    /// When it started; once it has ended, when it ended.
    at: Instant,
    /// Its state.
    pub state: AttemptState<T>,
    /// Why the last finished attempt was refused. It is kept while the next one is running.
    pub refusal: Option<Refusal>,
}

/// The state of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptState<T> {
    /// It is running.
    Running,
    /// It succeeded.
    Done(T),
    /// It was refused.
    Refused,
}

/// Why an attempt was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who can act on it.
    pub class: ErrorClass,
    /// Reason of the condition.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
    /// The OrchestraDatabase of the entry that leads to the same database.
    pub duplicate_of: Option<String>,
}

impl Refusal {
    /// Whether it is transient.
    pub fn is_passing(&self) -> bool {
        matches!(self.class, ErrorClass::Transient | ErrorClass::After(_))
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self {
            class: error.class(),
            reason: error.reason(),
            message: error.to_string(),
            duplicate_of: None,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl Refusal {
    /// The refusal of an entry that leads to the database of this other entry's OrchestraDatabase.
    pub fn duplicate(other: &OrchestraDatabase) -> Self {
        let duplicate = Error::blocked(Reason::DuplicateEntry, users::duplicate(other));
        Self {
            duplicate_of: other.metadata.name.clone(),
            ..Self::from(&duplicate)
        }
    }
}

impl<T> Attempt<T> {
    /// Time since it ended, or since its start while it is running.
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Whether a person has asked for another attempt since it started.
    pub fn is_asked_again(&self, wish: &str) -> bool {
        !wish.is_empty() && self.wish != wish
    }
}

impl<T> Default for Attempts<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Attempts<T> {
    /// The last attempt with this subject.
    pub fn get(&self, pool: &str, key: &str, subject: &str) -> Option<Attempt<T>> {
        let attempts = self.0.lock();
        let attempt = attempts.get(pool)?.get(key)?;
        (attempt.subject == subject).then(|| attempt.clone())
    }

    /// Records that an attempt starts. The refusal of an earlier one with the same subject is kept.
    pub fn begin(&self, pool: &str, key: &str, subject: &str) {
        self.begin_for(pool, key, subject, "");
    }

    /// The same for what a person has asked for.
    pub fn begin_for(&self, pool: &str, key: &str, subject: &str, wish: &str) {
        let mut attempts = self.0.lock();
        let attempts = attempts.entry(pool.into()).or_default();
        let last = attempts.remove(key).filter(|last| last.subject == subject);
        let attempt = Attempt {
            subject: subject.into(),
            wish: wish.into(),
            at: Instant::now(),
            state: AttemptState::Running,
            refusal: last.and_then(|last| last.refusal),
        };
        attempts.insert(key.into(), attempt);
    }

    /// Records how an attempt ended, unless it was forgotten or another subject is tried by now.
    pub fn end(&self, pool: &str, key: &str, subject: &str, outcome: Result<T, Refusal>) {
        let mut attempts = self.0.lock();
        let attempt = attempts.get_mut(pool).and_then(|attempts| attempts.get_mut(key));
        let Some(attempt) = attempt.filter(|attempt| attempt.subject == subject) else {
            return;
        };
        attempt.at = Instant::now();
        (attempt.state, attempt.refusal) = match outcome {
            Ok(done) => (AttemptState::Done(done), None),
            Err(refusal) => (AttemptState::Refused, Some(refusal)),
        };
    }

    /// The keys of a pool whose last finished attempt was refused, in no order.
    pub fn refused(&self, pool: &str) -> Vec<(String, Refusal)> {
        let attempts = self.0.lock();
        let of_pool = attempts.get(pool).into_iter().flatten();
        let refused = of_pool.filter_map(|(key, attempt)| Some((key.clone(), attempt.refusal.clone()?)));
        refused.collect()
    }

    /// UIDs of the pools with an entry that was refused because it leads to the database of this OrchestraDatabase.
    pub fn duplicates_of(&self, database: &str) -> Vec<String> {
        let attempts = self.0.lock();
        let is_double = |attempt: &Attempt<T>| {
            let refusal = attempt.refusal.as_ref();
            refusal.is_some_and(|refusal| refusal.duplicate_of.as_deref() == Some(database))
        };
        let pools = attempts.iter().filter(|(_, of_pool)| of_pool.values().any(is_double));
        pools.map(|(pool, _)| pool.clone()).collect()
    }

    /// Forgets an attempt.
    pub fn forget(&self, pool: &str, key: &str) {
        if let Some(attempts) = self.0.lock().get_mut(pool) {
            attempts.remove(key);
        }
    }

    /// Forgets the attempts of a pool whose keys are no longer wanted, and returns those that were running.
    pub fn retain(&self, pool: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut cut_off = Vec::new();
        let mut attempts = self.0.lock();
        if let Some(attempts) = attempts.get_mut(pool) {
            attempts.retain(|key, attempt| {
                let keep = wanted(key);
                if !keep && matches!(attempt.state, AttemptState::Running) {
                    cut_off.push(key.clone());
                }
                keep
            });
        }
        cut_off
    }

    /// Forgets the attempts of pools that no longer exist.
    pub fn retain_pools(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|pool, _| exists(pool));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_attempt_counts_for_its_subject_only() {
        let attempts = Attempts::<u8>::default();
        attempts.begin("pool", "key", "one");
        assert!(attempts.get("pool", "key", "two").is_none());
        assert!(attempts.get("other", "key", "one").is_none());
        attempts.end("pool", "key", "two", Ok(2));
        let state = attempts.get("pool", "key", "one").unwrap().state;
        assert_eq!(state, AttemptState::Running);
        attempts.end("pool", "key", "one", Ok(1));
        assert_eq!(attempts.get("pool", "key", "one").unwrap().state, AttemptState::Done(1));
        attempts.end("pool", "gone", "one", Ok(1));
        assert!(attempts.get("pool", "gone", "one").is_none());
    }

    #[test]
    fn a_request_that_an_attempt_has_not_seen_is_for_another_one() {
        let attempts = Attempts::<u8>::default();
        attempts.begin_for("pool", "key", "one", "first");
        attempts.end("pool", "key", "one", Err(Error::blocked(Reason::InUse, "full").into()));
        let attempt = attempts.get("pool", "key", "one").unwrap();
        let asked = ["", "first", "second"].map(|wish| attempt.is_asked_again(wish));
        assert_eq!(asked, [false, false, true]);
    }

    #[test]
    fn a_refusal_is_told_while_the_next_attempt_goes_on() {
        let attempts = Attempts::<u8>::default();
        let refusal = Refusal::from(&Error::blocked(Reason::InUse, "full"));
        attempts.begin("pool", "key", "one");
        attempts.end("pool", "key", "one", Err(refusal.clone()));
        attempts.begin("pool", "key", "one");
        let running = attempts.get("pool", "key", "one").unwrap();
        assert_eq!((running.state, running.refusal), (AttemptState::Running, Some(refusal)));
        attempts.begin("pool", "key", "two");
        assert_eq!(attempts.get("pool", "key", "two").unwrap().refusal, None);
        assert_eq!(attempts.retain("pool", |key| key != "key"), ["key"]);
        assert!(attempts.get("pool", "key", "two").is_none());
    }
}
