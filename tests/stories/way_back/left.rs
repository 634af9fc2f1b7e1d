//! A former tenant's login that could not be revoked when its Orchestra was deleted ends once, whenever the operator is
//! killed, and its neighbour on the same server notices nothing.

use std::time::Duration;

use orchestra_sandbox::gate::{Gate, Point, Release};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition};
use serde_json::{Value, json};

use super::MEMBERS;
use crate::entries::patch_inventory;
use crate::pool::{house, inventory};
use crate::proof::soon;
use crate::support::{LONG, gate, kill, login, orchestra, ready, scalar, secret, sources};

/// The write that ends it.
const ENDS: &str = "PATCH orchestradatabases formerLogins";

/// The URL of an entry, and the same with another password.
pub fn urls(entry: &str) -> (String, String) {
    let url: String = serde_json::from_str(entry.split_once(": ").unwrap().1).unwrap();
    let mut wrong = url::Url::parse(&url).unwrap();
    wrong.set_password(Some("not-this-one")).unwrap();
    (url, wrong.to_string())
}

/// Changes the URL of an entry.
pub fn set_url(world: &World, number: usize, url: &str) {
    patch_inventory(
        world,
        &json!({"stringData": {format!("DATABASE_URL_POOL_{number}"): url}}),
    );
}

fn operator(world: &World, gate: &Gate, name: &str) -> Operator {
    world
        .operator(name, |command| {
            command.env("KUBECONFIG", gate.kubeconfig()).arg("--resync=2s");
        })
        .unwrap()
}

async fn database_of(world: &World, name: &str) -> Value {
    let object = ready(world, name).await;
    let database = object["status"]["databaseName"].as_str().unwrap();
    world.get(Kind::Database, "", database).await.unwrap().unwrap()
}

/// How many roles of an Orchestra the server has.
async fn roles(world: &World, orchestra: &Value) -> i64 {
    let uid = orchestra["metadata"]["uid"].as_str().unwrap().replace('-', "");
    let mut session = login(&world.api.postgres().unwrap().admin_url()).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname LIKE $1")
        .bind(format!("%{uid}%"))
        .fetch_one(&mut session)
        .await
        .unwrap()
}

/// Waits until the write that ends the login is held.
async fn is_about_to_end(gate: &Gate, database: &str) {
    soon("the end is about to be written", async || gate.held(database).is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_login_that_is_left_is_revoked_once_whenever_the_operator_dies() {
    let world = crate::support::world().await;
    let gate = gate(&world).await;
    let mut running = operator(&world, &gate, "first");
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: pooled, annotations: \
             {stagesub.io/is-default-class: \"true\"}}, spec: {pools: {names: [house], policy: PoolOnly}}}",
        )
        .unwrap();
    sources(&world);
    let entries = inventory(&world, &["first", "second"]).await;
    house(&world, &entries);
    orchestra(&world, "leaver", "");
    orchestra(&world, "neighbour", "");
    let (left, beside) = (
        database_of(&world, "leaver").await,
        database_of(&world, "neighbour").await,
    );
    let database = left["metadata"]["name"].as_str().unwrap().to_owned();
    let leaver = world.get(Kind::Orchestra, TENANTS, "leaver").await.unwrap().unwrap();
    let url = secret(&world, TENANTS, "leaver-connection").await["DATABASE_URL"].clone();
    let neighbours = secret(&world, TENANTS, "neighbour-connection").await["DATABASE_URL"].clone();
    let mut theirs = login(&neighbours).await.unwrap();
    let backend = scalar(&mut theirs, "SELECT pg_backend_pid()::bigint").await;

    // The owner's login is refused while the Orchestra is deleted.
    let key = left["spec"]["static"]["key"].as_str().unwrap();
    let number: usize = key.rsplit('_').next().unwrap().parse().unwrap();
    let (right, wrong) = urls(&entries[number - 1]);
    set_url(&world, number, &wrong);
    let refused = |object: &Value| condition(object, "EntryUsable").1 == "LoginFailed";
    world
        .until(Kind::Database, ("", &database), LONG, refused)
        .await
        .unwrap();
    world
        .kubectl(["delete", "orch", "leaver", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let is_left = |object: &Value| {
        object["spec"]["formerLogins"] == "Left" && condition(object, "AccessRevoked").1 == "LoginFailed"
    };
    world
        .until(Kind::Database, ("", &database), LONG, is_left)
        .await
        .unwrap();
    drop(login(&url).await.expect("the login still works"));

    kill(&world, &mut running);
    set_url(&world, number, &right);
    gate.follow(&database);
    // Killed before and after the end is written: the logins are shut by then.
    for (point, release, is) in [
        (Point::Before, Release::Lose, "Left"),
        (Point::After, Release::Pass, "Revoked"),
    ] {
        gate.hold(&database, ENDS, point);
        running = operator(&world, &gate, &format!("{point:?}").to_lowercase());
        is_about_to_end(&gate, &database).await;
        assert!(login(&url).await.is_err(), "{point:?}: the login is revoked");
        kill(&world, &mut running);
        gate.release(&database, release);
        let stored = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
        assert_eq!(stored["spec"]["formerLogins"], is, "{point:?}");
    }
    let _last = operator(&world, &gate, "last");
    let over = |object: &Value| condition(object, "AccessRevoked").0.is_empty();
    world.until(Kind::Database, ("", &database), LONG, over).await.unwrap();
    // A further pass ends nothing again.
    world.kubectl(["label", "orchdb", &database, "look=again"]).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ends = gate.writes(&database).iter().filter(|write| *write == ENDS).count();
    assert_eq!(ends, 2, "one was lost, one took place: {:?}", gate.writes(&database));
    assert_eq!(roles(&world, &leaver).await, 0, "the former tenant's roles are dropped");

    // The neighbour has its session, its login, its data and its database.
    assert_eq!(scalar(&mut theirs, "SELECT pg_backend_pid()::bigint").await, backend);
    assert_eq!(scalar(&mut login(&neighbours).await.unwrap(), MEMBERS).await, 3);
    let now = database_of(&world, "neighbour").await;
    assert_eq!(now["spec"], beside["spec"]);
}
