//! The key that seals the manifest of one backup: all Jobs that make the backup have it, and nobody who can write to the store.
//! It is in a Secret of its own in the operator's namespace from the first of these Jobs until the manifest's digest is recorded, or
//! until the OrchestraBackup goes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use secrecy::{ExposeSecret as _, SecretString};

use crate::api::condition::Reason;
use crate::api::names::{BACKUP_LABEL, FIELD_MANAGER, MANAGED_BY};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::write::post_parameters;
use crate::credentials::password;

/// The key in the Secret, and the file of the Job.
const KEY: &str = "manifest-key";

fn name(uid: &str) -> String {
    format!("backup-manifest-key-{uid}")
}

/// The file of a Job with the key of a backup. The key is made, and stored, before the first Job can use it.
///
/// # Errors
/// When the Kubernetes API refuses or fails; when somebody has changed the Secret.
pub async fn file(core: &Core, uid: &str) -> Result<(&'static str, SecretString), Error> {
    let (api, name) = (core.own::<Secret>(), name(uid));
    let found = if let Some(found) = api.get_opt(&name).await? {
        found
    } else {
        let made = match api.create(&post_parameters(FIELD_MANAGER), &secret(&name, uid)).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&name).await?,
            created => created?,
        };
        core.stores.secrets.wrote_whole(&made);
        made
    };
    let key = found.data.and_then(|mut data| data.remove(KEY));
    match key.and_then(|key| String::from_utf8(key.0).ok()) {
        Some(key) => Ok((KEY, SecretString::from(key))),
        None => Err(Error::blocked(
            Reason::BackupFailed,
            format!(
                "Secret {}/{name} has no key {KEY}, because somebody other than the operator changed it: delete this \
                 OrchestraBackup, and create another one",
                core.settings.namespace
            ),
        )),
    }
}

fn secret(name: &str, uid: &str) -> Secret {
    let key = password::generate();
    let labels = [(MANAGED_BY.0, MANAGED_BY.1), (BACKUP_LABEL, uid)];
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            ByteString(key.expose_secret().as_bytes().to_vec()),
        )])),
        ..Secret::default()
    }
}

/// Deletes the key of a backup, for which no further Job is made.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn forget(core: &Core, uid: &str) -> Result<(), Error> {
    let name = name(uid);
    match core.own::<Secret>().delete(&name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        deleted => drop(deleted?),
    }
    let key = ObjectRef::new(&name).within(&core.settings.namespace);
    core.stores.secrets.removed(&key);
    Ok(())
}
