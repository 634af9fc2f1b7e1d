//! The reclaim policy of a database whose Orchestra is deleted.

use crate::api::{DeletionPolicy, Orchestra, OrchestraClass, OrchestraDatabase};

/// The deletion policy of an Orchestra, or else that of its class.
pub fn policy(object: &Orchestra, class: Option<&OrchestraClass>) -> DeletionPolicy {
    let default = class.map(|class| class.spec.deletion.policy).unwrap_or_default();
    object.spec.deletion_policy.unwrap_or(default)
}

/// The reclaim policy of a database that an Orchestra takes back. An adopted one is kept until its release decides.
pub fn when_taken(object: &Orchestra, class: &OrchestraClass, database: &OrchestraDatabase) -> DeletionPolicy {
    match database.adopted() {
        Some(_) => DeletionPolicy::Retain,
        None => policy(object, Some(class)),
    }
}

/// The reclaim policy of a database that is released. `recorded`: the database was just seen to have the claim record of
/// this Orchestra.
pub fn at_release(
    object: &Orchestra,
    class: Option<&OrchestraClass>,
    database: &OrchestraDatabase,
    recorded: bool,
) -> DeletionPolicy {
    match (database.adopted(), object.spec.deletion_policy) {
        (Some(_), _) if recorded && asks_for_destruction(object, class, database) => DeletionPolicy::Delete,
        (Some(_), _) => DeletionPolicy::Retain,
        (None, None) if class.is_none() => database.spec.reclaim_policy,
        (None, _) => policy(object, class),
    }
}

/// Whether an adopted project is to be destroyed when this Orchestra is deleted, provided that its claim record is found.
/// The Orchestra has used it, and has allowed that itself: by its `adopt`, or by its own deletion policy when it took over what
/// another one had adopted.
pub fn asks_for_destruction(object: &Orchestra, class: Option<&OrchestraClass>, database: &OrchestraDatabase) -> bool {
    let allowed = object.spec.existing().and_then(|existing| existing.adopt.as_ref());
    let policy = match allowed {
        Some(adopt) if !adopt.deletion => return false,
        Some(_) => policy(object, class),
        None => object.spec.deletion_policy.unwrap_or_default(),
    };
    database.may_be_destroyed() && object.is_published() && policy == DeletionPolicy::Delete
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::api::OrchestraClassSpec;

    const REF: &str = "abcdefghijklmnopqrst";

    fn orchestra(spec: Value, published: bool) -> Orchestra {
        let mut object = Orchestra::new("shop", serde_json::from_value(spec).unwrap());
        let published = published.then(|| json!({"name": "shop-connection"}));
        object.status = serde_json::from_value(json!({"secretRef": published})).unwrap();
        object
    }

    fn adopted(deletion: bool) -> OrchestraDatabase {
        let adopted = json!({"ref": REF, "adopt": {"deletion": deletion, "resetPassword": true}});
        let spec = json!({"supabase": {"name": "a", "region": "b", "adopted": adopted}});
        OrchestraDatabase::new("orchdb-1", serde_json::from_value(spec).unwrap())
    }

    fn deleting_class() -> OrchestraClass {
        let mut class = OrchestraClass::new("standard", OrchestraClassSpec::default());
        class.spec.deletion.policy = DeletionPolicy::Delete;
        class
    }

    #[test]
    fn an_adopted_project_is_destroyed_only_by_who_allows_it_and_has_its_record_there() {
        let class = deleting_class();
        let adopts = |deletion| {
            let adopt = json!({"resetPassword": true, "deletion": deletion});
            json!({"source": {"existing": {"projectRef": REF, "adopt": adopt}}})
        };
        let takes = json!({"source": {"existing": {"projectRef": REF}}});
        let own = json!({"source": {"existing": {"databaseName": "orchdb-1"}}, "deletionPolicy": "Delete"});
        for (spec, published, deletion, recorded, destroyed) in [
            (adopts(true), true, true, true, true),
            (adopts(true), true, true, false, false),
            (adopts(true), false, true, true, false),
            (adopts(false), true, true, true, false),
            (adopts(true), true, false, true, false),
            // What an earlier Orchestra allowed does not make the class's policy destroy the project of this one.
            (takes, true, true, true, false),
            (own.clone(), true, true, true, true),
            (own.clone(), true, true, false, false),
            (own, true, false, true, false),
        ] {
            let object = orchestra(spec.clone(), published);
            let policy = at_release(&object, Some(&class), &adopted(deletion), recorded);
            let case = format!("{spec} published: {published}, deletion: {deletion}, recorded: {recorded}");
            assert_eq!(policy == DeletionPolicy::Delete, destroyed, "{case}");
            assert_eq!(when_taken(&object, &class, &adopted(deletion)), DeletionPolicy::Retain);
        }
    }

    #[test]
    fn the_operators_own_database_follows_the_policy() {
        let class = deleting_class();
        let mut database = adopted(true);
        database.spec.supabase.as_mut().unwrap().adopted = None;
        let plain = orchestra(json!({}), true);
        assert_eq!(
            at_release(&plain, Some(&class), &database, false),
            DeletionPolicy::Delete
        );
        assert_eq!(at_release(&plain, None, &database, false), DeletionPolicy::Retain);
        database.spec.reclaim_policy = DeletionPolicy::Delete;
        assert_eq!(at_release(&plain, None, &database, false), DeletionPolicy::Delete);
        let retained = orchestra(json!({"deletionPolicy": "Retain"}), true);
        assert_eq!(
            at_release(&retained, Some(&class), &database, false),
            DeletionPolicy::Retain
        );
        assert_eq!(when_taken(&plain, &class, &database), DeletionPolicy::Delete);
    }
}
