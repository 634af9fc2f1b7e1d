//! The tenant's Secret, beside the Orchestra: its own login, in the keys that libraries read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::inventory::ProjectApi;
use super::secrets::{self, Secrets};
use super::template::TemplateVariables;
use super::{schedule, template};
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, MANAGED_BY, ORCHESTRA_LABEL};
use crate::api::{ConnectionMode, Orchestra};
use crate::controller::error::Error;
use crate::error::ErrorClass;
use crate::postgres::Login;

/// The values that a tenant gets.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The tenant's login for sessions.
    pub session: Login,
    /// The tenant's login for transactions; `None` for an entry of a static pool.
    pub transaction: Option<Login>,
    /// The tenant's login without a pooler; `None` for an entry of a static pool, and where it is not asked for.
    pub direct: Option<Login>,
    /// The hosted project's API; `None` for an entry of a static pool that brings none.
    pub project: Option<ProjectApi>,
}

impl Handover {
    /// The login of `DATABASE_URL` and of the libpq keys.
    pub fn primary(&self, mode: ConnectionMode) -> &Login {
        match (mode, &self.transaction) {
            (ConnectionMode::TransactionPooler, Some(login)) => login,
            _ => self.lasting(mode),
        }
    }

    /// The login of `DIRECT_URL`: a session, whatever the mode.
    fn lasting(&self, mode: ConnectionMode) -> &Login {
        match (mode, &self.direct) {
            (ConnectionMode::Direct, Some(login)) => login,
            _ => &self.session,
        }
    }

    /// Whether that login is the one for transactions.
    pub fn is_pooled(&self, mode: ConnectionMode) -> bool {
        mode == ConnectionMode::TransactionPooler && self.transaction.is_some()
    }

    /// The digest of the keys, once the provider has changed them.
    pub fn keys(&self) -> Option<String> {
        self.project.as_ref()?.digest.clone()
    }

    /// The Secret's data. Keys without a value are absent: an entry of a static pool may have no
    /// `SUPABASE_URL`.
    fn data(&self, mode: ConnectionMode) -> BTreeMap<String, ByteString> {
        let primary = self.primary(mode);
        let url = primary.url().expose_secret().to_string();
        // With this flag Prisma does not use prepared statements, which do not outlive a transaction at the pooler.
        let pooled = self.is_pooled(mode);
        let flag = if url.contains('?') {
            "&pgbouncer=true"
        } else {
            "?pgbouncer=true"
        };
        let database_url = if pooled { format!("{url}{flag}") } else { url.clone() };
        let mut values = vec![
            ("DATABASE_URL", database_url),
            ("DIRECT_URL", self.lasting(mode).url().expose_secret().to_string()),
            ("uri", url),
            ("host", primary.host.clone()),
            ("port", primary.port.to_string()),
            ("dbname", primary.database.clone()),
            ("user", primary.user.clone()),
            ("password", primary.password.expose_secret().to_string()),
        ];
        if let Some(roots) = primary.published_roots() {
            values.push(("ca.crt", roots.to_string()));
        }
        if let Some(project) = &self.project {
            values.push(("SUPABASE_URL", project.url.clone()));
            values.push(("SUPABASE_ANON_KEY", project.anon_key.expose_secret().to_string()));
            values.push((
                "SUPABASE_SERVICE_ROLE_KEY",
                project.service_role_key.expose_secret().to_string(),
            ));
        }
        values
            .into_iter()
            .map(|(key, value)| (key.to_string(), ByteString(value.into_bytes())))
            .collect()
    }

