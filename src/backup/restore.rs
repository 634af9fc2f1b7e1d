//! The restore of a backup into an Orchestra's new database: finds the backup and makes the Job.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::observe::JobLook;
use super::outcome::JobEnd;
use super::plan::Due;
use super::queue::Asker;
use super::{Context, folder, job, observe, order, progress, stored};
use crate::api::condition::{self, ConditionType, Reason};
use crate::api::names::{BACKUP_CLASS_LABEL, BACKUP_LABEL, HOLDER_LABEL, RETRY_ANNOTATION, label_of};
use crate::api::{
    BackupFailure, BackupProgress, Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, RestoreStatus,
};
use crate::archive::order::{Order, RestoreOrder, RestoreTarget, Work};
use crate::controller::error::Error;
use crate::credentials::inventory;

pub use super::act::ATTEMPTS;

/// The state of a backup that is to be restored.
pub enum FoundBackup {
    /// It is complete.
    Complete(Arc<OrchestraBackup>),
    /// It is being made.
    UnderWay(String),
}

/// A backup, by its name in a namespace: only Orchestras of the same namespace may have its data.
///
/// # Errors
/// [`Reason::BackupNotFound`], and [`Reason::BackupIncomplete`] where a person must act for it.
pub fn find(ctx: &Context, namespace: &str, name: &str) -> Result<FoundBackup, Error> {
    let backup = ctx.core.stores.backups.get(&ObjectRef::new(name).within(namespace));
    let Some(backup) = backup.filter(|backup| backup.metadata.deletion_timestamp.is_none()) else {
        let message = format!(
            "OrchestraBackup {name} of spec.source.backupRef does not exist in namespace {namespace}, or is being deleted: \
             create this Orchestra again with the name of a backup that exists"
        );
        return Err(Error::blocked(Reason::BackupNotFound, message));
    };
    if backup.is_complete() {
        return Ok(FoundBackup::Complete(backup));
    }
    let failure = backup.status.as_ref().and_then(|status| status.failure.as_ref());
    let conditions = backup.status.as_ref().map_or(&[][..], |status| &status.conditions[..]);
    let stalled = condition::find(conditions, ConditionType::Stalled).map(|stalled| &stalled.message);
    match failure.filter(|failure| failure.last) {
        Some(failure) => Err(Error::blocked(
            Reason::BackupIncomplete,
            format!(
                "OrchestraBackup {name} failed and has nothing to restore ({}): retry it (annotation {RETRY_ANNOTATION}), \
                 or create this Orchestra again with another backup",
                failure.message
            ),
        )),
        None => Ok(FoundBackup::UnderWay(format!(
            "OrchestraBackup {name} is not complete yet: the restore starts when it is{}",
            stalled.map(|why| format!(" ({why})")).unwrap_or_default()
        ))),
    }
}

/// The backup that an Orchestra without a database names, by the name of an OrchestraBackup or by a manifest.
///
/// # Errors
/// As [`find`]; [`Reason::BackupNotAllowed`] for the manifest of a backup that the namespace may not have.
pub fn offered(ctx: &Context, object: &Orchestra, class: &OrchestraClass) -> Result<FoundBackup, Error> {
    let named = object.spec.backup().cloned().unwrap_or_default();
    let (namespace, name) = (object.namespace().unwrap_or_default(), named.backup_name());
    if let Some(wanted) = stored::wanted(object, class)? {
        let Some(there) = ctx.core.stores.backups.get(&ObjectRef::new(&name).within(&namespace)) else {
            return Ok(FoundBackup::UnderWay(format!(
                "the operator is creating OrchestraBackup {name} from the manifest: the restore starts when it is complete"
            )));
        };
        if there.spec.stored != wanted.spec.stored {
            return Err(Error::blocked(
                Reason::BackupNotFound,
                format!(
                    "OrchestraBackup {name} was not created from the manifest that spec.source.backupRef names: delete that \
                     OrchestraBackup, or name it instead of the manifest"
                ),
            ));
        }
    }
    find(ctx, &namespace, &name)
}

/// The Job of an attempt.
pub fn job_name(uid: &str, attempt: i32) -> String {
    format!("restore-{uid}-{attempt}")
}

/// Looks at the Job of the last attempt, and how far it is.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn look(
    ctx: &Context,
    uid: &str,
    known: &RestoreStatus,
    now: jiff::Timestamp,
) -> Result<(JobLook<JobEnd>, Option<BackupProgress>), Error> {
    let state = job::look(&ctx.core, &job_name(uid, known.attempts)).await?;
    let look = JobLook::of(state, JobEnd::of);
    let progress = progress::look(&ctx.core, look.pod.name.as_deref(), known.progress.as_ref(), now).await;
    Ok((look, progress))
}

/// When the next attempt may be made. `asked`: the value of the retry annotation.
pub fn due(failure: Option<&BackupFailure>, asked: Option<&String>, attempts: i32, now: jiff::Timestamp) -> Due {
    observe::again(failure, (asked, false), attempts, now)
}

/// The class in whose store a backup is.
fn class_of(ctx: &Context, backup: &OrchestraBackup) -> Result<Arc<OrchestraClass>, Error> {
    let status = backup.status.clone().unwrap_or_default();
    let name = status.class_name.as_deref().unwrap_or_default();
    order::class_of(&status, ctx.core.stores.classes.get(&ObjectRef::new(name)), "")
}

