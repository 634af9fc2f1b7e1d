//! The owner's Secret of an OrchestraDatabase, in the operator's namespace and named as the database: the
//! owner's password, the address that was read for it, and the keys of the project. The database room is
//! its only writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::api_keys::KeyState;
use super::secrets::{self, Secrets};
use crate::api::condition::Reason;
use crate::api::names::{
    CONNECTED_LABEL, DATABASE_LABEL, FOLLOWED_LABEL, KEYS_LABEL, MANAGED_BY, OWNER_MANAGER, PASSWORD_LABEL,
    PENDING_LABEL, ROTATED_LABEL, TENANT_PASSWORD_KEY, tenant_secret,
};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::{Login, SessionOptions, Tls};

/// Key of the new password, while the project may have it or the previous one.
const PENDING_KEY: &str = "pending-password";

/// Key of the time when the password was rotated, in seconds since 1970.
const ROTATED_KEY: &str = "password-rotated-at";

/// Key of the number of the tenant's login whose rotation the newest password follows.
const FOLLOWED_KEY: &str = "followed-generation";

/// Key of what is known of the API keys that the operator has made, as JSON.
const API_KEYS_KEY: &str = "api-keys";

/// Digits of the digest of keys.
pub(super) const DIGITS: usize = 16;

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
    /// Digest of the keys, once the provider has changed them: connection Secrets with others are written again.
    pub keys: Option<String>,
}

impl Address {
    /// The same address with the keys that the provider has now; none when these are the ones that it has.
    #[must_use]
    pub fn with_keys(&self, anon: &SecretString, service_role: &SecretString) -> Option<Self> {
        let is = |old: &SecretString, new: &SecretString| old.expose_secret() == new.expose_secret();
        if is(&self.anon_key, anon) && is(&self.service_role_key, service_role) {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(anon.expose_secret());
        digest.update([0]);
        digest.update(service_role.expose_secret());
        let digest = hex::encode(digest.finalize());
        Some(Self {
            anon_key: anon.clone(),
            service_role_key: service_role.clone(),
            keys: Some(digest.chars().take(DIGITS).collect()),
            ..self.clone()
        })
    }
}

/// What the owner's Secret of an OrchestraDatabase holds.
#[derive(Clone, Debug, Default)]
pub struct OwnerSecret {
    /// The owner's password; absent for an entry of a static pool.
    pub password: Option<SecretString>,
    /// A new password, which the project may have already.
    pub pending: Option<SecretString>,
    /// When the password was rotated, in seconds since 1970; none for the first one.
    pub rotated_at: Option<i64>,
    /// The number of the tenant's login whose rotation the newest password follows, the pending one included.
    pub followed: Option<u32>,
    /// Where the database is reached; absent before it was read, and for a static entry.
    pub address: Option<Address>,
    /// The API keys that the operator has made.
    pub api_keys: KeyState,
    /// The password of the tenant's login role, where an earlier version of the operator stored it. It is
    /// read when there is no tenant's Secret, and never written.
    pub tenant_password: Option<SecretString>,
}

impl OwnerSecret {
    /// The owner's login of a hosted database, once its password and address are stored. The server's certificate
    /// must be issued by one of `roots`, or of the system's.
    pub fn login(&self, roots: &Arc<str>) -> Option<Login> {
        let (password, address) = (self.password.clone()?, self.address.as_ref()?);
        Some(Login {
            host: address.host.clone(),
            port: address.session_port,
            database: address.database.clone(),
            user: address.user.clone(),
            password,
            tls: Tls::VerifyFull,
            roots: Some(roots.clone()),
            session: SessionOptions::default(),
        })
    }

    fn parse(data: &BTreeMap<String, ByteString>) -> Self {
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
                keys: text("keys"),
            })
        };
        Self {
            password: secret("password"),
            pending: secret(PENDING_KEY),
            rotated_at: text(ROTATED_KEY).and_then(|seconds| seconds.parse().ok()),
            followed: text(FOLLOWED_KEY).and_then(|number| number.parse().ok()),
            address: address(),
            api_keys: text(API_KEYS_KEY)
                .and_then(|state| serde_json::from_str(&state).ok())
                .unwrap_or_default(),
            tenant_password: secret(TENANT_PASSWORD_KEY),
        }
    }

    /// The whole Secret. Its labels say what it holds, because the watch sees only metadata.
    fn render(&self, database: &str) -> Secret {
        let mut values = Vec::new();
        let of_keys = self.api_keys.labels();
        let mut labels = vec![MANAGED_BY, (DATABASE_LABEL, database)];
        if let Some(password) = &self.password {
            labels.push((PASSWORD_LABEL, "true"));
            values.push(("password", password.expose_secret().to_string()));
        }
        if let Some(pending) = &self.pending {
            labels.push((PENDING_LABEL, "true"));
            values.push((PENDING_KEY, pending.expose_secret().to_string()));
        }
        let rotated = self.rotated_at.map(|seconds| seconds.to_string());
        if let Some(seconds) = &rotated {
            labels.push((ROTATED_LABEL, seconds));
            values.push((ROTATED_KEY, seconds.clone()));
        }
        let followed = self.followed.map(|number| number.to_string());
        if let Some(number) = &followed {
            labels.push((FOLLOWED_LABEL, number));
            values.push((FOLLOWED_KEY, number.clone()));
        }
        if let Some(address) = &self.address {
            labels.push((CONNECTED_LABEL, "true"));
            values.extend([
                ("host", address.host.clone()),
                ("user", address.user.clone()),
                ("database", address.database.clone()),
                ("session-port", address.session_port.to_string()),
                ("transaction-port", address.transaction_port.to_string()),
                ("project-url", address.project_url.clone()),
                ("anon-key", address.anon_key.expose_secret().to_string()),
                ("service-role-key", address.service_role_key.expose_secret().to_string()),
            ]);
            if let Some(keys) = &address.keys {
                labels.push((KEYS_LABEL, keys));
                values.push(("keys", keys.clone()));
            }
        }
        labels.extend(of_keys.iter().map(|(label, value)| (*label, value.as_str())));
        if !self.api_keys.is_empty() {
            // It has no maps with keys that are not texts, and no other value that JSON cannot have.
            let state = serde_json::to_string(&self.api_keys).unwrap_or_default();
            values.push((API_KEYS_KEY, state));
        }
        secrets::render(database, &labels, values)
    }
}