    /// The keys of the Service Binding specification (1.1, "Well-known Secret Entries") that the libpq keys lack.
    fn binding(&self, mode: ConnectionMode) -> [(&'static str, String); 4] {
        let primary = self.primary(mode);
        let provider = if self.project.is_some() { "supabase" } else { "stagesub" };
        [
            ("type", "postgresql".into()),
            ("provider", provider.into()),
            ("database", primary.database.clone()),
            ("username", primary.user.clone()),
        ]
    }

    /// The variables of `connection.template`.
    fn variables(&self, orchestra: &Orchestra) -> TemplateVariables {
        let mode = orchestra.spec.connection.mode;
        let primary = self.primary(mode);
        let url = |login: &Login| login.url().expose_secret().to_string();
        let keys = self.project.as_ref();
        let key = |of: fn(&ProjectApi) -> &secrecy::SecretString| keys.map(|keys| of(keys).expose_secret().to_string());
        let values = [
            orchestra.name_any(),
            orchestra.namespace().unwrap_or_default(),
            orchestra.spec.display_name.clone().unwrap_or_default(),
            format!("{mode:?}"),
            primary.host.clone(),
            primary.port.to_string(),
            primary.database.clone(),
            primary.user.clone(),
            primary.password.expose_secret().to_string(),
            url(primary),
            url(&self.session),
            url(self.transaction.as_ref().unwrap_or(&self.session)),
            url(self.lasting(mode)),
            primary.published_roots().map(ToString::to_string).unwrap_or_default(),
            keys.map(|keys| keys.url.clone()).unwrap_or_default(),
            key(|keys| &keys.anon_key).unwrap_or_default(),
            key(|keys| &keys.service_role_key).unwrap_or_default(),
        ];
        template::NAMES.into_iter().zip(values).collect()
    }

    /// Everything that the Secret holds.
    fn contents(&self, orchestra: &Orchestra) -> Result<BTreeMap<String, ByteString>, Error> {
        let connection = &orchestra.spec.connection;
        let mut data = self.data(connection.mode);
        let bytes = |value: String| ByteString(value.into_bytes());
        if connection.is_binding() {
            let keys = self.binding(connection.mode);
            data.extend(keys.map(|(key, value)| (key.to_string(), bytes(value))));
        }
        if let Some(templates) = &connection.template {
            let rendered = template::render(templates, &self.variables(orchestra)).map_err(invalid)?;
            data.extend(rendered.into_iter().map(|(key, value)| (key, bytes(value))));
        }
        Ok(data)
    }
}

/// The connection in a spec is invalid.
fn invalid(wrong: String) -> Error {
    Error::Stop {
        class: ErrorClass::Invalid,
        reason: Reason::ConnectionInvalid,
        message: wrong,
    }
}

/// Checks the parts of a spec's connection that admission cannot check: templates, schedule, time zone, overlap.
///
/// # Errors
/// What is wrong, and what to do.
pub fn check(orchestra: &Orchestra, now: Timestamp) -> Result<(), Error> {
    let connection = &orchestra.spec.connection;
    if let Some(templates) = &connection.template {
        template::check(templates).map_err(invalid)?;
    }
    schedule::check(connection, now).map_err(invalid).map(drop)
}

/// The wanted Secret.
///
/// # Errors
/// When a template cannot be rendered.
pub fn render(orchestra: &Orchestra, handover: &Handover) -> Result<Secret, Error> {
    let connection = &orchestra.spec.connection;
    let own = [MANAGED_BY, (ORCHESTRA_LABEL, &orchestra.name_any())];
    let own = own.map(|(key, value)| (key.to_string(), value.chars().take(63).collect()));
    let mut labels = connection.labels.clone().unwrap_or_default();
    labels.extend(own);
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(orchestra.secret_name()),
            namespace: orchestra.namespace(),
            labels: Some(labels),
            annotations: connection.annotations.clone(),
            owner_references: Some(orchestra.controller_owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        type_: Some(connection.secret_type.unwrap_or_default().as_str().into()),
        data: Some(handover.contents(orchestra)?),
        ..Secret::default()
    })
}

