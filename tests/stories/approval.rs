//! Migrations that wait for a person: what is shown, what keeps working, and which word counts.

mod forged;
mod seeds;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::orphans::command;
use crate::proof::{generous_world, history, owner, soon, tenant};
use crate::support::{LONG, SYSTEM, orchestra, patch_config_map, ready, reason, scalar, sources, standard_class};

const DROP: &str =
    "-- tidy up\nALTER TABLE \"Member\" DROP COLUMN \"email\";\nCREATE INDEX \"by_name\" ON \"Member\" (\"name\");\n";
const EMAIL: &str =
    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'Member' AND column_name = 'email'";

/// Changes keys of the ConfigMap of migrations; null takes one away.
fn patch(world: &World, data: &Value) {
    patch_config_map(world, "schema", data);
}

fn annotate(world: &World, name: &str, digest: &str) {
    let annotation = format!("stagesub.io/approve-migrations={digest}");
    world
        .kubectl(["annotate", "orch", name, "-n", TENANTS, "--overwrite", &annotation])
        .unwrap();
}

/// The plan that waits, once its digest is another than this one.
async fn plan(world: &World, name: &str, other: &str) -> Value {
    let waits = |object: &Value| {
        let digest = object["status"]["migrations"]["plan"]["digest"].as_str();
        condition(object, "Ready").1 == "ApprovalPending" && digest.is_some_and(|digest| digest != other)
    };
    let object = world
        .until(Kind::Orchestra, (TENANTS, name), LONG, waits)
        .await
        .unwrap();
    object["status"]["migrations"]["plan"].clone()
}

pub fn digest(plan: &Value) -> String {
    plan["digest"].as_str().unwrap().to_owned()
}

pub fn config_map(world: &World, name: &str) -> Option<Value> {
    let found = world.kubectl(["get", "configmap", name, "-n", TENANTS, "-o", "json"]);
    found.ok().map(|text| serde_json::from_str(&text).unwrap())
}

/// Notes of the events of a reason.
pub fn events(world: &World, name: &str, reason: &str) -> Vec<String> {
    let all = world
        .kubectl(["get", "events.events.k8s.io", "-n", TENANTS, "-o", "json"])
        .unwrap();
    let all: Value = serde_json::from_str(&all).unwrap();
    let items = all["items"].as_array().unwrap().iter();
    let of = items.filter(|event| event["regarding"]["name"] == name && event["reason"] == reason);
    of.map(|event| event["note"].as_str().unwrap().to_owned()).collect()
}

/// Says so when the operator has looked at the Orchestra with this annotation, and still waits.
async fn is_void(world: &World, name: &str) {
    let void = |object: &Value| {
        let (_, why, message) = condition(object, "Ready");
        why == "ApprovalPending" && message.starts_with("the plan or the history changed after the approval")
    };
    world.until(Kind::Orchestra, (TENANTS, name), LONG, void).await.unwrap();
}

