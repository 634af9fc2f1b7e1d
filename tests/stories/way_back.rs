//! A deleted Orchestra's database is kept for a while, and a new Orchestra takes it back with its data.

mod killed;
pub mod left;
mod legacy;
mod namespace;

pub use killed::operator;

use orchestra_sandbox::api::Rule;
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{database_name, generous_world, soon, tenant};
use crate::support::{LONG, SYSTEM, gone, login, orchestra, ready, reason, scalar, secret, sources, standard_class};

pub const MEMBERS: &str = r#"SELECT count(*) FROM "Member""#;

/// Deletes an Orchestra, and waits until its database is in this phase.
pub async fn delete(world: &World, name: &str, database: &str, phase: &str) -> Value {
    world
        .kubectl(["delete", "orch", name, "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let is = |object: &Value| object["status"]["phase"] == phase;
    world.until(Kind::Database, ("", database), LONG, is).await.unwrap()
}

/// An Orchestra without migrations of its own that takes an existing database.
pub fn taker(world: &World, namespace: &str, name: &str, database: &str, more: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{source: {{existing: {{databaseName: {database}}}}}{more}}}}}"
        ))
        .unwrap();
}

fn patch(world: &World, database: &str, spec: &str) {
    let patch = format!(r#"{{"spec":{spec}}}"#);
    world
        .kubectl(["patch", "orchdb", database, "--type=merge", "-p", &patch])
        .unwrap();
}

/// Waits until an Orchestra of any namespace has this reason; its message.
async fn refused(world: &World, namespace: &str, name: &str, reason: &str) -> String {
    let has = |object: &Value| condition(object, "Ready").1 == reason;
    let object = world
        .until(Kind::Orchestra, (namespace, name), LONG, has)
        .await
        .unwrap();
    assert!(is_true(&object, "Stalled"), "{object:#}");
    condition(&object, "Stalled").2
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_deleted_orchestra_is_taken_back_with_its_data() {
    let world = generous_world().await;
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=2s");
        })
        .unwrap();
    standard_class(&world, "  deletion: {policy: Delete, gracePeriod: 1h}");
    sources(&world);
    world.kubectl(["create", "namespace", "others"]).unwrap();
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    let database = database_name(&world, "one").await;
    let uid = database.replace("orchdb-", "");
    sqlx::raw_sql(r#"INSERT INTO "Member" ("name") VALUES ('Dora')"#)
        .execute(&mut tenant(&world, "one").await)
        .await
        .unwrap();
    let before = secret(&world, TENANTS, "one-connection").await;
    let old = before["DATABASE_URL"].clone();

    // In use, it is nobody else's.
    taker(&world, TENANTS, "early", &database, "");
    let message = refused(&world, TENANTS, "early", "InUse").await;
    assert!(message.contains("Orchestra tenants/one"), "{message}");
    world.kubectl(["delete", "orch", "early", "-n", TENANTS]).unwrap();

    let rule = refuse_new_keys(&world);
    let kept = delete(&world, "one", &database, "Reclaiming").await;
    assert!(
        kept["spec"]["reclaimAfter"].is_string() && is_true(&kept, "Ready"),
        "{kept:#}"
    );
    let message = condition(&kept, "Ready").2;
    assert!(message.contains(&format!("databaseName: {database}")), "{message}");
    assert!(login(&old).await.is_err(), "the login is revoked");
    let reference = kept["status"]["project"]["ref"].as_str().unwrap().to_owned();
    the_cause_is_told(&world, &database).await;
    assert!(world.api.rules().remove(rule));
    keys_end(&world, &reference, &before).await;
    let wide = world.kubectl(["get", "orchdb", &database, "-o", "wide"]).unwrap();
    assert!(wide.contains("RECLAIM AFTER"), "{wide}");

    // An Orchestra that may not have it says why.
    taker(&world, "others", "foreign", &database, "");
    let message = refused(&world, "others", "foreign", "ExistingNotAllowed").await;
    assert!(message.contains("offeredTo") && !message.contains("one"), "{message}");
    taker(&world, TENANTS, "missing", "orchdb-none", "");
    refused(&world, TENANTS, "missing", "ExistingNotFound").await;
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: other}, \
             spec: {provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}}}",
        )
        .unwrap();
    taker(&world, TENANTS, "misfit", &database, ", className: other");
    let message = refused(&world, TENANTS, "misfit", "ExistingNotAllowed").await;
    assert!(message.contains("spec.className: standard"), "{message}");

    // One of the same name has a database of its own, and its status names the one that is left.
    orchestra(&world, "one", "");
    let again = ready(&world, "one").await;
    let message = condition(&again, "DatabaseReady").2;
    let field = format!("spec.source.existing.databaseName: {database}");
    assert!(message.contains(&field), "{message}");
    let events = world.kubectl(["get", "events", "-n", TENANTS]).unwrap();
    assert!(events.contains("EarlierDatabase"), "{events}");

    taker(
        &world,
        TENANTS,
        "back",
        &database,
        ", migrations: {source: {configMapRef: {name: schema}}}, seed: {configMapRef: {name: demo-seed}}",
    );
    let back = ready(&world, "back").await;
    assert_eq!(back["status"]["databaseName"], database.as_str());
    assert_eq!(back["status"]["migrations"]["applied"], 2);
    // The seed ran once in the life of the database.
    assert_eq!(scalar(&mut tenant(&world, "back").await, MEMBERS).await, 4);
    let after = secret(&world, TENANTS, "back-connection").await;
    let living = living_keys(&world, &reference).await;
    for key in KEYS {
        assert!(after[key] != before[key] && living.contains(&after[key]), "{key}");
    }
    let new = after["DATABASE_URL"].clone();
    let password = |url: &str| url::Url::parse(url).unwrap().password().map(ToString::to_string);
    assert_ne!(password(&new), password(&old), "a new login");
    assert!(login(&old).await.is_err());
    let taken = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
    assert_eq!(taken["spec"]["formerUids"], serde_json::json!([uid]));
    assert!(
        taken["spec"]["reclaimAfter"].is_null() && taken["spec"]["releasedAt"].is_null(),
        "{taken:#}"
    );
    assert_eq!(world.api.ledger().projects().len(), 2);
    ends(&world, &database, &new).await;
    a_lost_one_is_not_taken(&world).await;
}

