//! A source that is deleted while its tenant is paused.

use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::Value;

use super::{free_world, operator, paused, power};
use crate::proof::one_project_and_both_logins;
use crate::support::{LONG, orchestra, ready, sources, standard_class};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_went_while_its_tenant_was_paused_is_a_warning() {
    let world = free_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = operator(&world, "operator");
    orchestra(&world, "tour", "");
    ready(&world, "tour").await;
    power(&world, "tour", "Paused");
    paused(&world, "tour").await;
    for map in ["schema", "demo-seed"] {
        world.kubectl(["delete", "configmap", map, "-n", TENANTS]).unwrap();
    }
    power(&world, "tour", "Running");
    let runs = |object: &Value| {
        let (status, reason, message) = condition(object, "SourceAvailable");
        let warned = status == "False" && reason == "SourceNotFound" && message.contains("tenants/schema");
        warned && is_true(object, "Ready") && is_true(object, "Available")
    };
    let object = world
        .until(Kind::Orchestra, (TENANTS, "tour"), LONG, runs)
        .await
        .unwrap();
    assert_eq!(object["status"]["phase"], "Ready", "{object:#}");
    for part in ["Stalled", "Reconciling"] {
        assert_eq!(condition(&object, part).0, "", "{part}: {object:#}");
    }
    one_project_and_both_logins(&world, "tour").await;
}
