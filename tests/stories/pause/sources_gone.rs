//! A source or a template that is removed while its tenant is paused.

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, condition, is_true};
use serde_json::Value;

use super::{free_world, operator, paused, power};
use crate::proof::one_project_and_both_logins;
use crate::support::{LONG, orchestra, ready, sources, standard_class};

/// The class of both tenants, one of which has its template.
const TEMPLATES: &str = "  templates:\n  - name: chamber\n    version: 1.0.0\n    \
    migrations: {format: Prisma, source: {configMapRef: {name: chamber}}}";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_or_template_that_went_while_its_tenant_was_paused_is_a_warning() {
    let world = free_world().await;
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: chamber, namespace: {SYSTEM}}}, \
             data: {{1_members.sql: 'CREATE TABLE member (id int);'}}}}"
        ))
        .unwrap();
    standard_class(&world, TEMPLATES);
    sources(&world);
    let _operator = operator(&world, "operator");
    orchestra(&world, "tour", "");
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: ballad, namespace: {TENANTS}}}, \
             spec: {{source: {{templateRef: {{name: chamber}}}}}}}}"
        ))
        .unwrap();
    for name in ["tour", "ballad"] {
        ready(&world, name).await;
        power(&world, name, "Paused");
        paused(&world, name).await;
    }
    for map in ["schema", "demo-seed"] {
        world.kubectl(["delete", "configmap", map, "-n", TENANTS]).unwrap();
    }
    standard_class(&world, "");
    for (name, expected, place) in [
        ("tour", "SourceNotFound", "tenants/schema"),
        ("ballad", "TemplateNotFound", "no template chamber"),
    ] {
        power(&world, name, "Running");
        let runs = |object: &Value| {
            let (status, reason, message) = condition(object, "SourceAvailable");
            let warned = status == "False" && reason == expected && message.contains(place);
            warned && is_true(object, "Ready") && is_true(object, "Available")
        };
        let object = world.until(Kind::Orchestra, (TENANTS, name), LONG, runs).await.unwrap();
        assert_eq!(object["status"]["phase"], "Ready", "{object:#}");
        for part in ["Stalled", "Reconciling"] {
            assert_eq!(condition(&object, part).0, "", "{part}: {object:#}");
        }
    }
    one_project_and_both_logins(&world, "tour").await;
}
