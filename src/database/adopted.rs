//! A project that the operator did not make: where its owner's password comes from, and what is never done to it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::Pass;
use super::plan::{ClaimState, ProjectOrigin};
use crate::api::condition::Reason;
use crate::api::{AdoptedProject, DeletionPolicy, OrchestraDatabase, PasswordReference};
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::credentials::{given, owner};
use crate::postgres::claim_record;
use crate::supabase::Account;
use crate::text;

/// Whether the operator made the project, and what it may do with one that it did not make.
pub fn origin(pass: &Pass) -> ProjectOrigin {
    match pass.object.adopted() {
        None => ProjectOrigin::Made,
        Some(adopted) => ProjectOrigin::Adopted {
            resets: adopted.adopt.reset_password,
            proven: pass.object.was_usable(),
        },
    }
}

/// The password that the Orchestra gave; none when the operator generates one.
pub async fn given_password(pass: &Pass) -> Result<Option<SecretString>, Error> {
    let Some((namespace, reference)) = place(pass) else {
        return Ok(None);
    };
    let api: Api<Secret> = Api::namespaced(pass.ctx.core.client.clone(), namespace);
    given::password(&api, namespace, reference).await.map(Some)
}

/// SQL: whether the database has a claim record, and its content, as [`crate::postgres::claim_record`] writes it.
const IS_RECORDED: &str = "SELECT pg_catalog.to_regclass('stagesub.claim') IS NOT NULL AS recorded";
const RECORDED: &str = "SELECT orchestra_uid, namespace, name FROM stagesub.claim LIMIT 10";

/// How long a deletion waits for the database whose claim record is removed.
const UNMARK_LIMIT: Duration = Duration::from_secs(20);

/// The longest part of a claim record that a message repeats.
const SHOWN: usize = 253;

/// A claim record in the database of a project, as the provider reads it. A script may have changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedClaim {
    /// UID of the Orchestra.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The claim records in the database of a project that runs, without a login to it. There is one at most, unless somebody
/// has changed the table.
///
/// # Errors
/// When the provider refuses, or the database does not answer.
pub async fn recorded_claims(account: &Account, reference: &str) -> Result<Vec<RecordedClaim>, Error> {
    let rows = account.client().read_only_query(reference, IS_RECORDED).await?;
    if rows.iter().any(|row| row["recorded"] == false) {
        return Ok(Vec::new());
    }
    let rows = account.client().read_only_query(reference, RECORDED).await?;
    let text = |row: &Value, column: &str| text::line(row[column].as_str().unwrap_or_default(), SHOWN);
    let claims = rows.iter().map(|row| RecordedClaim {
        uid: text(row, "orchestra_uid"),
        namespace: text(row, "namespace"),
        name: text(row, "name"),
    });
    Ok(claims.collect())
}

/// Refuses a project whose database another Orchestra has claimed, as one of another cluster: a new password would lock
/// its operator out. The provider is asked, because no login is known yet.
pub async fn check_claim(pass: &Pass, account: &Account, reference: &str) -> Result<(), Error> {
    if pass.object.adopted().is_none() {
        return Ok(());
    }
    let claims = recorded_claims(account, reference).await?;
    let spec = &pass.object.spec;
    let is_ours =
        |uid: &String| spec.claim_ref.as_ref().is_some_and(|claim| claim.uid == *uid) || spec.former_uids.contains(uid);
    let other = claims.iter().find(|claim| !is_ours(&claim.uid));
    other.map_or(Ok(()), |RecordedClaim { uid, namespace, name }| {
        let message = format!(
            "the database carries the claim record of Orchestra {namespace}/{name} ({uid}), here or in another cluster, which \
             may use it: the operator changes neither its password nor anything else. Only when that Orchestra is gone for good, an admin who has \
             looked into the database drops the table stagesub.claim; the operator then continues"
        );
        Err(Error::blocked(Reason::ClaimConflict, message))
    })
}

/// Whether the owner's password is one that the Orchestra gave.
pub fn was_given_password(pass: &Pass) -> bool {
    let adopted = pass.object.adopted();
    adopted.is_some_and(|adopted| adopted.adopt.password_secret_ref.is_some())
}

/// Whether the Orchestra has given another password than the stored one.
pub async fn has_another(pass: &Pass) -> Result<bool, Error> {
    // A Secret that cannot be read changes nothing: the message about the refused password stays.
    let Ok(Some(given)) = given_password(pass).await else {
        return Ok(false);
    };
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    let stored = stored.and_then(|owner| owner.password);
    Ok(stored.is_none_or(|stored| stored.expose_secret() != given.expose_secret()))
}

