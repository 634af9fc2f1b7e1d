//! Numbers, money, dates and times in the visitor's language. Two languages are a page of rules; the data of ICU would be
//! larger than the console.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::Lang;

/// Keeps a number together with what belongs to it.
const SPACE: char = '\u{a0}';

/// A whole number, with its thousands apart.
pub fn number(lang: Lang, number: i64) -> String {
    let sign = if number < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", grouped(lang, &number.unsigned_abs().to_string()))
}

fn grouped(lang: Lang, digits: &str) -> String {
    let between = match lang {
        Lang::En => ',',
        Lang::Sv => SPACE,
    };
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(between);
        }
        grouped.push(digit);
    }
    grouped
}

/// A decimal number as the operator writes it; another text stays as it is.
pub fn decimal(lang: Lang, text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("\u{2212}", digits));
    let (whole, part) = digits
        .split_once('.')
        .map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !part.is_none_or(is_number) {
        return text.to_owned();
    }
    let point = if lang == Lang::Sv { ',' } else { '.' };
    let part = part.map_or_else(String::new, |part| format!("{point}{part}"));
    format!("{sign}{}{part}", grouped(lang, whole))
}

/// An amount of money, with the currency's code.
pub fn money(lang: Lang, amount: &str, currency: &str) -> String {
    let amount = decimal(lang, amount);
    match lang {
        Lang::En => format!("{currency}{SPACE}{amount}"),
        Lang::Sv => format!("{amount}{SPACE}{currency}"),
    }
}

/// A size of data.
pub fn bytes(lang: Lang, bytes: i64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (mut size, mut unit) = (bytes.max(0) as f64, 0);
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && size < 99.95);
    format!("{}{SPACE}{}", decimal(lang, &format!("{size:.digits$}")), units[unit])
}

/// A time of day in UTC, with its date.
pub fn date(lang: Lang, at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::UTC);
    match lang {
        Lang::En => zoned.strftime("%-d %b %Y, %H:%M UTC").to_string(),
        Lang::Sv => zoned.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// A time as browsers read it.
pub fn machine(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago, or in what time: in its largest unit.
pub fn relative(lang: Lang, at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let (count, unit) = match seconds.unsigned_abs() {
        0..5 => return lang.say("time-now"),
        count @ 5..120 => (count, "seconds"),
        count @ 120..7_200 => (count / 60, "minutes"),
        count @ 7_200..172_800 => (count / 3_600, "hours"),
        count => (count / 86_400, "days"),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    match (unit, seconds > 0) {
        ("seconds", true) => lang.count("time-ago-seconds", count),
        ("minutes", true) => lang.count("time-ago-minutes", count),
        ("hours", true) => lang.count("time-ago-hours", count),
        (_, true) => lang.count("time-ago-days", count),
        ("seconds", false) => lang.count("time-in-seconds", count),
        ("minutes", false) => lang.count("time-in-minutes", count),
        ("hours", false) => lang.count("time-in-hours", count),
        (_, false) => lang.count("time-in-days", count),
    }
}

/// A moment as a page shows it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// For browsers.
    pub machine: String,
    /// The whole time.
    pub date: String,
    /// How long ago.
    pub relative: String,
}

impl Moment {
    /// A moment as seen now.
    pub fn of(lang: Lang, at: Timestamp, now: Timestamp) -> Self {
        Self {
            machine: machine(at),
            date: date(lang, at),
            relative: relative(lang, at, now),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_and_money_are_written_as_the_language_does() {
        for (text, english, swedish) in [
            ("0", "0", "0"),
            ("999.90", "999.90", "999,90"),
            ("1234567.89", "1,234,567.89", "1\u{a0}234\u{a0}567,89"),
            ("-1000", "\u{2212}1,000", "\u{2212}1\u{a0}000"),
            ("1e9", "1e9", "1e9"),
            (".5", ".5", ".5"),
            ("", "", ""),
        ] {
            assert_eq!(
                [Lang::En, Lang::Sv].map(|lang| decimal(lang, text)),
                [english, swedish],
                "{text}"
            );
        }
        assert_eq!(money(Lang::En, "1200.00", "USD"), "USD\u{a0}1,200.00");
        assert_eq!(money(Lang::Sv, "1200.00", "SEK"), "1\u{a0}200,00\u{a0}SEK");
        assert_eq!(number(Lang::En, i64::MIN), "\u{2212}9,223,372,036,854,775,808");
    }

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (size, text) in [
            (-1, "0\u{a0}B"),
            (999, "999\u{a0}B"),
            (1_000, "1.0\u{a0}kB"),
            (999_600, "1.0\u{a0}MB"),
            (123_456_789, "123\u{a0}MB"),
            (i64::MAX, "9,223,372\u{a0}TB"),
        ] {
            assert_eq!(bytes(Lang::En, size), text);
        }
        assert_eq!(bytes(Lang::Sv, 1_500_000), "1,5\u{a0}MB");
    }

    #[test]
    fn times_are_told_by_their_largest_unit() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (at, english, swedish) in [
            ("2026-11-30T11:59:58Z", "just now", "nyss"),
            ("2026-11-30T11:59:00Z", "60 seconds ago", "för 60 sekunder sedan"),
            ("2026-11-30T10:30:00Z", "90 minutes ago", "för 90 minuter sedan"),
            ("2026-11-29T12:00:00Z", "24 hours ago", "för 24 timmar sedan"),
            ("2026-11-20T12:00:00Z", "10 days ago", "för 10 dagar sedan"),
            ("2026-12-03T12:00:00Z", "in 3 days", "om 3 dagar"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(
                [Lang::En, Lang::Sv].map(|lang| relative(lang, at, now)),
                [english, swedish]
            );
        }
        assert_eq!(date(Lang::En, now), "30 Nov 2026, 12:00 UTC");
        assert_eq!(date(Lang::Sv, now), "2026-11-30 12:00 UTC");
    }
}
