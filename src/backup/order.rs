//! The input of a Job: the order, the owner's login, and the credentials of the store.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;
use sqlx::PgConnection;

use super::{Context, Pass, final_backup, folder, job};
use crate::api::condition::Reason;
use crate::api::{
    ClaimReference, ClassBackup, MigrationFormat, Orchestra, OrchestraBackupStatus, OrchestraClass, OrchestraDatabase,
    SecretReference,
};
use crate::archive::manifest;
use crate::archive::order::{BackupOrder, BackupSubject, Order, ReadOrder, Store, Work};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::credentials::{inventory, owner};
use crate::postgres::Login;

/// Keys of the Secret with a store's credentials, the Job's file for each, and whether it is required.
const CREDENTIALS: [(&str, &str, bool); 3] = [
    ("AWS_ACCESS_KEY_ID", "s3-access-key-id", true),
    ("AWS_SECRET_ACCESS_KEY", "s3-secret-access-key", true),
    ("ca.crt", "store-ca.pem", false),
];

/// The settings of backups of a class.
///
/// # Errors
/// [`Reason::NoBackupDestination`].
pub fn of_class(class: &OrchestraClass) -> Result<&ClassBackup, Error> {
    class.spec.backup.as_ref().ok_or_else(|| {
        Error::blocked(
            Reason::NoBackupDestination,
            format!(
                "OrchestraClass {} has no store for backups: ask the cluster's admin to set spec.backup.destination in it",
                class.name_any()
            ),
        )
    })
}

/// The class in whose store a backup is, with the recorded destination. `advice`: what else a person can do when the class
/// does not exist or has another destination.
///
/// # Errors
/// [`Reason::ClassNotFound`], [`Reason::NoBackupDestination`], [`Reason::BackupDestinationChanged`].
pub fn class_of(
    status: &OrchestraBackupStatus,
    class: Option<Arc<OrchestraClass>>,
    advice: &str,
) -> Result<Arc<OrchestraClass>, Error> {
    let name = status.class_name.as_deref().unwrap_or_default();
    let class = class.ok_or_else(|| {
        Error::blocked(
            Reason::ClassNotFound,
            format!("OrchestraClass {name}, whose store has the backup, does not exist: create it again{advice}"),
        )
    })?;
    let now = location(of_class(&class)?, status.path.as_deref().unwrap_or_default());
    match &status.location {
        Some(then) if *then != now => Err(Error::blocked(
            Reason::BackupDestinationChanged,
            format!(
                "the backup is at {then}, but OrchestraClass {name} has another destination now: restore the former destination \
                 until this is done{advice}"
            ),
        )),
        _ => Ok(class),
    }
}

/// The store of a class, for an order.
pub fn store(backup: &ClassBackup) -> Store {
    let destination = &backup.destination;
    match (&destination.s3, &destination.persistent_volume_claim) {
        (Some(s3), _) => Store::S3 {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone().unwrap_or_default(),
            path_style: s3.path_style.unwrap_or(s3.endpoint.is_some()),
        },
        (None, volume) => Store::Folder {
            path: job::VOLUME.into(),
            prefix: volume
                .as_ref()
                .and_then(|volume| volume.prefix.clone())
                .unwrap_or_default(),
        },
    }
}

/// The location of a path in a class's store, for people.
pub fn location(backup: &ClassBackup, path: &str) -> String {
    let destination = &backup.destination;
    let (root, prefix) = match (&destination.s3, &destination.persistent_volume_claim) {
        (Some(s3), _) => {
            let at = s3
                .endpoint
                .as_ref()
                .map(|endpoint| format!(" at {endpoint}"))
                .unwrap_or_default();
            return format!("s3://{}/{}{at}", s3.bucket, below(s3.prefix.as_deref(), path));
        }
        (None, volume) => {
            let claim = volume.as_ref().map_or("", |volume| volume.claim_name.as_str());
            (
                format!("persistentvolumeclaim/{claim}"),
                volume.as_ref().and_then(|volume| volume.prefix.as_deref()),
            )
        }
    };
    format!("{root}/{}", below(prefix, path))
}

