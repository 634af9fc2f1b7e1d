//! The durations of the API: read and written in Go's format.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of a duration, for the API server.
const PATTERN: &str = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$";

/// Prints `1h30m` rather than `1h 30m`.
const PRINTER: SpanPrinter = SpanPrinter::new()
    .spacing(Spacing::None)
    .designator(Designator::Compact);

/// The value of an unreadable duration.
const LONGEST: GoDuration = GoDuration(Duration::from_hours(100 * 365 * 24));

/// A duration: `90s`, `10m` or `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct GoDuration(Duration);

impl GoDuration {
    /// A number of minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self(Duration::from_mins(minutes))
    }

    /// The same as a duration of the standard library.
    pub fn as_std(self) -> Duration {
        self.0
    }
}

/// The text is not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a duration as 30s, 5m or 1h30m")]
pub struct NotADuration;

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        if !text.bytes().all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte)) {
            return Err(NotADuration);
        }
        let parsed: SignedDuration = text.parse().map_err(|_| NotADuration)?;
        parsed.try_into().map(Self).map_err(|_| NotADuration)
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&PRINTER.unsigned_duration_to_string(&self.0))
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<String> for GoDuration {
    /// A text that admission accepted and that is not a duration becomes 100 years: an object that cannot be decoded would
    /// stop the watch of its whole kind.
    fn from(text: String) -> Self {
        text.parse().unwrap_or(LONGEST)
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.to_string()
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 2, "maxLength": 16, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, seconds, written) in [
            ("90s", 90, "1m30s"),
            ("10m", 600, "10m"),
            ("1h30m", 5400, "1h30m"),
            ("24h1s", 86_401, "24h1s"),
            ("720h", 2_592_000, "720h"),
            ("0s", 0, "0s"),
        ] {
            let read: GoDuration = text.parse().unwrap_or_default();
            assert_eq!(read.as_std(), Duration::from_secs(seconds), "{text}");
            assert_eq!(read.to_string(), written);
            assert_eq!(serde_json::json!(read), written);
        }
        for text in [
            "",
            "10",
            "1d",
            "-5m",
            "1h 30m",
            "5 minutes",
            "PT5M",
            "m",
            "30m1h",
            "9999999999999999h",
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(NotADuration), "{text}");
        }
        let unreadable: GoDuration = serde_json::from_value("ten".into()).unwrap_or_default();
        assert_eq!(unreadable, LONGEST, "an object is always decoded");
    }
}
