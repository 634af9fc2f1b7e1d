//! What somebody else has put into a status goes with the operator's next write of it.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::support::{LONG, gone, orchestra, patch_status, ready, sources, standard_class, world};

/// An operator that looks at each object again after 2 s, whether or not a watch reported it.
fn eager(world: &World) -> Operator {
    world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "2s");
        })
        .unwrap()
}

/// A condition that the operator does not write, held by another field manager alone.
async fn forge(world: &World, (kind, namespace, name): (&str, &str, &str)) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("stagesub.io", "v1alpha1", kind));
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(world.admin.clone(), &resource)
    } else {
        Api::namespaced_with(world.admin.clone(), namespace, &resource)
    };
    let forged = json!({"type": "Forged", "status": "True", "reason": "Forged", "message": "forged",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let body = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "status": {"conditions": [forged]}});
    let parameters = PatchParams::apply("somebody").force();
    let written = api.patch_status(name, &parameters, &Patch::Apply(body)).await.unwrap();
    assert!(is_true(&serde_json::to_value(written).unwrap(), "Forged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_another_manager_goes_with_the_next_write() {
    let world = world().await;
    let _operator = eager(&world);
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "acme", "");
    let tenant = ready(&world, "acme").await;
    let database = tenant["status"]["databaseName"].as_str().unwrap();
    let objects = [
        (Kind::Orchestra, "Orchestra", TENANTS, "acme"),
        (Kind::Class, "OrchestraClass", "", "standard"),
        (Kind::Database, "OrchestraDatabase", "", database),
    ];
    for (_, kind, namespace, name) in objects {
        forge(&world, (kind, namespace, name)).await;
    }
    let is_right = |object: &Value| condition(object, "Forged").0.is_empty() && is_true(object, "Ready");
    for (kind, _, namespace, name) in objects {
        let object = world.until(kind, (namespace, name), LONG, is_right).await.unwrap();
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        assert!(
            managers.iter().all(|entry| entry["manager"] != "somebody"),
            "{managers:?}"
        );
    }
    // And after what was on its way, nothing is written again for more than two resyncs.
    let versions = async || {
        let mut versions = Vec::new();
        for (kind, _, namespace, name) in objects {
            let object = world.get(kind, namespace, name).await.unwrap().unwrap();
            versions.push(object["metadata"]["resourceVersion"].clone());
        }
        versions
    };
    soon("nothing is written again", async || {
        let before = versions().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        before == versions().await
    })
    .await;
}

/// The status of a database names another one's project, or says that its own was never in use: only the project of a
/// deleted Orchestra is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn no_project_goes_because_a_status_names_it() {
    let world = generous_world().await;
    let _operator = eager(&world);
    standard_class(&world, "");
    sources(&world);
    for name in ["forger", "victim"] {
        orchestra(&world, name, "  deletionPolicy: Delete");
    }
    let mut references = Vec::new();
    for name in ["forger", "victim"] {
        ready(&world, name).await;
        references.push(projects(&world, name).await[0].reference.clone());
    }
    let [own, victim] = &references[..] else { unreachable!() };
    let database = database_name(&world, "forger").await;
    let forge = |reference: &str, replaced: &[&str]| {
        let status = json!({"project": {"ref": reference}, "replaced": replaced, "usableSince": null});
        patch_status(&world, "orchdb", &database, &status);
    };
    let alive = || {
        let projects = world.api.ledger().projects();
        projects.iter().filter(|project| project.deleted.is_none()).count()
    };
    for reference in [victim, own] {
        forge(reference, &[reference]);
        let is_told = |object: &Value| {
            let (_, reason, message) = condition(object, "Ready");
            reason == "ProjectConflict" && message.contains(&format!("status.replaced names {reference}"))
        };
        world
            .until(Kind::Database, ("", &database), LONG, is_told)
            .await
            .unwrap();
        assert_eq!(alive(), 2);
    }

    // Of a deleted one its own project goes, whatever its status names.
    forge(victim, &[]);
    world
        .kubectl(["delete", "orchestra", "forger", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    let projects = world.api.ledger().projects();
    let deleted: Vec<_> = projects.iter().filter(|project| project.deleted.is_some()).collect();
    assert_eq!(deleted.len(), 1, "{projects:?}");
    assert_eq!(deleted[0].reference, *own);
    one_project_and_both_logins(&world, "victim").await;
}