/// Whether an Orchestra has given a password that no login has proven yet. The stored password may be left from an earlier
/// adoption of the project, or be the operator's.
pub fn is_untried(pass: &Pass, claim: ClaimState) -> bool {
    was_given_password(pass) && claim == ClaimState::Held && !pass.object.was_usable()
}

/// Where the password that the operator set is kept.
pub fn password_is_in(pass: &Pass) -> String {
    let namespace = &pass.ctx.core.settings.namespace;
    format!(". Its owner's password is in Secret {namespace}/{}", pass.name())
}

/// Why a project that the operator stops managing stays.
pub fn why_kept(object: &OrchestraDatabase) -> &'static str {
    match object.spec.reclaim_policy {
        _ if !object.may_be_destroyed() => "the project was adopted without adopt.deletion: true",
        DeletionPolicy::Retain => "the reclaim policy is Retain",
        DeletionPolicy::Delete => "the project was adopted, and no login of the operator has ever succeeded",
    }
}

/// Removes the mark of its Orchestras from the database of an adopted project that the operator stops managing, so that
/// another one can adopt it. Where that fails, returns what a person has to do first.
pub async fn unmark(pass: &Pass) -> Option<String> {
    let claim = pass.object.spec.claim_ref.as_ref()?;
    pass.object.adopted()?;
    let removed = tokio::time::timeout(UNMARK_LIMIT, remove_mark(pass, &claim.uid)).await;
    let why = match removed {
        Ok(Ok(())) => return None,
        // No claim record was written there.
        _ if !pass.object.was_usable() => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    Some(format!(
        ". The claim record of Orchestra {}/{} may be left in its database ({why}): before the project is adopted again, an admin runs there \
         DELETE FROM stagesub.claim WHERE orchestra_uid = '{}'",
        claim.namespace, claim.name, claim.uid
    ))
}

async fn remove_mark(pass: &Pass, uid: &str) -> Result<(), Error> {
    let core = &pass.ctx.core;
    let stored = owner::read(&owner::secrets(core), pass.name())
        .await?
        .unwrap_or_default();
    let login = stored.login(&core.settings.database_roots).ok_or_else(|| {
        let message = "the owner's login is not stored";
        Error::transient(Reason::Provisioning, message)
    })?;
    let mut uids = pass.object.spec.former_uids.clone();
    uids.push(uid.to_owned());
    // There is no later attempt.
    let mut session = pass.ctx.logins.connect(pass.name(), &login, Duration::ZERO).await?;
    Ok(claim_record::remove(&mut session, &uids).await?)
}

/// Whether a password that the operator may not set is tried again: it may have been set at the provider.
pub fn is_tried_again(pass: &Pass) -> bool {
    let given = pass
        .object
        .adopted()
        .is_some_and(|adopted| !adopted.adopt.reset_password);
    given && pass.ctx.logins.wait(pass.name(), SLOWEST).is_none()
}

fn place(pass: &Pass) -> Option<(&str, &PasswordReference)> {
    let AdoptedProject { adopt, .. } = pass.object.adopted()?;
    let claim = pass.object.spec.claim_ref.as_ref()?;
    Some((&claim.namespace, adopt.password_secret_ref.as_ref()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::OrchestraDatabaseStatus;

    #[test]
    fn a_project_is_destroyed_only_when_all_say_so_and_else_the_reason_is_told() {
        let database = |adopted: bool, deletion: bool, policy: DeletionPolicy, used: bool| {
            let adopted = adopted.then(|| json!({"ref": "abcdefghijklmnopqrst", "adopt": {"deletion": deletion}}));
            let spec = json!({"supabase": {"name": "a", "region": "b", "adopted": adopted}, "reclaimPolicy": policy});
            let mut database = OrchestraDatabase::new("orchdb-1", serde_json::from_value(spec).unwrap());
            database.status = Some(OrchestraDatabaseStatus {
                usable_since: used.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
                ..OrchestraDatabaseStatus::default()
            });
            database
        };
        let (keep, destroy) = (DeletionPolicy::Retain, DeletionPolicy::Delete);
        for (of, kept) in [
            (database(false, false, destroy, false), None),
            (database(false, false, keep, true), Some("Retain")),
            (database(true, true, destroy, true), None),
            (database(true, true, destroy, false), Some("no login of the operator")),
            (database(true, true, keep, true), Some("Retain")),
            (database(true, false, destroy, true), Some("without adopt.deletion")),
        ] {
            assert_eq!(of.is_to_be_destroyed(), kept.is_none(), "{of:?}");
            assert!(kept.is_none_or(|part| why_kept(&of).contains(part)), "{of:?}");
        }
    }
}
