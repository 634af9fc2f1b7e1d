//! Orchestras with a ttl: warned of, extended, and gone with everything that belongs to them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use orchestra_sandbox::api::Rule;
use orchestra_sandbox::gate::{Gate, Point, Release};
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::pool::{house, inventory};
use crate::proof::{generous_world, soon};
use crate::support::{
    LONG, gate, gone, kill, login, orchestra, project, ready, scalar, secret, sources, standard_class,
};
use crate::way_back::left::{set_url, urls};

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_default().parse().unwrap()
}

fn created(object: &Value) -> Timestamp {
    time(&object["metadata"]["creationTimestamp"])
}

/// Waits until the end of an Orchestra is `ttl` after `since`.
async fn ends(world: &World, name: &str, since: Timestamp, ttl: SignedDuration) -> Value {
    let at = (since + ttl).to_string();
    let is = |object: &Value| object["status"]["expiresAt"] == at.as_str() && is_true(object, "Ready");
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

fn annotate(world: &World, name: &str, value: &str) {
    let annotation = format!("stagesub.io/extended-at={value}");
    world
        .kubectl(["annotate", "orch", name, "-n", TENANTS, "--overwrite", &annotation])
        .unwrap();
}

fn set_ttl(world: &World, name: &str, ttl: &str) {
    let patch = format!(r#"{{"spec":{{"ttl":"{ttl}"}}}}"#);
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

/// Sets a ttl that ends soon.
async fn ends_soon(world: &World, name: &str) {
    let object = world.get(Kind::Orchestra, TENANTS, name).await.unwrap().unwrap();
    let counted = [
        created(&object),
        object["status"]["ttlSince"]
            .as_str()
            .map_or(Timestamp::MIN, |at| at.parse().unwrap()),
    ];
    let since = counted.into_iter().max().unwrap_or_default();
    let age = Timestamp::now().duration_since(since).as_secs().max(0);
    set_ttl(world, name, &format!("{}s", age + 12));
}

/// The events about an Orchestra of this reason.
fn events(world: &World, reason: &str) -> String {
    let selector = format!("reason={reason}");
    world
        .kubectl([
            "get",
            "events",
            "-n",
            TENANTS,
            "--field-selector",
            &selector,
            "-o",
            "custom-columns=N:.message",
        ])
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_is_one_command() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    world.store_token().unwrap();
    let folder = project().join("deploy/samples/demo");
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    let file = folder.join("orchestra.yaml");
    let create = [
        "create",
        "-f",
        file.to_str().unwrap(),
        "-o",
        "jsonpath={.metadata.name}",
    ];
    let mut names = Vec::new();
    for waits in [false, true] {
        // One that comes before the pool has a database gets a project of its own.
        if waits {
            let waits = |pool: &Value| pool["status"]["available"] == 1;
            world.until(Kind::Pool, ("", "warm-demo"), LONG, waits).await.unwrap();
        }
        let name = world.kubectl(create).unwrap().trim().to_owned();
        let ready = |object: &Value| is_true(object, "Ready");
        let object = world
            .until(Kind::Orchestra, ("demos", &name), LONG, ready)
            .await
            .unwrap();
        if waits {
            let database = object["status"]["databaseName"].as_str().unwrap();
            let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
            assert_eq!(database["spec"]["pool"], "warm-demo", "{database:#}");
        }
        let at = created(&object) + SignedDuration::from_hours(72);
        assert_eq!(time(&object["status"]["expiresAt"]), at);
        let wide = world
            .kubectl(["get", "orch", &name, "-n", "demos", "-o", "wide"])
            .unwrap();
        assert!(wide.contains("EXPIRES") && wide.contains(&at.to_string()), "{wide}");
        let url = &secret(&world, "demos", &format!("{name}-connection")).await["DATABASE_URL"];
        let members = scalar(&mut login(url).await.unwrap(), r#"SELECT count(*) FROM "Member""#).await;
        assert!(members >= 60, "{members}");
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn it_is_extended_by_editing_and_ends_with_everything() {
    let world = generous_world().await;
    let mut first = world.operator("first", |_| {}).unwrap();
    soon("it leads", async || first.log().contains("leading")).await;
    let _second = world.operator("second", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "demo", "  deletionPolicy: Delete\n  ttl: 1h");
    let object = ready(&world, "demo").await;
    let database = object["status"]["databaseName"].as_str().unwrap().to_owned();
    let (since, hour) = (created(&object), SignedDuration::from_hours(1));
    ends(&world, "demo", since, hour).await;
    set_ttl(&world, "demo", "72h");
    ends(&world, "demo", since, SignedDuration::from_hours(72)).await;
    let extended = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    annotate(&world, "demo", &extended.to_string());
    ends(&world, "demo", extended, SignedDuration::from_hours(72)).await;
    annotate(&world, "demo", "tomorrow");
    let object = ends(&world, "demo", since, SignedDuration::from_hours(72)).await;
    let message = condition(&object, "Ready").2;
    assert!(message.contains("extended-at is not a timestamp"), "{message}");
    annotate(&world, "demo", "9999-12-01T00:00:00Z");
    let ahead = |object: &Value| condition(object, "Ready").2.contains("extended-at is in the future");
    world
        .until(Kind::Orchestra, (TENANTS, "demo"), LONG, ahead)
        .await
        .unwrap();
    ends(&world, "demo", since, SignedDuration::from_hours(72)).await;

    // A removed ttl is no ttl; one that comes later counts from then on.
    world
        .kubectl([
            "patch",
            "orch",
            "demo",
            "-n",
            TENANTS,
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/spec/ttl"}]"#,
        ])
        .unwrap();
    let lives = |object: &Value| object["status"]["expiresAt"].is_null() && is_true(object, "Ready");
    world
        .until(Kind::Orchestra, (TENANTS, "demo"), LONG, lives)
        .await
        .unwrap();
    let before = Timestamp::now() - SignedDuration::from_secs(2);
    set_ttl(&world, "demo", "12s");
    let again = |object: &Value| object["status"]["expiresAt"].is_string();
    let object = world
        .until(Kind::Orchestra, (TENANTS, "demo"), LONG, again)
        .await
        .unwrap();
    let at = time(&object["status"]["expiresAt"]);
    assert!(at >= before + SignedDuration::from_secs(12), "{object:#}");

    // The provider is down at its end, and the operator that began the deletion dies.
    let down = Rule {
        path: Some("^/v1/".into()),
        status: Some(503),
        text: Some("upstream".into()),
        ..Rule::default()
    };
    let down = world.api.rules().add(down).unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "demo").await;
    assert!(Timestamp::now() >= at, "not before its end");
    let waits = |database: &Value| condition(database, "Reconciling").1 == "ProviderUnavailable";
    world.until(Kind::Database, ("", &database), LONG, waits).await.unwrap();
    kill(&world, &mut first);
    assert!(world.api.rules().remove(down));
    gone(&world, Kind::Secret, TENANTS, "demo-connection").await;
    gone(&world, Kind::Database, "", &database).await;
    for name in [database.clone(), format!("{database}-tenant")] {
        gone(&world, Kind::Secret, SYSTEM, &name).await;
    }
    assert!(
        world
            .api
            .ledger()
            .projects()
            .iter()
            .all(|project| project.deleted.is_some())
    );
    assert_eq!(world.api.ledger().projects().len(), 1);
    let warned = events(&world, "Expiring");
    assert!(
        warned.contains("expires at") && warned.contains("To extend"),
        "{warned}"
    );
    let last = events(&world, "Expired");
    assert!(last.contains(&database), "{last}");
}

fn operator(world: &World, gate: &Gate, name: &str) -> Operator {
    world
        .operator(name, |command| {
            command.env("KUBECONFIG", gate.kubeconfig()).arg("--resync=2s");
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn it_ends_once_whenever_the_operator_dies_and_not_when_it_is_extended() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let mut running = operator(&world, &gate, "first");
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: demos, annotations: \
             {stagesub.io/is-default-class: \"true\"}}, spec: {pools: {names: [house], policy: PoolOnly}, deletion: {policy: Delete}}}",
        )
        .unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two", "three"]).await;
    house(&world, &entries);
    for name in ["before", "after", "kept"] {
        orchestra(&world, name, "");
        ready(&world, name).await;
    }
    // A class that gets a ttl ends nothing at once.
    let patch = r#"{"spec":{"ttl":"1h"}}"#;
    world
        .kubectl(["patch", "orchclass", "demos", "--type=merge", "-p", patch])
        .unwrap();
    let later = (Timestamp::now() + SignedDuration::from_mins(59)).to_string();
    let has = |object: &Value| {
        object["status"]["expiresAt"]
            .as_str()
            .is_some_and(|at| at > later.as_str())
    };
    for name in ["before", "after", "kept"] {
        world.until(Kind::Orchestra, (TENANTS, name), LONG, has).await.unwrap();
        set_policy(&world, name);
    }
    for (name, point, release) in [
        ("before", Point::Before, Release::Lose),
        ("after", Point::After, Release::Pass),
    ] {
        gate.follow(name);
        gate.hold(name, "DELETE orchestras ", point);
        ends_soon(&world, name).await;
        soon("it is about to end", async || gate.held(name).is_some()).await;
        kill(&world, &mut running);
        gate.release(name, release);
        running = operator(&world, &gate, &format!("after-{name}"));
        gone(&world, Kind::Orchestra, TENANTS, name).await;
    }
    gate.follow("kept");
    gate.hold("kept", "DELETE orchestras ", Point::Before);
    ends_soon(&world, "kept").await;
    soon("it is about to end", async || gate.held("kept").is_some()).await;
    set_ttl(&world, "kept", "1h");
    gate.release("kept", Release::Pass);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept = ready(&world, "kept").await;
    assert!(
        kept["metadata"]["deletionTimestamp"].is_null() && kept["status"]["expiryNotice"].is_null(),
        "{kept:#}"
    );
    let released = |database: &Value| database["status"]["phase"] == "Released";
    let databases = world.list(Kind::Database).await.unwrap();
    assert_eq!(databases.iter().filter(|database| released(database)).count(), 2);
    let mut admin = login(&world.api.postgres().unwrap().admin_url()).await.unwrap();
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_[0-9a-f]{32}$'";
    assert_eq!(scalar(&mut admin, roles).await, 1, "only that of the one that is kept");
    drop(admin);
    the_owners_login_is_refused(&world, &entries).await;
}

/// A demo ends while its owner's login is refused, and its login ends when that is corrected.
async fn the_owners_login_is_refused(world: &World, entries: &[String]) {
    let object = ready(world, "kept").await;
    let database = object["status"]["databaseName"].as_str().unwrap();
    let url = secret(world, TENANTS, "kept-connection").await["DATABASE_URL"].clone();
    let found = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    let key = found["spec"]["static"]["key"].as_str().unwrap();
    let number: usize = key.rsplit('_').next().unwrap().parse().unwrap();
    let (right, wrong) = urls(&entries[number - 1]);
    set_url(world, number, &wrong);
    let refused = |object: &Value| condition(object, "EntryUsable").1 == "LoginFailed";
    world
        .until(Kind::Database, ("", database), LONG, refused)
        .await
        .unwrap();
    ends_soon(world, "kept").await;
    gone(world, Kind::Orchestra, TENANTS, "kept").await;
    let left = |object: &Value| object["spec"]["formerLogins"] == "Left";
    world.until(Kind::Database, ("", database), LONG, left).await.unwrap();
    set_url(world, number, &right);
    soon("the login ends", async || login(&url).await.is_err()).await;
}

/// An Orchestra's own ttl needs its own policy.
fn set_policy(world: &World, name: &str) {
    let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", patch])
        .unwrap();
}
