//! What an Orchestra that has released the database may still have of it: its logins, which could not be revoked then, and
//! its API keys. Both end as soon as the database, or the provider, answers, except for legacy keys, which a person disables.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;

use super::Pass;
use super::key_rotation::{self, KeysLeft};
use super::observe::Observed;
use super::plan::{ClaimState, Step};
use super::reentry::enter_released;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{ClaimReference, FormerLogins, OrchestraDatabase};
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::credentials::{inventory, owner};
use crate::postgres::claim_record;
use crate::postgres::{self, KeptRole};

/// How long an attempt to revoke logins may take: its statements may wait for locks.
const LIMIT: Duration = Duration::from_mins(1);

/// The most roles that are left on the server and that events name.
const NAMED: usize = 3;

/// Whether logins of the Orchestra that has released the database may still work.
fn has_logins(pass: &Pass, claim: ClaimState) -> bool {
    claim == ClaimState::Released && pass.object.spec.former_logins == Some(FormerLogins::Left)
}

/// Whether they are to be revoked in this pass.
pub fn are_due(pass: &Pass, claim: ClaimState) -> bool {
    has_logins(pass, claim) && pass.former_logins.is_none()
}

/// Revokes them. A failure stops nothing else: a condition reports it, and it is tried again.
pub async fn revoke(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let (ctx, Some(claim)) = (pass.ctx.clone(), pass.object.spec.claim_ref.clone()) else {
        return Ok(None);
    };
    let done = tokio::time::timeout(LIMIT, Box::pin(shut(pass, &claim))).await;
    let done = done.unwrap_or_else(|_| Err(postgres::Error::Timeout(LIMIT).into()));
    let left = match done {
        Ok(left) => left,
        Err(error) => {
            tracing::info!(%error, "the logins of the former tenant are not revoked yet");
            let spaced = ctx.logins.wait(pass.name(), ctx.core.settings.login_spacing);
            let wait = ctx.core.backoff.next(&key(pass.name())).max(spaced.unwrap_or_default());
            pass.try_again_in(wait);
            pass.former_logins = Some((error.reason(), error.to_string()));
            return Ok(None);
        }
    };
    let patch = json!({"spec": {"formerLogins": FormerLogins::Revoked}});
    pass.change(patch).await?;
    ctx.core.backoff.reset(&key(pass.name()));
    let note = format!(
        "the login of Orchestra {}/{}, which could not be revoked when it was deleted, is revoked",
        claim.namespace, claim.name
    );
    tell(&ctx.core, &pass.object, &News::normal(Reason::LoginRevoked, note)).await;
    for note in left {
        tell(&ctx.core, &pass.object, &News::warning(Reason::DatabaseRefused, note)).await;
    }
    Ok(None)
}

/// Shuts the logins first, which needs no lock on what they own, and drops their roles where that is possible. Returns what
/// is left on the server.
async fn shut(pass: &Pass, claim: &ClaimReference) -> Result<Vec<String>, Error> {
    let (ctx, spec) = (&pass.ctx, &pass.object.spec);
    let (login, second) = if let Some(entry) = &spec.inventory {
        (inventory::owner_login(&ctx.credentials, entry).await?, None)
    } else {
        let stored = owner::read(&owner::secrets(&ctx.core), pass.name()).await?;
        let stored = stored.unwrap_or_default();
        let missing = || Error::transient(Reason::Provisioning, "the owner's login is not stored yet");
        let login = stored.login(&ctx.core.settings.database_roots).ok_or_else(missing)?;
        (login, stored.pending)
    };
    let mut session = enter_released(ctx, &pass.object, (login, second), &[claim.uid.as_str()]).await?;
    let role = postgres::role_name(&claim.uid);
    let shut = postgres::shut_tenant_logins(&mut session, &role).await?;
    record(&mut session, &pass.object, claim).await;
    if let Some(left) = shut.iter().find(|kept| kept.logs_in()) {
        return Err(Error::blocked(Reason::DatabaseRefused, left.to_string()));
    }
    Ok(match postgres::drop_tenant_role(&mut session, &role).await {
        Ok(dropped) => shut
            .iter()
            .chain(&dropped)
            .take(NAMED)
            .map(KeptRole::to_string)
            .collect(),
        Err(error) => vec![postgres::undropped(&role, &error)],
    })
}