/// The place in the queue that a restore asks for.
fn asker(ctx: &Context, backup: &OrchestraBackup, (uid, database): (&str, &OrchestraDatabase)) -> Asker {
    let class = backup.status.as_ref().and_then(|status| status.class_name.as_deref());
    Asker {
        uid: uid.to_owned(),
        namespace: backup.namespace().unwrap_or_default(),
        orchestra: None,
        class: label_of(class.unwrap_or_default()),
        server: Some(observe::server_label(ctx, database)),
    }
}

/// Whether the queue gives a restore its slot: the backup's class and the database's server have room, and no other backup or
/// restore has the slot.
pub fn is_next(ctx: &Context, backup: &OrchestraBackup, restored: (&str, &OrchestraDatabase)) -> bool {
    let name = backup.status.as_ref().and_then(|status| status.class_name.as_deref());
    let class = name.and_then(|name| ctx.core.stores.classes.get(&ObjectRef::new(name)));
    let settings = class.as_ref().and_then(|class| class.spec.backup.as_ref());
    // `start` reports what the class lacks.
    settings.is_none_or(|settings| observe::is_next(ctx, &asker(ctx, backup, restored), settings))
}

/// Joins the queue for a Job, or keeps the place in it.
pub fn join(ctx: &Context, backup: &OrchestraBackup, restored: (&str, &OrchestraDatabase)) {
    ctx.queue.join(asker(ctx, backup, restored));
}

/// The image of the Job: the class's, if the database is of the class in whose store the backup is. Otherwise it is the operator's:
/// the author of neither class is to get the login of the other one's database, or the credentials of the other one's store.
fn image<'a>(class: &'a OrchestraClass, database: &OrchestraDatabase, operators: &'a str) -> &'a str {
    let is_one_class = database.spec.class_name.as_ref() == class.metadata.name.as_ref();
    let own = class.spec.backup.as_ref().and_then(|backup| backup.image.as_deref());
    own.filter(|_| is_one_class).unwrap_or(operators)
}

/// Makes the Job if the queue still gives the restore its slot, and returns whether it was made.
///
/// # Errors
/// When the store, its credentials or the key do not exist; when the Kubernetes API refuses or fails.
pub async fn start(
    ctx: &Context,
    backup: &OrchestraBackup,
    digest: &str,
    attempt: i32,
    (uid, database): (&str, &OrchestraDatabase),
) -> Result<bool, Error> {
    let class = class_of(ctx, backup)?;
    let settings = order::of_class(&class)?;
    let mut files = order::files_of_store(&ctx.core, settings).await?;
    files.extend(order::files_of_login(&order::login(ctx, database).await?));
    files.extend(order::file_of_identity(&ctx.core, settings).await?);
    let mut labels = BTreeMap::from([
        (BACKUP_LABEL.to_owned(), backup.uid().unwrap_or_default()),
        (BACKUP_CLASS_LABEL.to_owned(), label_of(&class.name_any())),
        (HOLDER_LABEL.to_owned(), uid.to_owned()),
    ]);
    labels.extend(observe::labels_of_database(ctx, database));
    let order = Order {
        work: Work::Restore(RestoreOrder {
            path: folder::of(&ctx.class.cluster, backup, settings)?,
            manifest_digest: Some(digest.to_owned()),
            claim: Some(uid.to_owned()),
            target: inventory::expected(database).map(|identity| RestoreTarget {
                database_name: database.name_any(),
                identity,
            }),
            encrypted_only: settings.encryption.is_some(),
        }),
        store: order::store(settings),
        deadline_seconds: job::deadline_of_order(settings.deadline().as_std()),
    };
    let new = job::NewJob {
        image: image(&class, database, &ctx.core.settings.backup_image),
        ..job::NewJob::of(&ctx.core, settings, (job_name(uid, attempt), labels), (order, files))
    };
    let _one_at_a_time = ctx.starting.lock().await;
    let asker = asker(ctx, backup, (uid, database));
    let is_next = observe::is_next(ctx, &asker, settings);
    if is_next {
        job::start(&ctx.core, &new).await?;
        ctx.queue.was_given(&asker);
    }
    Ok(is_next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_image_of_one_class_gets_no_login_of_another_ones_database() {
        let class = |backup: Value| -> OrchestraClass {
            serde_json::from_value(json!({"metadata": {"name": "of-the-backup"}, "spec": {"backup": backup}})).unwrap()
        };
        let (own, none) = (
            class(json!({"destination": {}, "image": "registry.example/of-the-class"})),
            class(json!({"destination": {}})),
        );
        for (of, class, image_is) in [
            (json!("of-the-backup"), &own, "registry.example/of-the-class"),
            (json!("of-the-backup"), &none, "own"),
            (json!("another"), &own, "own"),
            (Value::Null, &own, "own"),
        ] {
            let database: OrchestraDatabase =
                serde_json::from_value(json!({"metadata": {"name": "orchdb-1"}, "spec": {"className": of}})).unwrap();
            assert_eq!(image(class, &database, "own"), image_is, "{of}");
        }
    }
}
