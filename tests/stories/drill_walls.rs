//! What cannot be reached through a drill: servers of other classes, other backups.

use std::time::{Duration, Instant};

use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition};
use serde_json::{Value, json};

use crate::backup::{DESTINATION, backup, runner, until};
use crate::drill::{ask, drilled, may_make_databases, server_pool};
use crate::support::{LONG, events_with, kill, orchestra, patch_status, ready, scalar, sources, standard_class, world};

const MADE: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'orchestra_%'";

/// The default class, whose drills are made on the server of this pool.
fn class(world: &World, pool: &str) {
    let more = DESTINATION.trim_end_matches('}');
    standard_class(world, &format!("{more}}}}}, scratchPoolName: {pool}}}"));
}

/// Another class, which does not admit the tenants' namespace. Its drills are made on the server of its pool.
fn rival_class(world: &World, pool: &str) {
    let backup = DESTINATION.trim_end_matches('}');
    world
        .apply(&format!(
            "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraClass\nmetadata: {{name: rival}}\nspec:\n  \
             pools: {{names: [{pool}], policy: PoolOnly}}\n  \
             allowedNamespaces: {{selector: {{matchLabels: {{tenants: others}}}}}}\n\
             {backup}}}}}, scratchPoolName: {pool}}}\n"
        ))
        .unwrap();
}

/// Nothing is written and no step is repeated for some seconds, in which the operator looks at the backup again.
async fn is_at_rest(world: &World, operator: &Operator, object: &Value) {
    let (log, version) = (operator.log(), &object["metadata"]["resourceVersion"]);
    let drops = log.matches("Drill(Drop)").count();
    assert!((1..=2).contains(&drops), "{log}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let now = world.get(Kind::Backup, TENANTS, "last").await.unwrap().unwrap();
    assert_eq!(now["metadata"]["resourceVersion"], *version, "{now:#}");
    let log = operator.log();
    assert_eq!(log.matches("Drill(Drop)").count(), drops, "{log}");
}

/// The message about a drill that was not made.
async fn not_done(world: &World, value: &str) -> String {
    let object = drilled(world, "last", value).await;
    let (is, reason, message) = condition(&object, "Verified");
    assert_eq!(
        (is.as_str(), reason.as_str()),
        ("Unknown", "NoScratchServer"),
        "{object:#}"
    );
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0, "no Job has a login");
    message
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_drill_reaches_no_server_of_another_class_and_believes_no_forged_status() {
    let world = world().await;
    let files = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let trial = server_pool(&world, &files[0], "trial", 0).await;
    let rivals = server_pool(&world, &files[1], "rivals", 0).await;
    let (mut own, mut theirs) = (
        trial.connect_admin().await.unwrap(),
        rivals.connect_admin().await.unwrap(),
    );
    may_make_databases(&mut own).await;
    may_make_databases(&mut theirs).await;
    // The sample has closed them.
    let open = "GRANT CONNECT, TEMPORARY ON DATABASE postgres, template1 TO PUBLIC";
    sqlx::query(open).execute(&mut own).await.unwrap();
    let start = |name: &str| {
        let spaced = world.operator(name, |command| {
            command.env("ORCHESTRA_RESYNC", "2s").args(["--login-spacing=300ms"]);
        });
        spaced.unwrap()
    };
    let mut operator = start("operator");
    // The server of a pool without databases is looked at as well, until an admin has closed it.
    let told = |pool: &Value| condition(pool, "ServersClosed").1 == "ServerOpen";
    let pool = world.until(Kind::Pool, ("", "trial"), LONG, told).await.unwrap();
    let (_, _, message) = condition(&pool, "ServersClosed");
    let statement = &message[message.find("REVOKE").unwrap()..];
    assert_eq!(
        statement.split(", and in").next().unwrap(),
        "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC",
        "{message}"
    );
    for sql in [
        "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC",
        "GRANT CONNECT ON DATABASE postgres TO orchestra_maker",
    ] {
        sqlx::query(sql).execute(&mut own).await.unwrap();
    }
    let closed = |pool: &Value| condition(pool, "ServersClosed").0.is_empty();
    world.until(Kind::Pool, ("", "trial"), LONG, closed).await.unwrap();

    let _runner = runner(&world).await;
    class(&world, "rivals");
    rival_class(&world, "rivals");
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;
    backup(&world, "last", "acme", "Retain");
    let complete = until(&world, "last", |object| condition(object, "Ready").0 == "True").await;
    // The class names a pool that takes no drills of it.
    ask(&world, "last", "one");
    let message = not_done(&world, "one").await;
    assert!(
        message.contains("add standard to server.drillClassNames of the pool"),
        "{message}"
    );
    // The status says that a drill was started on the server of that pool.
    kill(&world, &mut operator);
    class(&world, "trial");
    let uid = complete["metadata"]["uid"].as_str().unwrap().replace('-', "");
    let scratch = json!({"name": format!("orchestra_drill_{uid}"), "pool": "rivals"});
    let verification = json!({"requested": "two", "attempts": 1, "concluded": 0, "scratch": scratch.clone()});
    ask(&world, "last", "two");
    patch_status(&world, "orchbackup", "last", &json!({"verification": verification}));
    let operator = start("second");
    let told = |object: &Value| {
        condition(object, "Verified")
            .2
            .contains("the server of scratch databases changed")
    };
    let object = until(&world, "last", told).await;
    assert_eq!(condition(&object, "Verified").1, "NoScratchServer", "{object:#}");
    assert_eq!(scalar(&mut theirs, MADE).await, 0, "nothing was made there");
    // The operator takes the field away, although another manager has set it, and rests.
    let object = drilled(&world, "last", "two").await;
    is_at_rest(&world, &operator, &object).await;
    // One that reappears after each drop is dropped at growing intervals.
    let began = Instant::now();
    for at in [scratch, json!({"name": "postgres", "pool": "trial"})] {
        let again = json!({"verification": {"scratch": at}});
        patch_status(&world, "orchbackup", "last", &again);
        let is_gone = |object: &Value| object["status"]["verification"]["scratch"].is_null();
        until(&world, "last", is_gone).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(scalar(&mut theirs, MADE).await, 0);
    events_with(&world, "was not the name of a scratch database").await;
    // A drill restores the manifest with the digest that was told, and no other.
    let forged = json!({"manifestDigest": "0".repeat(64)});
    patch_status(&world, "orchbackup", "last", &forged);
    ask(&world, "last", "three");
    let object = drilled(&world, "last", "three").await;
    let (is, reason, _) = condition(&object, "Verified");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "BackupDamaged"), "{object:#}");
    patch_status(
        &world,
        "orchbackup",
        "last",
        &json!({"manifestDigest": complete["status"]["manifestDigest"]}),
    );
    ask(&world, "last", "four");
    let object = drilled(&world, "last", "four").await;
    assert_eq!(condition(&object, "Verified").0, "True", "{object:#}");
    // The status names another class, on whose server the tenants' namespace has nothing to do.
    for (value, forged, told) in [
        (
            "five",
            json!({"className": "rival"}),
            "the Orchestra's database is of OrchestraClass standard",
        ),
        (
            "six",
            json!({"className": "rival", "databaseName": null}),
            "class rival does not admit namespace",
        ),
    ] {
        patch_status(&world, "orchbackup", "last", &forged);
        ask(&world, "last", value);
        let message = not_done(&world, value).await;
        assert!(message.contains(told), "{message}");
    }
    assert_eq!((scalar(&mut own, MADE).await, scalar(&mut theirs, MADE).await), (0, 0));
}