/// The Secrets in the operator's namespace.
pub fn secrets(core: &Core) -> Secrets<'_> {
    Secrets::own(core)
}

/// Reads the owner's Secret of an OrchestraDatabase.
pub async fn read(secrets: &Secrets<'_>, database: &str) -> Result<Option<OwnerSecret>, Error> {
    let secret = secrets.get(database).await?;
    Ok(secret.map(|secret| OwnerSecret::parse(&secret.data.unwrap_or_default())))
}

/// Stores the owner's password before anything is bought with it. A stored password is never overwritten:
/// it may be the password of a project that exists.
pub async fn store_password(secrets: &Secrets<'_>, database: &str, password: &SecretString) -> Result<(), Error> {
    let first = OwnerSecret {
        password: Some(password.clone()),
        ..OwnerSecret::default()
    };
    if secrets::create(secrets, OWNER_MANAGER, &first.render(database))
        .await?
        .is_some()
    {
        return Ok(());
    }
    // The Secret exists: another operator has created it, or it was created for the address after the
    // password was lost.
    change(secrets, database, |owner| {
        owner.password.get_or_insert_with(|| password.clone());
    })
    .await
}

/// Stores a new password beside the one that the project has, before the provider is asked to set it, with the number of
/// the tenant's login whose rotation it follows. One that is stored already stays: the project may have it.
pub async fn begin_rotation(
    secrets: &Secrets<'_>,
    database: &str,
    new: &SecretString,
    followed: u32,
) -> Result<(), Error> {
    change(secrets, database, |owner| {
        if owner.pending.is_none() {
            (owner.pending, owner.followed) = (Some(new.clone()), Some(followed));
        }
    })
    .await
}

/// Stores that the project has the new password, and the time of the login's rotation that it follows.
pub async fn end_rotation(secrets: &Secrets<'_>, database: &str, now: Timestamp) -> Result<(), Error> {
    change(secrets, database, |owner| {
        if let Some(new) = owner.pending.take() {
            (owner.password, owner.rotated_at) = (Some(new), Some(now.as_second()));
        }
    })
    .await
}

/// Changes what is known of the API keys that the operator has made.
pub async fn change_keys(
    secrets: &Secrets<'_>,
    database: &str,
    change_state: impl FnOnce(&mut KeyState),
) -> Result<(), Error> {
    change(secrets, database, |owner| change_state(&mut owner.api_keys)).await
}

/// Stores new API keys, in one write with what is known of them, if that change says so: they are published then.
pub async fn store_keys(
    secrets: &Secrets<'_>,
    database: &str,
    (anon, service_role): (Option<SecretString>, Option<SecretString>),
    change_state: impl FnOnce(&mut KeyState) -> bool,
) -> Result<(), Error> {
    change(secrets, database, |owner| {
        if change_state(&mut owner.api_keys)
            && let Some(address) = &mut owner.address
        {
            let anon = anon.unwrap_or_else(|| address.anon_key.clone());
            let service_role = service_role.unwrap_or_else(|| address.service_role_key.clone());
            if let Some(new) = address.with_keys(&anon, &service_role) {
                *address = new;
            }
        }
    })
    .await
}

/// Stores another password of an adopted project, in place of one that the project refused.
pub async fn replace_password(secrets: &Secrets<'_>, database: &str, password: &SecretString) -> Result<(), Error> {
    change(secrets, database, |owner| owner.password = Some(password.clone())).await
}

/// Stores where the database is reached, and the keys. `legacy`: one of them is a legacy key.
pub async fn store_address(
    secrets: &Secrets<'_>,
    database: &str,
    address: &Address,
    legacy: bool,
) -> Result<(), Error> {
    change(secrets, database, |owner| {
        owner.address = Some(address.clone());
        owner.api_keys.legacy_given |= legacy;
    })
    .await
}

/// Deletes the Secrets of a database that is gone: the owner's and the tenant's.
pub async fn forget(secrets: &Secrets<'_>, database: &str) -> Result<(), Error> {
    for name in [database, &tenant_secret(database)] {
        secrets::delete(secrets, name).await?;
    }
    Ok(())
}

/// Reads the Secret, changes what it holds, and writes the whole of it, as a compare-and-swap on what was
/// read.
async fn change(secrets: &Secrets<'_>, database: &str, change: impl FnOnce(&mut OwnerSecret)) -> Result<(), Error> {
    let stored = secrets.get(database).await?.unwrap_or_default();
    let mut owner = OwnerSecret::parse(&stored.data.unwrap_or_default());
    change(&mut owner);
    let mut secret = owner.render(database);
    secret.metadata.resource_version = stored.metadata.resource_version;
    if secret.metadata.resource_version.is_some() {
        return secrets::apply(secrets, OWNER_MANAGER, &secret).await;
    }
    if secrets::create(secrets, OWNER_MANAGER, &secret).await?.is_some() {
        return Ok(());
    }
    Err(Error::transient(
        Reason::Provisioning,
        format!("Secret {database} was created by somebody else just now; it is read again"),
    ))
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