/// Whether a Secret equals the wanted one. Labels and annotations of others, and its type, do not count.
fn is_right(found: &Secret, wanted: &Secret) -> bool {
    let (labels, annotations) = secrets::owned(found, FIELD_MANAGER);
    let same = |found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>, owned: &BTreeSet<String>| {
        wanted.iter().all(|(key, value)| found.get(key) == Some(value))
            && owned
                .iter()
                .all(|key| wanted.contains_key(key) || !found.contains_key(key))
    };
    found.data == wanted.data
        && same(found.labels(), wanted.labels(), &labels)
        && same(found.annotations(), wanted.annotations(), &annotations)
}

/// Reads the Secret, and whether it holds the wanted data. A Secret of that name that this Orchestra does not own is
/// an error: it is never overwritten.
pub async fn find(
    secrets: &Secrets<'_>,
    orchestra: &Orchestra,
    wanted: &Secret,
) -> Result<Option<(Secret, bool)>, Error> {
    let name = orchestra.secret_name();
    let Some(secret) = secrets.get(&name).await? else {
        return Ok(None);
    };
    if !is_ours(&secret, orchestra) {
        let whose = whose(&secret, "this Orchestra");
        return Err(Error::blocked(
            Reason::SecretConflict,
            format!(
                "Secret {name} exists and {whose}. It was not changed: set spec.connection.secretName to another name, or, \
                 if nobody needs that Secret, delete it"
            ),
        ));
    }
    let right = is_right(&secret, wanted);
    Ok(Some((secret, right)))
}

fn is_ours(secret: &Secret, orchestra: &Orchestra) -> bool {
    let mut owners = secret.owner_references().iter();
    owners.any(|owner| Some(&owner.uid) == orchestra.metadata.uid.as_ref())
}

/// The owner of a foreign object, if the object names one.
pub fn whose(object: &impl ResourceExt, not: &str) -> String {
    let owners = object.owner_references();
    match owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .or(owners.first())
    {
        Some(owner) => format!("belongs to {} {}, not to {not}", owner.kind, owner.name),
        None => format!("does not belong to {not}"),
    }
}

/// Writes the Secret. A new one is created, so that a foreign one of that name is never changed: an existing one is read
/// first. One of ours is changed in one write, so that nobody reads a partial change.
///
/// # Errors
/// When a foreign Secret has the name, or Kubernetes fails.
pub async fn publish(
    secrets: &Secrets<'_>,
    orchestra: &Orchestra,
    wanted: &Secret,
    exists: bool,
) -> Result<Secret, Error> {
    if !exists && let Some(created) = secrets::create(secrets, FIELD_MANAGER, wanted).await? {
        return Ok(created);
    }
    match find(secrets, orchestra, wanted).await? {
        Some((found, false)) => secrets::amend(secrets, FIELD_MANAGER, &found, wanted).await,
        Some((found, true)) => Ok(found),
        None => Err(Error::transient(
            Reason::Publishing,
            "the connection Secret was deleted just now; it is written again",
        )),
    }
}

/// Empties a Secret of a former name, if it is this Orchestra's, and leaves it to the garbage collector: the operator has
/// no right to delete tenants' Secrets. An owner that does not exist, by its UID, makes the collector delete it
/// (Kubernetes, "Garbage Collection").
///
/// # Errors
/// When Kubernetes fails.
pub async fn remove(secrets: &Secrets<'_>, orchestra: &Orchestra, name: &str) -> Result<(), Error> {
    let found = secrets.get(name).await?;
    let Some(found) = found.filter(|secret| is_ours(secret, orchestra)) else {
        return Ok(());
    };
    let mut gone = orchestra.controller_owner_ref(&());
    if let Some(owner) = &mut gone {
        owner.uid = uuid::Uuid::new_v4().to_string();
    }
    let emptied = Secret {
        metadata: ObjectMeta {
            owner_references: Some(gone.into_iter().collect()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    match secrets::amend(secrets, FIELD_MANAGER, &found, &emptied).await {
        Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
        amended => amended.map(drop),
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