/// A tenant in use whose next migration drops a column.
pub async fn waiting(world: &World) -> Value {
    standard_class(world, "");
    sources(world);
    orchestra(world, "one", "");
    // The first migrations, and migrations that only add, need no approval.
    ready(world, "one").await;
    let email = "ALTER TABLE \"Member\" ADD COLUMN \"email\" TEXT;";
    patch(world, &json!({"20260103000000_email.sql": email}));
    let applied = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    let object = world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, applied)
        .await
        .unwrap();
    assert_eq!(object["status"]["migrations"]["plan"], Value::Null);
    patch(world, &json!({"20260104000000_tidy.sql": DROP}));
    plan(world, "one", "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stays_visible_while_what_is_left_waits_for_approval() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let first = waiting(&world).await;
    let bad = "DROP TABLE \"Concert\";\nSELECT 1 / 0;\n";
    patch(&world, &json!({"20260105000000_bad.sql": bad}));
    annotate(&world, "one", &digest(&plan(&world, "one", &digest(&first)).await));
    // The first of the two is applied, so what is left is another plan, which nobody has approved.
    reason(&world, "one", "MigrationFailed").await;
    let failed = |object: &Value, part: &str| {
        let (status, why, message) = condition(object, part);
        status != "True" && why == "MigrationFailed" && message.contains("division by zero")
    };
    soon("the failure and the approval are told together", async || {
        let touched = format!("touched={}", orchestra_sandbox::random::alphanumeric(8));
        world
            .kubectl(["annotate", "orch", "one", "-n", TENANTS, "--overwrite", &touched])
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let object = reason(&world, "one", "MigrationFailed").await;
        assert!(failed(&object, "Ready") && failed(&object, "Migrated"), "{object:#}");
        assert!(
            is_true(&object, "Stalled") && is_true(&object, "Available"),
            "{object:#}"
        );
        let plan = &object["status"]["migrations"]["plan"];
        plan["digest"].is_string() && condition(&object, "Ready").2.contains(&digest(plan))
    })
    .await;

    // Another script may resolve it, and waits; until it is applied, the failure is shown, also by another operator.
    patch(
        &world,
        &json!({"20260105000000_bad.sql": bad.replace("SELECT 1 / 0;", "")}),
    );
    let cure = digest(&plan(&world, "one", &digest(&first)).await);
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    let object = reason(&world, "one", "ApprovalPending").await;
    assert!(
        condition(&object, "Ready")
            .2
            .contains("before that, migration 20260105000000_bad failed"),
        "{object:#}"
    );
    assert!(failed(&object, "Migrated"), "{object:#}");
    annotate(&world, "one", &cure);
    let object = ready(&world, "one").await;
    assert_eq!(object["status"]["migrations"]["failure"], Value::Null);
    assert_eq!(object["status"]["migrations"]["applied"], 5);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn what_destroys_waits_while_the_tenant_is_served() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let first = waiting(&world).await;
    assert_eq!(
        (&first["pending"], &first["destructive"], &first["locking"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(first["configMap"], "one-migration-plan");
    let object = reason(&world, "one", "ApprovalPending").await;
    for (part, expected) in [
        ("Ready", "False"),
        ("Available", "True"),
        ("Reconciling", "True"),
        ("Stalled", ""),
        ("CredentialsReady", "True"),
        ("Migrated", "False"),
        ("Seeded", "True"),
    ] {
        assert_eq!(condition(&object, part).0, expected, "{part}: {object:#}");
    }
    let command_line = format!(
        "kubectl -n {TENANTS} annotate orch one --overwrite stagesub.io/approve-migrations={}",
        digest(&first)
    );
    let (_, _, message) = condition(&object, "Ready");
    assert!(
        message.contains(&command_line) && message.contains("one-migration-plan"),
        "{message}"
    );

    // The tenant's own login works, and finds what it knows.
    let mut session = tenant(&world, "one").await;
    assert_eq!(scalar(&mut session, "SELECT count(\"email\") FROM \"Member\"").await, 0);
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);

    soon("the plan is written", async || {
        config_map(&world, "one-migration-plan").is_some()
    })
    .await;
    let map = config_map(&world, "one-migration-plan").unwrap();
    assert_eq!(map["metadata"]["ownerReferences"][0]["uid"], object["metadata"]["uid"]);
    let text = map["data"]["plan.txt"].as_str().unwrap();
    for part in [
        "20260104000000_tidy, line 2: ALTER TABLE \"Member\" DROP COLUMN email (DropColumn)",
        "20260104000000_tidy, line 3: CREATE INDEX by_name ON \"Member\" (CreateIndex)",
        "Applied so far: 3 migrations, the last of which is 20260103000000_email",
        &command_line,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(events(&world, "one", "ApprovalPending").len(), 1);

    // A Secret that is lost meanwhile comes back, also with another operator.
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    world
        .kubectl(["delete", "secret", "one-connection", "-n", TENANTS])
        .unwrap();
    soon("the Secret is back", async || {
        world
            .get(Kind::Secret, TENANTS, "one-connection")
            .await
            .unwrap()
            .is_some()
    })
    .await;
    drop(tenant(&world, "one").await);
    plan(&world, "one", "").await;
    assert!(events(&world, "one", "Approved").is_empty());
    let mut owner = owner(&world, "one").await;
    assert_eq!((scalar(&mut owner, EMAIL).await, history(&mut owner).await), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_plan_that_waits_can_be_approved() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let first = digest(&waiting(&world).await);
    let mut owner = owner(&world, "one").await;

    annotate(&world, "one", &format!("sha256:{}", "0".repeat(64)));
    is_void(&world, "one").await;

    // The source changes: what was read is not what would be applied.
    let more = format!("{DROP}DROP TABLE \"Concert\";\n");
    patch(&world, &json!({"20260104000000_tidy.sql": more}));
    let second = plan(&world, "one", &first).await;
    assert_eq!(second["destructive"], 2);
    annotate(&world, "one", &first);
    is_void(&world, "one").await;
    let refused = command(&world, &["approve", "-n", TENANTS, "one", "--digest", &first]);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!((scalar(&mut owner, EMAIL).await, history(&mut owner).await), (1, 3));

    let digest = digest(&second);
    let shown = || {
        let shown = command(&world, &["plan", "-n", TENANTS, "one", "-o", "json"]);
        serde_json::from_slice::<Value>(&shown.stdout).unwrap_or_default()
    };
    soon("the plan is shown", async || shown()["digest"] == digest.as_str()).await;
    assert_eq!(shown()["findings"][2]["kind"], "DropTable");
    let text = command(&world, &["plan", "-n", TENANTS, "one"]);
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("DROP TABLE \"Concert\""),
        "{text:?}"
    );
    let approve = ["approve", "-n", TENANTS, "one", "--digest", &digest, "-o", "yaml"];
    let approved = command(&world, &approve);
    assert!(approved.status.success(), "{approved:?}");
    let printed: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&approved.stdout)).unwrap();
    let annotations = &printed["metadata"]["annotations"];
    assert_eq!(annotations["stagesub.io/approve-migrations"], digest.as_str());
    let done = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 4;
    let object = world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, done)
        .await
        .unwrap();
    assert_eq!(object["status"]["migrations"]["plan"], Value::Null);
    assert_eq!((scalar(&mut owner, EMAIL).await, history(&mut owner).await), (0, 4));
    soon("the plan is gone", async || {
        config_map(&world, "one-migration-plan").is_none()
    })
    .await;
    assert_eq!(
        events(&world, "one", "Approved"),
        [format!(
            "plan {digest} is approved; its migrations are applied when their turn comes"
        )]
    );
    let none = command(&world, &["plan", "-n", TENANTS, "one"]);
    assert!(none.stdout.starts_with(b"none: "), "{none:?}");
    drop(tenant(&world, "one").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_history_voids_the_approval() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let first = digest(&waiting(&world).await);
    // As `prisma migrate deploy` does with a migration that only a developer has.
    let mut owner = owner(&world, "one").await;
    sqlx::raw_sql(
        "BEGIN; CREATE TABLE \"Aside\" (id int); \
         INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) \
         VALUES ('1', repeat('a', 64), '20260103500000_aside', now(), 1); COMMIT",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    annotate(&world, "one", &first);
    is_void(&world, "one").await;
    assert_eq!((scalar(&mut owner, EMAIL).await, history(&mut owner).await), (1, 4));
    let second = digest(&plan(&world, "one", &first).await);
    annotate(&world, "one", &second);
    ready(&world, "one").await;
    assert_eq!((scalar(&mut owner, EMAIL).await, history(&mut owner).await), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn always_waits_for_what_is_harmless_too() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let initial = "CREATE TABLE \"Member\" (\"id\" INT, \"email\" TEXT);";
    let file = format!("--from-literal=20260101000000_first.sql={initial}");
    world
        .kubectl(["create", "configmap", "house", "-n", SYSTEM, &file])
        .unwrap();
    standard_class(
        &world,
        "  migrations: {format: Prisma, approval: Always, source: {configMapRef: {name: house}}}",
    );
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: one, namespace: {TENANTS}}}, spec: {{}}}}"
        ))
        .unwrap();
    // Not even the first ones, and nobody is served before.
    let first = plan(&world, "one", "").await;
    assert_eq!((&first["pending"], &first["destructive"]), (&json!(1), &json!(0)));
    let object = reason(&world, "one", "ApprovalPending").await;
    assert_eq!(condition(&object, "Available").0, "False");
    assert!(
        world
            .get(Kind::Secret, TENANTS, "one-connection")
            .await
            .unwrap()
            .is_none()
    );
    annotate(&world, "one", &digest(&first));
    ready(&world, "one").await;

    let next = json!({"data": {"20260102000000_next.sql": "CREATE TABLE \"Next\" (\"id\" INT);"}}).to_string();
    world
        .kubectl(["patch", "configmap", "house", "-n", SYSTEM, "--type=merge", "-p", &next])
        .unwrap();
    let second = plan(&world, "one", &digest(&first)).await;
    drop(tenant(&world, "one").await);
    annotate(&world, "one", &digest(&second));
    let object = ready(&world, "one").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_config_map_is_not_overwritten() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    world
        .kubectl([
            "create",
            "configmap",
            "one-migration-plan",
            "-n",
            TENANTS,
            "--from-literal=mine=yes",
        ])
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    patch(&world, &json!({"20260103000000_drop.sql": "DELETE FROM \"Member\";"}));
    let object = reason(&world, "one", "ConfigMapConflict").await;
    assert!(
        is_true(&object, "Stalled") && is_true(&object, "Available"),
        "{object:#}"
    );
    assert!(
        condition(&object, "Ready").2.contains("one-migration-plan"),
        "{object:#}"
    );
    assert_eq!(
        config_map(&world, "one-migration-plan").unwrap()["data"],
        json!({"mine": "yes"})
    );
    let mut owner = owner(&world, "one").await;
    assert_eq!(scalar(&mut owner, "SELECT count(*) FROM \"Member\"").await, 3);
    // Without it the plan is written, and the same policy lets it all through once it is gone.
    world
        .kubectl(["delete", "configmap", "one-migration-plan", "-n", TENANTS])
        .unwrap();
    plan(&world, "one", "").await;
    assert!(config_map(&world, "one-migration-plan").is_some());
    let automatic = json!({"spec": {"migrations": {"approval": "Automatic"}}}).to_string();
    world
        .kubectl(["patch", "orch", "one", "-n", TENANTS, "--type=merge", "-p", &automatic])
        .unwrap();
    ready(&world, "one").await;
    assert_eq!(scalar(&mut owner, "SELECT count(*) FROM \"Member\"").await, 0);
}