/// The address of the manifest of a path in a class's store, as `source.backupRef.manifest` names it.
pub fn manifest_url(backup: &ClassBackup, path: &str) -> String {
    let destination = &backup.destination;
    let (root, prefix) = match (&destination.s3, &destination.persistent_volume_claim) {
        (Some(s3), _) => (format!("s3://{}", s3.bucket), s3.prefix.as_deref()),
        (None, volume) => (
            format!(
                "persistentvolumeclaim://{}",
                volume.as_ref().map_or("", |volume| volume.claim_name.as_str())
            ),
            volume.as_ref().and_then(|volume| volume.prefix.as_deref()),
        ),
    };
    format!("{root}/{}/{}", below(prefix, path), manifest::NAME)
}

fn below(prefix: Option<&str>, path: &str) -> String {
    prefix.map_or_else(|| path.to_owned(), |prefix| format!("{prefix}/{path}"))
}

/// An Orchestra as the claim of a database names it.
pub fn claim_of(orchestra: &Orchestra) -> ClaimReference {
    ClaimReference {
        namespace: orchestra.namespace().unwrap_or_default(),
        name: orchestra.name_any(),
        uid: orchestra.uid().unwrap_or_default(),
        namespace_uid: None,
    }
}

/// The order to make a backup.
pub fn make(pass: &Pass, class: &OrchestraClass, database: &OrchestraDatabase) -> Result<Order, Error> {
    let (status, settings) = (pass.status(), of_class(class)?);
    let name = &pass.object.spec.orchestra_ref.name;
    let namespace = pass.object.namespace().unwrap_or_default();
    let orchestra = pass
        .core()
        .stores
        .orchestras
        .get(&ObjectRef::new(name).within(&namespace));
    let last = final_backup::database(&pass.ctx, &pass.object);
    let last = last.and_then(|database| database.spec.claim_ref.clone());
    let (is_final, namespace) = (last.is_some(), last.map_or(namespace, |claim| claim.namespace));
    let migrations = orchestra
        .as_ref()
        .and_then(|orchestra| orchestra.status.as_ref()?.migrations.as_ref());
    let project = database.status.as_ref().and_then(|status| status.project.as_ref());
    Ok(Order {
        work: Work::Backup(BackupOrder {
            path: folder::of(&pass.ctx.class.cluster, &pass.object, settings)?,
            subject: BackupSubject {
                cluster: pass.ctx.class.cluster.digits().to_owned(),
                orchestra: name.clone(),
                namespace,
                orchestra_uid: status.orchestra_uid.unwrap_or_default(),
                class: class.name_any(),
                database_name: database.name_any(),
                project_ref: project.map(|project| project.reference.clone()),
                region: project.map(|project| project.region.clone()),
                backup_name: pass.object.name_any(),
            },
            identity: inventory::expected(database),
            recipients: settings
                .encryption
                .as_ref()
                .map(|by| by.recipients.clone())
                .unwrap_or_default(),
            // The format is not known when the Orchestra is gone.
            history_schema_included: is_final || migrations.is_some_and(|is| is.format == MigrationFormat::Supabase),
            exclude_schemas: Vec::new(),
            lock_wait_seconds: 60,
        }),
        store: store(settings),
        deadline_seconds: job::deadline_of_order(settings.deadline().as_std()),
    })
}

/// The order to read the manifest of a backup that is stored already.
pub fn read(pass: &Pass, class: &OrchestraClass) -> Result<Order, Error> {
    let settings = of_class(class)?;
    let stored = pass.object.spec.stored.as_ref();
    Ok(Order {
        work: Work::Read(ReadOrder {
            path: folder::of(&pass.ctx.class.cluster, &pass.object, settings)?,
            manifest_digest: stored.and_then(|stored| stored.manifest_digest.clone()),
        }),
        store: store(settings),
        deadline_seconds: job::deadline_of_order(settings.deadline().as_std()),
    })
}

/// The order to remove a backup's data.
pub fn remove(pass: &Pass, class: &OrchestraClass) -> Result<Order, Error> {
    let settings = of_class(class)?;
    Ok(Order {
        work: Work::Delete {
            path: folder::of(&pass.ctx.class.cluster, &pass.object, settings)?,
        },
        store: store(settings),
        deadline_seconds: job::deadline_of_order(settings.deadline().as_std()),
    })
}

/// The owner's login of a database. While its password is being rotated, the server is asked which of two it accepts.
///
/// # Errors
/// When the login is not stored yet, or the server accepts neither password.
pub async fn login(ctx: &Context, database: &OrchestraDatabase) -> Result<Login, Error> {
    match passwords(ctx, database).await? {
        (login, None) => Ok(login),
        both => Ok(enter(ctx, database, both).await?.1),
    }
}

