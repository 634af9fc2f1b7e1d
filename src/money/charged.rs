//! What a project is charged for: the hours of the clock in which it ran, each in full and for each compute size that it had
//! in it, as the provider bills them (supabase.com/docs/guides/platform/manage-your-usage/compute).

use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::parse;
use crate::api::{ChargedMonth, ChargedPeriod, Charges};

const HOUR: i64 = 3600;

/// The most periods that are kept, as the schema says.
const PERIODS: usize = 24;

/// The most months whose sums are kept, as the schema says.
const MONTHS: usize = 13;

/// A calendar month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl FromStr for Month {
    type Err = String;

    /// Reads the name of a month.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let first: Option<Date> = format!("{name}-01").parse().ok();
        let month = first.map(Self).filter(|month| month.name() == name);
        month.ok_or_else(|| format!("{name} is no month, such as 2026-11"))
    }
}

impl Month {
    /// The month of a point in time.
    pub fn of(at: Timestamp) -> Self {
        Self(at.to_zoned(TimeZone::UTC).date().first_of_month())
    }

    /// Its name, such as `2026-11`.
    pub fn name(self) -> String {
        self.0.strftime("%Y-%m").to_string()
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        let begin = self.0.to_zoned(TimeZone::UTC);
        begin.map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }

    /// When the next one begins.
    pub fn end(self) -> Timestamp {
        let next = self.0.last_of_month().tomorrow();
        next.map_or(Timestamp::MAX, |day| Self(day).begin())
    }

    /// The one before.
    pub fn previous(self) -> Option<Self> {
        let last = self.0.yesterday().ok()?;
        Some(Self(last.first_of_month()))
    }

    /// Its hours.
    fn hours(self) -> Range<i64> {
        self.begin().as_second().div_euclid(HOUR)..self.end().as_second().div_euclid(HOUR)
    }
}

/// Started hours, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// How many hours.
    pub hours: i32,
    /// What they cost.
    pub amount: Decimal,
}

impl Charged {
    fn add(&mut self, hours: i32, hourly: Decimal) {
        self.hours = self.hours.saturating_add(hours);
        let cost = hourly.saturating_mul(Decimal::from(hours));
        self.amount = self.amount.saturating_add(cost);
    }
}

/// The charges of a project that has run since this time.
pub fn since(begin: Timestamp, size: &str) -> Charges {
    Charges {
        periods: vec![running(begin, size)],
        months: Vec::new(),
    }
}

fn running(begin: Timestamp, size: &str) -> ChargedPeriod {
    ChargedPeriod {
        begin: Time(begin),
        end: None,
        instance_size: size.to_owned(),
        hourly: None,
    }
}

/// Whether the project runs, according to its last period.
pub fn runs(charges: &Charges) -> bool {
    charges.periods.last().is_some_and(|last| last.end.is_none())
}

/// Ends the period that lasts, at a time from which the project was not charged, with the price of its hours. It does not end
/// before it began.
pub fn end(charges: &mut Charges, at: Timestamp, hourly: Option<&str>) {
    if let Some(last) = charges.periods.last_mut().filter(|last| last.end.is_none()) {
        last.end = Some(Time(at.max(last.begin.0)));
        last.hourly = hourly.map(str::to_owned);
    }
}

/// Begins a period, not before the last one has ended. What there is no room for is added to the sums of its months.
/// `hourly` is the price of the hours of a period that has none of its own.
pub fn begin(charges: &mut Charges, at: Timestamp, (size, hourly): (&str, Option<&str>)) {
    let last = charges.periods.last().and_then(|last| last.end.as_ref());
    let at = last.map_or(at, |end| at.max(end.0));
    charges.periods.push(running(at, size));
    while charges.periods.len() > PERIODS {
        let oldest = charges.periods.remove(0);
        merge(charges, &oldest, (at, hourly.and_then(parse)));
    }
}

/// What was charged in a month until `now`. `hourly` is the price of the hours of a period that has none of its own.
pub fn in_month(charges: &Charges, month: Month, hourly: Decimal, now: Timestamp) -> Charged {
    let name = month.name();
    let mut total = Charged::default();
    for sum in charges.months.iter().filter(|sum| sum.month == name) {
        total.hours = total.hours.saturating_add(sum.hours);
        let amount = parse(&sum.amount).unwrap_or_default();
        total.amount = total.amount.saturating_add(amount);
    }
    let mut rest = charges.periods.as_slice();
    while let [period, later @ ..] = rest {
        let hours = common(&counted(period, later, now), &month.hours());
        total.add(hours, price(period).unwrap_or(hourly));
        rest = later;
    }
    total
}

fn price(period: &ChargedPeriod) -> Option<Decimal> {
    period.hourly.as_deref().and_then(parse)
}

/// The hours in which a period ran until `now`, by their number since 1970. An hour that begins exactly at its end is not one
/// of them, except the first one of a period that has just begun.
fn hours(period: &ChargedPeriod, now: Timestamp) -> Range<i64> {
    let begin = period.begin.0.as_second();
    let end = match &period.end {
        Some(end) => end.0.min(now).as_second(),
        None if begin == now.as_second() => begin + 1,
        None => now.as_second(),
    };
    if end <= begin {
        return 0..0;
    }
    begin.div_euclid(HOUR)..(end + HOUR - 1).div_euclid(HOUR)
}

/// The hours that a period is charged for. One in which a later period begins with the same size is that one's.
fn counted(period: &ChargedPeriod, later: &[ChargedPeriod], now: Timestamp) -> Range<i64> {
    let ran = hours(period, now);
    let same = later.iter().filter(|it| it.instance_size == period.instance_size);
    let next = same.map(|it| hours(it, now)).filter(|next| !next.is_empty());
    let until = next.map(|next| next.start).min().unwrap_or(ran.end);
    ran.start..ran.end.min(until)
}

/// How many hours two ranges have in common.
fn common(one: &Range<i64>, other: &Range<i64>) -> i32 {
    let (start, end) = (one.start.max(other.start), one.end.min(other.end));
    i32::try_from(end.saturating_sub(start).max(0)).unwrap_or(i32::MAX)
}

/// Adds a period that is no longer kept to the sums of its months.
fn merge(charges: &mut Charges, period: &ChargedPeriod, (now, hourly): (Timestamp, Option<Decimal>)) {
    let ran = counted(period, &charges.periods, now);
    let hourly = price(period).or(hourly).unwrap_or_default();
    let mut month = Some(Month::of(period.end.as_ref().map_or(now, |end| end.0)));
    for _ in 0..MONTHS {
        let Some(of) = month.filter(|of| of.hours().end > ran.start) else {
            break;
        };
        add(charges, of, common(&ran, &of.hours()), hourly);
        month = of.previous();
    }
    // Names of months are in the order of time.
    charges.months.sort_by(|a, b| a.month.cmp(&b.month));
    let too_many = charges.months.len().saturating_sub(MONTHS);
    charges.months.drain(..too_many);
}

fn add(charges: &mut Charges, month: Month, hours: i32, hourly: Decimal) {
    if hours == 0 {
        return;
    }
    let name = month.name();
    let place = charges.months.iter().position(|sum| sum.month == name);
    let old = place.map(|place| charges.months.remove(place)).unwrap_or_default();
    let mut sum = Charged {
        hours: old.hours,
        amount: parse(&old.amount).unwrap_or_default(),
    };
    sum.add(hours, hourly);
    charges.months.push(ChargedMonth {
        month: name,
        hours: sum.hours,
        amount: sum.amount.normalize().to_string(),
    });
}

#[cfg(test)]
mod tests;
