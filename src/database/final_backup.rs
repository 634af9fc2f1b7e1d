//! The final backup: the OrchestraBackup that a class asks for before a database is destroyed. Its name is recorded in the
//! database's status before it is created: only a backup that is named there may read a database without an Orchestra.
//!
//! The status of an OrchestraBackup is in a tenant's namespace, where somebody else may write it. A backup counts as complete
//! once the digest of its manifest is recorded in the database's status, by the pass that has read the outcome of its Job.

use kube::api::{Api, ObjectMeta};
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::observe::Observed;
use super::plan::{FinalBackupState as Fact, Step};
use super::status;
use crate::api::condition::Reason;
use crate::api::names::{CONNECTED_LABEL, FIELD_MANAGER, MANAGED_BY, RETRY_ANNOTATION};
use crate::api::{
    ClaimReference, DeletionPolicy, FinalBackup, FinalBackupReference, OrchestraBackup, OrchestraBackupSpec,
    OrchestraClass, OrchestraDatabase, OrchestraReference,
};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::controller::write::post_parameters;
use crate::text;

/// The longest part of an Orchestra's name in the name of its final backup.
const NAMED: usize = 200;

/// The message about an OrchestraBackup that has the recorded name and is not the final backup.
const FOREIGN: &str = "somebody other than the operator created it, for another Orchestra or a stored backup: find out whose it is. Once \
    it is deleted, which nobody should do who may need that backup, the operator creates the final one";

/// The message about a final backup that is deleted with its data.
const LEAVES: &str = "it is being deleted with its data: the operator creates it again";

/// The state of the final backup, and its message.
///
/// # Errors
/// When the Kubernetes API fails.
pub async fn look(pass: &Pass, class: &OrchestraClass) -> Result<(Fact, Option<String>), Error> {
    let object = &pass.object;
    let wanted = class.spec.deletion.final_backup;
    // A database that was never usable contains no data. The status alone does not decide that: an address is stored in the
    // owner's Secret once the project is usable.
    let was_used = object.spec.inventory.is_some() || object.was_usable() || pass.has_stored(CONNECTED_LABEL);
    let is_asked = object.spec.claim_ref.is_some() && !object.is_held() && object.is_to_be_destroyed();
    if wanted == FinalBackup::None || !was_used || !is_asked {
        return Ok((Fact::NotWanted, None));
    }
    let Some(recorded) = object.final_backup() else {
        return Ok((Fact::Unmade, None));
    };
    let stores = &pass.ctx.core.stores;
    let key = ObjectRef::new(&recorded.name).within(&recorded.namespace);
    let backup = match stores.backups.get(&key) {
        Some(backup) => Some((*backup).clone()),
        None => api(pass, &recorded.namespace).get_opt(&recorded.name).await?,
    };
    let Some(backup) = backup else {
        return Ok((gone(object.is_being_reset()), None));
    };
    Ok(state(object, &backup, wanted))
}

/// The state of the OrchestraBackup that has the recorded name, and its message.
fn state(object: &OrchestraDatabase, backup: &OrchestraBackup, wanted: FinalBackup) -> (Fact, Option<String>) {
    if !object.is_backed_up_by(backup) {
        return (Fact::Failed, Some(FOREIGN.into()));
    }
    let takes_data =
        backup.metadata.deletion_timestamp.is_some() && backup.spec.deletion_policy == DeletionPolicy::Delete;
    if takes_data && !object.is_being_reset() {
        return (Fact::UnderWay, Some(LEAVES.into()));
    }
    if object.final_manifest(backup).is_some() {
        return (Fact::Settled, None);
    }
    let said = backup.ready_message().unwrap_or("it has not started").to_owned();
    match (backup.is_stalled(), wanted) {
        (false, _) => (Fact::UnderWay, Some(said)),
        (true, FinalBackup::Required) => (Fact::Failed, Some(said)),
        (true, _) => (Fact::Settled, Some(said)),
    }
}

