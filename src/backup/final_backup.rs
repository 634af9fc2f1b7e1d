//! The final backup of a database. Its state is kept where only the operator writes: the digest of its manifest is recorded in
//! the status of the OrchestraDatabase before it is in that of the OrchestraBackup, which others may write.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::{Context, Pass};
use crate::api::{OrchestraBackup, OrchestraDatabase};
use crate::archive::manifest;
use crate::archive::outcome::BackupFacts;
use crate::controller::error::Error;
use crate::controller::status;

/// The database whose final backup this is. Its Orchestra may be gone, and another one may have its name. Only the status of
/// the database counts, because users can write any OrchestraBackup.
pub fn database(ctx: &Context, backup: &OrchestraBackup) -> Option<Arc<OrchestraDatabase>> {
    ctx.core
        .stores
        .databases
        .find(|database| database.is_backed_up_by(backup))
}

/// The backup as the operator may trust it: whether a final backup is complete, and of which database it is, is known from
/// the database. The next write of the status corrects what somebody else has put there.
pub fn trusted(ctx: &Context, mut backup: OrchestraBackup) -> OrchestraBackup {
    if let Some(database) = database(ctx, &backup) {
        correct(&mut backup, &database);
    }
    backup
}

fn correct(backup: &mut OrchestraBackup, database: &OrchestraDatabase) {
    let digest = database.final_manifest(backup).map(ToOwned::to_owned);
    let Some(status) = &mut backup.status else { return };
    status.manifest_digest = digest;
    if status.path.is_some() {
        status.database_name = Some(database.name_any());
        status.orchestra_uid = database.spec.claim_ref.as_ref().map(|claim| claim.uid.clone());
    }
}

/// Records the manifest that a Job of a final backup has stored, in the status of its database. Returns false where the Job
/// stored it in another folder than the one that the backup's status names by now.
///
/// # Errors
/// When the Kubernetes API fails, or the database has changed meanwhile.
pub async fn record(pass: &Pass, facts: &BackupFacts) -> Result<bool, Error> {
    let (backup, core) = (&pass.object, pass.core());
    let Some(database) = database(&pass.ctx, backup) else {
        return Ok(true);
    };
    let path = pass.status().path.unwrap_or_default();
    if !facts.manifest.ends_with(&format!("{path}/{}", manifest::NAME)) {
        return Ok(false);
    }
    let mut new = database.status.clone().unwrap_or_default();
    if let Some(recorded) = &mut new.final_backup {
        recorded.backup_uid = backup.uid();
        recorded.manifest_digest = Some(facts.manifest_digest.clone());
    }
    status::write(core, &*database, new, None).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_of_a_final_backup_says_what_its_database_says() {
        let database = |digest: Option<&str>| -> OrchestraDatabase {
            let recorded = json!({"namespace": "tenants", "name": "f", "claimUid": "o-1", "backupUid": "b-1",
                "manifestDigest": digest});
            serde_json::from_value(json!({"metadata": {"name": "orchdb-1"},
                "spec": {"claimRef": {"namespace": "tenants", "name": "acme", "uid": "o-1"}},
                "status": {"finalBackup": recorded}}))
            .unwrap()
        };
        let forged = || -> OrchestraBackup {
            serde_json::from_value(json!({"metadata": {"name": "f", "namespace": "tenants", "uid": "b-1"},
                "spec": {"orchestraRef": {"name": "acme"}},
                "status": {"manifestDigest": "forged", "path": "p", "databaseName": "decoy", "orchestraUid": "o-2"}}))
            .unwrap()
        };
        for digest in [None, Some("d")] {
            let mut backup = forged();
            correct(&mut backup, &database(digest));
            assert_eq!(backup.is_complete(), digest.is_some());
            let status = backup.status.unwrap();
            assert_eq!(status.manifest_digest.as_deref(), digest);
            assert_eq!(
                (status.database_name.as_deref(), status.orchestra_uid.as_deref()),
                (Some("orchdb-1"), Some("o-1"))
            );
        }
    }
}
