//! A project that the operator did not make: where its owner's password comes from, and what is never done to it.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::{ExposeSecret as _, SecretString};

use super::Pass;
use super::plan::Origin;
use crate::api::AdoptedProject;
use crate::controller::error::Error;
use crate::credentials::{given, owner};

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

fn place(pass: &Pass) -> Option<(&str, &crate::api::PasswordReference)> {
    let AdoptedProject { adopt, .. } = pass.object.adopted()?;
    let claim = pass.object.spec.claim_ref.as_ref()?;
    Some((&claim.namespace, adopt.password_secret_ref.as_ref()?))
}
