//! Whether the provider answers a class. In a partial outage it answers some requests: after each relapse the class waits
//! for more answers in a row, so that the objects that wait for it are not triggered by every single answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use parking_lot::Mutex;

use crate::api::OrchestraClass;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::error::ErrorClass;

/// How often a provider that fails is asked whether it answers again, once for all that wait for it.
const ASKED_AGAIN: Duration = Duration::from_secs(10);

/// The same after an answer, while more are needed.
const CONFIRMED: Duration = Duration::from_secs(2);

/// A failure within this time after the end of an outage is a relapse.
const RELAPSE: Duration = Duration::from_mins(5);

/// The most answers in a row that end an outage.
const MOST: u32 = 8;

/// How the provider answered each class, by the class's name.
#[derive(Default)]
pub struct Outages(Mutex<HashMap<String, Outage>>);

#[derive(Debug)]
struct Outage {
    /// When the provider was asked last.
    asked: Instant,
    /// Why it does not answer, from the beginning of the outage: a text that changed with each answer would cause a status
    /// write each time.
    failed: Option<String>,
    /// Answers in a row since the last failure, and how many of them end an outage.
    good: u32,
    needed: u32,
    /// When the last outage ended.
    ended: Option<Instant>,
    /// The last answer was a refusal; only a second one in a row counts.
    doubted: bool,
}

impl Outage {
    fn new(now: Instant) -> Self {
        Self {
            asked: now,
            failed: None,
            good: 0,
            needed: 1,
            ended: None,
            doubted: false,
        }
    }

    fn fail(&mut self, message: String, now: Instant) {
        self.asked = now;
        self.good = 0;
        if self.failed.is_none() {
            let relapsed = self.ended.is_some_and(|at| now.saturating_duration_since(at) < RELAPSE);
            self.needed = if relapsed { (self.needed * 2).min(MOST) } else { 1 };
            self.failed = Some(message);
        }
    }

    fn succeed(&mut self, now: Instant) {
        self.asked = now;
        self.good = self.good.saturating_add(1);
        self.doubted = false;
        if self.failed.is_some() && self.good >= self.needed {
            self.failed = None;
            self.ended = Some(now);
        }
    }

    /// The state of the provider for a class: the error of an outage says when to ask again.
    fn stands(&self, now: Instant) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(message) => Err(waits(message.clone(), self.left(now))),
        }
    }

    fn left(&self, now: Instant) -> Duration {
        let pace = if self.good > 0 { CONFIRMED } else { ASKED_AGAIN };
        pace.saturating_sub(now.saturating_duration_since(self.asked))
    }
}

impl Outages {
    /// The state when the provider was asked a moment ago; none when it is time to ask.
    pub(super) fn last_answer(&self, class: &OrchestraClass) -> Option<Result<(), Error>> {
        let now = Instant::now();
        let all = self.0.lock();
        let outage = all.get(&class.name_any())?;
        let pace_is_over = match outage.failed {
            Some(_) => outage.left(now).is_zero(),
            None => now.saturating_duration_since(outage.asked) >= ASKED_AGAIN,
        };
        (!pace_is_over).then(|| outage.stands(now))
    }

