//! The tenant's own logins: their roles, their passwords, and what the tenant is given.
//!
//! The passwords are in the tenant's Secret, in the operator's namespace, with what is known of a rotation: each step of
//! it is written there before it is taken. The orchestra room is its only writer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use secrecy::{ExposeSecret, SecretString};

use super::connection::Handover;
pub use super::login_state::{LoginMarks, LoginState, MOST_FORMER};
use super::owner::{self, Address};
use super::{password, secrets};
use crate::api::names::{
    DATABASE_LABEL, GENERATION_LABEL, MANAGED_BY, REVOKE_LABEL, ROTATED_LABEL, ROTATING_LABEL, TENANT_MANAGER,
    TENANT_PASSWORD_KEY, tenant_secret,
};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::{Login, TenantRole};

/// Key of a rotated tenant's Secret: what is known of the logins beside their passwords, as JSON.
const STATE_KEY: &str = "logins";

/// Name of the tenant's first role: unique on every server, because pool entries may share one.
pub fn role_name(uid: &str) -> String {
    format!("orchestra_{}", uid.replace('-', ""))
}

/// Whether a role is the first one of this tenant, or one that was made for a rotation.
pub fn is_role_of(uid: &str, role: &str) -> bool {
    generation_of(uid, role).is_some()
}

/// Deletes the tenant's Secret of a database whose tenant has gone: another one gets another password.
pub async fn forget(core: &Core, database: &str) -> Result<(), Error> {
    secrets::delete(&owner::secrets(core), &tenant_secret(database)).await
}

/// The logins of a tenant.
#[derive(Clone)]
pub struct Logins {
    /// Which there are.
    pub state: LoginState,
    passwords: BTreeMap<u32, SecretString>,
    /// The Secret as it was read or written last; none while there is none.
    stored: Option<Secret>,
}

impl Logins {
    /// The logins of the tenant of a database, as its Secret has them. Without one there is the first login, with the
    /// password `earlier`, which an earlier version of the operator stored in the owner's Secret, or a new one, which
    /// is stored before anybody is given it. `generation` is the last that was known, for a Secret that was lost.
    ///
    /// # Errors
    /// When Kubernetes fails.
    pub async fn read(
        core: &Core,
        database: &str,
        earlier: Option<SecretString>,
        generation: u32,
    ) -> Result<Self, Error> {
        let (api, name) = (owner::secrets(core), tenant_secret(database));
        let watched = secrets::is_watched(core, &name);
        let stored = if watched { api.get_opt(&name).await? } else { None };
        let mut logins = match (stored, earlier) {
            (Some(stored), _) => Self::parse(stored),
            (None, Some(earlier)) => return Ok(Self::first(earlier)),
            (None, None) => {
                let mut new = Self::first(password::generate());
                new.renumber(generation);
                match new.write(core, database).await {
                    // The watch is late.
                    Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_already_exists() => {
                        let stored = api.get(&name).await?;
                        Self::parse(stored)
                    }
                    written => return written.map(|()| new),
                }
            }
        };
        // The Secret has lost a password.
        if logins.complete() {
            logins.write(core, database).await?;
        }
        Ok(logins)
    }

    fn first(password: SecretString) -> Self {
        Self {
            state: LoginState::default(),
            passwords: [(1, password)].into(),
            stored: None,
        }
    }

    fn renumber(&mut self, generation: u32) {
        if let Some(password) = self.passwords.remove(&self.state.current) {
            self.state.current = generation.max(1);
            self.passwords.insert(self.state.current, password);
        }
    }

    fn parse(stored: Secret) -> Self {
        let data = stored.data.as_ref();
        let text = |key: &str| String::from_utf8(data?.get(key)?.0.clone()).ok();
        let state: LoginState = text(STATE_KEY)
            .and_then(|state| serde_json::from_str(&state).ok())
            .unwrap_or_default();
        let passwords = state
            .generations()
            .filter_map(|generation| Some((generation, text(&key(generation))?.into())));
        Self {
            passwords: passwords.collect(),
            state,
            stored: Some(stored),
        }
    }

    /// Makes the passwords that are missing. A former login without one is no login any more, but still to be revoked.
    fn complete(&mut self) -> bool {
        let mut changed = false;
        for generation in [Some(self.state.current), self.state.pending].into_iter().flatten() {
            self.passwords.entry(generation).or_insert_with(|| {
                changed = true;
                password::generate()
            });
        }
        changed
    }

    /// Changes what is known, and writes it before anything else is done, by compare-and-swap on what was read.
    ///
    /// # Errors
    /// When somebody else has written the Secret meanwhile, or Kubernetes fails.
    pub async fn change(
        &mut self,
        core: &Core,
        database: &str,
        change: impl FnOnce(&mut LoginState),
    ) -> Result<(), Error> {
        let before = self.state.clone();
        change(&mut self.state);
        if self.state == before {
            return Ok(());
        }
        self.complete();
        let live: Vec<_> = self.state.generations().collect();
        self.passwords.retain(|generation, _| live.contains(generation));
        self.write(core, database).await
    }

