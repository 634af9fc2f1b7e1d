//! Orphans cost money and serve nobody: projects with this cluster's marker that no OrchestraDatabase refers to, and
//! hosted databases that no Orchestra claims.

use std::collections::HashSet;

use kube::ResourceExt;
use strum::IntoStaticStr;

use crate::api::{DeletionPolicy, OrchestraDatabase};
use crate::supabase::listed::ListedProject;
use crate::supabase::marker::Cluster;
use crate::supabase::types::StatusClass;

/// The projects of a listing that this cluster created, that are not being deleted, and that none of these databases
/// refers to. An OrchestraDatabase exists before its project is requested; so the databases must be read after the
/// listing.
pub fn projects<'a>(
    cluster: &Cluster,
    listed: &'a [ListedProject],
    databases: impl IntoIterator<Item = impl AsRef<OrchestraDatabase>>,
) -> Vec<&'a ListedProject> {
    let mut held = HashSet::new();
    for database in databases {
        let database = database.as_ref();
        held.extend(database.spec.supabase.as_ref().map(|wanted| wanted.name.clone()));
        let project = database.status.as_ref().and_then(|status| status.project.as_ref());
        held.extend(project.map(|project| project.reference.clone()));
    }
    let leaves = |project: &ListedProject| matches!(project.status.class(), StatusClass::Deleting | StatusClass::Gone);
    listed
        .iter()
        .filter(|project| cluster.made(&project.name) && !leaves(project))
        .filter(|project| !held.contains(&project.name) && !held.contains(&project.reference))
        .collect()
}

/// Why no Orchestra claims a hosted database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum Unclaimed {
    /// Its Orchestra was deleted, and the deletion policy is to keep the database.
    Released,
    /// Its Orchestra no longer exists, and never released it.
    Deserted,
    /// A pool made it that no longer exists, and no Orchestra has ever claimed it.
    Poolless,
}

/// Why no Orchestra claims a hosted database that has, or may have, a project; none when an Orchestra claims it, when it
/// waits for its first claim in a pool, or when it is being deleted. `exists` says whether there is an Orchestra of this
/// UID, and `has_pool` whether there is a pool of this name.
pub fn unclaimed(
    database: &OrchestraDatabase,
    exists: impl Fn(&str) -> bool,
    has_pool: impl Fn(&str) -> bool,
) -> Option<Unclaimed> {
    if database.metadata.deletion_timestamp.is_some() || !is_billed(database) {
        return None;
    }
    let Some(claim) = &database.spec.claim_ref else {
        return database
            .pool()
            .filter(|pool| !has_pool(pool))
            .map(|_| Unclaimed::Poolless);
    };
    if database.spec.released_at.is_some() {
        return Some(Unclaimed::Released);
    }
    (!exists(&claim.uid)).then_some(Unclaimed::Deserted)
}

/// Whether a hosted database has, or may have, a project.
pub fn is_billed(database: &OrchestraDatabase) -> bool {
    database.spec.supabase.is_some() && database.is_issued()
}

