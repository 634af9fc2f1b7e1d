//! The entries that a pool makes on a server: a Secret each in the operator's namespace, which is written before any request
//! to the server. It holds the owner's password, and its annotations say whether the database is made and whether it is to
//! be dropped.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::inventory::{self, text};
use super::secrets::Secrets;
use super::{password, secrets};
use crate::api::DatabaseServer;
use crate::api::condition::Reason;
use crate::api::names::{
    ENTRY_LABEL, ENTRY_MANAGER, LEAVING_ANNOTATION, MADE_ANNOTATION, MANAGED_BY, PENDING_LABEL, pool_label,
};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::write::patch_parameters;
use crate::postgres::{DatabaseIdentity, Login};

/// Key of the Secret of a server: the URL of the login that makes databases.
pub const SERVER_KEY: &str = "DATABASE_URL";

/// Key of the owner's password in an entry's Secret.
pub(super) const PASSWORD_KEY: &str = "password";

/// The prefix of the names of entries.
const PREFIX: &str = "orchestra-entry-";

/// The number of digits that distinguish entries.
const DIGITS: usize = 20;

/// An entry as the metadata of its Secret describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeEntry {
    /// Name of its Secret.
    pub name: String,
    /// Its database, once that is created.
    pub made: Option<DatabaseIdentity>,
    /// Its database is to be dropped if nobody has claimed it.
    pub leaving: bool,
    /// A new password of its owner is stored beside the one in use, and the server may have either.
    pub pending: bool,
}

impl MadeEntry {
    /// The key by which an inventory has it.
    pub fn key(&self) -> String {
        key(&self.name)
    }
}

/// A new name of an entry.
pub fn mint() -> String {
    let digits = Uuid::new_v4().simple().to_string();
    format!("{PREFIX}{}", digits.chars().take(DIGITS).collect::<String>())
}

/// The key by which an inventory has the entry of a Secret.
pub fn key(secret: &str) -> String {
    format!("{secret}/{SERVER_KEY}")
}

/// Name of the Secret of an entry by the key under which an inventory has it; none when no pool has made the entry.
pub fn secret_of(key: &str) -> Option<&str> {
    let secret = key.strip_suffix(SERVER_KEY)?.strip_suffix('/')?;
    secret.starts_with(PREFIX).then_some(secret)
}

/// Name of the database of an entry, and of the role that owns it.
pub fn database(secret: &str) -> String {
    secret.replace('-', "_")
}

/// The mark of an entry's owner role, so that no other role is mistaken for it.
pub fn record(pool: &str, secret: &str) -> String {
    format!("orchestra-operator: entry {secret} of OrchestraPool {pool}")
}

/// The entries of a pool, in the order of their names, as the watch shows their Secrets.
pub fn entries(core: &Core, pool: &str) -> Vec<MadeEntry> {
    let secrets = core.stores.secrets.state_filter(|secret| is_of(core, pool, secret));
    let mut entries: Vec<_> = secrets.iter().map(|secret| describe(&**secret)).collect();
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    entries
}

fn describe(secret: &impl kube::ResourceExt) -> MadeEntry {
    let annotation = |key: &str| secret.annotations().get(key);
    MadeEntry {
        name: secret.name_any(),
        made: annotation(MADE_ANNOTATION).and_then(|record| DatabaseIdentity::from_record(record)),
        leaving: annotation(LEAVING_ANNOTATION).is_some_and(|value| value == "true"),
        pending: secret.labels().contains_key(PENDING_LABEL),
    }
}

/// Whether a Secret is that of an entry which this pool makes.
pub(super) fn is_of(core: &Core, pool: &str, secret: &PartialObjectMeta<Secret>) -> bool {
    let labels = secret.labels();
    secret.namespace().as_ref() == Some(&core.settings.namespace) && is_labelled(pool, labels)
}

pub(super) fn is_labelled(pool: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
    labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1)
        && labels.get(ENTRY_LABEL) == Some(&pool_label(pool))
}

/// The labels of the Secrets of a pool's entries, as a selector.
pub(super) fn selector(pool: &str) -> String {
    format!("{}={},{ENTRY_LABEL}={}", MANAGED_BY.0, MANAGED_BY.1, pool_label(pool))
}

