//! When a database is probed: pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::postgres::FaultKind;

/// The interval while it is not decided whether a database works.
pub const QUICK: Duration = Duration::from_secs(10);

/// The longest wait after refused logins.
pub const SLOWEST: Duration = Duration::from_mins(10);

/// The result of the last probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEnd {
    /// Applications can use the database; whether the status says so already.
    Well {
        /// The status does not change.
        told: bool,
    },
    /// They cannot.
    Badly {
        /// Why.
        kind: FaultKind,
        /// Refused logins in a row.
        refused: u32,
        /// The status says so already.
        told: bool,
    },
}

/// The place of a database in the interval, the same after each restart: databases are probed one after the other, however
/// many there are.
pub fn phase(uid: &str, interval: Duration) -> Duration {
    let mut hash = DefaultHasher::new();
    uid.hash(&mut hash);
    let part = u32::try_from(hash.finish() % 10_000).unwrap_or_default();
    interval / 10_000 * part
}

/// The time from the due time of the last probe to that of the next one. `spacing` is the least time between two logins of
/// which the first was refused.
pub fn next(ended: ProbeEnd, interval: Duration, spacing: Duration) -> Duration {
    let quick = QUICK.min(interval);
    match ended {
        // The provider's pooler blocks an address that keeps failing, and each attempt extends that.
        ProbeEnd::Badly { kind, refused, .. } if kind.is_refused_login() => {
            let doubled = spacing.saturating_mul(1 << refused.saturating_sub(1).min(10));
            doubled.min(SLOWEST).max(quick)
        }
        ProbeEnd::Well { told: false } | ProbeEnd::Badly { told: false, .. } => quick,
        ProbeEnd::Well { told: true } | ProbeEnd::Badly { told: true, .. } => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const SPACING: Duration = Duration::from_secs(30);

    #[test]
    fn databases_are_spread_over_the_interval_and_keep_their_places() {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let uid = format!("0a1b2c3d-0000-4000-8000-{number:012}");
            let phase = phase(&uid, MINUTE);
            assert!(phase < MINUTE);
            assert_eq!(phase, super::phase(&uid, MINUTE), "a restart changes nothing");
            tenths[usize::try_from(phase.as_secs() / 6).unwrap_or_default()] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn what_is_open_is_looked_at_sooner() {
        let badly = |kind, told| ProbeEnd::Badly { kind, refused: 0, told };
        for (ended, wait) in [
            (ProbeEnd::Well { told: true }, MINUTE),
            (ProbeEnd::Well { told: false }, QUICK),
            (badly(FaultKind::Refused, false), QUICK),
            (badly(FaultKind::Refused, true), MINUTE),
            (badly(FaultKind::Pooler, false), QUICK),
            (badly(FaultKind::Pooler, true), MINUTE),
            (badly(FaultKind::Starting, false), QUICK),
            (badly(FaultKind::Starting, true), MINUTE),
        ] {
            assert_eq!(next(ended, MINUTE, SPACING), wait, "{ended:?}");
        }
        let second = Duration::from_secs(1);
        assert_eq!(
            next(badly(FaultKind::Refused, false), second, SPACING),
            second,
            "never slower than the interval"
        );
    }

    #[test]
    fn refused_logins_back_off() {
        for kind in [FaultKind::Login, FaultKind::Blocked] {
            let waits: Vec<_> = [1, 2, 3, 5, 6, 100, u32::MAX]
                .into_iter()
                .map(|refused| {
                    let told = refused >= 3;
                    next(ProbeEnd::Badly { kind, refused, told }, MINUTE, SPACING).as_secs()
                })
                .collect();
            assert_eq!(waits, [30, 60, 120, 480, 600, 600, 600], "{kind:?}");
        }
        let none = next(
            ProbeEnd::Badly {
                kind: FaultKind::Login,
                refused: 1,
                told: false,
            },
            MINUTE,
            Duration::ZERO,
        );
        assert_eq!(none, QUICK);
    }
}
