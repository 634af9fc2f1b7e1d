//! Orphans cost money and serve nobody: projects with this cluster's marker that no OrchestraDatabase refers to, and
//! hosted databases that no Orchestra claims.

use std::collections::{HashMap, HashSet};

use kube::ResourceExt;
use strum::IntoStaticStr;

use super::database_name;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::supabase::listed::ListedProject;
use crate::supabase::marker::{ClusterMarker, MarkerOwner, parse};
use crate::supabase::types::StatusClass;

/// The projects of a listing that this cluster created, that are not being deleted, and that none of these databases
/// refers to. An OrchestraDatabase exists before its project is requested; so the databases must be read after the
/// listing.
pub fn projects<'a>(
    cluster: &ClusterMarker,
    listed: &'a [ListedProject],
    databases: impl IntoIterator<Item = impl AsRef<OrchestraDatabase>>,
) -> Vec<&'a ListedProject> {
    let mut found = unreferenced(listed, databases);
    found.retain(|project| cluster.made(&project.name));
    found
}

/// The projects of a listing that are not being deleted, and that none of these databases refers to, whoever created them.
pub fn unreferenced(
    listed: &[ListedProject],
    databases: impl IntoIterator<Item = impl AsRef<OrchestraDatabase>>,
) -> Vec<&ListedProject> {
    let mut referenced = HashSet::new();
    for database in databases {
        let database = database.as_ref();
        referenced.extend(database.spec.supabase.as_ref().map(|wanted| wanted.name.clone()));
        let project = database.status.as_ref().and_then(|status| status.project.as_ref());
        referenced.extend(project.map(|project| project.reference.clone()));
    }
    let leaves = |project: &ListedProject| matches!(project.status.class(), StatusClass::Deleting | StatusClass::Gone);
    listed
        .iter()
        .filter(|project| !leaves(project))
        .filter(|project| !referenced.contains(&project.name) && !referenced.contains(&project.reference))
        .collect()
}

/// The Orchestras, each as `namespace/name`, by the projects and databases that they use according to their statuses, names
/// and UIDs. An Orchestra can use a project whose OrchestraDatabase is gone, and a database whose claim names another UID,
/// after objects were lost or restored from a backup.
#[derive(Default)]
pub struct Users(HashMap<String, String>);

impl Users {
    /// Who uses what among these Orchestras.
    pub fn of(orchestras: impl IntoIterator<Item = impl AsRef<Orchestra>>) -> Self {
        let mut users = HashMap::new();
        for orchestra in orchestras {
            let orchestra = orchestra.as_ref();
            let Some(uid) = orchestra.uid() else { continue };
            let named = format!("{}/{}", orchestra.namespace().unwrap_or_default(), orchestra.name_any());
            let status = orchestra.status.as_ref();
            let project = status.and_then(|status| status.project.as_ref());
            let keys = [
                status.and_then(|status| status.database_name.clone()),
                project.map(|project| project.reference.clone()),
                Some(database_name(&uid)),
                Some(uid.replace('-', "")),
                Some(named.clone()),
            ];
            users.extend(keys.into_iter().flatten().map(|key| (key, named.clone())));
        }
        Self(users)
    }

    /// The Orchestra that uses a project, or for which it was created.
    pub fn of_project(&self, project: &ListedProject) -> Option<&str> {
        let owner = parse(&project.name).map(|marker| match marker.owner {
            MarkerOwner::Database(rest) => database_name(rest),
            MarkerOwner::Orchestra(digits) => digits.to_owned(),
        });
        let made_for = || self.0.get(&owner?);
        self.0.get(&project.reference).or_else(made_for).map(String::as_str)
    }

    /// The Orchestra that uses a database, or that its claim names while it is not released.
    pub fn of_database(&self, database: &OrchestraDatabase) -> Option<&str> {
        let project = database.status.as_ref().and_then(|status| status.project.as_ref());
        let by_project = || self.0.get(&project?.reference);
        let by_claim = || {
            let claim = database.spec.claim_ref.as_ref();
            let claim = claim.filter(|_| database.spec.released_at.is_none())?;
            let by_name = || self.0.get(&format!("{}/{}", claim.namespace, claim.name));
            self.0.get(&claim.uid.replace('-', "")).or_else(by_name)
        };
        let named = self.0.get(&database.name_any());
        named.or_else(by_project).or_else(by_claim).map(String::as_str)
    }
}

/// What a person can do about a project that no OrchestraDatabase refers to.
pub fn next_step_of_project(project: &ListedProject, users: &Users) -> String {
    match users.of_project(project) {
        Some(user) => format!(
            "keep it: Orchestra {user} uses it, and its OrchestraDatabase is gone; restore that object, with its spec.claimRef, \
             from a backup"
        ),
        None => format!(
            "check its contents; if it is not needed: supabase projects delete {}",
            project.reference
        ),
    }
}