/// Writes the claim record of the Orchestra that has released the database, which its release could not: it may not have been
/// there yet, or a script may have dropped it.
pub async fn record(session: &mut PgConnection, object: &OrchestraDatabase, claim: &ClaimReference) {
    let record = (&*claim.uid, &*claim.namespace, &*claim.name);
    if let Err(error) = claim_record::claim(session, record, &object.spec.former_uids).await {
        // Whatever replaces the record keeps other tenants away as well.
        tracing::warn!(%error, "the claim record cannot be written");
    }
}

/// Tells of logins that nobody revokes any more, because the operator stops managing the database.
pub async fn tell_left(pass: &Pass) {
    if let Some(note) = left_behind(&pass.object).filter(|_| !pass.is_reset) {
        tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Released, note)).await;
    }
}

fn left_behind(object: &OrchestraDatabase) -> Option<String> {
    let spec = &object.spec;
    let claim = spec.claim_ref.as_ref().filter(|_| spec.released_at.is_some())?;
    let role = postgres::role_name(&claim.uid);
    (spec.former_logins == Some(FormerLogins::Left)).then(|| {
        format!(
            "the login of Orchestra {}/{} was not revoked when it was deleted, and the operator no longer does it: run ALTER ROLE \
             … NOLOGIN on its server for {role} and every role named {role}_<n>",
            claim.namespace, claim.name
        )
    })
}

/// The key of attempts to revoke logins.
pub fn key(database: &str) -> String {
    format!("former-logins/{database}")
}

/// What only a person can end. The database may have another Orchestra by then.
const LEGACY: &str = "legacy API keys (JWT) of the project, which a deleted Orchestra had, are enabled: whoever has them may \
                      reach the data, and the operator does not replace them. Disable them in the provider's dashboard \
                      (project settings, API keys), after making a publishable and a secret key there if the project has \
                      none; the operator reads within about an hour that they are disabled";

/// Reports what an Orchestra that has released the database may still have of it.
pub fn report(pass: &Pass, step: Step, observed: &Observed, conditions: &mut Conditions<'_>) {
    let claim = observed.facts.claim;
    let (logins, keys) = (has_logins(pass, claim), key_rotation::left(pass, claim));
    let replaced = keys == Some(KeysLeft::Replaced);
    let what = match (logins, replaced) {
        (true, true) => "logins and API keys",
        (true, false) => "logins",
        (false, true) => "API keys",
        (false, false) => {
            if keys == Some(KeysLeft::Legacy) {
                conditions.set(ConditionType::AccessRevoked, false, Reason::KeysKept, LEGACY);
            }
            return;
        }
    };
    let of_logins = pass.former_logins.clone().filter(|_| logins);
    let of_keys = || key_rotation::failure(pass, claim).filter(|_| replaced);
    let (reason, why) = match of_logins.or_else(of_keys) {
        _ if step == Step::Sleep => (Reason::Paused, "the project is paused".to_owned()),
        Some(failed) => failed,
        None => (Reason::Pending, "they end when the database is usable".to_owned()),
    };
    let mut message = format!(
        "the {what} of the deleted Orchestra are not revoked yet ({why}): the operator revokes them as soon as it can, and \
         until then whoever has them may reach the data"
    );
    if keys == Some(KeysLeft::Legacy) {
        message += "; ";
        message += LEGACY;
    }
    conditions.set(ConditionType::AccessRevoked, false, reason, &message);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_login_that_nobody_revokes_any_more_is_told_with_what_to_do() {
        let told = |former_logins: Option<&str>, released: Option<&str>| {
            let spec = json!({
                "claimRef": {"namespace": "tenants", "name": "one", "uid": "01234567-89ab-cdef-0123-456789abcdef"},
                "formerLogins": former_logins, "releasedAt": released,
            });
            left_behind(&OrchestraDatabase::new(
                "orchdb-1",
                serde_json::from_value(spec).unwrap(),
            ))
        };
        let at = Some("2026-01-01T00:00:00Z");
        let note = told(Some("Left"), at).unwrap();
        assert!(
            note.contains("tenants/one") && note.contains("for orchestra_0123456789abcdef0123456789abcdef and"),
            "{note}"
        );
        assert_eq!(told(Some("Revoked"), at), None);
        assert_eq!(told(None, at), None);
        assert_eq!(told(Some("Left"), None), None, "an Orchestra has it");
    }
}
