//! A database that is claimed although its Orchestra no longer exists.

use kube::ResourceExt as _;

use super::Pass;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::class::orphan::{self, Users};

/// Whether no other Orchestra than this one has claimed a database.
pub fn is_claimed_by_no_other(pass: &Pass, database: &OrchestraDatabase) -> bool {
    let others = |orchestra: &Orchestra| orchestra.uid().as_deref() != Some(pass.uid());
    let others = pass.ctx.core.stores.orchestras.state_filter(others);
    Users::of(others).of_database(database).is_none()
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
    use std::sync::Arc;

    use super::*;
    use crate::api::{ClaimReference, OrchestraDatabaseSpec, OrchestraSpec, OrchestraStatus};

    #[test]
    fn a_database_is_deserted_only_when_no_orchestra_has_its_claim_its_name_or_its_database() {
        let claim = ClaimReference {
            namespace: "tenants".into(),
            name: "old".into(),
            uid: "1".into(),
            namespace_uid: None,
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
            let users = Users::of([Arc::new(object)]);
            assert_eq!(
                users.of_database(&database).is_some(),
                is_user,
                "{namespace}/{name} {uid}"
            );
        }
        let told = message("orchdb-1");
        assert!(
            told.contains(r#"patch orchdb orchdb-1 --type=merge -p '{"spec":{"reclaimPolicy":"Retain","releasedAt":"#),
            "{told}"
        );
    }
}
