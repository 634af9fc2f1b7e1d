//! Estimates what a schedule of backups stores, transfers and costs, before it is accepted.

use std::time::Duration;

use rust_decimal::Decimal;

use super::retention::Rules;
use crate::api::{BackupEstimate, BackupPrices, Currency, OrchestraClass};
use crate::cron::Schedule;
use crate::money::{self, HOURS_A_MONTH};

/// US dollars for a gigabyte that leaves a hosted project, in units of 0.01: the provider's documentation "Manage your usage",
/// "Egress". Each organization has a share of it free, which is not known to be left.
const SENT_BY_PROJECT: (i64, u32) = (9, 2);

/// Bytes of the gigabyte of [`BackupPrices`].
const GIGABYTE: u32 = 1_000_000_000;

/// A month, as the provider counts it.
const MONTH: Duration = Duration::from_secs(HOURS_A_MONTH as u64 * 3600);

/// The sizes of one backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes that the database sends.
    pub sent: u64,
    /// Bytes that are stored.
    pub stored: u64,
}

impl Sizes {
    /// Those of a database before its first backup: about its size, and not compressed.
    pub fn of_database(bytes: u64) -> Self {
        Self {
            sent: bytes,
            stored: bytes,
        }
    }
}

/// The prices of a gigabyte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GigabytePrices {
    /// That is stored for a month.
    pub stored: Option<Decimal>,
    /// That leaves a database.
    pub sent: Option<Decimal>,
}

impl GigabytePrices {
    /// Those of a class, for a database of a hosted project or of a pool.
    pub fn of(class: &OrchestraClass, is_hosted: bool) -> Self {
        let own = class.spec.backup.as_ref().and_then(|backup| backup.prices.clone());
        let BackupPrices {
            stored_gigabyte,
            sent_gigabyte,
        } = own.unwrap_or_default();
        let read = |price: Option<String>| price.as_deref().and_then(money::parse);
        let of_project = || is_hosted.then(|| Decimal::new(SENT_BY_PROJECT.0, SENT_BY_PROJECT.1));
        Self {
            stored: read(stored_gigabyte),
            sent: read(sent_gigabyte).or_else(of_project),
        }
    }
}

/// The estimate for a schedule with these rules.
pub fn estimate(schedule: &Schedule, rules: &Rules, sizes: Sizes, prices: GigabytePrices) -> BackupEstimate {
    let made = schedule.times_in(MONTH);
    let kept = rules.most_kept(made, MONTH);
    let (sent, stored) = (two_digits(sizes.sent), two_digits(sizes.stored));
    let (sent_in_all, stored_in_all) = (sent.saturating_mul(made.into()), stored.saturating_mul(kept.into()));
    let amount = |bytes: u64, price: Decimal| Decimal::from(bytes) / Decimal::from(GIGABYTE) * price;
    let amounts = [
        prices.sent.map(|price| amount(sent_in_all, price)),
        prices.stored.map(|price| amount(stored_in_all, price)),
    ];
    let monthly = amounts.into_iter().flatten().reduce(Decimal::saturating_add);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    BackupEstimate {
        made_a_month: count(made),
        kept: count(kept),
        sent_bytes: number(sent),
        stored_bytes: number(stored),
        sent_bytes_a_month: number(sent_in_all),
        stored_bytes_in_all: number(stored_in_all),
        currency: monthly.map(|_| Currency::default().as_str().into()),
        monthly: monthly.map(money::text),
    }
}

/// Whether a schedule asks for more than the accepted one. A database that has grown is not asked for again: its backups go on.
pub fn asks_for_more(new: &BackupEstimate, accepted: &BackupEstimate) -> bool {
    new.made_a_month > accepted.made_a_month || new.kept > accepted.kept
}