const KEYS: [&str; 2] = ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"];

/// The API keys of a project at the provider.
async fn living_keys(world: &World, reference: &str) -> Vec<String> {
    let url = format!("{}/v1/projects/{reference}/api-keys?reveal=true", world.api.url());
    let request = reqwest::Client::new().get(url).bearer_auth(world.api.token());
    let keys: Vec<Value> = request.send().await.unwrap().json().await.unwrap();
    keys.iter()
        .filter_map(|key| Some(key["api_key"].as_str()?.to_owned()))
        .collect()
}

/// No API keys can be made.
fn refuse_new_keys(world: &World) -> u64 {
    let rule = Rule {
        method: Some("POST".into()),
        path: Some("/api-keys$".into()),
        status: Some(403),
        effect: Some(false),
        text: Some("no".into()),
        ..Rule::default()
    };
    world.api.rules().add(rule).unwrap()
}

/// Why the keys have not ended stays in the condition while the next attempt has to wait.
async fn the_cause_is_told(world: &World, database: &str) {
    let refused = |object: &Value| condition(object, "AccessRevoked").1 == "RequestRefused";
    world
        .until(Kind::Database, ("", database), LONG, refused)
        .await
        .unwrap();
    for look in 0..4 {
        // A pass, between attempts or with one.
        world
            .kubectl(["label", "orchdb", database, "--overwrite", &format!("look=n{look}")])
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let object = world.get(Kind::Database, "", database).await.unwrap().unwrap();
        assert!(refused(&object), "{object:#}");
    }
}

/// The API keys that the deleted Orchestra had end, as its login does.
async fn keys_end(world: &World, reference: &str, had: &std::collections::BTreeMap<String, String>) {
    let living = living_keys(world, reference);
    assert!(!living.await.is_empty());
    soon("the deleted Orchestra's API keys end", async || {
        let living = living_keys(world, reference).await;
        KEYS.iter().all(|key| !living.contains(&had[*key]))
    })
    .await;
    let of_database = |object: &Value| condition(object, "AccessRevoked").0.is_empty();
    soon("no condition tells of them any more", async || {
        world.list(Kind::Database).await.unwrap().iter().all(of_database)
    })
    .await;
}