/// Writes the Secret of an entry with a new password, unless there is one.
///
/// # Errors
/// When Kubernetes fails.
pub async fn create(core: &Core, pool: &str, name: &str) -> Result<(), Error> {
    let label = pool_label(pool);
    let labels = [MANAGED_BY, (ENTRY_LABEL, label.as_str())];
    let password = password::generate().expose_secret().to_owned();
    let secret = secrets::render(name, &labels, [(PASSWORD_KEY, password)]);
    let written = match secrets::create(&Secrets::own(core), ENTRY_MANAGER, &secret).await? {
        Some(written) => written,
        None => core.own::<Secret>().get(name).await?,
    };
    if !is_labelled(pool, written.labels()) {
        let message = format!(
            "Secret {name} of the operator's namespace does not belong to an entry of pool {pool}: delete it, or rename it"
        );
        return Err(Error::blocked(Reason::SecretConflict, message));
    }
    core.stores.secrets.wrote_whole(&written);
    Ok(())
}

/// The password of an entry's owner.
///
/// # Errors
/// When the Secret is gone, or holds no password.
pub async fn stored_password(core: &Core, name: &str) -> Result<SecretString, Error> {
    let secret = core.own::<Secret>().get_opt(name).await?;
    let value = secret.and_then(|secret| secret.data?.remove(PASSWORD_KEY));
    let gone = || {
        let message = format!(
            "Secret {name} of the operator's namespace is gone, or has no key {PASSWORD_KEY}: the entry's database cannot \
             be made"
        );
        Error::blocked(Reason::InventoryNotFound, message)
    };
    value.map(|ByteString(value)| text(&value)).ok_or_else(gone)
}

/// Records that the database of an entry is created: from now on the inventory has it. False when the Secret is gone.
///
/// # Errors
/// When Kubernetes fails.
pub async fn note_made(core: &Core, name: &str, identity: &DatabaseIdentity) -> Result<bool, Error> {
    annotate(core, name, json!({MADE_ANNOTATION: identity.record()})).await
}

/// Records whether the database of an entry is to be dropped. The inventory does not contain such an entry.
///
/// # Errors
/// When Kubernetes fails.
pub async fn note_leaving(core: &Core, name: &str, leaving: bool) -> Result<bool, Error> {
    annotate(core, name, json!({LEAVING_ANNOTATION: leaving.then_some("true")})).await
}

async fn annotate(core: &Core, name: &str, annotations: serde_json::Value) -> Result<bool, Error> {
    change(core, name, json!({"metadata": {"annotations": annotations}})).await
}

