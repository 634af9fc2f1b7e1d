//! The texts of scripts and servers reach a status, an event, a log or a terminal without characters that a terminal
//! executes, and no answer of a server stops more than its own tenant.

use orchestra_sandbox::world::{Kind, TENANTS, condition};
use serde_json::{Value, json};

use crate::hostile::{Act, Hostile};
use crate::pool::{house, inventory, pool_only};
use crate::support::{LONG, events_with, orchestra, patch_config_map, ready, reason, sources, standard_class, world};

/// Colours, a cleared screen, a forged line, reversed and invisible text.
const ODD: [char; 8] = [
    '\u{1b}', '\u{7}', '\u{8}', '\r', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}',
];

#[tokio::test(flavor = "multi_thread")]
async fn no_text_from_outside_commands_a_terminal() {
    let world = world().await;
    let operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    let raise = r"DO $$ BEGIN
  RAISE NOTICE E'\u001b[2Jnoticed\nINFO forged\u202e';
  RAISE EXCEPTION E'\u001b[2Jfailed\u0007\u0008\r\nforged\u009b31m\u202e\u2066\u200b%', repeat('x', 100000)
    USING HINT = E'\u001b]0;hint\u0007\u202e', DETAIL = E'\u001b]0;detail\u0007\u202e';
END $$;";
    let schema = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "schema", "namespace": TENANTS},
        "data": {"migration_lock.toml": "provider = \"postgresql\"", "20260101000000_odd.sql": raise},
    });
    world.apply(&schema.to_string()).unwrap();
    world
        .apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: demo-seed, namespace: tenants}, data: {a.sql: SELECT 1}}")
        .unwrap();
    orchestra(&world, "one", "");
    let object = reason(&world, "one", "MigrationFailed").await;
    let events = Value::Array(events_with(&world, "failed").await);
    let log = operator.log();
    for (what, text) in [("status", texts(&object["status"])), ("events", texts(&events))] {
        assert!(text.contains("failed"), "{what}: {text}");
        assert!(!text.contains(ODD) && !text.contains('\n'), "{what}: {text:?}");
    }
    assert!(log.contains("noticed") && log.contains("failed"));
    assert!(!log.contains(ODD));
    assert!(
        !log.lines()
            .any(|line| line.starts_with("INFO forged") || line.starts_with("forged"))
    );
    assert!(log.lines().all(|line| line.chars().count() <= 16 << 10));
}

/// All texts of a value, one after the other with spaces between.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text} "),
        Value::Array(all) => all.iter().map(texts).collect(),
        Value::Object(all) => all.values().map(texts).collect(),
        _ => String::new(),
    }
}

/// A row without columns for a statement that has one, which sqlx answers with a panic.
const FATAL: usize = 0;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_answers_nothing_survives_stops_its_own_tenant_alone() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two"]).await;
    let server = Hostile::start(Act::Odd(FATAL), None).await;
    let hostile = |key: &str| {
        let port = server.login.port;
        format!("{key}: postgres://owner:word@127.0.0.1:{port}/postgres?sslmode=disable")
    };
    house(&world, &[entries[0].clone(), hostile("DATABASE_URL_POOL_9")]);
    let told = |pool: &Value| pool["status"].to_string().contains("a defect of the operator");
    world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
    pool_only(&world);
    orchestra(&world, "first", "");
    ready(&world, "first").await;

    // The server of a tenant is replaced, as an attacker on the way to it would do.
    house(&world, &[hostile("DATABASE_URL_POOL_1"), entries[1].clone()]);
    let script = json!({"20260103000000_more.sql": "CREATE TABLE more ();"});
    patch_config_map(&world, "schema", &script);
    let told = |object: &Value| condition(object, "Reconciling").1 == "InternalError";
    world
        .until(Kind::Orchestra, (TENANTS, "first"), LONG, told)
        .await
        .unwrap();
    orchestra(&world, "second", "");
    ready(&world, "second").await;
    house(&world, &entries);
    ready(&world, "first").await;
}