/// A session of the owner, and the login that has worked. Refused logins are counted and spaced as those of others are.
///
/// # Errors
/// As [`login`]; when the server cannot be reached.
pub async fn session(ctx: &Context, database: &OrchestraDatabase) -> Result<(PgConnection, Login), Error> {
    let both = passwords(ctx, database).await?;
    enter(ctx, database, both).await
}

async fn enter(
    ctx: &Context,
    database: &OrchestraDatabase,
    both: (Login, Option<SecretString>),
) -> Result<(PgConnection, Login), Error> {
    let spacing = ctx.core.settings.login_spacing;
    Ok(ctx.logins.connect_with(&database.name_any(), both, spacing).await?)
}

/// The owner's login, and the new password that the server may have already.
async fn passwords(ctx: &Context, database: &OrchestraDatabase) -> Result<(Login, Option<SecretString>), Error> {
    let core = &ctx.core;
    if let Some(entry) = &database.spec.inventory {
        let login = inventory::owner_login(&ctx.credentials, entry).await?;
        return Ok((login, None));
    }
    let stored = owner::read(&owner::secrets(core), &database.name_any())
        .await?
        .unwrap_or_default();
    let login = stored.login(&core.settings.database_roots).ok_or_else(|| {
        Error::transient(
            Reason::Provisioning,
            "the Secret with the owner's login does not exist yet: the operator writes it and tries again",
        )
    })?;
    Ok((login, stored.pending))
}

/// The file with the URL of the login that makes roles for a drill, on the server of the other login.
pub fn file_of_keeper(login: &Login) -> (&'static str, SecretString) {
    ("keeper-url", login.url())
}

/// The files of a login.
pub fn files_of_login(login: &Login) -> Vec<(&'static str, SecretString)> {
    let mut files = vec![("database-url", login.url())];
    if let Some(roots) = login.published_roots() {
        files.push(("database-ca.pem", SecretString::from(roots.to_string())));
    }
    files
}

/// The file with the private key that decrypts a class's backups; none where the class names no Secret for it.
///
/// # Errors
/// When the Secret or its key `identity` does not exist.
pub async fn file_of_identity(core: &Core, class: &ClassBackup) -> Result<Option<(&'static str, SecretString)>, Error> {
    let named = class.encryption.as_ref().and_then(|by| by.identity_secret_ref.as_ref());
    let Some(SecretReference { name }) = named else {
        return Ok(None);
    };
    let namespace = &core.settings.namespace;
    let secrets: Api<Secret> = Api::namespaced(core.client.clone(), namespace);
    let data = secrets.get_opt(name).await?.and_then(|secret| secret.data);
    let identity = data.unwrap_or_default().remove("identity");
    match identity.and_then(|identity| String::from_utf8(identity.0).ok()) {
        Some(identity) => Ok(Some(("age-identity", SecretString::from(identity)))),
        None => Err(Error::blocked(
            Reason::BackupKeyMissing,
            format!(
                "Secret {namespace}/{name} of the class's backup.encryption.identitySecretRef does not exist or has no key \
                 identity: create it with the private key (AGE-SECRET-KEY-1…) of one of the recipients"
            ),
        )),
    }
}

/// The files with the credentials of a class's store.
///
/// # Errors
/// When the Secret or a key in it does not exist.
pub async fn files_of_store(core: &Core, class: &ClassBackup) -> Result<Vec<(&'static str, SecretString)>, Error> {
    let Some(s3) = &class.destination.s3 else {
        return Ok(Vec::new());
    };
    let (name, namespace) = (&s3.credentials_secret_ref.name, &core.settings.namespace);
    let secrets: Api<Secret> = Api::namespaced(core.client.clone(), namespace);
    let data = secrets
        .get_opt(name)
        .await?
        .and_then(|secret| secret.data)
        .unwrap_or_default();
    let mut files = Vec::new();
    for (key, file, required) in CREDENTIALS {
        let value = data.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok());
        match value.filter(|value| !value.is_empty()) {
            Some(value) => files.push((file, SecretString::from(value))),
            None if required => {
                return Err(Error::blocked(
                    Reason::StoreRefused,
                    format!(
                        "Secret {namespace}/{name} with the credentials of the backup store does not exist or has no key {key}: \
                         create it with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    ),
                ));
            }
            None => {}
        }
    }
    Ok(files)
}
