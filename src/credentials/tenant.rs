//! The tenant's own logins: their roles, their passwords, and the values that the tenant gets.
//!
//! The passwords are in the tenant's Secret, in the operator's namespace, with what is known of a rotation: each step of it
//! is written there before it is executed. The orchestra room is its only writer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use secrecy::{ExposeSecret, SecretString};

pub use super::login_state::{LoginMarks, LoginState, MOST_FORMER};
use super::login_state::{STATE_KEY, is_left_by_another};
pub use super::tenant_login::{handover, is_owners_own_dot};
use super::{owner, password, secrets};
use crate::api::names::{
    DATABASE_LABEL, ENDED_LABEL, GENERATION_LABEL, HOLDER_LABEL, MANAGED_BY, REVOKE_LABEL, ROTATED_LABEL,
    ROTATING_LABEL, TENANT_MANAGER, TENANT_PASSWORD_KEY, tenant_secret,
};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::{TenantRole, role_name};

/// Key of a tenant's Secret: the templates of the connection Secret that were published last, as JSON.
const TEMPLATE_KEY: &str = "connection-template";

/// Whether a role is the first one of this tenant, or one that was made for a rotation.
pub fn is_role_of(uid: &str, role: &str) -> bool {
    generation_of(uid, role).is_some()
}

/// Deletes the tenant's Secret of a database that was released: the next tenant gets another password.
pub async fn forget(core: &Core, database: &str) -> Result<(), Error> {
    secrets::delete(&owner::secrets(core), &tenant_secret(database)).await
}

/// What is known of the logins of the tenant with this UID, without a change: none where its Secret is lost.
///
/// # Errors
/// When Kubernetes fails.
pub async fn state(core: &Core, database: &str, uid: &str) -> Result<Option<LoginState>, Error> {
    let name = tenant_secret(database);
    if !secrets::is_watched(core, &name) {
        return Ok(None);
    }
    let stored = owner::secrets(core).get(&name).await?;
    let own = stored.filter(|stored| !is_left_by_another(&stored.metadata, uid));
    Ok(own.map(|stored| LoginState::stored(&stored)))
}

/// What is known of a tenant's logins beside its Secret, which may be lost.
#[derive(Clone, Debug)]
pub struct KnownLogins<'a> {
    /// UID of the Orchestra. A Secret that another one has left holds nothing of it.
    pub uid: &'a str,
    /// The password that an earlier version of the operator stored in the owner's Secret.
    pub earlier: Option<SecretString>,
    /// The last number that was known.
    pub generation: u32,
    /// A login may be in use: it never gets another password. Where its own is lost, another login takes its place.
    pub published: bool,
}

/// The logins of a tenant.
#[derive(Clone)]
pub struct Logins {
    /// Which there are.
    pub state: LoginState,
    /// The templates of the connection Secret that were published last.
    pub template: Option<BTreeMap<String, String>>,
    /// UID of the Orchestra whose they are.
    uid: String,
    /// The Secret says so: one of an earlier version does when it is written next.
    named: bool,
    /// A login may be in use.
    published: bool,
    passwords: BTreeMap<u32, SecretString>,
    /// The Secret as it was read or written last; none while it does not exist.
    stored: Option<Secret>,
}

impl Logins {
    /// The logins of the tenant of a database, as its Secret has them. Without one there is the first login, with a
    /// password that an earlier version of the operator stored, or a new one. Where a login is published, its password
    /// is lost with the Secret: a new login is to take its place. Passwords are stored before anybody is given them.
    ///
    /// # Errors
    /// When Kubernetes fails.
    pub async fn read(core: &Core, database: &str, known: KnownLogins<'_>) -> Result<Self, Error> {
        let (api, name) = (owner::secrets(core), tenant_secret(database));
        let watched = secrets::is_watched(core, &name);
        let stored = if watched { api.get(&name).await? } else { None };
        // What was rotated away since is no password any more.
        let earlier = known.earlier.clone().filter(|_| known.generation <= 1);
        let mut logins = match (stored, earlier) {
            (Some(stored), _) => Self::of(stored, &known),
            (None, Some(earlier)) => return Ok(Self::first(earlier, &known)),
            (None, None) => {
                let mut new = Self::lost(&known);
                match new.write(core, database).await {
                    // Another operator has created it.
                    Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_already_exists() => {
                        let stored = api.get(&name).await?;
                        let stored = stored.ok_or(Error::Kubernetes(kube::Error::Api(status)))?;
                        Self::of(stored, &known)
                    }
                    written => return written.map(|()| new),
                }
            }
        };
        // The Secret may have lost a password, or be another Orchestra's.
        if logins.complete() || logins.is_foreign() {
            logins.write(core, database).await?;
        }
        Ok(logins)
    }

    fn first(password: SecretString, known: &KnownLogins<'_>) -> Self {
        Self {
            state: LoginState::default(),
            template: None,
            uid: known.uid.to_owned(),
            named: true,
            published: known.published,
            passwords: [(1, password)].into(),
            stored: None,
        }
    }

