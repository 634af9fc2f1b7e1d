//! The API server's clock. Work that destroys data at a set time reads it, because the clock of the operator's node may
//! jump, and reads it a second time later, because every clock may jump.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::{Request, header};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;

use super::error::Error;
use crate::api::condition::Reason;

/// How long after the first look the second one is taken, for periods of ten minutes and more. Of a shorter period it
/// is a tenth.
const SECOND_LOOK: Duration = Duration::from_mins(1);

/// The longest wait for a time. The clock is looked at again then.
const LONGEST: Duration = Duration::from_hours(1);

/// Deadlines that have passed by the API server's clock and await a second look.
#[derive(Default)]
pub struct Clock(Mutex<HashMap<String, ClockLook>>);

/// The first look that found a deadline passed.
struct ClockLook {
    due: Timestamp,
    /// The time of a clock that does not jump.
    at: Instant,
}

/// Whether a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeCheck {
    /// It has.
    Come,
    /// Look again after this time.
    In(Duration),
}

impl Clock {
    /// Whether `due`, which ends a period of this length, has come: by the own clock and by the API server's, and by both
    /// again at a second look. What was seen of another `due` of this key does not count, nor what was seen before a
    /// restart.
    ///
    /// # Errors
    /// When the API server does not report its time.
    pub async fn has_come(
        &self,
        client: &Client,
        key: &str,
        due: Timestamp,
        period: Duration,
    ) -> Result<TimeCheck, Error> {
        let left = left_by_both(due, Timestamp::now(), || now(client)).await?;
        Ok(self.look(key, due, left, second_look(period), Instant::now()))
    }

    fn look(&self, key: &str, due: Timestamp, left: Duration, second: Duration, now: Instant) -> TimeCheck {
        let mut looks = self.0.lock();
        if !left.is_zero() {
            looks.remove(key);
            return TimeCheck::In(left.min(LONGEST));
        }
        let look = looks.entry(key.to_owned()).or_insert(ClockLook { due, at: now });
        if look.due != due {
            *look = ClockLook { due, at: now };
        }
        match second.saturating_sub(now.saturating_duration_since(look.at)) {
            Duration::ZERO => TimeCheck::Come,
            wait => TimeCheck::In(wait),
        }
    }