/// The database that is kept of the second one of that name loses its project at the provider.
async fn a_lost_one_is_not_taken(world: &World) {
    let database = database_name(world, "one").await;
    world
        .kubectl([
            "patch",
            "orch",
            "one",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            r#"{"spec":{"deletionPolicy":"Retain"}}"#,
        ])
        .unwrap();
    ready(world, "one").await;
    let kept = delete(world, "one", &database, "Released").await;
    let reference = kept["status"]["project"]["ref"].as_str().unwrap();
    let address = format!("{}/v1/projects/{reference}", world.api.url());
    let deleted = reqwest::Client::new().delete(address).bearer_auth(world.api.token());
    assert!(deleted.send().await.unwrap().status().is_success());
    let lost = |object: &Value| condition(object, "Stalled").1 == "DatabaseLost";
    world.until(Kind::Database, ("", &database), LONG, lost).await.unwrap();
    taker(world, TENANTS, "late", &database, "");
    let message = refused(world, TENANTS, "late", "DatabaseLost").await;
    assert!(message.contains("ask the provider's support"), "{message}");
    assert_eq!(world.api.ledger().projects().len(), 2, "none was bought in its place");
}

/// An admin offers it to another namespace; in the end it is destroyed.
async fn ends(world: &World, database: &str, old: &str) {
    delete(world, "back", database, "Reclaiming").await;
    patch(world, database, r#"{"offeredTo":"others"}"#);
    let ready = |object: &Value| is_true(object, "Ready");
    let foreign = world
        .until(Kind::Orchestra, ("others", "foreign"), LONG, ready)
        .await
        .unwrap();
    assert_eq!(foreign["status"]["databaseName"], database);
    assert!(login(old).await.is_err());
    let url = &secret(world, "others", "foreign-connection").await["DATABASE_URL"];
    assert_eq!(scalar(&mut login(url).await.unwrap(), MEMBERS).await, 4);
    world
        .kubectl(["delete", "orch", "foreign", "-n", "others", "--timeout=60s"])
        .unwrap();
    let reclaiming = |object: &Value| object["status"]["phase"] == "Reclaiming";
    world
        .until(Kind::Database, ("", database), LONG, reclaiming)
        .await
        .unwrap();
    let ledger = world.api.ledger();
    assert!(ledger.projects().iter().all(|project| project.deleted.is_none()));
    let class = r#"{"spec":{"deletion":{"gracePeriod":"5s"}}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", class])
        .unwrap();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    patch(
        world,
        database,
        &format!(r#"{{"reclaimAfter":"{}"}}"#, soon.strftime("%FT%TZ")),
    );
    gone(world, Kind::Database, "", database).await;
    gone(world, Kind::Secret, SYSTEM, database).await;
    let alive = world.api.ledger().projects();
    assert_eq!(alive.iter().filter(|project| project.deleted.is_none()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_entry_of_a_pool_is_taken_back() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: pooled, annotations: \
             {stagesub.io/is-default-class: \"true\"}}, spec: {pools: {names: [house], policy: PoolOnly}}}",
        )
        .unwrap();
    sources(&world);
    crate::pool::house(&world, &crate::pool::inventory(&world, &["first"]).await);
    orchestra(&world, "one", "");
    let object = ready(&world, "one").await;
    let database = object["status"]["databaseName"].as_str().unwrap().to_owned();
    let old = secret(&world, TENANTS, "one-connection").await["DATABASE_URL"].clone();
    delete(&world, "one", &database, "Released").await;
    gone(&world, Kind::Secret, SYSTEM, &format!("{database}-tenant")).await;
    assert!(login(&old).await.is_err());

    // An Orchestra that names none waits for another entry.
    orchestra(&world, "one", "");
    let waits = reason(&world, "one", "PoolExhausted").await;
    let message = condition(&waits, "Ready").2;
    assert!(
        message.contains(&format!("existing.databaseName: {database}")),
        "{message}"
    );
    let file = crate::support::project().join("deploy/samples/taken-back.yaml");
    let sample = std::fs::read_to_string(file).unwrap();
    world
        .apply(&sample.replace("orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f", &database))
        .unwrap();
    let back = ready(&world, "taken-back").await;
    assert_eq!(back["status"]["databaseName"], database.as_str());
    let mut session = tenant(&world, "taken-back").await;
    assert_eq!(scalar(&mut session, MEMBERS).await, 3);
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orchestra\\_%' AND rolcanlogin";
    assert_eq!(scalar(&mut session, roles).await, 1, "no login of the former tenant");
}
