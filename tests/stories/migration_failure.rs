//! Migrations that fail, and sources that cannot be used: what a person reads, what is left in the database, and how the
//! Orchestra continues by itself.

use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{generous_world, history, one_project_and_both_logins, owner, soon};
use crate::support::{LONG, orchestra, patch_config_map, ready, reason, scalar, sources, standard_class};

const BAD: &str = "CREATE TABLE \"Half\" (\"id\" INT);\n\nINSERT INTO \"Nowhere\" VALUES (1);\n";
const GOOD: &str = "CREATE TABLE \"Half\" (\"id\" INT);\n";

/// Changes keys of the ConfigMap of migrations; null takes one away.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_failing_migration_says_where_and_leaves_nothing() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    patch_config_map(&world, "schema", &json!({"20260103000000_half.sql": BAD}));
    let mut operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "new", "");
    let object = reason(&world, "new", "MigrationFailed").await;
    let (stalled, _, message) = condition(&object, "Stalled");
    assert_eq!(stalled, "True");
    for part in ["20260103000000_half", "42P01", "\"Nowhere\" does not exist", "line 3"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    for part in ["Migrated", "Available"] {
        assert_eq!(condition(&object, part).0, "False", "{part}");
    }
    assert_eq!(condition(&object, "Reconciling").0, "");
    let mut session = owner(&world, "new").await;
    assert_eq!(
        scalar(
            &mut session,
            "SELECT count(*) FROM pg_tables WHERE tablename IN ('Member', 'Concert')"
        )
        .await,
        2
    );
    assert_eq!(
        scalar(&mut session, "SELECT count(*) FROM pg_tables WHERE tablename = 'Half'").await,
        0
    );
    assert_eq!(history(&mut session).await, 2, "no row of the one that failed");

    patch_config_map(&world, "schema", &json!({"20260103000000_half.sql": GOOD}));
    let object = one_project_and_both_logins(&world, "new").await;
    assert_eq!(object["status"]["migrations"]["applied"], 3);

    // The same happens to a tenant in use, and it stays in use.
    patch_config_map(
        &world,
        "schema",
        &json!({"20260104000000_later.sql": BAD.replace("Half", "Later")}),
    );
    let object = reason(&world, "new", "MigrationFailed").await;
    assert!(
        is_true(&object, "Available") && is_true(&object, "Stalled"),
        "{object:#}"
    );
    assert!(!is_true(&object, "Migrated"));
    patch_config_map(
        &world,
        "schema",
        &json!({"20260104000000_later.sql": GOOD.replace("Half", "Later")}),
    );
    ready(&world, "new").await;
    assert_eq!(history(&mut session).await, 4);

    // A new operator looks at everything, and applies nothing twice.
    operator.kill().unwrap();
    let next = world.operator("next", |_| {}).unwrap();
    soon("the new one has looked", async || next.log().contains("next step=Rest")).await;
    patch_config_map(
        &world,
        "schema",
        &json!({"20260105000000_last.sql": GOOD.replace("Half", "Last")}),
    );
    let applied = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 5;
    world
        .until(Kind::Orchestra, (TENANTS, "new"), LONG, applied)
        .await
        .unwrap();
    assert_eq!(history(&mut session).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_used_touches_no_database() {
    let world = generous_world().await;
    standard_class(&world, "");
    let operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "early", "");
    let object = reason(&world, "early", "SourceNotFound").await;
    assert!(is_true(&object, "Stalled"));
    assert!(condition(&object, "Ready").2.contains("tenants/schema"), "{object:#}");
    sources(&world);
    one_project_and_both_logins(&world, "early").await;

    let mut session = owner(&world, "early").await;
    for (text, says) in [
        ("\u{feff}SELECT 1;\n", "byte order mark"),
        ("SELECT 1;\n\\connect other\n", "psql"),
    ] {
        patch_config_map(
            &world,
            "schema",
            &json!({"20260103000000_bad.sql": text, "20260102500000_fine.sql": "SELECT 1;"}),
        );
        let is = |object: &Value| {
            condition(object, "Ready").1 == "SourceInvalid" && condition(object, "Ready").2.contains(says)
        };
        let object = world
            .until(Kind::Orchestra, (TENANTS, "early"), LONG, is)
            .await
            .unwrap();
        assert!(
            is_true(&object, "Stalled") && is_true(&object, "Available"),
            "{object:#}"
        );
        assert!(
            condition(&object, "Ready").2.contains("20260103000000_bad.sql"),
            "{object:#}"
        );
        assert_eq!(history(&mut session).await, 2);
    }
    patch_config_map(
        &world,
        "schema",
        &json!({"20260103000000_bad.sql": null, "20260102500000_fine.sql": null}),
    );
    ready(&world, "early").await;
    a_source_that_is_gone_is_a_warning(&world, operator).await;
}

/// Of a tenant that has all of it. Whatever else changes meanwhile, the tenant is settled.
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_source_that_is_gone_is_a_warning(world: &World, mut operator: Operator) {
    let warned = |object: &Value| {
        let (status, reason, message) = condition(object, "SourceAvailable");
        let told = status == "False" && reason == "SourceNotFound" && message.contains("tenants/schema");
        let observed = object["metadata"]["generation"] == object["status"]["observedGeneration"];
        told && observed && is_true(object, "Ready")
    };
    let settled = async |is: &dyn Fn(&Value) -> bool| {
        let until = world.until(Kind::Orchestra, (TENANTS, "early"), LONG, |object| {
            is(object) && is_true(object, "Ready")
        });
        let object = until.await.unwrap();
        assert_eq!(object["status"]["phase"], "Ready", "{object:#}");
        for part in ["Stalled", "Reconciling"] {
            assert_eq!(condition(&object, part).0, "", "{part}: {object:#}");
        }
        assert!(is_true(&object, "Migrated") && is_true(&object, "Seeded"), "{object:#}");
    };
    let patch = |body: &str| {
        world
            .kubectl(["patch", "orch", "early", "-n", TENANTS, "--type=merge", "-p", body])
            .unwrap()
    };
    world.kubectl(["delete", "configmap", "schema", "-n", TENANTS]).unwrap();
    settled(&warned).await;
    let named = r#"{"spec":{"displayName":"Another Orchestra"}}"#;
    patch(named);
    settled(&warned).await;
    // Another source is another thing: it may have what is not applied.
    let other =
        |name: &str| format!(r#"{{"spec":{{"migrations":{{"source":{{"configMapRef":{{"name":"{name}"}}}}}}}}}}"#);
    patch(&other("elsewhere"));
    reason(world, "early", "SourceNotFound").await;
    patch(&other("schema"));
    world.kubectl(["create", "configmap", "schema", "-n", TENANTS]).unwrap();
    settled(&warned).await;
    sources(world);
    let unwarned = |object: &Value| condition(object, "SourceAvailable").0.is_empty();
    settled(&unwarned).await;
    // Pruned and edited at once, while the operator is away.
    operator.kill().unwrap();
    world.kubectl(["delete", "configmap", "schema", "-n", TENANTS]).unwrap();
    patch(r#"{"spec":{"displayName":"A third Orchestra"}}"#);
    operator = world.operator("after-the-prune", |_| {}).unwrap();
    settled(&warned).await;
    sources(world);
    settled(&unwarned).await;
    // While something else is wrong.
    let taken = [
        "create",
        "secret",
        "generic",
        "taken",
        "-n",
        TENANTS,
        "--from-literal=a=b",
    ];
    world.kubectl(taken).unwrap();
    patch(r#"{"spec":{"connection":{"secretName":"taken"}}}"#);
    reason(world, "early", "SecretConflict").await;
    world.kubectl(["delete", "configmap", "schema", "-n", TENANTS]).unwrap();
    patch(r#"{"spec":{"connection":{"secretName":null}}}"#);
    settled(&warned).await;
    // What is known to hold something else is no source that everything was applied from.
    sources(world);
    settled(&unwarned).await;
    let bad = json!({"20260103000000_bad.sql": "\u{feff}SELECT 1;\n"});
    patch_config_map(world, "schema", &bad);
    reason(world, "early", "SourceInvalid").await;
    world.kubectl(["delete", "configmap", "schema", "-n", TENANTS]).unwrap();
    reason(world, "early", "SourceNotFound").await;
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_config_maps_are_one_source() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    for (map, file, table) in [("b", "2_second", "Second"), ("a", "1_first", "First")] {
        let file = format!("--from-literal={file}.sql=CREATE TABLE \"{table}\" (id int);");
        world
            .kubectl(["create", "configmap", map, "-n", TENANTS, &file])
            .unwrap();
    }
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: many, namespace: {TENANTS}}}, \
             spec: {{migrations: {{format: Prisma, source: {{configMapRefs: [{{name: b}}, {{name: a}}]}}}}}}}}"
        ))
        .unwrap();
    let object = one_project_and_both_logins(&world, "many").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2);
    assert_eq!(object["status"]["migrations"]["current"], "2_second");
    patch_config_map(&world, "a", &json!({"3_third.sql": "CREATE TABLE \"Third\" (id int);"}));
    let applied = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "many"), LONG, applied)
        .await
        .unwrap();
}