/// Merges a change into the Secret of an entry. False when the Secret is gone.
pub(super) async fn change(core: &Core, name: &str, change: serde_json::Value) -> Result<bool, Error> {
    let parameters = patch_parameters(ENTRY_MANAGER);
    let patch = Patch::Merge(change);
    match core.own::<Secret>().patch(name, &parameters, &patch).await {
        Ok(written) => core.stores.secrets.wrote_whole(&written),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let key = ObjectRef::new(name).within(&core.settings.namespace);
            core.stores.secrets.removed(&key);
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// Deletes the Secret of an entry that is gone.
///
/// # Errors
/// When Kubernetes fails.
pub async fn delete(core: &Core, name: &str) -> Result<(), Error> {
    secrets::delete(&Secrets::own(core), name).await
}

/// The URL of the login that makes databases, and the version of its Secret.
///
/// # Errors
/// When the Secret or its key is missing.
pub(super) async fn server_url(core: &Core, server: &DatabaseServer) -> Result<(SecretString, String), Error> {
    let (name, namespace) = (&server.secret_ref.name, &core.settings.namespace);
    let secret = core.own::<Secret>().get_opt(name).await?;
    let version = secret.as_ref().and_then(kube::ResourceExt::resource_version);
    let value = secret.and_then(|secret| secret.data?.remove(SERVER_KEY));
    let missing = || {
        let message = format!(
            "Secret {name} with key {SERVER_KEY} does not exist in namespace {namespace}: create it with the URL of a login \
             that has CREATEDB and CREATEROLE"
        );
        Error::blocked(Reason::InventoryNotFound, message)
    };
    let ByteString(value) = value.ok_or_else(missing)?;
    Ok((text(&value), version.unwrap_or_default()))
}

/// The login that makes the databases of a pool.
///
/// # Errors
/// When the Secret is missing, or holds no URL that can be used.
pub async fn server_login(core: &Core, server: &DatabaseServer) -> Result<Login, Error> {
    let (url, _) = server_url(core, server).await?;
    check_server_url(&url, core)?;
    inventory::read(&url, &core.settings.database_roots)
}

/// The login of an entry's owner.
///
/// # Errors
/// As [`server_login`] and [`stored_password`].
pub async fn entry_login(core: &Core, server: &DatabaseServer, name: &str) -> Result<Login, Error> {
    let password = stored_password(core, name).await?;
    entry_login_with(core, server, (name, &password)).await
}

/// The login of an entry's owner with this password.
///
/// # Errors
/// As [`server_login`].
pub async fn entry_login_with(
    core: &Core,
    server: &DatabaseServer,
    (name, password): (&str, &SecretString),
) -> Result<Login, Error> {
    let (url, _) = server_url(core, server).await?;
    inventory::read(&entry_url(&url, name, password), &core.settings.database_roots)
}

/// Whether a Secret of an entry of this pool is left, according to the API server itself.
///
/// # Errors
/// When Kubernetes fails.
pub async fn any(core: &Core, pool: &str) -> Result<bool, Error> {
    let found = core
        .own::<Secret>()
        .list_metadata(&ListParams::default().labels(&selector(pool)).limit(1))
        .await?;
    Ok(!found.items.is_empty())
}

/// The URL of an entry: that of the server with another user, password and database.
fn entry_url(server: &SecretString, name: &str, password: &SecretString) -> SecretString {
    let text = server.expose_secret().trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("postgresql", ""));
    let (main, query) = rest
        .split_once('?')
        .map_or((rest, String::new()), |(main, query)| (main, format!("?{query}")));
    let authority = main.split('/').next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (database, password) = (database(name), password.expose_secret());
    format!("{scheme}://{database}:{password}@{place}/{database}{query}").into()
}

/// What is wrong with the URL of a server; none when the URLs of its entries can be made of it.
///
/// # Errors
/// As [`inventory::read`], and when a parameter comes before a part of the URL.
pub(super) fn check_server_url(server: &SecretString, core: &Core) -> Result<(), Error> {
    inventory::read(server, &core.settings.database_roots)?;
    let name = format!("{PREFIX}0");
    let entry = inventory::read(&entry_url(server, &name, &"x".into()), &core.settings.database_roots)?;
    let own = database(&name);
    if entry.user == own && entry.database == own && entry.password.expose_secret() == "x" {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::InvalidEntry,
        "the server's URL gives user, password or dbname as a parameter, which would override the entries' own: \
         write postgresql://USER:PASSWORD@HOST:PORT/postgres",
    ))
}

/// The values of an inventory of a pool: the URLs of its entries whose databases exist and are not to be dropped.
pub(super) fn urls(server: &SecretString, all: Vec<Secret>) -> Vec<(String, SecretString)> {
    let entry = |secret: Secret| {
        let about = describe(&secret);
        let ByteString(value) = secret.data?.remove(PASSWORD_KEY)?;
        let whole = about.made.is_some() && !about.leaving;
        whole.then(|| (about.name.clone(), entry_url(server, &about.name, &text(&value))))
    };
    all.into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_url_of_an_entry_has_the_place_and_the_parameters_of_its_server() {
        let password = SecretString::from("s-e.c_r~et");
        for (server, place) in [
            (
                "postgres://maker:p%40ss@db.example:6000/postgres?sslmode=verify-full",
                "db.example:6000",
            ),
            ("postgresql://maker@[::1]/", "::1:5432"),
            (
                "postgresql://maker:x@/postgres?host=db.example&port=6000",
                "db.example:6000",
            ),
            ("  postgresql://maker:x@db.example\n", "db.example:5432"),
        ] {
            let url = entry_url(&server.into(), "orchestra-entry-1", &password);
            let login = Login::parse(&url).unwrap();
            assert_eq!(format!("{}:{}", login.host, login.port), place, "{server}");
            assert_eq!(
                (login.user.as_str(), login.database.as_str()),
                ("orchestra_entry_1", "orchestra_entry_1")
            );
            assert_eq!(login.password.expose_secret(), "s-e.c_r~et");
            assert_eq!(login.tls.verifies(), server.contains("verify-full"));
        }
    }

    #[test]
    fn names_are_fit_for_objects_and_for_roles() {
        let name = mint();
        assert_eq!(name.len(), PREFIX.len() + DIGITS);
        assert_ne!(name, mint());
        assert!(
            database(&name)
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert_eq!(key(&name), format!("{name}/DATABASE_URL"));
        assert_eq!(secret_of(&key(&name)), Some(name.as_str()));
        for other in [
            "DATABASE_URL_POOL_1",
            "house/DATABASE_URL",
            "orchestra-entry-1",
            "DATABASE_URL",
        ] {
            assert_eq!(secret_of(other), None, "{other}");
        }
    }
}
