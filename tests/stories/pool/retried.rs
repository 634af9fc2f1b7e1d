//! What a pool has refused is corrected, and a person asks the pool for another attempt: it is made within seconds.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, World, condition, is_true};
use serde_json::Value;

use super::{admin, house, inventory};
use crate::proof::generous_world;
use crate::support::{LONG, standard_class, world};

/// How soon the pool is Ready after the request. The shortest wait after a refusal is ten seconds.
const SOON: Duration = Duration::from_secs(30);

/// Asks the pool for another attempt.
async fn retried(world: &World) {
    let ask = "stagesub.io/retry-requested-at=2026-12-01T10:00:00Z";
    world
        .kubectl(["annotate", "orchpool", "house", ask, "--overwrite"])
        .unwrap();
    let usable = |pool: &Value| is_true(pool, "Ready") && pool["status"]["available"] == 1;
    world.until(Kind::Pool, ("", "house"), SOON, usable).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_script_failed_is_prepared_again_on_request() {
    let world = generous_world().await;
    world
        .apply(&format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: rows, namespace: {SYSTEM}}}
data:
  1_members.sql: CREATE TABLE "Member" (id serial PRIMARY KEY);
  2_rows.sql: INSERT INTO "Nowhere" VALUES (1);
"#
        ))
        .unwrap();
    standard_class(
        &world,
        "  pools: {names: [house], policy: PoolOnly}\n  template: rows\n  templates:\n  - name: rows\n    version: '1'\n    \
         migrations: {format: Prisma, source: {configMapRef: {name: rows}}}",
    );
    let _operator = world.operator("operator", |_| {}).unwrap();
    house(&world, &inventory(&world, &["one"]).await);
    let prepare = r#"{"spec": {"prepare": {"className": "standard", "templateRef": {"name": "rows"}}}}"#;
    world
        .kubectl(["patch", "orchpool", "house", "--type=merge", "-p", prepare])
        .unwrap();
    let failed = |pool: &Value| {
        let (stalled, reason, message) = condition(pool, "Stalled");
        stalled == "True" && reason == "MigrationFailed" && message.contains("Nowhere")
    };
    world.until(Kind::Pool, ("", "house"), LONG, failed).await.unwrap();
    admin(&world, "one", "SET ROLE one_owner; CREATE TABLE \"Nowhere\" (id int)").await;
    retried(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_refused_is_probed_again_on_request() {
    let world = world().await;
    let _operator = world
        .operator("operator", |command| {
            // Longer than the story: without a request, no pass comes back in it.
            command.env("ORCHESTRA_LOGIN_SPACING", "300s");
        })
        .unwrap();
    let entries = inventory(&world, &["one"]).await;
    admin(&world, "one", "CREATE TABLE left_over AS SELECT 1 AS id").await;
    house(&world, &entries);
    let refused = |pool: &Value| condition(pool, "Ready").2.contains("somebody's data (public.");
    world.until(Kind::Pool, ("", "house"), LONG, refused).await.unwrap();
    admin(&world, "one", "DROP TABLE left_over").await;
    retried(&world).await;
}
