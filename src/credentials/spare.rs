//! The role that a pool creates in a member before the claim, for the future tenant.

use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use crate::api::OrchestraDatabase;

/// Name of the spare role of a database, if it has one: only a member that its class has prepared, on a server of its own,
/// has one.
pub fn role(database: &OrchestraDatabase) -> Option<String> {
    let status = database.status.as_ref()?;
    let has = database.spec.supabase.is_some() && status.prepared.is_some();
    let digest = Sha256::digest(database.name_any());
    has.then(|| format!("orchestra_spare_{}", hex::encode(&digest[..16])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OrchestraDatabaseSpec, OrchestraDatabaseStatus, Prepared, SupabaseProject};

    #[test]
    fn a_members_spare_role_has_a_name_of_its_own() {
        let member = |name: &str, prepared: bool, hosted: bool| OrchestraDatabase {
            status: Some(OrchestraDatabaseStatus {
                prepared: prepared.then(Prepared::default),
                ..OrchestraDatabaseStatus::default()
            }),
            ..OrchestraDatabase::new(
                name,
                OrchestraDatabaseSpec {
                    supabase: hosted.then(SupabaseProject::default),
                    ..OrchestraDatabaseSpec::default()
                },
            )
        };
        let (one, two) = (role(&member("a", true, true)), role(&member("b", true, true)));
        assert!(one.is_some() && one != two);
        assert!(one.is_some_and(|name| name.len() <= 63));
        assert_eq!(role(&member("a", false, true)), None);
        assert_eq!(role(&member("a", true, false)), None);
    }
}
