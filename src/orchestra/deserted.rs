//! A database that is in use by its claim, while no Orchestra is left that uses it.

use kube::ResourceExt as _;

use super::Pass;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::class::orphan;

/// Whether no other Orchestra than this one has claimed a database.
pub fn is_deserted(pass: &Pass, database: &OrchestraDatabase) -> bool {
    let other = |orchestra: &Orchestra| orchestra.uid().as_deref() != Some(pass.uid());
    let orchestras = &pass.ctx.core.stores.orchestras;
    let user = orchestras.find(|orchestra| other(orchestra) && uses(orchestra, database));
    user.is_none()
}

/// Whether an Orchestra has claimed a database: by its UID, its name, or its own status. After objects were restored from a
/// backup, it has another UID than the claim.
fn uses(orchestra: &Orchestra, database: &OrchestraDatabase) -> bool {
    let is_named = database.spec.claim_ref.as_ref().is_some_and(|claim| {
        let named = orchestra.namespace().as_ref() == Some(&claim.namespace) && orchestra.name_any() == claim.name;
        named || orchestra.uid().as_ref() == Some(&claim.uid)
    });
    let status = orchestra.status.as_ref();
    let recorded = status.and_then(|status| status.database_name.as_ref());
    is_named || recorded.is_some_and(|recorded| *recorded == database.name_any())
}

/// The message of a database whose Orchestra is gone without having released it.
pub fn message(name: &str) -> String {
    format!(
        "OrchestraDatabase {name} was never released, and the Orchestra that claimed it no longer exists: an admin who has made \
         sure that nobody uses it releases it: {}",
        orphan::keeping_release(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ClaimReference, OrchestraDatabaseSpec, OrchestraSpec, OrchestraStatus};

    #[test]
    fn a_database_is_deserted_only_when_no_orchestra_has_its_claim_its_name_or_its_database() {
        let claim = ClaimReference {
            namespace: "tenants".into(),
            name: "old".into(),
            uid: "1".into(),
        };
        let spec = OrchestraDatabaseSpec {
            claim_ref: Some(claim),
            ..OrchestraDatabaseSpec::default()
        };
        let database = OrchestraDatabase::new("orchdb-1", spec);
        let orchestra = |namespace: &str, name: &str, uid: &str, recorded: Option<&str>| {
            let mut object = Orchestra::new(name, OrchestraSpec::default());
            object.metadata.namespace = Some(namespace.into());
            object.metadata.uid = Some(uid.into());
            object.status = Some(OrchestraStatus {
                database_name: recorded.map(Into::into),
                ..OrchestraStatus::default()
            });
            object
        };
        for (namespace, name, uid, recorded, is_user) in [
            ("tenants", "old", "1", None, true),
            // The cluster was restored from a backup.
            ("tenants", "old", "2", None, true),
            ("tenants", "renamed", "2", Some("orchdb-1"), true),
            ("others", "old", "2", None, false),
            ("tenants", "new", "2", Some("orchdb-2"), false),
        ] {
            let object = orchestra(namespace, name, uid, recorded);
            assert_eq!(uses(&object, &database), is_user, "{object:?}");
        }
        let told = message("orchdb-1");
        assert!(
            told.contains(r#"patch orchdb orchdb-1 --type=merge -p '{"spec":{"reclaimPolicy":"Retain","releasedAt":"#),
            "{told}"
        );
    }
}
