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
    times: u32,
    at: Instant,
    class: ErrorClass,
    reason: Reason,
    message: String,
    /// Whether the message names the migration that ran.
    of_run: bool,
}

impl LastRefusal {
    /// `asked`: a person has asked for another attempt since.
    fn wait(&self, asked: bool) -> Duration {
        let longest = if asked { FIRST } else { SLOWEST };
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
            times,
            at: Instant::now(),
            class: error.class(),
            reason: error.reason(),
            message: text::kept(&error.to_string(), KEPT),
            of_run: error.names_run(),
        };
        refused.insert(key, last);
    }

    /// The refusal, as long as the same must not be tried again. After a request that a person has made since, it says when
    /// the attempt is made ([`Error::again`]). Once that is due, nothing is said: failures before the attempt have their own
    /// interval.
    pub fn refusal(&self, key: &str, (digest, wish): AttemptKey<'_>) -> Option<Error> {
        let refused = self.0.lock();
        let last = refused.get(key).filter(|last| last.digest == digest)?;
        let asked = !wish.is_empty() && last.wish != wish;
        let again = last.wait(asked).saturating_sub(last.at.elapsed());
        if again.is_zero() {
            return None;
        }
        let (class, reason, message) = (last.class, last.reason, last.message.clone());
        let refusal = if last.of_run {
            Error::OfRun { class, reason, message }
        } else {
            Error::Stop { class, reason, message }
        };
        if !asked {
            return Some(refusal);
        }
        let refusal = Box::new(refusal);
        Some(Error::Asked { refusal, again })
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
        let asked = refusals.refusal("a", ("one", "now"));
        assert!(asked.is_some_and(|asked| asked.again().is_some() && asked.names_run()));
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
            let last = refused.get_or("a", || unreachable!());
            last.at = last.at.checked_sub(back).unwrap();
        };
        let again = |wish| refusals.refusal("a", ("one", wish)).map(|error| error.again());
        // A request from before the attempt is answered by it.
        assert_eq!(again("before"), Some(None));
        let told = refusals.refusal("a", ("one", "now")).unwrap();
        let left = told.again().unwrap();
        assert!(left <= FIRST && left > FIRST / 2, "{left:?}");
        assert_eq!((told.reason(), told.class()), (error.reason(), error.class()));
        assert_eq!(told.to_string(), "failed");
        // To look changes nothing.
        assert_eq!(again("before"), Some(None));
        ago(FIRST);
        assert_eq!(again("before"), Some(None));
        assert_eq!(again("now"), None);
        // It failed again: the waits start again from the shortest one, and the request is answered.
        refusals.refuse("a", ("one", "now"), &error);
        assert_eq!(again("now"), Some(None));
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
            times,
            at: Instant::now(),
            class: ErrorClass::Blocked,
            reason: Reason::QuotaExceeded,
            message: String::new(),
            of_run: false,
        };
        assert_eq!(refused(0).wait(false), FIRST);
        assert_eq!(refused(1).wait(false), FIRST * 2);
        assert_eq!(refused(40).wait(false), SLOWEST);
        assert_eq!(refused(40).wait(true), FIRST);
    }
}