    /// Forgets an object's deadline.
    pub fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

/// How long it is until a time by the own clock, and, once that has passed, by the API server's.
async fn left_by_both(
    due: Timestamp,
    own: Timestamp,
    server: impl AsyncFnOnce() -> Result<Timestamp, Error>,
) -> Result<Duration, Error> {
    match left(due, own) {
        Duration::ZERO => Ok(left(due, server().await?)),
        wait => Ok(wait),
    }
}

/// How long it is until a time; zero when it has come.
pub fn left(due: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default()
}

/// The time a period after another, at most the last one that can be written.
pub fn after(start: Timestamp, period: Duration) -> Timestamp {
    let period = SignedDuration::try_from(period).unwrap_or(SignedDuration::MAX);
    start.saturating_add(period).unwrap_or(Timestamp::MAX)
}

fn second_look(period: Duration) -> Duration {
    SECOND_LOOK.min(period / 10)
}

/// The time by the own clock, in whole seconds.
pub fn own() -> Timestamp {
    whole(Timestamp::now())
}

/// A time without fractions of a second, which a status does not hold.
pub fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The time by the API server's clock: the header `Date` of an answer (RFC 9110, 6.6.1), which every server of Go's
/// standard library sends. Its unit is a second.
///
/// # Errors
/// When the API server does not answer, or does not report its time.
pub async fn now(client: &Client) -> Result<Timestamp, Error> {
    let request = Request::get("/version")
        .body(Body::empty())
        .map_err(kube::Error::HttpError)?;
    let answer = client.send(request).await?;
    let date = answer.headers().get(header::DATE);
    let told = date.and_then(|date| read(date.to_str().ok()?));
    told.ok_or_else(|| {
        Error::transient(
            Reason::KubernetesUnavailable,
            "the Kubernetes API does not report its time (the header Date of its answer): the operator destroys nothing \
             without it",
        )
    })
}

fn read(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_mins(1);

    #[test]
    fn a_time_has_come_only_at_the_second_look() {
        let (clock, start) = (Clock::default(), Instant::now());
        let due: Timestamp = "2026-12-01T10:00:00Z".parse().unwrap();
        let look = |due, left, after| {
            let left = Duration::from_secs(left);
            clock.look("one", due, left, SECOND, start + Duration::from_secs(after))
        };
        assert_eq!(look(due, 90, 0), TimeCheck::In(Duration::from_secs(90)));
        assert_eq!(look(due, 90_000, 0), TimeCheck::In(LONGEST));
        assert_eq!(look(due, 0, 90), TimeCheck::In(SECOND));
        assert_eq!(look(due, 0, 149), TimeCheck::In(Duration::from_secs(1)));
        // The clock had jumped, and is right again.
        assert_eq!(look(due, 600, 150), TimeCheck::In(Duration::from_mins(10)));
        assert_eq!(look(due, 0, 750), TimeCheck::In(SECOND));
        // Meanwhile the time was postponed, and has passed again.
        let later = due + SignedDuration::from_secs(5);
        assert_eq!(look(later, 0, 809), TimeCheck::In(SECOND));
        assert_eq!(look(later, 0, 868), TimeCheck::In(Duration::from_secs(1)));
        assert_eq!(look(later, 0, 869), TimeCheck::Come);
        clock.forget("one");
        assert_eq!(look(later, 0, 870), TimeCheck::In(SECOND));
    }

    /// The answer about the end of a period of an hour, with clocks that are wrong by these seconds, this long after the
    /// first look.
    async fn told(clock: &Clock, (own, server): (i64, Option<i64>), start: Instant, after: u64) -> Option<TimeCheck> {
        let due: Timestamp = "2026-12-01T10:00:00Z".parse().unwrap();
        let by = |wrong: i64| due + SignedDuration::from_secs(wrong + i64::try_from(after).unwrap());
        let untold = || Error::transient(Reason::KubernetesUnavailable, "no Date");
        let server = || std::future::ready(server.map(by).ok_or_else(untold));
        let left = left_by_both(due, by(own), server).await.ok()?;
        let second = second_look(Duration::from_hours(1));
        Some(clock.look("one", due, left, second, start + Duration::from_secs(after)))
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_ends_nothing_early() {
        let start = Instant::now();
        // An hour before the end the own clock, the API server's, or both are a day ahead; then they are right again.
        for wrong in [(90_000, -3600), (-3600, 90_000), (90_000, 90_000)] {
            let clock = Clock::default();
            let told = async |(own, server), after| told(&clock, (own, Some(server)), start, after).await.unwrap();
            assert!(matches!(told(wrong, 0).await, TimeCheck::In(_)), "{wrong:?}");
            assert!(matches!(told((-3600, -3600), 50).await, TimeCheck::In(_)), "{wrong:?}");
            // The earlier first look does not count.
            assert!(matches!(told(wrong, 70).await, TimeCheck::In(_)), "{wrong:?}");
            assert!(matches!(told((-3600, -3600), 100).await, TimeCheck::In(_)), "{wrong:?}");
            assert_eq!(told((0, 0), 3600).await, TimeCheck::In(SECOND), "{wrong:?}");
            assert_eq!(told((0, 0), 3660).await, TimeCheck::Come, "{wrong:?}");
        }
        // A clock that is behind delays the end, and so does one that cannot be read.
        let clock = Clock::default();
        assert_eq!(
            told(&clock, (-60, Some(0)), start, 0).await,
            Some(TimeCheck::In(SECOND))
        );
        assert_eq!(
            told(&clock, (0, Some(-60)), start, 0).await,
            Some(TimeCheck::In(SECOND))
        );
        assert_eq!(told(&clock, (0, None), start, 0).await, None);
    }

    #[test]
    fn short_periods_have_a_short_second_look() {
        assert_eq!(second_look(Duration::from_hours(72)), SECOND);
        assert_eq!(second_look(Duration::from_secs(20)), Duration::from_secs(2));
    }

    #[test]
    fn the_date_of_an_answer_is_a_time() {
        let told = read("Sat, 28 Nov 2026 14:33:10 GMT");
        assert_eq!(told, Some("2026-11-28T14:33:10Z".parse().unwrap()));
        assert_eq!(read("now"), None);
    }

    #[test]
    fn times_do_not_overflow() {
        let start: Timestamp = "2026-11-28T14:33:10Z".parse().unwrap();
        assert_eq!(after(start, Duration::from_secs(5)).as_second(), start.as_second() + 5);
        assert_eq!(after(start, Duration::MAX), Timestamp::MAX);
        assert_eq!(left(start, start + SignedDuration::from_secs(1)), Duration::ZERO);
    }
}
