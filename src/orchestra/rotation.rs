//! Rotation of the tenant's login: a new one is made, proven and published, and the former one is revoked after the
//! overlap. Each step is written into the tenant's Secret before it is executed, so that it is finished after a crash at any
//! point:
//!
//! ```text
//! Due → BeginRotation → Pending → PrepareLogin → Publish (a login proves the new one) → EndRotation
//!       … overlap … → RevokeFormer … when nothing else is to be done → Ended → DropFormer
//! ```
//!
//! [`super::former_login`] has the end of former logins.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::plan::RotationState;
use super::wait::SOON;
use super::{Pass, former, login};
use crate::api::condition::Reason;
use crate::api::names::{request, tenant_secret};
use crate::api::{CredentialStatus, Orchestra, OrchestraDatabase, OrchestraStatus, ROTATE_ANNOTATION};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::tenant::{LoginMarks, LoginState, Logins};
use crate::credentials::{schedule, secrets};

/// The state of the tenant's logins, from this pass, the status or the labels of the tenant's Secret; the Secret is not
/// read for it.
pub(super) fn marks(pass: &Pass, database: &str) -> LoginMarks {
    if let Some(logins) = pass.access.logins() {
        return LoginMarks::from(&logins.state);
    }
    let known = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.credentials.as_ref());
    match known {
        // The tenant's Secret is lost. It is created again when it is needed.
        Some(known) if !secrets::is_watched(&pass.ctx.core, &tenant_secret(database)) => LoginMarks {
            generation: u32::try_from(known.generation).unwrap_or(1),
            rotated_at: known.rotated_at.as_ref().map(|at| at.0),
            revoke_at: known.former_until.as_ref().map(|until| until.0),
            ..LoginMarks::default()
        },
        _ => LoginMarks::of(&pass.ctx.core, database, pass.uid()),
    }
}

/// The request for a rotation that the annotation makes.
fn asked(object: &Orchestra) -> Option<String> {
    request(&object.metadata, ROTATE_ANNOTATION).filter(|asked| !asked.is_empty())
}

/// The last request that was executed.
fn handled(pass: &Pass) -> Option<&str> {
    let known = pass.access.logins().and_then(|logins| logins.state.request.as_deref());
    let status = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.credentials.as_ref());
    known.or_else(|| status?.handled_request.as_deref())
}

/// The state of the rotation.
pub fn observe(pass: &Pass, database: &str, now: Timestamp) -> RotationState {
    let marks = marks(pass, database);
    let requested = asked(&pass.object).is_some_and(|asked| handled(pass) != Some(&asked));
    let scheduled = next(&pass.object, &marks, now).is_some_and(|next| next <= now);
    let full = pass.access.logins().is_some_and(|logins| !logins.state.has_room());
    // A rotation that started continues with the connection published last; none starts while the spec is invalid.
    let due = (requested || scheduled) && !full && pass.invalid.is_none();
    match decide(&marks, due) {
        // It was tried in this pass.
        RotationState::Ended if pass.kept_role.is_some() => RotationState::Settled,
        rotation => rotation,
    }
}

fn decide(marks: &LoginMarks, due: bool) -> RotationState {
    if marks.pending {
        RotationState::Pending
    } else if due {
        RotationState::Due
    } else if marks.ended {
        RotationState::Ended
    } else {
        RotationState::Settled
    }
}

/// When the schedule asks for the next rotation. One that has become due stays due until the login is rotated, whatever
/// prevents it: a pause, an edit of the spec, or a schedule that is wrong and corrected later.
fn next(object: &Orchestra, marks: &LoginMarks, now: Timestamp) -> Option<Timestamp> {
    let known = object
        .status
        .as_ref()
        .and_then(|status| status.credentials.as_ref()?.next_rotation.as_ref())
        .map(|next| next.0)
        .filter(|next| marks.rotated_at.is_none_or(|at| at < *next));
    match schedule::of(object.spec.connection.rotation.as_ref()?) {
        Ok(schedule) => schedule?.due_or_next(known, now),
        Err(_) => known,
    }
}

