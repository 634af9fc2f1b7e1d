//! Whether anybody uses a database, measured in the database itself, and when it is paused because nobody does. A paused
//! database is not looked at.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use parking_lot::Mutex;

use super::observe::Observed;
use super::plan::{IdleState, Power};
use super::{Pass, login, power};
use crate::api::{GoDuration, Orchestra, OrchestraClass, PowerStatus};
use crate::postgres::{self, Usage};

/// The number of looks in the time after which a database is paused.
const LOOKS: u32 = 12;

/// The longest time between two looks.
const SLOWEST: Duration = Duration::from_mins(15);

/// How long before a pause its warning comes: this part of the time after which a database is paused, and at most this long.
const WARNING_PART: i32 = 6;
const WARNING: SignedDuration = SignedDuration::from_hours(24);

/// When each database was last looked at, by the UID of its Orchestra. After a restart each is looked at once.
#[derive(Default)]
pub struct UseLooks(Mutex<HashMap<String, Instant>>);

impl UseLooks {
    /// How long the next look has to wait.
    pub fn wait(&self, uid: &str, pace: Duration) -> Option<Duration> {
        let last = *self.0.lock().get(uid)?;
        pace.checked_sub(last.elapsed()).filter(|left| !left.is_zero())
    }

    fn looked(&self, uid: &str) {
        self.0.lock().insert(uid.to_owned(), Instant::now());
    }

    /// Forgets an Orchestra.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// The result of a look for use, kept until the step that it leads to is taken.
#[derive(Default)]
pub enum Looked {
    /// No look was taken in this pass.
    #[default]
    NotYet,
    /// The look has found this.
    Found(Usage),
    /// The database did not answer, or the step that the look leads to is taken.
    Done,
}

/// Since when nobody uses a database, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Since when; none while it is in use.
    pub since: Option<Time>,
    /// Count of the uses of its tables.
    pub uses: Option<String>,
}

/// After which time without use the database is paused; none: never.
pub fn policy(object: &Orchestra, class: Option<&OrchestraClass>) -> Option<GoDuration> {
    let own = object.spec.idle.as_ref();
    own.or_else(|| class?.spec.idle.as_ref())?.pause_after
}

/// The interval of looks: no shorter than the wait after a refused login.
fn pace(policy: GoDuration, spacing: Duration) -> Duration {
    (policy.as_std() / LOOKS).min(SLOWEST).max(spacing)
}

/// When the next pass is due for another look; none where the database is not paused for idleness.
pub fn next_look(pass: &Pass, observed: &Observed) -> Option<Duration> {
    let policy = applies(pass, observed)?;
    let pace = pace(policy, pass.ctx.core.settings.login_spacing);
    Some(pass.ctx.looks.wait(pass.uid(), pace).unwrap_or(pace))
}

/// The policy of a database that runs, is in use by its tenant and may be paused.
fn applies(pass: &Pass, observed: &Observed) -> Option<GoDuration> {
    let class = observed.class.as_deref();
    let database = observed.database.as_ref()?;
    let runs = observed.facts.power == Power::Running && pass.is_serving() && !observed.facts.deleting;
    policy(&pass.object, class).filter(|_| runs && !power::is_forbidden(class, database))
}

/// Whether it is time to look for use, or what the look of this pass means.
pub fn observe(pass: &Pass, observed: &Observed) -> (IdleState, Option<Unused>) {
    let (Some(policy), Some(database)) = (applies(pass, observed), &observed.database) else {
        return (IdleState::No, None);
    };
    match &pass.looked {
        Looked::NotYet => {}
        Looked::Done => return (IdleState::No, None),
        Looked::Found(usage) => {
            let power = pass.object.status.as_ref().and_then(|status| status.power.as_ref());
            return judge(policy, power, usage, observed.now);
        }
    }
    let (logins, spacing) = (&pass.ctx.database.logins, pass.ctx.core.settings.login_spacing);
    let early = pass.ctx.looks.wait(pass.uid(), pace(policy, spacing)).is_some();
    if early || logins.wait(&database.name_any(), spacing).is_some() {
        return (IdleState::No, None);
    }
    (IdleState::Look, None)
}

/// Looks whether anybody uses the database. One that does not answer is not paused; the counts of its tables show at the
/// next look whether it was used meanwhile.
pub async fn look(pass: &mut Pass, observed: &Observed) {
    let Some(database) = &observed.database else { return };
    let looked = async {
        let mut session = login::open(pass, database).await?;
        Ok(postgres::usage(&mut session).await?)
    };
    let usage = login::within(login::LOGIN_LIMIT, looked).await;
    pass.ctx.looks.looked(pass.uid());
    match usage {
        Ok(usage) => pass.looked = Looked::Found(usage),
        Err(error) => {
            pass.looked = Looked::Done;
            tracing::debug!(%error, "the operator cannot see whether anybody uses the database");
        }
    }
}

