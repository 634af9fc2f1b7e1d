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
use crate::api::{GoDuration, Orchestra, OrchestraBackup, OrchestraClass, PowerStatus};
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
pub struct UseLooks(Mutex<HashMap<String, LastLook>>);

/// The times of a look: by the clock that measures waits, and by that of other objects' statuses.
#[derive(Clone, Copy)]
struct LastLook {
    at: Instant,
    time: Timestamp,
}

impl UseLooks {
    /// How long the next look has to wait.
    pub fn wait(&self, uid: &str, pace: Duration) -> Option<Duration> {
        let last = *self.0.lock().get(uid)?;
        pace.checked_sub(last.at.elapsed()).filter(|left| !left.is_zero())
    }

    fn looked(&self, uid: &str, time: Timestamp) -> Option<Timestamp> {
        let look = LastLook {
            at: Instant::now(),
            time,
        };
        self.0.lock().insert(uid.to_owned(), look).map(|last| last.time)
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
    Found {
        /// How much the database was used.
        usage: Usage,
        /// Whether a backup was made since the look before.
        backed_up: bool,
    },
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
    /// Count of the scans of whole tables.
    pub scans: Option<String>,
    /// The warning of the pause stays as it is: nobody has used the database, and a backup was made.
    pub keeps_warning: bool,
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
        Looked::Found { usage, backed_up } => {
            let power = pass.object.status.as_ref().and_then(|status| status.power.as_ref());
            let (state, unused) = judge(policy, power, (usage, *backed_up), observed.now);
            // The pause would cut the backup off.
            if state == IdleState::Sleep && is_any_backup(pass, OrchestraBackup::is_being_made) {
                return (IdleState::No, None);
            }
            return (state, unused);
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
pub async fn look(pass: &Pass, observed: &Observed) -> Looked {
    let Some(database) = &observed.database else {
        return Looked::Done;
    };
    let looked = async {
        let mut session = login::open(pass, database).await?;
        Ok(postgres::usage(&mut session).await?)
    };
    let usage = login::within(login::LOGIN_LIMIT, looked).await;
    let last = pass.ctx.looks.looked(pass.uid(), observed.now);
    match usage {
        Ok(usage) => {
            let backed_up = last.is_some_and(|last| is_backed_up_since(pass, last));
            Looked::Found { usage, backed_up }
        }
        Err(error) => {
            tracing::debug!(%error, "the operator cannot see whether anybody uses the database");
            Looked::Done
        }
    }
}

/// Whether a backup of the Orchestra is being made, or an attempt has ended since then. One that waits for another attempt
/// scans nothing.
fn is_backed_up_since(pass: &Pass, last: Timestamp) -> bool {
    is_any_backup(pass, |backup| {
        let status = backup.status.as_ref();
        let completed = status.and_then(|status| status.completion_time.as_ref());
        let failed = status.and_then(|status| Some(&status.failure.as_ref()?.time));
        let ended = completed.into_iter().chain(failed);
        backup.is_being_made() || ended.map(|at| at.0).max().is_some_and(|at| at >= last)
    })
}

/// Whether this is so of a backup of this very Orchestra.
fn is_any_backup(pass: &Pass, is: impl Fn(&OrchestraBackup) -> bool) -> bool {
    let object = &pass.object;
    let is_own = |backup: &OrchestraBackup| {
        let of = backup
            .status
            .as_ref()
            .and_then(|status| status.orchestra_uid.as_deref());
        backup.namespace() == object.namespace() && of.is_some() && of == object.metadata.uid.as_deref()
    };
    let found = pass.ctx.core.stores.backups.find(|backup| is_own(backup) && is(backup));
    found.is_some()
}

/// The step that a look leads to. Scans of whole tables alone do not count as use if a backup was made meanwhile, and an idle
/// session counts by [`has_acted`].
fn judge(
    policy: GoDuration,
    power: Option<&PowerStatus>,
    (usage, backed_up): (&Usage, bool),
    now: Timestamp,
) -> (IdleState, Option<Unused>) {
    let since = power.and_then(|power| power.unused_since.as_ref()).map(|since| since.0);
    let used = power.and_then(|power| power.uses.as_ref()) != Some(&usage.uses);
    let scanned = power.and_then(|power| power.scans.as_ref()) != Some(&usage.scans);
    let changed = used || scanned && !backed_up;
    if usage.sessions > 0 || has_acted(policy, usage, since.map(|since| now.duration_since(since))) {
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
        return (IdleState::Note, Some(counted(Time(now), usage, false)));
    };
    if scanned {
        return (IdleState::Note, Some(counted(Time(since), usage, true)));
    }
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

/// Whether an idle session has run a statement after the time since when the database is unused, or, of one in use, about
/// since the last look. Ages are compared, because the server has another clock.
fn has_acted(policy: GoDuration, usage: &Usage, unused: Option<SignedDuration>) -> bool {
    let Some(ago) = usage.acted else { return false };
    match unused {
        Some(unused) => SignedDuration::try_from(ago).is_ok_and(|ago| ago < unused),
        None => ago < pace(policy, Duration::ZERO),
    }
}

fn counted(since: Time, usage: &Usage, keeps_warning: bool) -> Unused {
    Unused {
        since: Some(since),
        uses: Some(usage.uses.clone()),
        scans: Some(usage.scans.clone()),
        keeps_warning,
    }
}

/// The event that warns of a pause.
pub fn warning(pass: &Pass, observed: &Observed) -> String {
    let policy = policy(&pass.object, observed.class.as_deref());
    let policy = policy.map(|policy| policy.to_string()).unwrap_or_default();
    format!(
        "the database is unused and will be paused after {policy} without use. To keep it running, use it, or set \
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
            scans: since.map(|_| "3".into()),
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
            uses: "7".into(),
            scans: "3".into(),
            ..Usage::default()
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
            let (is, _) = judge(hour, Some(&unused(since, warned)), (&quiet, false), at(now));
            assert_eq!(is, step, "{since:?} {warned:?} {now}");
        }
    }

    #[test]
    fn every_use_begins_the_time_anew() {
        let hour = GoDuration::from_mins(60);
        let usage = |sessions, uses: &str| Usage {
            sessions,
            uses: uses.into(),
            scans: "3".into(),
            ..Usage::default()
        };
        let (is, look) = judge(hour, Some(&unused(Some(0), Some(50))), (&usage(0, "8"), false), at(70));
        let look = look.unwrap_or_default();
        assert_eq!((is, look.uses.as_deref()), (IdleState::Note, Some("8")));
        assert_eq!(look.since.map(|since| since.0), Some(at(70)));
        let (is, look) = judge(hour, Some(&unused(Some(0), Some(50))), (&usage(1, "7"), false), at(70));
        assert_eq!((is, look), (IdleState::Note, Some(Unused::default())));
        let (is, _) = judge(hour, Some(&unused(None, None)), (&usage(3, "9"), false), at(80));
        assert_eq!(is, IdleState::No, "no write for each use");
        let (is, _) = judge(hour, None, (&usage(0, "0"), false), at(0));
        assert_eq!(is, IdleState::Note);
    }

    #[test]
    fn an_idle_session_counts_from_its_last_statement() {
        let hour = GoDuration::from_mins(60);
        // Minutes since the last statement, at minute 70, of a database that is unused since minute 0, and of one in use.
        for (acted, of_unused, of_used) in [
            (None, IdleState::Sleep, IdleState::Note),
            (Some(500), IdleState::Sleep, IdleState::Note),
            (Some(70), IdleState::Sleep, IdleState::Note),
            (Some(69), IdleState::Note, IdleState::Note),
            (Some(5), IdleState::Note, IdleState::Note),
            (Some(4), IdleState::Note, IdleState::No),
        ] {
            let usage = Usage {
                acted: acted.map(Duration::from_mins),
                uses: "7".into(),
                scans: "3".into(),
                ..Usage::default()
            };
            let (is, look) = judge(hour, Some(&unused(Some(0), Some(50))), (&usage, false), at(70));
            assert_eq!(is, of_unused, "{acted:?}");
            assert_eq!(look, (is == IdleState::Note).then(Unused::default), "{acted:?}");
            let (is, look) = judge(hour, Some(&unused(None, None)), (&usage, false), at(70));
            assert_eq!(is, of_used, "{acted:?}");
            let since = look.and_then(|look| look.since).map(|since| since.0);
            assert_eq!(since, (is == IdleState::Note).then(|| at(70)), "{acted:?}");
        }
    }

    #[test]
    fn a_backup_is_no_use() {
        let hour = GoDuration::from_mins(60);
        let usage = |uses: &str, scans: &str| Usage {
            uses: uses.into(),
            scans: scans.into(),
            ..Usage::default()
        };
        let power = unused(Some(0), Some(50));
        for (uses, scans, backed_up, since, keeps_warning) in [
            ("7", "9", true, 0, true),
            ("7", "9", false, 70, false),
            ("8", "9", true, 70, false),
            ("8", "3", true, 70, false),
        ] {
            let (is, look) = judge(hour, Some(&power), (&usage(uses, scans), backed_up), at(70));
            let look = look.unwrap_or_default();
            assert_eq!(is, IdleState::Note);
            assert_eq!(
                look.since.map(|since| since.0),
                Some(at(since)),
                "{uses} {scans} {backed_up}"
            );
            assert_eq!(
                (look.scans.as_deref(), look.keeps_warning),
                (Some(scans), keeps_warning)
            );
        }
        let (is, _) = judge(hour, Some(&power), (&usage("7", "3"), true), at(70));
        assert_eq!(is, IdleState::Sleep);
    }
}
