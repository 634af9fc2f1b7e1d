//! Drills by schedule: when the time has come, the last complete backup of the Orchestra is asked to be verified, by the
//! same annotation that people use. A repeated request for the same time counts once.

use jiff::Timestamp;

use super::times::Times;

/// A backup of which a drill may be requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its name.
    pub name: String,
    /// The value of its last request.
    pub asked: Option<String>,
}

/// What one pass has observed.
#[derive(Clone, Debug, Default)]
pub struct DrillFacts {
    /// The times of the schedule; none where there is none, it is suspended, or it is invalid.
    pub times: Option<Times>,
    /// The next time that is recorded.
    pub known: Option<Timestamp>,
    /// The last complete backup of the Orchestra, whoever has made it.
    pub newest: Option<Newest>,
    /// When a drill last verified an existing backup of the Orchestra.
    pub verified: Option<Timestamp>,
    /// Until when the next drill should have verified a backup, as recorded.
    pub deadline: Option<Timestamp>,
}

/// A backup of which a drill is to be requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its name.
    pub name: String,
    /// The value of the request: the time of the schedule.
    pub value: String,
}

impl DrillFacts {
    /// The next time, which may have passed: without a complete backup it stays due.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.times.as_ref()?;
        let due = times.due_or_next(self.known, now)?;
        let asked = self.newest.as_ref().and_then(|newest| newest.asked.as_ref());
        if due <= now && asked == Some(&value(times, due)) {
            return times.next(now);
        }
        Some(due)
    }

    /// The backup of which a drill is to be requested now.
    pub fn ask(&self, now: Timestamp) -> Option<Ask> {
        let due = self.due(now).filter(|due| *due <= now)?;
        Some(Ask {
            name: self.newest.as_ref()?.name.clone(),
            value: value(self.times.as_ref()?, due),
        })
    }

    /// Until when a backup should have been verified: the second time after the last one, or, where there was none, after
    /// the first time.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.times.as_ref()?;
        match self.verified {
            Some(last) => times.next(times.next(last)?),
            None => self.deadline.or_else(|| times.next(self.due(now)?)),
        }
    }
}

fn value(times: &Times, due: Timestamp) -> String {
    times.fired(due).strftime("%FT%TZ").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::SignedDuration;

    use super::*;
    use crate::cron::Schedule;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Each day at four, checked some time later.
    fn facts(known: Option<Timestamp>, asked: Option<&str>) -> DrillFacts {
        let schedule = Schedule::read("spec.backup.verify", "0 4 * * *", None).unwrap();
        DrillFacts {
            times: Some(Times::new(schedule, "uid-1")),
            known,
            newest: Some(Newest {
                name: "last".into(),
                asked: asked.map(Into::into),
            }),
            ..DrillFacts::default()
        }
    }

    #[test]
    fn each_time_asks_once_and_waits_for_a_backup() {
        let now = at("2026-11-29T12:00:00Z");
        let first = facts(None, None).due(at("2026-11-28T00:00:00Z")).unwrap();
        let day = SignedDuration::from_hours(24);
        assert_eq!(
            facts(None, None).ask(now),
            None,
            "a new schedule begins at its next time"
        );
        let ask = facts(Some(first), None).ask(now).unwrap();
        assert_eq!(
            (ask.name.as_str(), ask.value.as_str()),
            ("last", "2026-11-28T04:00:00Z")
        );
        // A person has requested a drill meanwhile.
        assert!(facts(Some(first), Some("now")).ask(now).is_some());
        let asked = facts(Some(first), Some(&ask.value));
        assert_eq!((asked.ask(now), asked.due(now)), (None, Some(first + day + day)));
        let without = DrillFacts {
            newest: None,
            ..facts(Some(first), None)
        };
        assert_eq!(
            (without.ask(now), without.due(now)),
            (None, Some(first)),
            "it stays due"
        );
        assert_eq!(DrillFacts::default().due(now), None);
    }

    #[test]
    fn a_period_without_a_verified_backup_is_too_long() {
        let now = at("2026-11-29T12:00:00Z");
        let next = facts(None, None).due(now).unwrap();
        let day = SignedDuration::from_hours(24);
        assert_eq!(facts(None, None).deadline(now), Some(next + day));
        let known = DrillFacts {
            deadline: Some(next - day),
            ..facts(None, None)
        };
        assert_eq!(
            known.deadline(now),
            Some(next - day),
            "it does not move while nothing is verified"
        );
        let verified = DrillFacts {
            verified: Some(now),
            ..known
        };
        assert_eq!(verified.deadline(now), Some(next + day));
    }
}
