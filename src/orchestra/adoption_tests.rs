#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;
use crate::api::{AdoptableProject, Adoption, OrchestraClassSpec};

const REF: &str = "abcdefghijklmnopqrst";

fn project(name: &str, status: &str) -> ListedProject {
    ListedProject {
        reference: REF.into(),
        name: name.into(),
        region: None,
        is_branch: false,
        status: serde_json::from_value(json!(status)).unwrap(),
        inserted_at: None,
        databases: Vec::new(),
    }
}

#[test]
fn only_what_the_class_lists_for_the_namespace_is_adopted() {
    let mut class = OrchestraClass::new("standard", OrchestraClassSpec::default());
    let mut existing = ExistingDatabase {
        project_ref: Some(REF.into()),
        ..ExistingDatabase::default()
    };
    let refused = |class: &OrchestraClass, existing: &ExistingDatabase, namespace: &str| {
        allowed(class, namespace, existing, REF)
            .err()
            .map(|(_, message)| message)
    };
    let told = refused(&class, &existing, "tenants").unwrap();
    assert!(
        told.contains("adds {ref: abcdefghijklmnopqrst, namespace: tenants}"),
        "{told}"
    );
    class.spec.adoption = Some(Adoption {
        projects: vec![AdoptableProject {
            reference: REF.into(),
            namespace: "tenants".into(),
            ..AdoptableProject::default()
        }],
    });
    assert!(refused(&class, &existing, "others").unwrap().contains("does not let"));
    assert!(
        refused(&class, &existing, "tenants")
            .unwrap()
            .contains("existing.adopt")
    );
    existing.adopt = Some(Adopt::default());
    assert_eq!(refused(&class, &existing, "tenants"), None);
    // Destruction, and a new password, are allowed for each project.
    let rights = |deletion, reset| {
        let mut class = class.clone();
        let project = &mut class.spec.adoption.as_mut().unwrap().projects[0];
        (project.allow_deletion, project.allow_reset_password) = (deletion, reset);
        class
    };
    existing.adopt.as_mut().unwrap().deletion = true;
    let told = refused(&rights(false, true), &existing, "tenants").unwrap();
    assert!(told.contains("allowDeletion: true"), "{told}");
    assert_eq!(refused(&rights(true, false), &existing, "tenants"), None);
    existing.adopt.as_mut().unwrap().reset_password = true;
    let told = refused(&rights(true, false), &existing, "tenants").unwrap();
    assert!(told.contains("allowResetPassword: true"), "{told}");
    assert_eq!(refused(&rights(true, true), &existing, "tenants"), None);
}

#[test]
fn nobody_takes_over_what_another_orchestra_has_allowed() {
    let adopt = |text: serde_json::Value| serde_json::from_value::<Adopt>(text).unwrap();
    let mut database = OrchestraDatabase::new("orchdb-1", OrchestraDatabaseSpec::default());
    database.spec.supabase = Some(wanted(
        &project("shop", "ACTIVE_HEALTHY"),
        &adopt(json!({"passwordSecretRef": {"name": "a"}})),
    ));
    let told = |text| difference(&adopt(text), &database);
    let same = json!({"passwordSecretRef": {"name": "a", "key": "password"}});
    assert_eq!(told(same), None);
    for (given, part) in [
        (
            json!({"passwordSecretRef": {"name": "b"}}),
            "passwordSecretRef is another one",
        ),
        (
            json!({"resetPassword": true}),
            "resetPassword is true here and false there",
        ),
        (
            json!({"passwordSecretRef": {"name": "a"}, "deletion": true}),
            "deletion is true here and false there",
        ),
    ] {
        assert!(told(given).unwrap().contains(part), "{part}");
    }
    database.spec.supabase.as_mut().unwrap().adopted = None;
    let told = difference(&adopt(json!({"resetPassword": true})), &database).unwrap();
    assert!(told.contains("the operator made"), "{told}");
}

#[test]
fn a_project_with_a_marker_or_at_its_end_is_not_free() {
    let marked = "tenants-one-7d1f0c2e93ab-orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
    for (name, status, refused) in [
        ("shop", "ACTIVE_HEALTHY", None),
        ("shop", "INACTIVE", None),
        (marked, "ACTIVE_HEALTHY", Some(Reason::ExistingNotAllowed)),
        ("shop", "GOING_DOWN", Some(Reason::ExistingNotFound)),
        ("shop", "REMOVED", Some(Reason::ExistingNotFound)),
    ] {
        let is = free(&project(name, status)).err().map(|(reason, _)| reason);
        assert_eq!(is, refused, "{name} {status}");
    }
    let made = wanted(&project(" ", "ACTIVE_HEALTHY"), &Adopt::default());
    assert_eq!((made.name.as_str(), made.region.as_str()), (REF, "unknown"));
}
