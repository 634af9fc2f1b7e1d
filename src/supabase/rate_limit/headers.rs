//! The rate limit in the headers of an answer.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The API's window, as its documentation of rate limits states it.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
/// The longest pause that a header can impose.
pub(super) const MAX_PAUSE: Duration = Duration::from_mins(10);

/// The rate limit headers of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitHeaders {
    pub(super) limit: Option<u32>,
    pub(super) remaining: Option<u32>,
    pub(super) reset: Option<Duration>,
    pub(super) retry_after: Option<Duration>,
}

impl LimitHeaders {
    /// Reads `x-ratelimit-limit`, `-remaining`, `-reset` (seconds from now) and `Retry-After`
    /// (seconds, or a date).
    pub fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u32>().ok());
        let span = |seconds: u32| Duration::from_secs(u64::from(seconds)).min(MAX_PAUSE);
        let retry_after = number(RETRY_AFTER.as_str()).map(span).or_else(|| {
            let date = jiff::fmt::rfc2822::parse(text(RETRY_AFTER.as_str())?).ok()?;
            let seconds = date.timestamp().duration_since(jiff::Timestamp::now()).as_secs();
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(MAX_PAUSE))
        });
        Self {
            limit: number("x-ratelimit-limit").filter(|limit| *limit > 0),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").map(span),
            retry_after,
        }
    }

    /// How long a 429 asks to wait.
    pub(super) fn pause(self) -> Duration {
        self.retry_after
            .or(self.reset)
            .unwrap_or(WINDOW)
            .max(Duration::from_secs(1))
    }
}