/// How long the former login works.
pub fn overlap(object: &Orchestra) -> SignedDuration {
    SignedDuration::try_from(object.spec.connection.overlap().as_std()).unwrap_or(SignedDuration::MAX)
}

/// The logins of the tenant, read once a pass.
pub(super) async fn logins(pass: &Pass, database: &OrchestraDatabase) -> Result<Logins, Error> {
    match pass.access.logins() {
        Some(logins) => Ok(logins.clone()),
        None => login::logins(pass, database).await,
    }
}

/// Records that a new login is to be made.
pub async fn begin(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(database) = &observed.database else {
        return Ok(());
    };
    let name = database.name_any();
    let mut logins = logins(pass, database).await?;
    pass.access.learn(logins.clone());
    // The rotation may have started before the status said so.
    if observe(pass, &name, observed.now) != RotationState::Due && !logins.state.tentative {
        return Ok(());
    }
    let request = asked(&pass.object);
    logins
        .change(&pass.ctx.core, &name, |state| state.begin(request))
        .await?;
    tracing::info!(generation = logins.state.newest(), "a new login of the tenant is made");
    pass.access.learn(logins);
    // The open session only proves the former login.
    pass.access.close();
    pass.set_published(None);
    Ok(())
}

/// Records that the new login is published, and until when the former one stays.
pub async fn end(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(database) = &observed.database else {
        return Ok(());
    };
    let (mut logins, overlap, now) = (logins(pass, database).await?, overlap(&pass.object), observed.now);
    former::end_by(pass, now.saturating_add(overlap).unwrap_or(Timestamp::MAX)).await?;
    let change = |state: &mut LoginState| state.end(now, overlap);
    logins.change(&pass.ctx.core, &database.name_any(), change).await?;
    let (state, name) = (logins.state.clone(), pass.secret_name());
    pass.access.learn(logins);
    pass.ctx.core.metrics.rotated();
    let until = state.former.values().max().map(ToString::to_string).unwrap_or_default();
    let note = format!(
        "Secret {name} has the login number {}; the one before it works until {until}",
        state.current
    );
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::LoginRotated, note)).await;
    Ok(())
}

/// The credentials in the status; none for an Orchestra whose login nobody has asked to rotate.
pub fn status(
    pass: &Pass,
    database: Option<&OrchestraDatabase>,
    old: Option<CredentialStatus>,
    now: Timestamp,
) -> Option<CredentialStatus> {
    let Some(database) = database else { return old };
    let database = &database.name_any();
    let (marks, rotation) = (marks(pass, database), pass.object.spec.connection.rotation.as_ref());
    let asked = asked(&pass.object);
    if marks.generation <= 1 && !marks.pending && rotation.is_none() && asked.is_none() && old.is_none() {
        return None;
    }
    let next_rotation = next(&pass.object, &marks, now);
    // A request from before the first login was published has nothing to rotate.
    let first = asked.filter(|_| !pass.object.is_published());
    let handled = first.or_else(|| handled(pass).map(ToOwned::to_owned));
    Some(CredentialStatus {
        generation: marks.generation.into(),
        rotated_at: marks.rotated_at.map(Time),
        next_rotation: next_rotation.map(Time),
        former_until: marks.revoke_at.map(Time),
        handled_request: handled,
    })
}

/// How long until the next work that no watch triggers: a second at least. A late rotation waits for the end of a former
/// login.
pub fn due_in(status: Option<&OrchestraStatus>, now: Timestamp) -> Option<Duration> {
    Some(left_until(due(status, now)?, now).max(Duration::from_secs(1)))
}

fn due(status: Option<&OrchestraStatus>, now: Timestamp) -> Option<Timestamp> {
    let known = status.and_then(|status| status.credentials.as_ref());
    let next = known.and_then(|known| known.next_rotation.as_ref()).map(|time| time.0);
    let former = known.and_then(|known| known.former_until.as_ref()).map(|time| time.0);
    let next = next.filter(|next| *next > now || former.is_none());
    next.into_iter().chain(former).chain(former::first(status)).min()
}