/// Why no Orchestra claims a hosted database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum Unclaimed {
    /// Its Orchestra was deleted, and the deletion policy is to keep the database.
    Released,
    /// Its Orchestra no longer exists, and never released it.
    Deserted,
    /// The pool that created it no longer exists, and no Orchestra has ever claimed it.
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
pub fn next_step(database: &OrchestraDatabase, why: Unclaimed, users: &Users) -> String {
    let name = database.name_any();
    if let Some(user) = users.of_database(database) {
        return used_by(&name, why, user);
    }
    match why {
        Unclaimed::Released if database.is_to_be_destroyed() => match &database.spec.reclaim_after {
            Some(at) => format!(
                "it is destroyed with its data after {}, unless a new Orchestra takes it back with \
                 spec.source.existing.databaseName: {name}",
                at.0
            ),
            None => "it is destroyed with its data".to_owned(),
        },
        Unclaimed::Released if !database.is_destroyable() => format!(
            "keep it, or remove the OrchestraDatabase: kubectl delete orchdb {name}; the project, which was adopted, stays \
             at the provider"
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
            "its Orchestra no longer exists and never released it; release it, {what}: {}",
            release(&name, ""),
            what = if database.is_to_be_destroyed() {
                "which destroys it and its data, because its reclaimPolicy is Delete"
            } else {
                "which keeps it and its data"
            }
        ),
    }
}

/// The command that releases a database whose Orchestra no longer exists, and keeps its data.
pub fn keeping_release(name: &str) -> String {
    release(name, "\"reclaimPolicy\":\"Retain\",")
}

/// The command that releases a database, and sets these other fields.
fn release(name: &str, others: &str) -> String {
    format!(
        "kubectl patch orchdb {name} --type=merge -p '{{\"spec\":{{{others}\"releasedAt\":\"'$(date -u +%FT%TZ)'\",\"formerLogins\":\"Left\"}}}}'"
    )
}

/// What a person can do about an unclaimed database that an Orchestra still uses.
fn used_by(name: &str, why: Unclaimed, user: &str) -> String {
    match why {
        Unclaimed::Deserted => format!(
            "keep it: Orchestra {user} uses it, and its claim names another UID. When its applications may lose their \
             logins, release it and keep its data: {}; then take it back with a \
             new Orchestra, spec.source.existing.databaseName: {name}",
            keeping_release(name)
        ),
        Unclaimed::Released | Unclaimed::Poolless => {
            format!("keep it: Orchestra {user} names it in its status but does not claim it; see its conditions")
        }
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
        let ours = ClusterMarker::of("7d1f0c2e-93ab-4c1d-8e2f-001122334455").unwrap();
        let other = ClusterMarker::of("11111111-93ab-4c1d-8e2f-001122334455").unwrap();
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

    /// An OrchestraDatabase was lost, or the Orchestras have other UIDs since a backup was restored.
    #[test]
    fn what_an_orchestra_uses_is_not_to_be_deleted() {
        let ours = ClusterMarker::of("7d1f0c2e-93ab-4c1d-8e2f-001122334455").unwrap();
        let uid = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
        let orchestra = |name: &str, uid: &str, status: &Value| -> Arc<Orchestra> {
            let whole = json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "spec": {}, "status": status,
                "metadata": {"name": name, "namespace": "tenants", "uid": uid},
            });
            Arc::new(serde_json::from_value(whole).unwrap())
        };
        let users = Users::of([
            orchestra("one", uid, &json!({})),
            orchestra("two", "2", &json!({"project": {"ref": "reftwo", "region": "r"}})),
            orchestra("three", "3", &json!({"databaseName": "orchdb-three"})),
        ]);
        let named = |database: &str| mint(&ours, "tenants", "x", database);
        for (name, reference, user) in [
            (named(&database_name(uid)), "a", Some("one")),
            (format!("t-one-7d1f0c2e93ab-{}", uid.replace('-', "")), "a", Some("one")),
            (named("orchdb-another"), "reftwo", Some("two")),
            (named("orchdb-three"), "a", Some("three")),
            (named("orchdb-another"), "a", None),
        ] {
            let next = next_step_of_project(&project(&name, reference, "ACTIVE_HEALTHY"), &users);
            let says = user.map_or("supabase projects delete a".to_owned(), |user| {
                format!("keep it: Orchestra tenants/{user}")
            });
            assert!(next.contains(&says), "{name}: {next}");
            assert_eq!(next.contains("delete"), user.is_none(), "{next}");
        }
        for (name, status) in [
            ("orchdb-three", json!({})),
            ("orchdb-other", json!({"project": {"ref": "reftwo", "region": "r"}})),
        ] {
            let spec =
                json!({"reclaimPolicy": "Delete", "claimRef": {"namespace": "tenants", "name": "x", "uid": "old"}});
            let mut left = database(&json!({"spec": spec, "status": status}));
            Arc::make_mut(&mut left).metadata.name = Some(name.into());
            for why in [Unclaimed::Deserted, Unclaimed::Released, Unclaimed::Poolless] {
                let next = next_step(&left, why, &users);
                assert!(next.starts_with("keep it: Orchestra tenants/t"), "{next}");
                assert!(!next.contains("destroy") && !next.contains("delete"), "{next}");
                let without = next_step(&left, why, &Users::default());
                assert!(!without.contains("keep it: Orchestra"), "{without}");
            }
        }
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
