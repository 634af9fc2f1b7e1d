//! The condition Available: whether applications can use the database now. At first the steps of the Orchestra decide it,
//! and then probes with the published login ([`crate::health`]).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Pass;
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{HealthStatus, OrchestraStatus};
use crate::controller::conditions::{Conditions, MESSAGE_LIMIT};
use crate::controller::status::News;
use crate::credentials::published;
use crate::health::judge::ProbeOutage;
use crate::text;

/// The message while applications can use the database.
const WORKS: &str = "applications can use it";

/// The outage that prevents applications from using the database. Where a Secret is not probed because of its template, a
/// pass that has nothing left to do (`ready`) has published and proven the login.
fn outage(pass: &Pass, ready: bool) -> Option<ProbeOutage> {
    if ready && published::is_hidden(&pass.object) {
        return None;
    }
    pass.ctx.health.outage(&pass.object)
}

/// Sets the condition of an Orchestra whose database is in use, or is not in use for this reason. `ready`: nothing is left
/// to do.
pub fn condition(
    pass: &Pass,
    conditions: &mut Conditions<'_>,
    (in_use, ready): (bool, bool),
    (reason, message): (Reason, &str),
) {
    match outage(pass, ready) {
        _ if !in_use => conditions.set(Is::Available, false, reason, message),
        Some(ProbeOutage { reason, message }) => conditions.set(Is::Available, false, reason, &message),
        None => conditions.set(Is::Available, true, Reason::Ready, WORKS),
    }
}

/// The condition after a pass that was stopped: unchanged, unless probes have another result by now.
pub fn kept(pass: &Pass, conditions: &mut Conditions<'_>, old: &OrchestraStatus) {
    let outage = outage(pass, false);
    let was_down = old.health.is_some();
    match outage {
        Some(ProbeOutage { reason, message }) if conditions.was_true(Is::Available) || was_down => {
            conditions.set(Is::Available, false, reason, &message);
        }
        None if was_down => conditions.set(Is::Available, true, Reason::Ready, WORKS),
        _ => conditions.keep(Is::Available, Reason::Pending),
    }
}

/// The outage in the status; its time stays while it lasts. `ready`: nothing is left to do.
pub fn health(pass: &Pass, ready: bool, old: Option<&HealthStatus>, now: Timestamp) -> Option<HealthStatus> {
    let outage = outage(pass, ready)?;
    Some(HealthStatus {
        reason: outage.reason.as_str().into(),
        message: text::shown(&outage.message, MESSAGE_LIMIT),
        since: old.map_or(Time(now), |old| old.since.clone()),
    })
}

/// The event of an outage that begins, is another one, or ends.
pub fn news(old: Option<&HealthStatus>, new: Option<&HealthStatus>) -> Option<News> {
    match (old, new) {
        (Some(old), Some(new)) if old.reason == new.reason => None,
        (_, Some(new)) => Some(News::warning(new.known_reason(), new.message.clone())),
        (Some(old), None) => Some(News::normal(
            Reason::Recovered,
            format!(
                "applications can use the database again; they could not use it since {}",
                old.since.0
            ),
        )),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_one_event() {
        let health = |reason: Reason, message: &str| HealthStatus {
            reason: reason.as_str().into(),
            message: message.into(),
            since: Time(Timestamp::UNIX_EPOCH),
        };
        let refused = health(Reason::ConnectionRefused, "nothing listens");
        let login = health(Reason::LoginFailed, "wrong password");
        let again = health(Reason::ConnectionRefused, "in other words");
        for (old, new, told) in [
            (None, None, None),
            (None, Some(&refused), Some(Reason::ConnectionRefused)),
            (Some(&refused), Some(&again), None),
            (Some(&refused), Some(&login), Some(Reason::LoginFailed)),
            (Some(&login), None, Some(Reason::Recovered)),
        ] {
            assert_eq!(news(old, new).map(|news| news.reason), told, "{old:?} {new:?}");
        }
    }
}