/// The step that a look leads to.
fn judge(
    policy: GoDuration,
    power: Option<&PowerStatus>,
    usage: &Usage,
    now: Timestamp,
) -> (IdleState, Option<Unused>) {
    let since = power.and_then(|power| power.unused_since.as_ref()).map(|since| since.0);
    let changed = power.and_then(|power| power.uses.as_ref()) != Some(&usage.uses);
    if usage.sessions > 0 {
        // Written once: the status does not change with every use.
        let unused = Unused::default();
        return (
            if since.is_some() {
                IdleState::Note
            } else {
                IdleState::No
            },
            Some(unused),
        );
    }
    let Some(since) = since.filter(|_| !changed) else {
        let unused = Unused {
            since: Some(Time(now)),
            uses: Some(usage.uses.clone()),
        };
        return (IdleState::Note, Some(unused));
    };
    let limit = SignedDuration::try_from(policy.as_std()).unwrap_or(SignedDuration::MAX);
    let lead = (limit / WARNING_PART).min(WARNING);
    let warned = power.and_then(|power| power.warned_at.as_ref()).map(|at| at.0);
    let unused = now.duration_since(since);
    let step = match warned {
        None if unused >= limit.saturating_sub(lead) => IdleState::Warn,
        // The warning comes long enough before, also after a time without an operator.
        Some(at) if unused >= limit && now.duration_since(at) >= lead => IdleState::Sleep,
        _ => IdleState::No,
    };
    (step, None)
}

/// The event that warns of a pause.
pub fn warning(pass: &Pass, observed: &Observed) -> String {
    let policy = policy(&pass.object, observed.class.as_deref());
    let policy = policy.map(|policy| policy.to_string()).unwrap_or_default();
    format!(
        "nobody uses the database; it is paused when nobody has used it for {policy}. To keep it running, use it, or set \
         spec.idle to {{}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn unused(since: Option<i64>, warned: Option<i64>) -> PowerStatus {
        PowerStatus {
            unused_since: since.map(|since| Time(at(since))),
            uses: since.map(|_| "7".into()),
            warned_at: warned.map(|warned| Time(at(warned))),
            ..PowerStatus::default()
        }
    }

    #[test]
    fn it_is_looked_twelve_times_and_no_more_often_than_logins_are_spaced() {
        let spacing = Duration::from_secs(30);
        for (policy, every) in [(1, 30), (6, 30), (60, 300), (6000, 900)] {
            let policy = GoDuration::from_mins(policy);
            assert_eq!(pace(policy, spacing), Duration::from_secs(every), "{policy}");
        }
    }

    #[test]
    fn a_database_is_warned_of_and_then_paused_when_nobody_uses_it() {
        let hour = GoDuration::from_mins(60);
        let quiet = Usage {
            sessions: 0,
            uses: "7".into(),
        };
        for (since, warned, now, step) in [
            (None, None, 0, IdleState::Note),
            (Some(0), None, 49, IdleState::No),
            (Some(0), None, 50, IdleState::Warn),
            (Some(0), Some(50), 59, IdleState::No),
            (Some(0), Some(50), 60, IdleState::Sleep),
            // No operator ran for a while.
            (Some(0), None, 500, IdleState::Warn),
            (Some(0), Some(500), 509, IdleState::No),
            (Some(0), Some(500), 510, IdleState::Sleep),
            // The clock was set back.
            (Some(60), Some(50), 0, IdleState::No),
        ] {
            let (is, _) = judge(hour, Some(&unused(since, warned)), &quiet, at(now));
            assert_eq!(is, step, "{since:?} {warned:?} {now}");
        }
    }

    #[test]
    fn every_use_begins_the_time_anew() {
        let hour = GoDuration::from_mins(60);
        let usage = |sessions, uses: &str| Usage {
            sessions,
            uses: uses.into(),
        };
        let (is, look) = judge(hour, Some(&unused(Some(0), Some(50))), &usage(0, "8"), at(70));
        let look = look.unwrap_or_default();
        assert_eq!((is, look.uses.as_deref()), (IdleState::Note, Some("8")));
        assert_eq!(look.since.map(|since| since.0), Some(at(70)));
        let (is, look) = judge(hour, Some(&unused(Some(0), Some(50))), &usage(1, "7"), at(70));
        assert_eq!((is, look), (IdleState::Note, Some(Unused::default())));
        let (is, _) = judge(hour, Some(&unused(None, None)), &usage(3, "9"), at(80));
        assert_eq!(is, IdleState::No, "no write for each use");
        let (is, _) = judge(hour, None, &usage(0, "0"), at(0));
        assert_eq!(is, IdleState::Note);
    }
}
