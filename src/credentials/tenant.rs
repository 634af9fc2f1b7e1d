//! The tenant's own login: its role, its password, and what the tenant is given.
//!
//! The password is in the tenant's Secret, in the operator's namespace. The orchestra room is its only writer.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::{ExposeSecret, SecretString};

use super::connection::Handover;
use super::owner::{self, Address};
use super::{password, secrets};
use crate::api::names::{DATABASE_LABEL, MANAGED_BY, TENANT_MANAGER, TENANT_PASSWORD_KEY, tenant_secret};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::Login;

/// Name of the tenant's login role: unique on every server, because pool entries may share one.
pub fn role_name(uid: &str) -> String {
    format!("orchestra_{}", uid.replace('-', ""))
}

/// The password of the tenant's login role: the one in the tenant's Secret, or else `earlier`, which an
/// earlier version of the operator stored in the owner's Secret, or else a new one. A new one is stored before
/// anybody is given it.
pub async fn password(core: &Core, database: &str, earlier: Option<SecretString>) -> Result<SecretString, Error> {
    let (api, name) = (owner::secrets(core), tenant_secret(database));
    if secrets::is_watched(core, &name)
        && let Some(stored) = read(&api, &name).await?
    {
        return Ok(stored);
    }
    if let Some(earlier) = earlier {
        return Ok(earlier);
    }
    let new = password::generate();
    let secret = render(database, &new);
    if secrets::create(&api, TENANT_MANAGER, &secret).await? {
        return Ok(new);
    }
    // The watch is late, or the Secret lost its password.
    if let Some(stored) = read(&api, &name).await? {
        return Ok(stored);
    }
    secrets::apply(&api, TENANT_MANAGER, &secret).await?;
    Ok(new)
}

/// Deletes the tenant's Secret of a database whose tenant has gone: another one gets another password.
pub async fn forget(core: &Core, database: &str) -> Result<(), Error> {
    secrets::delete(&owner::secrets(core), &tenant_secret(database)).await
}

async fn read(api: &Api<Secret>, name: &str) -> Result<Option<SecretString>, Error> {
    let data = api.get_opt(name).await?.and_then(|secret| secret.data);
    let value = data.and_then(|mut data| data.remove(TENANT_PASSWORD_KEY));
    Ok(value
        .and_then(|value| String::from_utf8(value.0).ok())
        .map(SecretString::from))
}

fn render(database: &str, password: &SecretString) -> Secret {
    let labels = [MANAGED_BY, (DATABASE_LABEL, database)];
    let value = (TENANT_PASSWORD_KEY, password.expose_secret().to_string());
    secrets::render(&tenant_secret(database), &labels, [value])
}

/// What the tenant is given: its own login, where the owner logs in.
pub fn handover(owner: &Login, uid: &str, password: SecretString, address: Option<Address>) -> Handover {
    let session = tenant_login(owner, uid, password);
    let transaction = address.as_ref().map(|address| Login {
        port: address.transaction_port,
        ..session.clone()
    });
    Handover {
        session,
        transaction,
        address,
    }
}

/// At a pooler, the user of a role is `<role>.<ref>`, as it is for the owner.
fn tenant_login(owner: &Login, uid: &str, password: SecretString) -> Login {
    let role = role_name(uid);
    let user = match owner.user.split_once('.') {
        Some((_, reference)) => format!("{role}.{reference}"),
        None => role,
    };
    Login {
        user,
        password,
        ..owner.clone()
    }
}
