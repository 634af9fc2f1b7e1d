//! What a backup needs before a Job can be made: an Orchestra with a usable database, and the store. It reads stores only.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::plan::Requirement;
use super::{Pass, final_backup, folder, order};
use crate::api::condition::Reason;
use crate::api::{ClaimReference, Orchestra, OrchestraClass, OrchestraDatabase, StoredBackup};
use crate::archive::path::BackupPath;
use crate::class;
use crate::controller::error::Error;

/// The advice where the store of a backup cannot be used: the object can be deleted without its data.
const KEPT: &str = ", or set deletionPolicy: Retain";

/// Whose database is backed up, and the class that names the store. The status gets it before the first attempt.
pub struct BackupOrigin {
    /// The Orchestra.
    pub claim: ClaimReference,
    /// The class.
    pub class: Arc<OrchestraClass>,
    /// Name of the OrchestraDatabase; none of a backup that is stored already.
    pub database: Option<String>,
    /// Folder of a backup that is stored already.
    pub stored: Option<BackupPath>,
}

/// What was looked up for the next Job.
#[derive(Default)]
pub struct Needs {
    /// What is to be recorded, while nothing is recorded yet.
    pub origin: Option<BackupOrigin>,
    /// The database to back up, when the backup is recorded and is to be made.
    pub database: Option<Arc<OrchestraDatabase>>,
    /// The class in whose store the backup is or will be.
    pub class: Option<Arc<OrchestraClass>>,
    /// What is missing.
    pub missing: Vec<Error>,
}

impl Needs {
    /// Looks everything up that the next Job needs: the database to back up, and the store. `class`: the recorded class, where
    /// it exists.
    pub fn look(
        pass: &Pass,
        class: Option<&Arc<OrchestraClass>>,
        is_deleted: bool,
    ) -> (Self, Requirement, Requirement) {
        let (status, mut needs) = (pass.status(), Self::default());
        if status.path.is_none() {
            let origin = if is_deleted { Ok(None) } else { origin(pass).map(Some) };
            let source = needs.take(origin, |needs, origin| needs.origin = origin);
            return (needs, source, Requirement::Met);
        }
        let class = order::class_of(&status, class.cloned(), KEPT);
        let store = needs.take(class, |needs, class| needs.class = Some(class));
        let needs_database = !is_deleted && pass.object.spec.stored.is_none();
        let database = if needs_database {
            recorded(pass).map(Some)
        } else {
            Ok(None)
        };
        let source = needs.take(database, |needs, database| needs.database = database);
        (needs, source, store)
    }

    /// Keeps what was found, or what is missing.
    fn take<T>(&mut self, found: Result<T, Error>, keep: impl FnOnce(&mut Self, T)) -> Requirement {
        match found {
            Ok(found) => {
                keep(self, found);
                Requirement::Met
            }
            Err(error) => {
                let reason = error.reason();
                let is_passing = error.is_passing();
                self.missing.push(error);
                if is_passing {
                    Requirement::Awaited(reason)
                } else {
                    Requirement::Missing(reason)
                }
            }
        }
    }

    /// What is missing, for the reason with which a step waits or stops.
    pub fn message(&self, reason: Reason) -> String {
        let error = self.missing.iter().find(|error| error.reason() == reason);
        error.map(ToString::to_string).unwrap_or_default()
    }
}

/// The database that is backed up, while the recorded Orchestra claims it, or has released it and it is not being reset. The
/// status of a backup is not trusted: the claim of the database, which only the operator writes, must have the backup's
/// namespace, the Orchestra of the spec, and the class.
pub fn database(pass: &Pass) -> Option<Arc<OrchestraDatabase>> {
    let class = pass.object.status.as_ref()?.class_name.as_ref();
    claimed(pass).filter(|database| database.spec.class_name.as_ref().is_none_or(|of| Some(of) == class))
}

