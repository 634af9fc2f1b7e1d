//! The folder of a backup in the store of its class: the operator chooses it, or the spec names one that is stored already.

use kube::ResourceExt as _;

use crate::api::condition::Reason;
use crate::api::{ClaimReference, ClassBackup, OrchestraBackup, StoredBackup};
use crate::archive::path::BackupPath;
use crate::controller::error::Error;
use crate::supabase::marker::ClusterMarker;

/// The folder of a new backup. A tenant chooses no part of it except the names of its objects, which Kubernetes restricts.
pub fn new(
    cluster: &ClusterMarker,
    claim: &ClaimReference,
    backup: &OrchestraBackup,
    now: jiff::Timestamp,
) -> BackupPath {
    BackupPath {
        cluster: cluster.digits().to_owned(),
        // The namespace of a final backup may differ from the Orchestra's.
        namespace: backup.namespace().unwrap_or_default(),
        orchestra: claim.name.clone(),
        orchestra_uid: claim.uid.clone(),
        time: now.strftime("%Y%m%dT%H%M%SZ").to_string(),
        backup_uid: backup.uid().unwrap_or_default(),
    }
}

/// The folder of a backup that is stored already, where its class lets the namespace have it.
///
/// # Errors
/// [`Reason::BackupNotAllowed`].
pub fn stored(backup: &OrchestraBackup, stored: &StoredBackup, settings: &ClassBackup) -> Result<BackupPath, Error> {
    let (class, path) = (&stored.class_name, &stored.path);
    let refused = |why: String| Err(Error::blocked(Reason::BackupNotAllowed, why));
    let Some(read) = BackupPath::parse(path) else {
        return refused(format!(
            "spec.stored.path {path:?} is not the folder of a backup: delete this OrchestraBackup, and create it as \
             orchestra-backup list --recreate prints it"
        ));
    };
    let namespace = backup.namespace().unwrap_or_default();
    let orchestra = &backup.spec.orchestra_ref.name;
    if read.namespace != namespace || read.orchestra != *orchestra {
        return refused(format!(
            "spec.stored.path is the folder of Orchestra {}/{}, and this OrchestraBackup is of {namespace}/{orchestra}: a backup is \
             read only in the namespace and for the Orchestra that it was made of; delete this OrchestraBackup",
            read.namespace, read.orchestra
        ));
    }
    if !settings.recover_from.contains(&read.cluster) {
        return refused(format!(
            "OrchestraClass {class} does not allow the stored backups of cluster {}: if namespace {namespace} of that \
             cluster belongs to the same tenant as here, ask the cluster's admin to add {} to spec.backup.recoverFrom of \
             the class",
            read.cluster, read.cluster
        ));
    }
    Ok(read)
}

/// The folder of a backup, from its status, which users may be able to write. It is the one that the spec names and the class
/// allows; or it is below the cluster's and the namespace's folder and ends with the backup's UID.
///
/// # Errors
/// [`Reason::BackupFailed`], when the operator did not write this status; as [`stored`].
pub fn of(cluster: &ClusterMarker, backup: &OrchestraBackup, settings: &ClassBackup) -> Result<String, Error> {
    let status = backup.status.as_ref();
    let path = status.and_then(|status| status.path.as_deref()).unwrap_or_default();
    let is_its_own = match &backup.spec.stored {
        Some(named) => stored(backup, named, settings)?.to_string() == path,
        None => is_own(cluster, backup, path),
    };
    if is_its_own {
        return Ok(path.to_owned());
    }
    Err(Error::blocked(
        Reason::BackupFailed,
        format!(
            "status.path {path:?} is not the folder of this OrchestraBackup, because somebody other than the operator wrote the \
             status; nothing is read, written or removed there. Find out who may write orchestrabackups/status, delete this \
             OrchestraBackup with deletionPolicy: Retain, and create another one"
        ),
    ))
}

