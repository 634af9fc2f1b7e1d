//! The Secret of an OrchestraDatabase, in the operator's namespace: the owner's password, the
//! address that was read for it, the keys, and the password of the tenant's login role.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use secrecy::{ExposeSecret, SecretString};

use crate::api::names::{
    ADDRESS_MANAGER, CONNECTED_LABEL, DATABASE_LABEL, MANAGED_BY, OWNER_MANAGER, PASSWORD_LABEL, TENANT_MANAGER,
};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::{Login, Tls};

/// Where a hosted database is reached, and the keys of its project.
#[derive(Clone, Debug)]
pub struct Address {
    /// Host of the pooler.
    pub host: String,
    /// User of the owner at the pooler, `postgres.<ref>`.
    pub user: String,
    /// Database at the pooler.
    pub database: String,
    /// Port for sessions.
    pub session_port: u16,
    /// Port for transactions.
    pub transaction_port: u16,
    /// `https://<ref>.<domain>`.
    pub project_url: String,
    /// Key for browsers.
    pub anon_key: SecretString,
    /// Key for servers.
    pub service_role_key: SecretString,
}

/// What the Secret of an OrchestraDatabase holds.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    /// The owner's password; absent for an entry of a static pool.
    pub password: Option<SecretString>,
    /// Where the database is reached; absent before it was read, and for a static entry.
    pub address: Option<Address>,
    /// The password of the tenant's login role.
    pub tenant_password: Option<SecretString>,
}

impl Owner {
    /// The owner's login of a hosted database, once its password and address are stored.
    pub fn login(&self) -> Option<Login> {
        let (password, address) = (self.password.clone()?, self.address.as_ref()?);
        Some(Login {
            host: address.host.clone(),
            port: address.session_port,
            database: address.database.clone(),
            user: address.user.clone(),
            password,
            tls: Tls::Require,
        })
    }
}

/// The API of the Secrets in the operator's namespace.
pub fn secrets(core: &Core) -> Api<Secret> {
    Api::namespaced(core.client.clone(), &core.settings.namespace)
}

/// Reads the Secret of an OrchestraDatabase.
pub async fn read(api: &Api<Secret>, database: &str) -> Result<Option<Owner>, Error> {
    let Some(secret) = api.get_opt(database).await? else {
        return Ok(None);
    };
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok());
    let secret = |key: &str| text(key).map(SecretString::from);
    let address = || {
        Some(Address {
            host: text("host")?,
            user: text("user")?,
            database: text("database")?,
            session_port: text("session-port")?.parse().ok()?,
            transaction_port: text("transaction-port")?.parse().ok()?,
            project_url: text("project-url")?,
            anon_key: secret("anon-key")?,
            service_role_key: secret("service-role-key")?,
        })
    };
    Ok(Some(Owner {
        password: secret("password"),
        address: address(),
        tenant_password: secret("tenant-password"),
    }))
}

/// Stores the owner's password before anything is bought with it. One that is there already stays:
/// it may be the password of a project that exists.
pub async fn store_password(api: &Api<Secret>, database: &str, password: &SecretString) -> Result<(), Error> {
    let value = [("password", password.expose_secret().to_string())];
    let secret = render(database, value, &[(PASSWORD_LABEL, "true")]);
    let parameters = PostParams {
        field_manager: Some(OWNER_MANAGER.into()),
        ..PostParams::default()
    };
    match api.create(&parameters, &secret).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            // The Secret may have been made anew for the address, after the password was lost.
            let there = read(api, database).await?.is_some_and(|owner| owner.password.is_some());
            if there {
                Ok(())
            } else {
                apply(api, OWNER_MANAGER, secret).await
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Stores where the database is reached, and the keys.
pub async fn store_address(api: &Api<Secret>, database: &str, address: &Address) -> Result<(), Error> {
    let values = [
        ("host", address.host.clone()),
        ("user", address.user.clone()),
        ("database", address.database.clone()),
        ("session-port", address.session_port.to_string()),
        ("transaction-port", address.transaction_port.to_string()),
        ("project-url", address.project_url.clone()),
        ("anon-key", address.anon_key.expose_secret().to_string()),
        ("service-role-key", address.service_role_key.expose_secret().to_string()),
    ];
    apply(
        api,
        ADDRESS_MANAGER,
        render(database, values, &[(CONNECTED_LABEL, "true")]),
    )
    .await
}

/// Stores the password of the tenant's login role, before the role is given it.
pub async fn store_tenant_password(api: &Api<Secret>, database: &str, password: &SecretString) -> Result<(), Error> {
    let values = [("tenant-password", password.expose_secret().to_string())];
    apply(api, TENANT_MANAGER, render(database, values, &[])).await
}

/// Deletes the Secret of a database that is gone.
pub async fn forget(api: &Api<Secret>, database: &str) -> Result<(), Error> {
    match api.delete(database, &kube::api::DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn apply(api: &Api<Secret>, manager: &str, secret: Secret) -> Result<(), Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    api.patch(&name, &PatchParams::apply(manager).force(), &Patch::Apply(secret))
        .await?;
    Ok(())
}

fn render<const N: usize>(database: &str, values: [(&str, String); N], labels: &[(&str, &str)]) -> Secret {
    let mut all = vec![MANAGED_BY, (DATABASE_LABEL, database)];
    all.extend_from_slice(labels);
    Secret {
        metadata: ObjectMeta {
            name: Some(database.into()),
            labels: Some(
                all.iter()
                    .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        data: Some(
            values
                .into_iter()
                .map(|(key, value)| (key.to_string(), ByteString(value.into_bytes())))
                .collect::<BTreeMap<_, _>>(),
        ),
        ..Secret::default()
    }
}