    async fn write(&mut self, core: &Core, database: &str) -> Result<(), Error> {
        let (api, secret) = (owner::secrets(core), self.render(database)?);
        let written = match &self.stored {
            Some(stored) => secrets::amend(&api, TENANT_MANAGER, stored, &secret).await?,
            None => secrets::make(&api, TENANT_MANAGER, &secret).await?,
        };
        core.stores.secrets.wrote_whole(&written);
        self.stored = Some(written);
        Ok(())
    }

    fn render(&self, database: &str) -> Result<Secret, Error> {
        let passwords = self.passwords.iter();
        let mut data: BTreeMap<_, _> = passwords
            .map(|(generation, password)| (key(*generation), password.expose_secret().to_string()))
            .collect();
        let mut labels = vec![MANAGED_BY, (DATABASE_LABEL, database)];
        let marks = LoginMarks::from(&self.state);
        let seconds = |time: Option<Timestamp>| time.map(|time| time.as_second().to_string());
        let (generation, rotated) = (marks.generation.to_string(), seconds(marks.rotated_at));
        let revoke = seconds(marks.revoke_at);
        if !self.state.is_first() {
            let state = serde_json::to_string(&self.state).map_err(kube::Error::SerdeError)?;
            data.insert(STATE_KEY.to_string(), state);
            labels.push((GENERATION_LABEL, &generation));
        }
        labels.extend(marks.pending.then_some((ROTATING_LABEL, "true")));
        labels.extend(rotated.as_deref().map(|time| (ROTATED_LABEL, time)));
        labels.extend(revoke.as_deref().map(|time| (REVOKE_LABEL, time)));
        let mut secret = secrets::render(&tenant_secret(database), &labels, []);
        let bytes = |value: String| ByteString(value.into_bytes());
        secret.data = Some(data.into_iter().map(|(key, value)| (key, bytes(value))).collect());
        Ok(secret)
    }

    /// The roles that log in, with their passwords.
    pub fn roles(&self, uid: &str) -> Vec<TenantRole> {
        let passwords = self.passwords.iter();
        passwords
            .map(|(generation, password)| TenantRole {
                name: role_of(uid, *generation),
                password: password.clone(),
            })
            .collect()
    }

    /// The role that the connection Secret is to have.
    pub fn newest(&self, uid: &str) -> Option<TenantRole> {
        self.role(uid, self.state.newest())
    }

    /// The role that was published last: a new one that is being made is not proven.
    pub fn current(&self, uid: &str) -> Option<TenantRole> {
        self.role(uid, self.state.current)
    }

    fn role(&self, uid: &str, generation: u32) -> Option<TenantRole> {
        Some(TenantRole {
            name: role_of(uid, generation),
            password: self.passwords.get(&generation)?.clone(),
        })
    }
}

/// The role of a login. A number is never used again: a pooler may remember what a name's password was.
pub fn role_of(uid: &str, generation: u32) -> String {
    match generation {
        0 | 1 => role_name(uid),
        _ => format!("{}_{generation}", role_name(uid)),
    }
}

/// The number of the login of this role; none of a role that is not one of this tenant's.
pub fn generation_of(uid: &str, role: &str) -> Option<u32> {
    let rest = role.strip_prefix(&role_name(uid))?;
    match rest.strip_prefix('_') {
        Some(number) if number.starts_with('0') => None,
        Some(number) => number.parse().ok().filter(|number| *number > 1),
        None => rest.is_empty().then_some(1),
    }
}

/// Key of a login's password in the tenant's Secret.
fn key(generation: u32) -> String {
    match generation {
        0 | 1 => TENANT_PASSWORD_KEY.to_string(),
        _ => format!("{TENANT_PASSWORD_KEY}-{generation}"),
    }
}

/// What the tenant is given: its own login, where the owner logs in.
pub fn handover(owner: &Login, role: &TenantRole, address: Option<Address>) -> Handover {
    let session = tenant_login(owner, role);
    let transaction = address.as_ref().map(|address| Login {
        port: address.transaction_port,
        ..session.clone()
    });
    Handover {
        session,
        transaction,
        direct: None,
        address,
    }
}

/// At a pooler, the user of a role is `<role>.<ref>`, as it is for the owner.
fn tenant_login(owner: &Login, role: &TenantRole) -> Login {
    let user = match owner.user.split_once('.') {
        Some((_, reference)) => format!("{}.{reference}", role.name),
        None => role.name.clone(),
    };
    owner.as_user(user, role.password.clone())
}

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