    /// Remembers what the provider answered to a class that it has not accepted yet. After a transient failure the provider
    /// is asked again in a moment.
    pub(super) fn answered<T>(&self, class: &OrchestraClass, answer: Result<T, Error>) -> Result<T, Error> {
        let now = Instant::now();
        let mut all = self.0.lock();
        let outage = all.entry(class.name_any()).or_insert_with(|| Outage::new(now));
        match answer {
            Ok(answer) => {
                // The provider answered the request.
                *outage = Outage::new(now);
                Ok(answer)
            }
            Err(error) if is_passing(&error) => {
                outage.fail(error.to_string(), now);
                Err(waits(error.to_string(), outage.left(now)))
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers what the provider answered to a class that it has accepted. A refusal counts when it comes twice in a
    /// row: in an outage, a server in front of the provider may refuse what it does not pass on.
    pub(super) fn confirmed(&self, class: &OrchestraClass, answer: Result<(), Error>) -> Result<(), Error> {
        let now = Instant::now();
        let mut all = self.0.lock();
        let outage = all.entry(class.name_any()).or_insert_with(|| Outage::new(now));
        match answer {
            Ok(()) => outage.succeed(now),
            // The request only waits for its turn.
            Err(error) if matches!(error.class(), ErrorClass::After(_)) => return outage.stands(now),
            Err(error) if !error.is_passing() && outage.doubted => return Err(error),
            Err(error) => {
                outage.doubted = !error.is_passing();
                outage.fail(error.to_string(), now);
            }
        }
        outage.stands(now)
    }

    /// Forgets a class.
    pub(super) fn forget(&self, class: &OrchestraClass) {
        self.0.lock().remove(&class.name_any());
    }
}

fn is_passing(error: &Error) -> bool {
    error.reason() == Reason::ProviderUnavailable && error.class() == ErrorClass::Transient
}

fn waits(message: String, after: Duration) -> Error {
    Error::Stop {
        class: ErrorClass::After(after),
        reason: Reason::ProviderUnavailable,
        message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn class() -> OrchestraClass {
        OrchestraClass::new("a", crate::api::OrchestraClassSpec::default())
    }

    fn down(message: &str) -> Error {
        Error::transient(Reason::ProviderUnavailable, message)
    }

    #[test]
    fn a_provider_that_fails_is_asked_once_in_a_while() {
        let (outages, class) = (Outages::default(), class());
        assert!(outages.last_answer(&class).is_none());
        let failed = outages.answered::<()>(&class, Err(down("502")));
        for error in [failed.unwrap_err(), outages.last_answer(&class).unwrap().unwrap_err()] {
            assert_eq!(
                (error.reason(), error.to_string().as_str()),
                (Reason::ProviderUnavailable, "502")
            );
            assert!(matches!(error.class(), ErrorClass::After(wait) if wait <= ASKED_AGAIN));
        }
        let rejected = Error::blocked(Reason::TokenRejected, "401");
        let told = outages.answered::<()>(&class, Err(rejected)).unwrap_err();
        assert_eq!(told.class(), ErrorClass::Blocked);
        outages.answered(&class, Ok(())).unwrap();
        assert!(outages.last_answer(&class).unwrap().is_ok());
        outages.forget(&class);
        assert!(outages.last_answer(&class).is_none());
    }

    #[test]
    fn a_relapse_needs_more_answers_in_a_row() {
        let mut now = Instant::now();
        let mut outage = Outage::new(now);
        for needed in [1, 2, 4, 8, 8] {
            outage.fail("502".into(), now);
            for _ in 1..needed {
                outage.succeed(now);
                assert!(outage.stands(now).is_err() && outage.left(now) == CONFIRMED, "{needed}");
            }
            if needed > 1 {
                // The successful answers are not in a row.
                outage.fail("timeout".into(), now);
                let text = outage.stands(now).unwrap_err().to_string();
                assert_eq!(
                    (text.as_str(), outage.left(now)),
                    ("502", ASKED_AGAIN),
                    "one text for one outage"
                );
                for _ in 1..needed {
                    outage.succeed(now);
                }
            }
            outage.succeed(now);
            assert!(outage.stands(now).is_ok(), "{needed}");
        }
        now += RELAPSE;
        outage.fail("500".into(), now);
        outage.succeed(now);
        assert!(outage.stands(now).is_ok(), "a new outage");
    }

    #[test]
    fn a_refusal_of_an_accepted_class_counts_when_it_comes_twice() {
        let (outages, class) = (Outages::default(), class());
        let forbidden = || Err(Error::blocked(Reason::PermissionDenied, "403"));
        for _ in 0..2 {
            let first = outages.confirmed(&class, forbidden()).unwrap_err();
            assert_eq!(first.reason(), Reason::ProviderUnavailable);
            outages.confirmed(&class, Ok(())).unwrap_or_default();
        }
        outages.confirmed(&class, forbidden()).unwrap_err();
        let second = outages.confirmed(&class, forbidden()).unwrap_err();
        assert_eq!(
            (second.reason(), second.class()),
            (Reason::PermissionDenied, ErrorClass::Blocked)
        );
    }
}
