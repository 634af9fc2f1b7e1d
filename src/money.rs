//! Amounts of money, in decimal arithmetic: a binary float cannot represent a cent exactly.
//!
//! `rust_decimal` has 28 digits, so neither an amount that the API accepts nor a sum of a hundred thousand of them is
//! rounded in between.

use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::api::{Cost, Currency};

pub mod charged;

/// Hours of a month in the provider's own monthly prices (365 days / 12, in hours).
pub const HOURS_A_MONTH: u32 = 730;

/// Digits after the point of an hourly price that is derived from a monthly one.
const HOURLY_DIGITS: u32 = 8;

/// A price. The provider bills each started hour; people budget by the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// A started hour.
    pub hourly: Decimal,
    /// A month of [`HOURS_A_MONTH`], rounded to cents so that sums equal the sum of the amounts that are shown.
    pub monthly: Decimal,
}

impl Price {
    /// Nothing.
    pub const FREE: Self = Self {
        hourly: Decimal::ZERO,
        monthly: Decimal::ZERO,
    };

    /// From the price of an hour.
    pub fn of_hour(hourly: Decimal) -> Self {
        let monthly = cents(hourly.saturating_mul(Decimal::from(HOURS_A_MONTH)));
        Self { hourly, monthly }
    }

    /// From the price of a month.
    pub fn of_month(monthly: Decimal) -> Self {
        let hourly = monthly.checked_div(Decimal::from(HOURS_A_MONTH)).unwrap_or_default();
        Self {
            hourly: hourly.round_dp(HOURLY_DIGITS).normalize(),
            monthly: cents(monthly),
        }
    }

    /// The price in the form that statuses show.
    pub fn cost(&self, currency: Currency) -> Cost {
        Cost {
            currency: currency.as_str().into(),
            monthly: text(self.monthly),
            hourly: self.hourly.normalize().to_string(),
        }
    }
}

/// Reads an amount as people and the API write it: digits, and digits after a point.
pub fn parse(text: &str) -> Option<Decimal> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| Decimal::from_str_exact(text).ok()).flatten()
}

/// An amount in a JSON number. `serde_json` keeps a number as a float and prints the shortest decimal that reads back
/// as the same float. Up to 15 digits, which no price exceeds, this is the decimal that was sent: so the amount is
/// read from the text, and nothing is calculated with the float.
pub fn of_json(number: &serde_json::Number) -> Option<Decimal> {
    let text = number.to_string();
    let amount = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text));
    amount.ok().filter(|amount| !amount.is_sign_negative())
}

/// An amount with two digits after the point.
pub fn text(amount: Decimal) -> String {
    format!("{:.2}", cents(amount))
}

/// An amount in percent of a limit, rounded down. Any amount is 100 percent of a limit of zero.
pub fn percent(amount: Decimal, limit: Decimal) -> u32 {
    if amount.is_zero() {
        return 0;
    }
    let share = amount.saturating_mul(Decimal::ONE_HUNDRED).checked_div(limit);
    share.map_or(100, |share| share.trunc().to_u32().unwrap_or(u32::MAX))
}

fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn json(text: &str) -> Option<Decimal> {
        of_json(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn an_hour_becomes_a_month_of_730_hours_in_whole_cents() {
        let micro = Price::of_hour(parse("0.01344").unwrap());
        assert_eq!(text(micro.monthly), "9.81", "9.8112");
        let cost = micro.cost(Currency::Usd);
        assert_eq!((cost.currency.as_str(), cost.hourly.as_str()), ("USD", "0.01344"));
        assert_eq!(
            text(Price::of_hour(parse("0.0206").unwrap()).monthly),
            "15.04",
            "15.038"
        );
        assert_eq!(Price::FREE.cost(Currency::Usd).monthly, "0.00");
        assert_eq!(Price::FREE.cost(Currency::Usd).hourly, "0");
    }

    #[test]
    fn a_month_becomes_started_hours() {
        let ten = Price::of_month(parse("10").unwrap()).cost(Currency::Usd);
        assert_eq!((ten.monthly.as_str(), ten.hourly.as_str()), ("10.00", "0.01369863"));
        let year = Price::of_month(parse("730.00").unwrap()).cost(Currency::Usd);
        assert_eq!(year.hourly, "1");
    }

    #[test]
    fn sums_of_cents_are_exact_where_floats_are_not() {
        let ten_cents = parse("0.10").unwrap();
        let sum: Decimal = std::iter::repeat_n(ten_cents, 3).sum();
        assert_eq!(sum, parse("0.3").unwrap());
        let most = parse("999999999.99").unwrap();
        let sum: Decimal = std::iter::repeat_n(most, 100_000).sum();
        assert_eq!(text(sum), "99999999999000.00");
    }

    #[test]
    fn numbers_of_the_api_keep_their_decimals() {
        for number in ["0.01344", "5.12", "4", "0.1", "132.0", "1e-5"] {
            assert_eq!(
                json(number),
                Decimal::from_scientific(number).or_else(|_| number.parse()).ok(),
                "{number}"
            );
        }
        assert_eq!(json("0.01344").unwrap().to_string(), "0.01344");
        assert_eq!(json("-1"), None);
        assert_eq!(json("1e300"), None);
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in ["", "ten", "-1", "1e3", "+1", "1,5", ".", "1.2.3", " 1", "0x1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&"9".repeat(40)), None);
        assert_eq!(parse("0"), Some(Decimal::ZERO));
    }

    #[test]
    fn shares_are_whole_and_rounded_down() {
        let amount = |text: &str| parse(text).unwrap();
        assert_eq!(percent(amount("79.99"), amount("100")), 79);
        assert_eq!(percent(amount("80"), amount("100")), 80);
        assert_eq!(percent(amount("30"), amount("20")), 150);
        assert_eq!(percent(amount("0"), amount("0")), 0);
        assert_eq!(percent(amount("0.01"), amount("0")), 100);
    }
}