    /// Where there is no Secret, with the last number that was known.
    fn lost(known: &KnownLogins<'_>) -> Self {
        let state = LoginState {
            current: known.generation.max(1),
            ..LoginState::default()
        };
        let mut logins = Self {
            state,
            template: None,
            uid: known.uid.to_owned(),
            named: true,
            published: known.published,
            passwords: BTreeMap::new(),
            stored: None,
        };
        logins.complete();
        logins
    }

    /// The logins as the Secret has them. A Secret left by another Orchestra whose claim was never released is ignored and
    /// rewritten.
    fn of(stored: Secret, known: &KnownLogins<'_>) -> Self {
        if is_left_by_another(&stored.metadata, known.uid) {
            return Self {
                stored: Some(stored),
                ..Self::lost(known)
            };
        }
        Self::parse(stored, known)
    }

    /// Whether the Secret that is stored is another Orchestra's.
    fn is_foreign(&self) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| is_left_by_another(&stored.metadata, &self.uid))
    }

    fn parse(stored: Secret, known: &KnownLogins<'_>) -> Self {
        let data = stored.data.as_ref();
        let text = |key: &str| String::from_utf8(data?.get(key)?.0.clone()).ok();
        let state = LoginState::stored(&stored);
        let passwords = state
            .generations()
            .filter_map(|generation| Some((generation, text(&key(generation))?.into())));
        Self {
            passwords: passwords.collect(),
            template: text(TEMPLATE_KEY).and_then(|template| serde_json::from_str(&template).ok()),
            state,
            uid: known.uid.to_owned(),
            named: stored
                .metadata
                .labels
                .iter()
                .flatten()
                .any(|(key, _)| key == HOLDER_LABEL),
            published: known.published,
            stored: Some(stored),
        }
    }

    /// Makes the passwords that are missing, of a login that nobody uses yet. Another one whose password is lost stays as
    /// it is on the server: of the published one, a new login takes the place.
    fn complete(&mut self) -> bool {
        let is_lost = !self.passwords.contains_key(&self.state.current);
        if is_lost && self.published {
            self.state.replace();
        }
        let newest = self.state.newest();
        if self.passwords.contains_key(&newest) {
            return false;
        }
        // What may be published already is another login's number then.
        self.state.tentative = self.state.pending.is_some();
        self.passwords.insert(newest, password::generate());
        true
    }

    /// `resourceVersion` of the Secret as it was read or written last.
    pub fn version(&self) -> Option<&str> {
        self.stored.as_ref()?.metadata.resource_version.as_deref()
    }

    /// Settles the number of a new login, the first one that the server leaves to it, and writes it down. A number that was
    /// settled before is replaced when somebody else has made a role of that name meanwhile.
    ///
    /// # Errors
    /// As [`Logins::change`].
    pub async fn choose(&mut self, core: &Core, database: &str, next: Option<u32>) -> Result<(), Error> {
        let before = self.state.clone();
        self.state.choose(next);
        if self.state == before {
            return Ok(());
        }
        if let Some(password) = self.passwords.remove(&before.newest()) {
            self.passwords.insert(self.state.newest(), password);
        }
        self.write(core, database).await
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

    /// Stores the templates of the connection Secret, where they are others than before.
    ///
    /// # Errors
    /// As [`Logins::change`].
    pub async fn remember(
        &mut self,
        core: &Core,
        database: &str,
        template: Option<BTreeMap<String, String>>,
    ) -> Result<(), Error> {
        if self.template == template {
            return Ok(());
        }
        self.template = template;
        self.write(core, database).await
    }

    async fn write(&mut self, core: &Core, database: &str) -> Result<(), Error> {
        self.named = true;
        let (api, secret) = (owner::secrets(core), self.render(database)?);
        let written = match &self.stored {
            Some(stored) => secrets::amend(&api, TENANT_MANAGER, stored, &secret).await?,
            None => secrets::make(&api, TENANT_MANAGER, &secret).await?,
        };
        self.stored = Some(written);
        Ok(())
    }

    fn render(&self, database: &str) -> Result<Secret, Error> {
        let passwords = self.passwords.iter();
        let mut data: BTreeMap<_, _> = passwords
            .map(|(generation, password)| (key(*generation), password.expose_secret().to_string()))
            .collect();
        if let Some(template) = &self.template {
            let template = serde_json::to_string(template).map_err(kube::Error::SerdeError)?;
            data.insert(TEMPLATE_KEY.to_string(), template);
        }
        let mut labels = vec![MANAGED_BY, (DATABASE_LABEL, database)];
        labels.extend(self.named.then_some((HOLDER_LABEL, self.uid.as_str())));
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
        labels.extend(marks.ended.then_some((ENDED_LABEL, "true")));
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

    /// The roles that log in with passwords that nobody knows any more.
    pub fn unknown(&self, uid: &str) -> Vec<String> {
        let all = self.state.generations();
        let unknown = all.filter(|generation| !self.passwords.contains_key(generation));
        unknown.map(|generation| role_of(uid, generation)).collect()
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

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
