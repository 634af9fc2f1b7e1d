//! New passwords of the owners of entries that a pool makes on a server. Both passwords are stored until a login with the new
//! one has worked.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::inventory::text;
use super::made::{PASSWORD_KEY, change};
use super::password;
use crate::api::names::{FOLLOWED_LABEL, PENDING_LABEL, ROTATED_LABEL};
use crate::controller::Core;
use crate::controller::error::Error;

/// Key of the new password in an entry's Secret, while the server may have it or the previous one.
const PENDING_KEY: &str = "pending-password";

/// A new password that is stored beside the one in use.
pub struct PendingPassword {
    /// The password.
    pub password: SecretString,
    /// It was stored just now, so that the server cannot have it.
    pub fresh: bool,
}

/// Stores a new password of an entry's owner beside the one in use, before the server is asked to set it, with the number of
/// the tenant's login whose rotation it follows. One that is stored already stays. None when the Secret is gone.
///
/// # Errors
/// When Kubernetes fails, or somebody else has written the Secret just now.
pub async fn begin(core: &Core, name: &str, follows: u32) -> Result<Option<PendingPassword>, Error> {
    let Some(secret) = core.own::<Secret>().get_opt(name).await? else {
        return Ok(None);
    };
    if let Some(password) = pending(&secret) {
        return Ok(Some(PendingPassword { password, fresh: false }));
    }
    let password = password::generate();
    let value = ByteString(password.expose_secret().as_bytes().to_vec());
    let stored = json!({
        "metadata": {
            "resourceVersion": secret.resource_version(),
            "labels": {PENDING_LABEL: "true", FOLLOWED_LABEL: follows.to_string()},
        },
        "data": {PENDING_KEY: value},
    });
    let is_stored = change(core, name, stored).await?;
    Ok(is_stored.then_some(PendingPassword { password, fresh: true }))
}

/// Stores that the owner has the new password, and the time of the login's rotation that it follows. False when it is not the
/// pending one any more, because another operator has stored that, or when the Secret is gone.
///
/// # Errors
/// As [`begin`].
pub async fn end(core: &Core, name: &str, new: &SecretString, at: Timestamp) -> Result<bool, Error> {
    let Some(secret) = core.own::<Secret>().get_opt(name).await? else {
        return Ok(false);
    };
    if pending(&secret).is_none_or(|pending| pending.expose_secret() != new.expose_secret()) {
        return Ok(false);
    }
    let value = ByteString(new.expose_secret().as_bytes().to_vec());
    let stored = json!({
        "metadata": {
            "resourceVersion": secret.resource_version(),
            "labels": {PENDING_LABEL: null, ROTATED_LABEL: at.as_second().to_string()},
        },
        "data": {PASSWORD_KEY: value, PENDING_KEY: null},
    });
    change(core, name, stored).await
}

fn pending(secret: &Secret) -> Option<SecretString> {
    let ByteString(value) = secret.data.as_ref()?.get(PENDING_KEY)?;
    Some(text(value))
}