/// As [`database`], of whichever class the database is.
pub fn claimed(pass: &Pass) -> Option<Arc<OrchestraDatabase>> {
    let status = pass.object.status.as_ref()?;
    let database = pass
        .core()
        .stores
        .databases
        .get(&ObjectRef::new(status.database_name.as_deref()?))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let object = &pass.object;
    // A final backup may be in another namespace than its Orchestra: the database names it.
    let is_final = final_backup::database(&pass.ctx, object).is_some_and(|last| last.name_any() == database.name_any());
    let is_its_own = Some(&claim.uid) == status.orchestra_uid.as_ref()
        && (is_final || Some(&claim.namespace) == object.metadata.namespace.as_ref())
        && claim.name == object.spec.orchestra_ref.name;
    (is_its_own && !database.is_being_reset()).then_some(database)
}

/// The recorded database, which must still be the Orchestra's.
fn recorded(pass: &Pass) -> Result<Arc<OrchestraDatabase>, Error> {
    database(pass).ok_or_else(|| {
        let status = pass.status();
        let name = status.database_name.as_deref().unwrap_or_default();
        Error::blocked(
            Reason::DatabaseGone,
            format!("OrchestraDatabase {name} does not exist, or this Orchestra does not claim it any more: delete this OrchestraBackup"),
        )
    })
}

/// What is recorded before the first attempt. Later changes of the Orchestra and its class change nothing of it.
fn origin(pass: &Pass) -> Result<BackupOrigin, Error> {
    if let Some(named) = &pass.object.spec.stored {
        return stored(pass, named);
    }
    let (claim, class, database) = if let Some(database) = final_backup::database(&pass.ctx, &pass.object) {
        (
            database.spec.claim_ref.clone().unwrap_or_default(),
            database.spec.class_name.clone(),
            Some(database.name_any()),
        )
    } else {
        let orchestra = orchestra(pass)?;
        let given = orchestra.status.clone().unwrap_or_default();
        (order::claim_of(&orchestra), given.class_name, given.database_name)
    };
    let class = class::resolve(&pass.ctx.class, class.as_deref())?;
    order::of_class(&class)?;
    Ok(BackupOrigin {
        claim,
        class,
        database,
        stored: None,
    })
}

/// What is recorded of a backup that is stored already. The class must admit the namespace, as it does for a claim.
fn stored(pass: &Pass, named: &StoredBackup) -> Result<BackupOrigin, Error> {
    let namespace = pass.object.namespace().unwrap_or_default();
    let class = class::resolve(&pass.ctx.class, Some(&named.class_name))?;
    let path = folder::stored(&pass.object, named, order::of_class(&class)?)?;
    // Backups of databases whose namespace was gone are in the operator's own, where only admins create objects.
    if namespace != pass.core().settings.namespace {
        class::admission::admit(&pass.ctx.class, &class, &namespace)?;
    }
    Ok(BackupOrigin {
        claim: ClaimReference {
            namespace,
            name: path.orchestra.clone(),
            uid: path.orchestra_uid.clone(),
            namespace_uid: None,
        },
        class,
        database: None,
        stored: Some(path),
    })
}

/// The Orchestra, in use.
fn orchestra(pass: &Pass) -> Result<Arc<Orchestra>, Error> {
    let name = &pass.object.spec.orchestra_ref.name;
    let namespace = pass.object.namespace().unwrap_or_default();
    let key = ObjectRef::new(name).within(&namespace);
    let orchestra = pass.core().stores.orchestras.get(&key).ok_or_else(|| {
        Error::blocked(
            Reason::OrchestraNotFound,
            format!(
                "Orchestra {name} does not exist in namespace {namespace}: create another OrchestraBackup with the name of an \
                 Orchestra that exists"
            ),
        )
    })?;
    if orchestra.is_asleep() {
        let message =
            format!("the database of Orchestra {name} is paused: the backup starts when the database runs again");
        return Err(Error::transient(Reason::Paused, message));
    }
    if !orchestra.is_published() {
        let message =
            format!("Orchestra {name} has no usable database yet: the backup starts when the Orchestra is Ready");
        return Err(Error::transient(Reason::Provisioning, message));
    }
    Ok(orchestra)
}