/// A number rounded up to two digits.
fn two_digits(number: u64) -> u64 {
    let mut unit = 1_u64;
    while number / unit >= 100 {
        unit *= 10;
    }
    number.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{BackupRetention, OrchestraClassSpec, RetentionLimits};

    const GB: u64 = 1_000_000_000;

    fn of(cron: &str, retention: &str, limits: &str, sizes: Sizes, prices: GigabytePrices) -> BackupEstimate {
        let rules = Rules {
            own: serde_saphyr::from_str::<Option<BackupRetention>>(retention).unwrap(),
            limits: serde_saphyr::from_str::<Option<RetentionLimits>>(limits).unwrap(),
        };
        estimate(
            &Schedule::read("spec.backup", cron, None).unwrap(),
            &rules,
            sizes,
            prices,
        )
    }

    #[test]
    fn what_is_stored_follows_from_the_counts_and_what_is_sent_from_the_times() {
        let sizes = Sizes {
            sent: GB,
            stored: GB / 5,
        };
        let class = OrchestraClass::new("standard", OrchestraClassSpec::default());
        let hosted = GigabytePrices::of(&class, true);
        for (cron, retention, limits, made, kept) in [
            ("0 2 * * *", "null", "null", 31, 31),
            ("0 2 * * *", "{last: 7}", "null", 31, 7),
            ("0 2 * * *", "{daily: 7, weekly: 8, monthly: 12}", "null", 31, 27),
            ("0 2 * * *", "{daily: 1000, maxAge: 240h}", "null", 31, 11),
            ("0 2 * * *", "{last: 100}", "{maxCount: 20}", 31, 20),
            ("0 2 * * *", "{last: 1}", "{minCount: 3}", 31, 3),
            ("0 2 * * *", "{last: 1}", "{minAge: 240h}", 31, 11),
            ("0 2 * * *", "null", "{maxAge: 240h}", 31, 11),
            ("*/15 * * * *", "{last: 7}", "null", 2920, 7),
            ("0 2,3 1 * *", "{last: 7}", "null", 2, 7),
            ("0 2 1 6 *", "{last: 7}", "null", 1, 7),
        ] {
            let found = of(cron, retention, limits, sizes, hosted);
            assert_eq!(
                (found.made_a_month, found.kept),
                (made, kept),
                "{cron} {retention} {limits}"
            );
            assert_eq!(found.sent_bytes_a_month, i64::from(made) * 1_000_000_000);
            assert_eq!(found.stored_bytes_in_all, i64::from(kept) * 200_000_000);
        }
    }

    #[test]
    fn an_amount_needs_a_price() {
        let sizes = Sizes::of_database(GB);
        let monthly = |class: &OrchestraClass, is_hosted| {
            let prices = GigabytePrices::of(class, is_hosted);
            of("0 2 * * *", "{last: 10}", "null", sizes, prices).monthly
        };
        let mut class = OrchestraClass::new("standard", OrchestraClassSpec::default());
        assert_eq!(monthly(&class, false), None, "a pool's server has no price");
        assert_eq!(monthly(&class, true).as_deref(), Some("2.79"), "31 GB at 0.09");
        let settings = class.spec.backup.get_or_insert_default();
        settings.prices = Some(BackupPrices {
            stored_gigabyte: Some("0.023".into()),
            sent_gigabyte: Some("0".into()),
        });
        assert_eq!(monthly(&class, true).as_deref(), Some("0.23"));
    }

    #[test]
    fn an_estimate_does_not_change_with_each_backup() {
        let of = |sent| {
            of(
                "0 2 * * *",
                "{last: 2}",
                "null",
                Sizes { sent, stored: 1 },
                GigabytePrices::default(),
            )
        };
        assert_eq!(of(1_234_567).sent_bytes, 1_300_000);
        assert_eq!(of(1_234_567), of(1_290_000));
        assert_eq!(two_digits(u64::MAX), u64::MAX);
        for exact in [0, 7, 99, 100, 1_300_000] {
            assert_eq!(two_digits(exact), exact);
        }
        let more = of(10 * 1_234_567);
        assert!(!asks_for_more(&more, &of(1_234_567)), "it has grown");
    }
}
