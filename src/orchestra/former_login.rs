//! The end of a tenant's former logins: each is revoked in time, whatever other work is pending or fails; its role is
//! dropped when nothing else is to be done. A failed attempt is reported, and repeated.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::rotation::{logins, marks};
use super::wait::{SOON, UNWATCHED};
use super::{Pass, generations, login};
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::tenant::{self, LoginState};

/// From this wait between attempts on, a failure is reported: after about a minute of attempts.
const LASTING: Duration = Duration::from_secs(30);

/// Whether the overlap of a former login is over. One that could not be ended in this pass waits for another one.
pub fn is_overdue(pass: &Pass, database: &str, now: Timestamp) -> bool {
    pass.kept_login.is_none() && marks(pass, database).revoke_at.is_some_and(|until| until <= now)
}

/// Revokes the former logins whose overlap is over. A failure to revoke them delays nothing else: it is reported, and tried
/// again.
pub async fn revoke(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(database) = &observed.database else {
        return Ok(());
    };
    let (core, name) = (pass.ctx.core.clone(), database.name_any());
    let spacing = core.settings.login_spacing;
    if let Some(wait) = pass.ctx.database.logins.wait(&name, spacing) {
        pass.kept_login = Some(wait);
        return Ok(());
    }
    let mut logins = logins(pass, database).await?;
    let overdue = logins.state.overdue(observed.now);
    let shut = login::within(login::LOGIN_LIMIT, login::shut_former(pass, database, &overdue)).await;
    if let Err(error) = shut {
        let wait = core.backoff.next(&login_key(pass)).max(SOON);
        pass.kept_login = Some(wait);
        tell_kept(pass, &overdue, &error, wait).await;
        return Ok(());
    }
    core.backoff.reset(&login_key(pass));
    let change = |state: &mut LoginState| state.shut(&overdue);
    logins.change(&core, &name, change).await?;
    pass.access.learn(logins);
    if overdue.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = overdue.iter().map(ToString::to_string).collect();
    let note = format!(
        "the overlap is over: the former login number {} is revoked",
        numbers.join(", ")
    );
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::LoginRevoked, note)).await;
    Ok(())
}

/// An event about former logins that could not be ended. A transient failure is reported when it has lasted.
async fn tell_kept(pass: &Pass, overdue: &[u32], error: &Error, wait: Duration) {
    let roles: Vec<_> = overdue
        .iter()
        .map(|number| tenant::role_of(pass.uid(), *number))
        .collect();
    let roles = roles.join(", ");
    tracing::warn!(%error, roles, "former logins are not revoked yet");
    if error.is_passing() && wait < LASTING {
        return;
    }
    let note = format!(
        "the overlap is over, and the former login {roles} still works ({error}): it is tried again. To end it now, ALTER ROLE \
         … NOLOGIN on the server"
    );
    tell(&pass.ctx.core, &pass.object, &News::warning(error.reason(), note)).await;
}

/// Forgets the attempts to end the former logins of an Orchestra that is being deleted.
pub fn forget(pass: &Pass) {
    for key in [login_key(pass), role_key(pass)] {
        pass.ctx.core.backoff.reset(&key);
    }
}

/// The key of attempts to end former logins.
fn login_key(pass: &Pass) -> String {
    format!("former/{}", pass.uid())
}

/// The key of attempts to drop the roles of former logins.
fn role_key(pass: &Pass) -> String {
    format!("role/{}", pass.uid())
}

/// Drops the roles of former logins that can no longer log in. Very many objects of such a role are reassigned in steps:
/// interrupted work continues later, and nothing waits for it.
pub async fn clean_up(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    // Until it is done.
    pass.kept_role = Some(UNWATCHED);
    let Some(database) = &observed.database else {
        return Ok(());
    };
    let (class, mut logins) = (observed.class.as_deref(), logins(pass, database).await?);
    let mut kept = None;
    for number in logins.state.ended.clone() {
        let dropped = generations::drop_former(pass, database, class, (&logins, number));
        if let Err(error) = login::within(login::LOGIN_LIMIT, dropped).await {
            tracing::warn!(%error, number, "the role of a former login is not dropped yet");
            // Another one may be dropped.
            kept = Some((number, error));
            continue;
        }
        let change = |state: &mut LoginState| {
            state.ended.remove(&number);
        };
        logins.change(&pass.ctx.core, &database.name_any(), change).await?;
    }
    pass.access.learn(logins);
    let Some((number, error)) = kept else {
        pass.ctx.core.backoff.reset(&role_key(pass));
        pass.kept_role = None;
        return Ok(());
    };
    let wait = pass.ctx.core.backoff.next(&role_key(pass));
    pass.kept_role = Some(wait);
    if wait >= LASTING {
        let role = tenant::role_of(pass.uid(), number);
        let note = format!(
            "the role {role} of a former, revoked login cannot be dropped ({error}); the operator tries again. Its objects may \
             be in use, or the owner may not reassign them"
        );
        tell(&pass.ctx.core, &pass.object, &News::warning(error.reason(), note)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::backoff::Backoff;

    #[test]
    fn people_are_told_when_attempts_have_failed_for_about_a_minute() {
        let backoff = Backoff::default();
        let waits = std::iter::repeat_with(|| backoff.next("role/1"));
        let before: Duration = waits.take_while(|wait| *wait < LASTING).sum();
        assert!(
            before >= Duration::from_secs(20) && before <= Duration::from_mins(2),
            "{before:?}"
        );
    }
}
