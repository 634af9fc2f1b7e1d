//! The OrchestraBackup of a manifest that an Orchestra names: the operator makes it as a person would, and restores from it.

use kube::ResourceExt as _;
use kube::api::{Api, ObjectMeta};
use kube::runtime::reflector::ObjectRef;

use super::{Context, folder, order};
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, MANAGED_BY};
use crate::api::{Orchestra, OrchestraBackup, OrchestraBackupSpec, OrchestraClass, OrchestraReference, StoredBackup};
use crate::archive::path::BackupPath;
use crate::class;
use crate::controller::error::Error;
use crate::controller::write::{namespaced, post_parameters};

/// The OrchestraBackup of the manifest that an Orchestra of this class names; none where it names no manifest. It has the
/// deletion policy `Retain`.
///
/// # Errors
/// [`Reason::BackupNotAllowed`], and [`Reason::NoBackupDestination`].
pub fn wanted(object: &Orchestra, class: &OrchestraClass) -> Result<Option<OrchestraBackup>, Error> {
    let Some((named, manifest)) = object
        .spec
        .backup()
        .and_then(|named| Some((named, named.manifest.as_ref()?)))
    else {
        return Ok(None);
    };
    let settings = order::of_class(class)?;
    let path = named.folder().unwrap_or_default();
    let there = order::manifest_url(settings, &path);
    let Some(read) = BackupPath::parse(&path).filter(|_| there == *manifest) else {
        return Err(Error::blocked(
            Reason::BackupNotAllowed,
            format!(
                "the manifest of spec.source.backupRef is not in the store of OrchestraClass {}, where it would be {there}: create \
                 this Orchestra again with that class's backup, or with backupRef.name and an OrchestraBackup with spec.stored",
                class.name_any()
            ),
        ));
    };
    let stored = StoredBackup {
        class_name: class.name_any(),
        path,
        manifest_digest: None,
    };
    let backup = OrchestraBackup {
        metadata: ObjectMeta {
            name: Some(named.backup_name()),
            namespace: object.namespace(),
            labels: Some([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: OrchestraBackupSpec {
            orchestra_ref: OrchestraReference { name: read.orchestra },
            stored: Some(stored.clone()),
            ..OrchestraBackupSpec::default()
        },
        status: None,
    };
    folder::stored(&backup, &stored, settings)?;
    Ok(Some(backup))
}

/// The OrchestraBackup of the manifest that an Orchestra without a database names, while no OrchestraBackup has its name. What
/// is wrong with the class or the manifest is reported when the Orchestra's claim is met.
pub fn missing(ctx: &Context, object: &Orchestra) -> Option<OrchestraBackup> {
    let claiming = || {
        ctx.core
            .stores
            .databases
            .get(&ObjectRef::new(object.database_or_claiming()?))
    };
    let has_database = object.has_told_of_database() || claiming().is_some_and(|database| database.is_held_by(object));
    let class = object
        .decided_class()
        .filter(|_| !has_database && object.spec.backup().is_some())?;
    let class = class::resolve(&ctx.class, Some(class)).ok()?;
    let wanted = wanted(object, &class).ok().flatten()?;
    let there = ctx.core.stores.backups.get(&ObjectRef::from_obj(&wanted));
    there.is_none().then_some(wanted)
}

/// Makes an OrchestraBackup that is missing. One of that name stays as it is, and the Orchestra reports what is wrong with its
/// manifest.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn make(ctx: &Context, object: &Orchestra, wanted: &OrchestraBackup) -> Result<(), Error> {
    let parameters = post_parameters(FIELD_MANAGER);
    let api: Api<OrchestraBackup> = namespaced(&ctx.core.client, object);
    let made = match api.create(&parameters, wanted).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&wanted.name_any()).await?,
        made => made?,
    };
    ctx.core.stores.backups.wrote(&made);
    tracing::info!(
        backup = made.name_any(),
        "made the OrchestraBackup of the manifest that the Orchestra names"
    );
    Ok(())
}