/// None of a time that has passed.
fn left_until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// The time until the next rotation or end of a login, for a pass that waits for something else; none when it is already
/// due, except for a former login that could not be ended.
pub fn ahead(pass: &Pass, now: Timestamp) -> Option<Duration> {
    let due = due(pass.object.status.as_ref(), now);
    let ahead = due.filter(|time| *time > now).map(|time| left_until(time, now) + SOON);
    ahead.into_iter().chain(pass.kept_login).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_comes_back_when_something_is_due_and_never_at_once() {
        let at = |seconds| Some(Time(Timestamp::from_second(seconds).unwrap_or_default()));
        let now = Timestamp::from_second(1000).unwrap_or_default();
        for (next, former, seconds) in [
            (None, None, None),
            (at(1100), None, Some(100)),
            (at(1100), at(1050), Some(50)),
            (at(900), at(1050), Some(50)),
            (at(900), None, Some(1)),
            (None, at(900), Some(1)),
        ] {
            let status = OrchestraStatus {
                credentials: Some(CredentialStatus {
                    next_rotation: next,
                    former_until: former,
                    ..CredentialStatus::default()
                }),
                ..OrchestraStatus::default()
            };
            assert_eq!(due_in(Some(&status), now), seconds.map(Duration::from_secs));
        }
    }

    #[test]
    fn a_rotation_that_is_due_stays_due_whatever_is_edited_until_the_login_is_rotated() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap_or_default();
        let (due, now) = (at("2026-11-01T03:00:00Z"), at("2026-11-28T12:00:00Z"));
        let mut object = Orchestra::new("one", crate::api::OrchestraSpec::default());
        object.metadata.generation = Some(7);
        object.status = Some(OrchestraStatus {
            observed_generation: 3,
            credentials: Some(CredentialStatus {
                next_rotation: Some(Time(due)),
                ..CredentialStatus::default()
            }),
            ..OrchestraStatus::default()
        });
        let never = LoginMarks::default();
        let rotated = |time| LoginMarks {
            rotated_at: Some(at(time)),
            ..never
        };
        let (monthly, daily) = (Some("0 3 1 * *"), Some("0 5 * * *"));
        for (schedule, marks, is) in [
            (None, never, None),
            (monthly, never, Some("2026-11-01T03:00:00Z")),
            (monthly, rotated("2026-10-01T03:00:09Z"), Some("2026-11-01T03:00:00Z")),
            (monthly, rotated("2026-11-02T10:00:00Z"), Some("2026-12-01T03:00:00Z")),
            // Another schedule, which never asked for that time.
            (daily, never, Some("2026-11-29T05:00:00Z")),
            // An invalid schedule has no times, and a rotation that was due is due again when it is corrected.
            (Some("banana"), never, Some("2026-11-01T03:00:00Z")),
        ] {
            object.spec.connection.rotation = schedule.map(|schedule| crate::api::Rotation {
                schedule: Some(schedule.into()),
                ..crate::api::Rotation::default()
            });
            assert_eq!(next(&object, &marks, now), is.map(at), "{schedule:?} {marks:?}");
        }
    }

    #[test]
    fn a_rotation_that_began_is_finished_before_anything_else() {
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let marks = |pending, revoke_at| LoginMarks {
            generation: 2,
            pending,
            rotated_at: at(1),
            revoke_at,
            ended: true,
        };
        for (marks, due, is) in [
            (marks(true, at(50)), true, RotationState::Pending),
            (marks(true, None), false, RotationState::Pending),
            (marks(false, at(100)), true, RotationState::Due),
            (marks(false, at(101)), false, RotationState::Ended),
            (marks(false, None), true, RotationState::Due),
            (marks(false, None), false, RotationState::Ended),
            (LoginMarks::default(), false, RotationState::Settled),
        ] {
            assert_eq!(decide(&marks, due), is, "{marks:?}");
        }
    }
}