/// The state of a recorded backup that no longer exists. Once a reset is decided the backup was settled, and another one
/// cannot be made: the reset continues.
fn gone(is_being_reset: bool) -> Fact {
    if is_being_reset { Fact::Settled } else { Fact::Unmade }
}

fn api(pass: &Pass, namespace: &str) -> Api<OrchestraBackup> {
    Api::namespaced(pass.ctx.core.client.clone(), namespace)
}

/// Records the name of the backup, and creates it.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn make(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(claim) = pass.object.spec.claim_ref.clone() else {
        return Ok(());
    };
    // A backup that does not exist cannot be created in a namespace that is gone; one of the same name may be another tenant's.
    let own = &pass.ctx.core.settings.namespace;
    let is_lost = |recorded: &FinalBackupReference| recorded.namespace != *own && !stays(pass, &claim);
    if pass.object.final_backup().is_none_or(is_lost) {
        let reference = name(pass, &claim);
        status::change(pass, Step::MakeFinalBackup, observed, |status| {
            status.final_backup = Some(reference);
        })
        .await?;
    }
    let Some(recorded) = pass.object.final_backup().cloned() else {
        return Ok(());
    };
    let spec = OrchestraBackupSpec {
        orchestra_ref: OrchestraReference { name: claim.name },
        ..OrchestraBackupSpec::default()
    };
    let backup = OrchestraBackup {
        metadata: ObjectMeta {
            name: Some(recorded.name.clone()),
            labels: Some([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    let parameters = post_parameters(FIELD_MANAGER);
    let api = api(pass, &recorded.namespace);
    let made = match api.create(&parameters, &backup).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&recorded.name).await?,
        made => made?,
    };
    pass.ctx.core.stores.backups.wrote(&made);
    Ok(())
}

/// Whether the namespace of the claim exists, and is not being deleted.
fn stays(pass: &Pass, claim: &ClaimReference) -> bool {
    let there = pass.ctx.core.stores.namespaces.get(&ObjectRef::new(&claim.namespace));
    there.is_some_and(|there| {
        there.metadata.deletion_timestamp.is_none() && !pass.object.is_of_former_namespace(&there.metadata)
    })
}

/// Where the backup will be: in the Orchestra's namespace, or in the operator's where that namespace is gone or is being
/// deleted.
fn name(pass: &Pass, claim: &ClaimReference) -> FinalBackupReference {
    let core = &pass.ctx.core;
    let mut named = claim.name.clone();
    named.truncate(NAMED);
    let marker = uuid::Uuid::new_v4().simple().to_string();
    FinalBackupReference {
        namespace: if stays(pass, claim) {
            claim.namespace.clone()
        } else {
            core.settings.namespace.clone()
        },
        name: format!("{}-final-{}", named.trim_end_matches(['.', '-']), &marker[..12]),
        claim_uid: claim.uid.clone(),
        backup_uid: None,
        manifest_digest: None,
    }
}

/// The message while the backup is made, and of one that failed.
pub fn told(pass: &Pass, step: Step, observed: &Observed, words: &str) -> String {
    let place = pass
        .object
        .final_backup()
        .map(|backup| format!("OrchestraBackup {}/{}", backup.namespace, backup.name))
        .unwrap_or_default();
    let said = observed.final_backup.as_deref().unwrap_or_default();
    let message = match step {
        Step::AwaitFinalBackup => format!("{words} ({place}: {said})"),
        _ => format!(
            "the database is not destroyed before its final backup is complete, and {place} failed: {said}. Fix the cause, then \
             annotate the OrchestraBackup with {RETRY_ANNOTATION}; or set reclaimPolicy: Retain here, or another \
             deletion.finalBackup in the class"
        ),
    };
    text::line(&message, text::MESSAGE - 1)
}

/// Publishes an event about a database that is destroyed although its final backup failed.
pub async fn tell_waived(pass: &Pass, observed: &Observed) {
    let Some(said) = observed
        .final_backup
        .as_ref()
        .filter(|_| observed.facts.final_backup == Fact::Settled)
    else {
        return;
    };
    let note = format!(
        "the final backup of {} failed ({said}); the operator destroys the database, because deletion.finalBackup of its class \
         is BestEffort",
        pass.name()
    );
    tell(
        &pass.ctx.core,
        &pass.object,
        &News::warning(Reason::FinalBackupFailed, note),
    )
    .await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn database(recorded: &Value) -> OrchestraDatabase {
        let claim = json!({"namespace": "tenants", "name": "acme", "uid": "o-1"});
        let mut reference = json!({"namespace": "tenants", "name": "acme-final-1", "claimUid": "o-1"});
        reference
            .as_object_mut()
            .unwrap()
            .extend(recorded.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "orchdb-1"}, "spec": {"claimRef": claim},
            "status": {"finalBackup": reference}}))
        .unwrap()
    }

    /// A complete one, as its status says.
    fn backup(changed: impl FnOnce(&mut Value)) -> OrchestraBackup {
        let conditions = json!([{"type": "Ready", "status": "True", "reason": "BackedUp", "message": "complete",
            "lastTransitionTime": "2026-11-29T00:00:00Z"}]);
        let mut backup = json!({"metadata": {"name": "acme-final-1", "namespace": "tenants", "uid": "b-1"},
            "spec": {"orchestraRef": {"name": "acme"}},
            "status": {"manifestDigest": "d", "phase": "Completed", "conditions": conditions}});
        changed(&mut backup);
        serde_json::from_value(backup).unwrap()
    }

    #[test]
    fn a_backup_that_was_removed_holds_up_no_reset_that_was_decided_after_it() {
        assert_eq!((gone(false), gone(true)), (Fact::Unmade, Fact::Settled));
    }

    #[test]
    fn only_a_digest_that_the_operator_has_recorded_completes_it() {
        let of =
            |recorded: &Value, backup: &OrchestraBackup| state(&database(recorded), backup, FinalBackup::Required).0;
        let (none, recorded) = (json!({}), json!({"backupUid": "b-1", "manifestDigest": "d"}));
        let complete = backup(|_| {});
        assert_eq!(of(&none, &complete), Fact::UnderWay, "its status alone says so");
        assert_eq!(of(&recorded, &complete), Fact::Settled);
        for half in [json!({"manifestDigest": "d"}), json!({"backupUid": "b-1"})] {
            assert_eq!(of(&half, &complete), Fact::UnderWay, "{half}");
        }
        // Another one of the same name.
        let another = backup(|backup| backup["metadata"]["uid"] = json!("b-2"));
        assert_eq!(of(&recorded, &another), Fact::UnderWay);
        let of_another = backup(|backup| backup["spec"]["orchestraRef"]["name"] = json!("decoy"));
        let path = "0a1b2c3d4e5f/tenants/acme-o-1/20261129T020000Z-b-0";
        let stored = backup(|backup| backup["spec"]["stored"] = json!({"className": "standard", "path": path}));
        for foreign in [of_another, stored] {
            assert_eq!(of(&recorded, &foreign), Fact::Failed);
            let best_effort = state(&database(&none), &foreign, FinalBackup::BestEffort);
            assert_eq!(best_effort, (Fact::Failed, Some(FOREIGN.into())));
        }
        // One that goes with its data.
        let leaves = |policy: &str| {
            backup(|backup| {
                backup["metadata"]["deletionTimestamp"] = json!("2026-11-29T00:00:00Z");
                backup["spec"]["deletionPolicy"] = json!(policy);
            })
        };
        assert_eq!(of(&recorded, &leaves("Delete")), Fact::UnderWay);
        assert_eq!(of(&recorded, &leaves("Retain")), Fact::Settled);
    }
}
