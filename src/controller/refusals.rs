//! Refusals. What was refused is not tried again at every event, but after a wait that doubles. An attempt that a person
//! requests meanwhile is made after the first wait.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::backoff::{REMEMBERED, SLOWEST};
use super::error::Error;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::recent::Recent;
use crate::text;

/// The first wait after a refusal; each further one doubles it, up to [`SLOWEST`].
const FIRST: Duration = Duration::from_secs(10);

/// The most bytes of a message that are kept: a status holds no more.
const KEPT: usize = 8 << 10;

/// An attempt: the digest of what is tried, and what a person had asked for when it began
/// ([`crate::api::retry_wish`]).
pub type AttemptKey<'a> = (&'a str, &'a str);

/// The last refusal of each key, with a digest of what was tried.
pub struct Refusals(Mutex<Recent<LastRefusal>>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

struct LastRefusal {
    digest: String,
    wish: String,
    /// A person has asked for another attempt since.
    asked: bool,
    times: u32,
    at: Instant,
    class: ErrorClass,
    reason: Reason,
    message: String,
    /// Whether the message names the migration that ran.
    of_run: bool,
}

impl LastRefusal {
    fn wait(&self) -> Duration {
        let longest = if self.asked { FIRST } else { SLOWEST };
        FIRST.saturating_mul(2_u32.saturating_pow(self.times)).min(longest)
    }
}

impl Refusals {
    /// Remembers a refusal, unless its error is transient. It does not answer a request that a person made while the attempt
    /// was under way.
    pub fn refuse(&self, key: &str, (digest, wish): AttemptKey<'_>, error: &Error) {
        if error.is_passing() {
            return;
        }
        let mut refused = self.0.lock();
        let times = refused
            .get(key)
            .filter(|last| last.digest == digest && last.wish == wish)
            .map_or(0, |last| last.times + 1);
        let last = LastRefusal {
            digest: digest.into(),
            wish: wish.into(),
            asked: false,
            times,
            at: Instant::now(),
            class: error.class(),
            reason: error.reason(),
            message: text::kept(&error.to_string(), KEPT),
            of_run: matches!(error, Error::OfRun { .. }),
        };
        refused.insert(key, last);
    }

    /// The refusal, as long as the same must not be tried again.
    pub fn refusal(&self, key: &str, (digest, wish): AttemptKey<'_>) -> Option<Error> {
        let mut refused = self.0.lock();
        let last = refused.get_mut(key).filter(|last| last.digest == digest)?;
        last.asked = !wish.is_empty() && last.wish != wish;
        if last.at.elapsed() >= last.wait() {
            // Failures before the attempt have their own interval.
            last.asked = false;
            return None;
        }
        let (class, reason, message) = (last.class, last.reason, last.message.clone());
        Some(if last.of_run {
            Error::OfRun { class, reason, message }
        } else {
            Error::Stop { class, reason, message }
        })
    }

    /// How long a requested retry still has to wait; none when no retry was requested.
    pub fn asked(&self, key: &str) -> Option<Duration> {
        let refused = self.0.lock();
        let last = refused.get(key).filter(|last| last.asked)?;
        Some(last.wait().saturating_sub(last.at.elapsed()))
    }

    /// Whether a refusal is remembered for this key, whatever was refused.
    pub fn is_known(&self, key: &str) -> bool {
        self.0.lock().get(key).is_some()
    }

    /// Forgets the refusal of a key.
    pub fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_is_refused_for_a_while_and_something_else_is_not() {
        let refusals = Refusals::default();
        let error = Error::blocked(Reason::QuotaExceeded, "full");
        refusals.refuse("a", ("one", ""), &error);
        let again = refusals.refusal("a", ("one", "")).map(|error| error.reason());
        assert_eq!(again, Some(Reason::QuotaExceeded));
        assert!(refusals.refusal("a", ("two", "")).is_none() && refusals.refusal("b", ("one", "")).is_none());
        refusals.forget("a");
        assert!(refusals.refusal("a", ("one", "")).is_none());
        refusals.refuse("a", ("one", ""), &Error::transient(Reason::ProviderUnavailable, "away"));
        assert!(refusals.refusal("a", ("one", "")).is_none());
        let of_run = Error::OfRun {
            class: ErrorClass::Blocked,
            reason: Reason::DatabaseRefused,
            message: "after migration a was applied: permission denied".into(),
        };
        refusals.refuse("a", ("one", ""), &of_run);
        assert!(matches!(refusals.refusal("a", ("one", "")), Some(Error::OfRun { .. })));
    }

    #[test]
    fn who_asks_for_another_attempt_waits_as_long_as_after_the_first() {
        let refusals = Refusals::default();
        let error = Error::blocked(Reason::MigrationFailed, "failed");
        for _ in 0..20 {
            refusals.refuse("a", ("one", "before"), &error);
        }
        let ago = |back: Duration| {
            let mut refused = refusals.0.lock();
            let last = refused.get_mut("a").unwrap();
            last.at = last.at.checked_sub(back).unwrap();
        };
        // A request from before the attempt is answered by it.
        assert!(refusals.refusal("a", ("one", "before")).is_some() && refusals.asked("a").is_none());
        assert!(refusals.refusal("a", ("one", "now")).is_some());
        let left = refusals.asked("a").unwrap();
        assert!(left <= FIRST && left > FIRST / 2, "{left:?}");
        ago(FIRST);
        assert!(refusals.refusal("a", ("one", "before")).is_some());
        assert!(refusals.refusal("a", ("one", "now")).is_none() && refusals.asked("a").is_none());
        // It failed again: the waits start again from the shortest one, and the request is answered.
        refusals.refuse("a", ("one", "now"), &error);
        assert!(refusals.refusal("a", ("one", "now")).is_some() && refusals.asked("a").is_none());
        ago(FIRST);
        assert!(refusals.refusal("a", ("one", "now")).is_none());
    }

    #[test]
    fn a_message_is_kept_as_far_as_it_is_shown() {
        let refusals = Refusals::default();
        refusals.refuse(
            "a",
            ("one", ""),
            &Error::blocked(Reason::MigrationFailed, "é".repeat(4 << 20)),
        );
        let kept = refusals.0.lock().get("a").map(|refused| refused.message.capacity());
        assert!(kept.is_some_and(|bytes| bytes < 2 * KEPT), "{kept:?}");
        assert!(
            refusals
                .refusal("a", ("one", ""))
                .is_some_and(|error| error.to_string().ends_with('…'))
        );
    }

    #[test]
    fn waits_double_up_to_the_slowest() {
        let refused = |times| LastRefusal {
            digest: String::new(),
            wish: String::new(),
            asked: false,
            times,
            at: Instant::now(),
            class: ErrorClass::Blocked,
            reason: Reason::QuotaExceeded,
            message: String::new(),
            of_run: false,
        };
        assert_eq!(refused(0).wait(), FIRST);
        assert_eq!(refused(1).wait(), FIRST * 2);
        assert_eq!(refused(40).wait(), SLOWEST);
    }
}
