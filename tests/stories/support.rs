//! What the stories share.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use orchestra_sandbox::api::Options as ApiOptions;
use orchestra_sandbox::gate::Gate;
use orchestra_sandbox::router::Authority;
use orchestra_sandbox::world::{self, Kind, Operator, Options, TENANTS, World, condition, is_true};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _};

/// Longest time that anything in a story takes on a busy machine.
pub const LONG: Duration = Duration::from_mins(5);

pub async fn world() -> World {
    world_with(ApiOptions::default()).await
}

pub async fn world_with(api: ApiOptions) -> World {
    let options = Options {
        operator: operator(),
        project: project(),
        api,
    };
    World::start(options).await.unwrap()
}

/// The operator that was built with the tests, or the one that `ORCHESTRA_OPERATOR` names.
fn operator() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_orchestra-operator").into();
    std::env::var_os("ORCHESTRA_OPERATOR").map_or_else(built, PathBuf::from)
}

pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// A default class with the stand-in as its provider, and its token.
pub fn standard_class(world: &World, more: &str) {
    world.store_token().unwrap();
    world
        .apply(&format!(
            r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {{name: standard, annotations: {{stagesub.io/is-default-class: "true"}}}}
spec:
  provider: {{supabase: {{organization: acme-org, tokenSecretRef: {{name: supabase-token}}}}}}
{more}
"#
        ))
        .unwrap();
}

/// Two migrations and a seed.
pub fn sources(world: &World) {
    world
        .apply(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: schema, namespace: tenants}
data:
  migration_lock.toml: |
    provider = "postgresql"
  20260101000000_members.sql: |
    CREATE TABLE "Member" ("id" SERIAL PRIMARY KEY, "name" TEXT NOT NULL);
  20260102000000_concerts.sql: |
    CREATE TABLE "Concert" ("id" SERIAL PRIMARY KEY, "title" TEXT NOT NULL);
---
apiVersion: v1
kind: ConfigMap
metadata: {name: demo-seed, namespace: tenants}
data:
  seed.sql: |
    INSERT INTO "Member" ("name") VALUES ('Ada'), ('Bo'), ('Cleo');
"#,
        )
        .unwrap();
}

/// An Orchestra with the migrations and the seed of [`sources`].
pub fn orchestra(world: &World, name: &str, more: &str) {
    world
        .apply(&format!(
            r"
apiVersion: stagesub.io/v1alpha1
kind: Orchestra
metadata: {{name: {name}, namespace: {TENANTS}}}
spec:
  displayName: Test Orchestra AB
  migrations: {{source: {{configMapRef: {{name: schema}}}}}}
  seed: {{configMapRef: {{name: demo-seed}}}}
{more}
"
        ))
        .unwrap();
}

pub async fn ready(world: &World, name: &str) -> Value {
    world
        .until(Kind::Orchestra, (TENANTS, name), LONG, |object| {
            is_true(object, "Ready")
        })
        .await
        .unwrap()
}

/// Waits until the Orchestra's Ready condition has this reason.
pub async fn reason(world: &World, name: &str, reason: &str) -> Value {
    let has = |object: &Value| condition(object, "Ready").1 == reason;
    world.until(Kind::Orchestra, (TENANTS, name), LONG, has).await.unwrap()
}

/// Adds keys to a ConfigMap in the tenants' namespace, or changes them.
pub fn patch_config_map(world: &World, name: &str, data: &Value) {
    let patch = serde_json::json!({ "data": data }).to_string();
    world
        .kubectl(["patch", "configmap", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

pub async fn gone(world: &World, kind: Kind, namespace: &str, name: &str) {
    world
        .until(kind, (namespace, name), LONG, Value::is_null)
        .await
        .unwrap();
}

/// The decoded values of a Secret that is there.
pub async fn secret(world: &World, namespace: &str, name: &str) -> std::collections::BTreeMap<String, String> {
    let secret = world.get(Kind::Secret, namespace, name).await.unwrap();
    decoded(&secret.expect("the Secret is there"))
}

/// The decoded values of a Secret's object.
pub fn decoded(secret: &Value) -> std::collections::BTreeMap<String, String> {
    let data = secret["data"].as_object().cloned().unwrap_or_default();
    let decode = |value: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(value.as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    data.iter().map(|(key, value)| (key.clone(), decode(value))).collect()
}

/// Logs in with nothing but a URL and the pooler's root, as an application does.
pub async fn login(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let options = options.ssl_root_cert_from_pem(Authority::of_poolers().unwrap().root().into());
    PgConnection::connect_with(&options.disable_statement_logging()).await
}

/// A gate before the API server, with the operator's own rights.
pub async fn gate(world: &World) -> Gate {
    let through = world
        .plane
        .kubeconfig_for_service_account(SYSTEM, "orchestra-operator")
        .await
        .unwrap();
    Gate::start(&through).await.unwrap()
}

/// Kills an operator, and takes its lease away: that it runs out has stories of its own.
pub fn kill(world: &World, operator: &mut Operator) {
    operator.kill().unwrap();
    world
        .kubectl([
            "delete",
            "lease",
            "--ignore-not-found",
            "orchestra-operator",
            "-n",
            SYSTEM,
        ])
        .unwrap();
}

/// All events, as soon as one holds this text: an event comes after the status that it reports.
pub async fn events_with(world: &World, text: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let events = world.list(Kind::Event).await.unwrap();
        if events.iter().any(|event| event.to_string().contains(text)) {
            return events;
        }
        assert!(began.elapsed() < LONG, "no event holds {text:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn scalar(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

pub use world::SYSTEM;

/// Merges this into the status of an object, as somebody with that right would.
pub fn patch_status(world: &World, kind: &str, name: &str, status: &Value) {
    let patch = serde_json::json!({ "status": status }).to_string();
    world
        .kubectl([
            "patch",
            kind,
            name,
            "-n",
            TENANTS,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
        .unwrap();
}
