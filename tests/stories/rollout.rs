//! A class's new migrations go over its tenants: canaries, waves, halts, pauses, pins, and the bound on
//! a database server. The tenants are databases of one PostgreSQL.

mod approval;
mod bound;
mod fair;
mod halt;
mod pause;
mod queue;
mod templates;

use std::fmt::Write as _;
use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, is_true};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;

use crate::pool::{house, inventory};
use crate::support::{LONG, login, secret};

/// The migrations that every tenant begins with.
const FIRST: (&str, &str) = (
    "1_members",
    "CREATE TABLE \"Member\" (id int); CREATE TABLE trouble (id int);",
);

/// The class's source: migrations by name.
fn source(world: &World, migrations: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> = migrations
        .iter()
        .map(|(name, script)| (format!("{name}.sql"), json!(script)))
        .collect();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fleet", "namespace": SYSTEM}, "data": data,
    });
    world.apply(&map.to_string()).unwrap();
}

/// The class `standard` with this `rollout`, as a flow mapping.
fn class(world: &World, rollout: &str) {
    world
        .apply(&format!(
            r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {{name: standard, annotations: {{stagesub.io/is-default-class: "true"}}}}
spec:
  pools: {{names: [house], policy: PoolOnly}}
  migrations:
    source: {{configMapRef: {{name: fleet}}}}
    format: Prisma
  rollout: {rollout}
"#
        ))
        .unwrap();
}

/// Changes the class's rollout.
fn change(world: &World, rollout: &Value) {
    let patch = json!({"spec": {"rollout": rollout}}).to_string();
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", &patch])
        .unwrap();
}

/// A pool of so many databases on one server.
async fn databases(world: &World, count: usize) {
    let names: Vec<_> = (0..count).map(|number| format!("house_{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    house(world, &inventory(world, &names).await);
}

/// Orchestras without migrations of their own, the first ones the oldest; `canary` gets the label.
fn tenants(world: &World, names: &[String], canary: Option<&str>) {
    let mut manifests = String::new();
    for name in names {
        let labels = if Some(name.as_str()) == canary {
            "{tier: canary}"
        } else {
            "{}"
        };
        write!(
            manifests,
            "---\napiVersion: stagesub.io/v1alpha1\nkind: Orchestra\n\
             metadata: {{name: {name}, namespace: {TENANTS}, labels: {labels}}}\nspec: {{}}\n"
        )
        .unwrap();
    }
    world.apply(&manifests).unwrap();
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number}")).collect()
}

/// Waits until all of these are Ready with so many migrations of the source applied.
async fn all_have(world: &World, names: &[String], applied: i64) {
    let limit = LONG + Duration::from_millis(500) * u32::try_from(names.len()).unwrap();
    for name in names {
        let has = |object: &Value| {
            is_true(object, "Ready")
                && object["status"]["migrations"]["applied"] == applied
                && object["status"]["migrations"]["pending"] == 0
        };
        world.until(Kind::Orchestra, (TENANTS, name), limit, has).await.unwrap();
    }
}

/// Waits until the class's rollout is so.
async fn rollout(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    let has = |class: &Value| is(&class["status"]["rollout"]);
    world.until(Kind::Class, ("", "standard"), LONG, has).await.unwrap()
}

fn phase(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["phase"] == phase
}

/// A tenant's own session.
async fn tenant(world: &World, name: &str) -> PgConnection {
    let keys = secret(world, TENANTS, &format!("{name}-connection")).await;
    login(&keys["DATABASE_URL"]).await.unwrap()
}

/// Whether a tenant's database has a table.
async fn has_table(session: &mut PgConnection, table: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_tables WHERE tablename = $1)")
        .bind(table)
        .fetch_one(session)
        .await
        .unwrap()
}

async fn orchestra(world: &World, name: &str) -> Value {
    world.get(Kind::Orchestra, TENANTS, name).await.unwrap().unwrap()
}

/// Reasons of the events about the class.
async fn told(world: &World) -> Vec<String> {
    let events = world.list(Kind::Event).await.unwrap();
    let of_class = |event: &&Value| event["regarding"]["kind"] == "OrchestraClass";
    let mut told: Vec<_> = events
        .iter()
        .filter(of_class)
        .filter_map(|event| event["reason"].as_str().map(ToOwned::to_owned))
        .collect();
    told.sort();
    told.dedup();
    told
}
