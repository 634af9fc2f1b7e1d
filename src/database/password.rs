//! The rotation of the owner's password: it follows each rotation of the tenant's login, where the Orchestra asks for it.
//!
//! ```text
//! BeginPassword (the new one is stored as pending) → ChangePassword (asked of the provider, proven by a login, stored)
//! ```
//!
//! Both passwords are stored until a login with the new one has worked, so that the project's password is always known. The
//! request may be repeated: it sets the same password.

use jiff::Timestamp;

use super::plan::ClaimState;
use super::{Pass, holder};
use crate::api::condition::Reason;
use crate::api::names::PENDING_LABEL;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::credentials::followed::{asks_for_password, password_follows_none};
use crate::credentials::{owner, password};
use crate::error::ErrorClass;
use crate::postgres::{self, APPLICATION, Login};
use crate::supabase::Account;

/// Whether a new password is stored that the project may not have yet. One that could not be set in this pass waits.
pub fn is_pending(pass: &Pass) -> bool {
    (pass.password.is_some() || pass.has_stored(PENDING_LABEL)) && pass.password != Some(PasswordAttempt::Over)
}

/// The progress of a pass with a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAttempt {
    /// It was stored in this pass, so that the project cannot have it.
    Stored,
    /// Nothing more is tried in this pass.
    Over,
}

/// Whether the tenant's login was rotated since the owner's password was, and the Orchestra asks for both.
pub fn is_due(pass: &Pass, claim: ClaimState) -> bool {
    let core = &pass.ctx.core;
    // The password of an adopted project is not the operator's to change, unless it may set it.
    if pass
        .object
        .adopted()
        .is_some_and(|adopted| !adopted.adopt.reset_password)
    {
        return false;
    }
    let Some(holder) = holder::watched(pass).filter(|_| claim == ClaimState::Held) else {
        return false;
    };
    asks_for_password(&holder)
        && pass.password.is_none()
        && password_follows_none(core, pass.name(), &holder::login(pass))
}

/// Stores a new password as pending.
pub async fn begin(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let secrets = owner::secrets(&pass.ctx.core);
    let followed = holder::login(pass).generation;
    owner::begin_rotation(&secrets, pass.name(), &password::generate(), followed).await?;
    pass.password = Some(PasswordAttempt::Stored);
    Ok(None)
}

/// Sets the pending password on the project. A failure stops nothing and is not an error of the pass: both passwords are
/// stored.
pub async fn change(
    pass: &mut Pass,
    now: Timestamp,
    (account, reference): (&Account, &str),
) -> Result<Option<Next>, Error> {
    let (core, name) = (pass.ctx.core.clone(), pass.name().to_owned());
    let spacing = core.settings.login_spacing;
    let fresh = pass.password == Some(PasswordAttempt::Stored);
    if let Some(wait) = pass.ctx.logins.wait(&name, spacing) {
        return Ok(Some(Next::After(wait)));
    }
    let stored = owner::read(&owner::secrets(&core), &name).await?.unwrap_or_default();
    let login = stored.login(&core.settings.database_roots);
    let (Some(new), Some(login)) = (stored.pending, login) else {
        // Another operator has written the Secret.
        pass.password = Some(PasswordAttempt::Over);
        return Ok(None);
    };
    let login = login.as_user(login.user.clone(), new.clone());
    // After a crash or an answer that was lost, the project may have it.
    if !fresh {
        match postgres::connect(&login, APPLICATION).await {
            Ok(_) => return settle(pass, now).await,
            Err(error) if error.is_wrong_password() => {
                // The next login has to wait. The refusal says nothing new about the password that is stored as the owner's.
                let wrong = pass.ctx.logins.wrong_password(&name);
                pass.ctx.logins.refused(&name, wrong);
            }
            Err(error) => return postpone(pass, &error.into()).await,
        }
    }
    if let Err(error) = account.client().update_database_password(reference, &new).await {
        return postpone(pass, &error.into()).await;
    }
    tracing::info!(project = reference, "the owner's password was changed on the project");
    // The pooler may accept it only after a while, and refused logins are spaced.
    if fresh && proves(&login).await {
        return settle(pass, now).await;
    }
    pass.ctx.logins.refused(&name, false);
    Ok(Some(Next::After(spacing)))
}

async fn proves(login: &Login) -> bool {
    let connected = postgres::connect(login, APPLICATION).await;
    connected
        .inspect_err(|error| tracing::info!(%error, "the new password is not accepted yet"))
        .is_ok()
}

/// The project has the pending password: it is the owner's.
async fn settle(pass: &mut Pass, now: Timestamp) -> Result<Option<Next>, Error> {
    let core = pass.ctx.core.clone();
    let at = holder::login(pass).rotated_at.unwrap_or(now);
    owner::end_rotation(&owner::secrets(&core), pass.name(), at).await?;
    pass.ctx.logins.forget(pass.name());
    core.backoff.reset(&key(pass));
    pass.password = Some(PasswordAttempt::Over);
    pass.prove();
    let note = "the project's owner has a new password; the former one no longer works";
    tell(&core, &pass.object, &News::normal(Reason::PasswordRotated, note)).await;
    Ok(None)
}

/// Continues without the new password, and tries again later.
async fn postpone(pass: &mut Pass, error: &Error) -> Result<Option<Next>, Error> {
    let wait = match error.class() {
        ErrorClass::After(wait) => wait,
        _ => pass.ctx.core.backoff.next(&key(pass)),
    };
    tracing::info!(%error, "the owner's password is not changed yet");
    if !error.is_passing() {
        let note = format!("the owner's password is not changed ({error}); it is tried again");
        tell(&pass.ctx.core, &pass.object, &News::warning(error.reason(), note)).await;
    }
    pass.password = Some(PasswordAttempt::Over);
    pass.try_again_in(wait);
    Ok(None)
}

/// The key of attempts to change the password.
fn key(pass: &Pass) -> String {
    format!("password/{}", pass.name())
}