fn is_own(cluster: &ClusterMarker, backup: &OrchestraBackup, path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let (namespace, uid) = (backup.namespace().unwrap_or_default(), backup.uid().unwrap_or_default());
    matches!(parts[..], [of, within, orchestra, own] if of == cluster.digits()
        && within == namespace
        && !orchestra.starts_with('.')
        && !uid.is_empty()
        && own.strip_suffix(&uid).is_some_and(|rest| rest.ends_with('-')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const UID: &str = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

    fn backup(spec: &serde_json::Value, path: &str) -> OrchestraBackup {
        serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "tenants", "uid": "u-1"}, "spec": spec, "status": {"path": path},
        }))
        .unwrap()
    }

    #[test]
    fn a_folder_of_another_backup_is_none_of_this_one() {
        let cluster = ClusterMarker::of("0a1b2c3d-0000-4000-8000-000000000000").unwrap();
        let settings = ClassBackup {
            recover_from: vec![cluster.digits().to_owned()],
            ..ClassBackup::default()
        };
        let of = |path: &str| {
            let backup = backup(&json!({"orchestraRef": {"name": "acme"}}), path);
            super::of(&cluster, &backup, &settings)
        };
        let digits = cluster.digits();
        let own = format!("{digits}/tenants/acme-o-1/20261129T020000Z-u-1");
        assert_eq!(of(&own).unwrap(), own);
        for path in [
            String::new(),
            own.replace(digits, "another"),
            own.replace("/tenants/", "/victims/"),
            own.replace("/tenants/", "/tenants/../victims/"),
            own.replace("/tenants/acme", "/tenants/.."),
            own.replace("Z-u-1", "Z-u-2"),
            own.replace("Z-u-1", "Z-u-2/u-1"),
            own.replace("Z-u-1", "Zu-1"),
            format!("{digits}/tenants/acme-o-1"),
            format!("{own}/more-u-1"),
        ] {
            let error = of(&path).unwrap_err();
            assert_eq!(error.reason(), Reason::BackupFailed, "{path}");
        }
        // The operator accepts what it writes.
        let claim = ClaimReference {
            namespace: "tenants".into(),
            name: "acme".into(),
            uid: "o-1".into(),
            namespace_uid: None,
        };
        let backup = backup(&json!({"orchestraRef": {"name": "acme"}}), "");
        let written = new(&cluster, &claim, &backup, jiff::Timestamp::UNIX_EPOCH).to_string();
        assert_eq!(of(&written).unwrap(), written);
    }

    #[test]
    fn a_stored_backup_is_that_of_its_namespace_and_of_a_cluster_that_the_class_names() {
        let cluster = ClusterMarker::of("0a1b2c3d-0000-4000-8000-000000000000").unwrap();
        let path = format!("7d1f0c2e93ab/tenants/acme-{UID}/20261129T020000Z-{UID}");
        let allowed = ClassBackup {
            recover_from: vec!["7d1f0c2e93ab".into()],
            ..ClassBackup::default()
        };
        let of = |named: &str, recorded: &str, settings: &ClassBackup| {
            let stored = json!({"className": "standard", "path": named});
            let backup = backup(&json!({"orchestraRef": {"name": "acme"}, "stored": stored}), recorded);
            super::of(&cluster, &backup, settings).map_err(|error| error.reason())
        };
        assert_eq!(of(&path, &path, &allowed), Ok(path.clone()));
        assert_eq!(of(&path, &path, &ClassBackup::default()), Err(Reason::BackupNotAllowed));
        for other in [
            path.replace("/tenants/", "/victims/"),
            path.replace("/acme-", "/other-"),
            path.replace("7d1f", "8d1f"),
            path.replace("/tenants/", "/tenants/../"),
        ] {
            assert_eq!(of(&other, &other, &allowed), Err(Reason::BackupNotAllowed), "{other}");
            // Somebody else wrote the status.
            assert_eq!(of(&path, &other, &allowed), Err(Reason::BackupFailed), "{other}");
        }
    }
}