/// What a person can do about an unclaimed database.
pub fn next_step(database: &OrchestraDatabase, why: Unclaimed) -> String {
    let name = database.name_any();
    match why {
        Unclaimed::Released if database.spec.reclaim_policy == DeletionPolicy::Delete => {
            match &database.spec.reclaim_after {
                Some(at) => format!(
                    "it is destroyed with its data after {}, unless a new Orchestra takes it back with \
                 spec.source.existing.databaseName: {name}",
                    at.0
                ),
                None => "it is destroyed with its data".to_owned(),
            }
        }
        Unclaimed::Released if !database.may_be_destroyed() => format!(
            "keep it, or let go of it: kubectl delete orchdb {name}; the project, which was adopted, stays at the provider"
        ),
        Unclaimed::Released => format!(
            "keep it, or destroy it and its data: kubectl patch orchdb {name} --type=merge -p \
             '{{\"spec\":{{\"reclaimPolicy\":\"Delete\"}}}}'"
        ),
        Unclaimed::Poolless => {
            format!(
                "the pool that made it no longer exists, and nobody has claimed it; destroy it: kubectl delete orchdb {name}"
            )
        }
        Unclaimed::Deserted => format!(
            "its Orchestra no longer exists and never released it; release it, {what}: kubectl patch orchdb {name} \
             --type=merge -p '{{\"spec\":{{\"releasedAt\":\"'$(date -u +%FT%TZ)'\"}}}}'",
            what = match database.spec.reclaim_policy {
                DeletionPolicy::Retain => "which keeps it and its data",
                DeletionPolicy::Delete => "which destroys it and its data, because its reclaimPolicy is Delete",
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::supabase::marker::mint;

    fn database(of: &Value) -> Arc<OrchestraDatabase> {
        let mut whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": "orchdb-1"}});
        whole.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        Arc::new(serde_json::from_value(whole).unwrap())
    }

    fn project(name: &str, reference: &str, status: &str) -> ListedProject {
        ListedProject {
            reference: reference.into(),
            name: name.into(),
            region: Some("eu-central-1".into()),
            is_branch: false,
            status: serde_json::from_value(json!(status)).unwrap(),
            inserted_at: None,
            databases: Vec::new(),
        }
    }

    #[test]
    fn a_project_is_an_orphan_when_it_is_ours_and_nobody_holds_it() {
        let ours = Cluster::of("7d1f0c2e-93ab-4c1d-8e2f-001122334455").unwrap();
        let other = Cluster::of("11111111-93ab-4c1d-8e2f-001122334455").unwrap();
        let uid = |digit: char| digit.to_string().repeat(32);
        let name = |digit| mint(&ours, "tenants", "one", &uid(digit));
        let listed = [
            project(&name('a'), "heldbyname", "COMING_UP"),
            project("renamed by a person", "heldbyref", "ACTIVE_HEALTHY"),
            project(&name('b'), "heldbyreftoo", "ACTIVE_HEALTHY"),
            project(&name('c'), "orphan", "ACTIVE_HEALTHY"),
            project(&name('d'), "paused", "INACTIVE"),
            project(&name('e'), "failed", "INIT_FAILED"),
            project(&name('f'), "leaving", "GOING_DOWN"),
            project(&name('0'), "gone", "REMOVED"),
            project(&mint(&other, "tenants", "one", &uid('1')), "another", "ACTIVE_HEALTHY"),
            project("somebody's own", "own", "ACTIVE_HEALTHY"),
        ];
        let wanted = |name: &str| json!({"name": name, "region": "eu-central-1"});
        let databases = [
            database(&json!({"spec": {"supabase": wanted(&name('a'))}})),
            database(
                &json!({"spec": {"supabase": wanted("old")}, "status": {"project": {"ref": "heldbyreftoo", "region": "r"}}}),
            ),
        ];
        let found: Vec<_> = projects(&ours, &listed, &databases)
            .iter()
            .map(|it| it.reference.clone())
            .collect();
        assert_eq!(found, ["orphan", "paused", "failed"]);
    }

    #[test]
    fn a_database_is_an_orphan_when_its_claim_is_gone_and_it_may_cost_money() {
        let hosted = json!({"name": "n", "region": "r"});
        let claim = json!({"namespace": "tenants", "name": "one", "uid": "u"});
        let issued = json!({"createIssuedAt": "2026-11-01T00:00:00Z"});
        let of = |spec: Value, status: &Value| database(&json!({"spec": spec, "status": status}));
        let there: fn(&str) -> bool = |uid| uid == "u";
        let nobody: fn(&str) -> bool = |_| false;
        let unclaimed = |database: &OrchestraDatabase, exists: fn(&str) -> bool| {
            super::unclaimed(database, exists, |pool| pool == "warm")
        };
        let held = of(json!({"supabase": hosted, "claimRef": claim}), &issued);
        assert_eq!(unclaimed(&held, there), None);
        assert_eq!(unclaimed(&held, nobody), Some(Unclaimed::Deserted));
        let released = json!({"supabase": hosted, "claimRef": claim, "releasedAt": "2026-11-02T00:00:00Z"});
        assert_eq!(
            unclaimed(&of(released.clone(), &issued), there),
            Some(Unclaimed::Released)
        );
        assert_eq!(unclaimed(&of(released, &json!({})), there), None, "nothing was bought");
        let waiting = of(json!({"supabase": hosted}), &issued);
        assert_eq!(
            unclaimed(&waiting, nobody),
            None,
            "a warm one waits for its first claim"
        );
        let of_pool = |pool: &str| of(json!({"supabase": hosted, "pool": pool}), &issued);
        assert_eq!(unclaimed(&of_pool("warm"), nobody), None);
        assert_eq!(unclaimed(&of_pool("gone"), nobody), Some(Unclaimed::Poolless));
        let entry =
            json!({"static": {"pool": "house", "key": "k"}, "claimRef": claim, "releasedAt": "2026-11-02T00:00:00Z"});
        assert_eq!(
            unclaimed(&of(entry, &json!({})), nobody),
            None,
            "an entry of a pool costs nothing"
        );
    }
}
