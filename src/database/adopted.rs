//! A project that the operator did not make: where its owner's password comes from, and what is never done to it.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::Pass;
use super::plan::Origin;
use crate::api::condition::Reason;
use crate::api::{AdoptedProject, OrchestraDatabase, PasswordReference};
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::credentials::{given, owner};
use crate::supabase::Account;
use crate::text;

/// Whether the operator made the project, and what it may do with one that it did not make.
pub fn origin(pass: &Pass) -> Origin {
    match pass.object.adopted() {
        None => Origin::Made,
        Some(adopted) => Origin::Adopted {
            resets: adopted.adopt.reset_password,
            proven: pass
                .object
                .status
                .as_ref()
                .is_some_and(|status| status.usable_since.is_some()),
        },
    }
}

/// The password that the Orchestra gave; none when the operator makes one itself.
pub async fn given_password(pass: &Pass) -> Result<Option<SecretString>, Error> {
    let Some((namespace, reference)) = place(pass) else {
        return Ok(None);
    };
    let api: Api<Secret> = Api::namespaced(pass.ctx.core.client.clone(), namespace);
    given::password(&api, namespace, reference).await.map(Some)
}

/// Whether the database has a claim record, and what it holds, as [`crate::postgres::claim_record`] writes it.
const IS_RECORDED: &str = "SELECT pg_catalog.to_regclass('stagesub.claim') IS NOT NULL AS recorded";
const RECORDED: &str = "SELECT orchestra_uid, namespace, name FROM stagesub.claim LIMIT 10";

/// The longest part of a claim record that a message repeats.
const SHOWN: usize = 253;

/// Refuses a project that another Orchestra has marked as its own, as that of another cluster: a new password would lock
/// its operator out. The provider is asked, because no login is known yet.
pub async fn check_claim(pass: &Pass, account: &Account, reference: &str) -> Result<(), Error> {
    if pass.object.adopted().is_none() {
        return Ok(());
    }
    let rows = account.client().read_only_query(reference, IS_RECORDED).await?;
    if rows.iter().any(|row| row["recorded"] == false) {
        return Ok(());
    }
    let rows = account.client().read_only_query(reference, RECORDED).await?;
    let spec = &pass.object.spec;
    let is_ours = |uid: &str| {
        spec.claim_ref.as_ref().is_some_and(|claim| claim.uid == uid) || spec.former_uids.iter().any(|it| it == uid)
    };
    let text = |row: &Value, column: &str| text::line(row[column].as_str().unwrap_or_default(), SHOWN);
    let other = rows.iter().find(|row| !is_ours(&text(row, "orchestra_uid")));
    other.map_or(Ok(()), |row| {
        let (uid, namespace, name) = (text(row, "orchestra_uid"), text(row, "namespace"), text(row, "name"));
        let message = format!(
            "the database carries the mark of Orchestra {namespace}/{name} ({uid}), here or in another cluster, which may use \
             it: its password is not changed, and nothing else. Only when that Orchestra is gone for good, an admin who has \
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

/// Whether the Orchestra has given another password than the stored one, which was refused.
pub async fn has_another(pass: &Pass) -> Result<bool, Error> {
    // What cannot be read changes nothing: the message about the refused password stays.
    let Ok(Some(given)) = given_password(pass).await else {
        return Ok(false);
    };
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    let stored = stored.and_then(|owner| owner.password);
    Ok(stored.is_none_or(|stored| stored.expose_secret() != given.expose_secret()))
}

/// Whether a project may be destroyed when the policy says so. An adopted one must have let the operator in as well: until
/// then it may be anybody's.
pub fn is_ours_to_destroy(object: &OrchestraDatabase) -> bool {
    let used = object
        .status
        .as_ref()
        .is_some_and(|status| status.usable_since.is_some());
    object.may_be_destroyed() && (used || object.adopted().is_none())
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
