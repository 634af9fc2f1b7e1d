//! The connection Secret as the spec asks for it: its keys, labels and type, its name, and what is wrong with a template.

use std::collections::BTreeMap;

use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{generous_world, one_project_and_both_logins, soon, tenant};
use crate::rotation::{ask, generation};
use crate::support::{
    LONG, decoded, gate, gone, kill, login, orchestra, patch_config_map, ready, reason, secret, sources, standard_class,
};

/// Changes `spec.connection` of `one`, and waits until that is so.
async fn connect(world: &World, connection: &Value) -> Value {
    patch(world, connection);
    let settled = |object: &Value| {
        is_true(object, "Ready") && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, settled)
        .await
        .unwrap()
}

fn patch(world: &World, connection: &Value) {
    let patch = json!({"spec": {"connection": connection}}).to_string();
    world
        .kubectl(["patch", "orchestra", "one", "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

async fn labels(world: &World, name: &str) -> Value {
    let object = world.get(Kind::Secret, TENANTS, name).await.unwrap().unwrap();
    object["metadata"]["labels"].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn the_secret_is_as_the_spec_asks() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let gate = gate(&world).await;
    let start = |name: &str| {
        let through = |command: &mut std::process::Command| {
            command
                .env("KUBECONFIG", gate.kubeconfig())
                .arg("--supabase-trusted-hosts=supabase.test");
        };
        world.operator(name, through).unwrap()
    };
    let mut operator = start("operator");
    orchestra(&world, "one", "");
    one_project_and_both_logins(&world, "one").await;

    // Keys and labels of one's own; the type of a Secret that exists stays.
    let object = connect(
        &world,
        &json!({
            "type": "servicebinding.io/postgresql", "labels": {"team": "strings"}, "annotations": {"example.com/a": "b"},
            "template": {"JDBC": "jdbc:postgresql://{{ host }}:{{ port }}/{{ database }}", "mine": "{{ user }}"},
        }),
    )
    .await;
    assert_eq!(object["status"]["binding"]["name"], "one-connection");
    let keys = secret(&world, TENANTS, "one-connection").await;
    assert_eq!(
        (keys["type"].as_str(), keys["provider"].as_str()),
        ("postgresql", "supabase")
    );
    assert_eq!((&keys["username"], &keys["mine"]), (&keys["user"], &keys["user"]));
    assert!(keys["JDBC"].starts_with("jdbc:postgresql://") && keys["JDBC"].ends_with("/postgres"));
    assert_eq!(labels(&world, "one-connection").await["team"], "strings");
    let object = world
        .get(Kind::Secret, TENANTS, "one-connection")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&object["type"], &object["metadata"]["annotations"]["example.com/a"]),
        (&json!("Opaque"), &json!("b"))
    );

    // A template that changes is rendered again; what is no longer asked for goes, and others' labels stay.
    world
        .kubectl(["label", "secret", "one-connection", "-n", TENANTS, "theirs=stays"])
        .unwrap();
    connect(
        &world,
        &json!({"type": null, "labels": null, "annotations": null, "template": {"mine": "{{ name }}", "JDBC": null}}),
    )
    .await;
    let keys = secret(&world, TENANTS, "one-connection").await;
    assert_eq!(keys["mine"], "one");
    assert!(!keys.contains_key("JDBC") && !keys.contains_key("username"));
    let now = labels(&world, "one-connection").await;
    assert_eq!((&now["team"], &now["theirs"]), (&Value::Null, &json!("stays")));

    what_is_wrong_is_told(&world).await;
    what_was_published_goes_on_while_the_spec_is_wrong(&world).await;
    a_new_name_leaves_the_old_one_for_the_overlap(&world).await;
    // The same when the operator dies between the new Secret and the status that knows of the old one, or at the removal.
    gate.follow("one");
    let writes = [
        ("POST secrets", "third-name", "again"),
        ("PATCH secrets", "\"DATABASE_URL\":null", "and-again"),
    ];
    for (label, text, other) in writes {
        gate.hold_text("one", label, text, Point::After);
        if text == "third-name" {
            patch(&world, &json!({"secretName": text}));
        }
        soon("the write is held", async || gate.held("one").is_some()).await;
        kill(&world, &mut operator);
        gate.release("one", Release::Lose);
        operator = start(other);
    }
    gone(&world, Kind::Secret, TENANTS, "new-name").await;
    let settled = |object: &Value| object["status"]["formerSecrets"].is_null() && is_true(object, "Ready");
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, settled)
        .await
        .unwrap();
    a_direct_host_is_said_to_have_ipv6_only(&world).await;
    while_the_database_cannot_be_used(&world, (&mut operator, &start)).await;
}

#[allow(clippy::too_many_lines, reason = "one table of what is wrong")]
async fn what_is_wrong_is_told(world: &World) {
    let before = secret(world, TENANTS, "one-connection").await;
    for (connection, says) in [
        (
            json!({"template": {"bad": "{{ passwort }}"}}),
            "key bad: the variable passwort does not exist",
        ),
        (json!({"template": {"bad": "{{ password "}}), "key bad: syntax error"),
        (
            json!({"template": {"bad": "{% for i in range(1000000000) %}x{% endfor %}"}}),
            "key bad: the tag for is not supported",
        ),
        (
            json!({"template": {"bad": null}, "rotation": {"schedule": "0 0 30 2 *"}}),
            "never fires: use a date that exists",
        ),
        (
            json!({"rotation": {"schedule": "0 0 * * *", "timeZone": "Europe/Atlantis"}}),
            "\"Europe/Atlantis\" does not exist",
        ),
        (
            json!({"rotation": {"schedule": "0 * * * *", "timeZone": null, "overlap": "2h"}}),
            "overlap (2h) is not shorter than the shortest period",
        ),
    ] {
        patch(world, &connection);
        let told = |object: &Value| condition(object, "Ready").2.contains(says);
        let object = world
            .until(Kind::Orchestra, (TENANTS, "one"), LONG, told)
            .await
            .unwrap();
        assert_eq!(condition(&object, "Ready").1, "ConnectionInvalid");
        assert_eq!(condition(&object, "CredentialsReady").0, "False");
        assert!(
            is_true(&object, "Stalled") && is_true(&object, "Available"),
            "{object:#}"
        );
        let shown = object.to_string();
        assert!(
            before
                .iter()
                .all(|(key, value)| key != "password" || !shown.contains(value.as_str()))
        );
    }
    assert_eq!(
        secret(world, TENANTS, "one-connection").await,
        before,
        "the Secret stays"
    );
    let much = json!({"spec": {"connection": {"template": {"bad": "x".repeat(2 << 20)}}}}).to_string();
    let file = world.dir().join("much.json");
    std::fs::write(&file, much).unwrap();
    let path = format!("--patch-file={}", file.display());
    let refused = world.kubectl(["patch", "orchestra", "one", "-n", TENANTS, "--type=merge", &path]);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("may not be more than 16384") || refused.contains("too large"),
        "{refused}"
    );
    connect(world, &json!({"rotation": null})).await;
}

async fn is_put_right(world: &World, published: &BTreeMap<String, String>) {
    soon("the Secret is put right", async || {
        let there = world.get(Kind::Secret, TENANTS, "one-connection").await.unwrap();
        there.is_some_and(|there| decoded(&there) == *published)
    })
    .await;
}

async fn what_was_published_goes_on_while_the_spec_is_wrong(world: &World) {
    connect(world, &json!({"rotation": {"overlap": "6s"}})).await;
    let former = secret(world, TENANTS, "one-connection").await;
    ask(world, "one", "before");
    generation(world, "one", 2).await;
    // A new name is not published either.
    let wrong = json!({"secretName": "elsewhere", "template": {"mine": "{{ nome }}", "bad": "{{ passwort }}"}});
    patch(world, &wrong);
    let is_wrong = |object: &Value| condition(object, "Ready").1 == "ConnectionInvalid";
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, is_wrong)
        .await
        .unwrap();
    let published = secret(world, TENANTS, "one-connection").await;
    assert_eq!(published["mine"], "one");

    // It is put right as it was, with a template that was right.
    let edited = r#"{"data": {"mine": "b2RkCg==", "password": null, "uri": null}}"#;
    let change = ["patch", "secret", "one-connection", "-n", TENANTS, "-p", edited];
    world.kubectl(change).unwrap();
    is_put_right(world, &published).await;
    let delete = ["delete", "secret", "one-connection", "-n", TENANTS];
    world.kubectl(delete).unwrap();
    is_put_right(world, &published).await;
    // Migrations are applied, the former login ends, and no rotation begins.
    let more = json!({"20260103000000_halls.sql": "CREATE TABLE \"Hall\" (\"id\" SERIAL PRIMARY KEY);"});
    patch_config_map(world, "schema", &more);
    let applied = |object: &Value| object["status"]["migrations"]["applied"] == 3 && is_wrong(object);
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, applied)
        .await
        .unwrap();
    ask(world, "one", "while-it-is-wrong");
    soon("the former login ends", async || {
        login(&former["DIRECT_URL"]).await.is_err()
    })
    .await;
    let ended = |object: &Value| object["status"]["credentials"]["formerUntil"].is_null() && is_wrong(object);
    let object = world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, ended)
        .await
        .unwrap();
    assert_eq!(object["status"]["credentials"]["generation"], 2, "{object:#}");
    assert_eq!(condition(&object, "CredentialsReady").1, "ConnectionInvalid");
    assert!(
        is_true(&object, "Available") && is_true(&object, "Migrated"),
        "{object:#}"
    );
    drop(tenant(world, "one").await);

    patch(
        world,
        &json!({"secretName": null, "template": {"mine": "{{ name }}", "bad": null}}),
    );
    let object = generation(world, "one", 3).await;
    assert_eq!(object["status"]["credentials"]["handledRequest"], "while-it-is-wrong");
    connect(world, &json!({"rotation": null})).await;
}

async fn a_new_name_leaves_the_old_one_for_the_overlap(world: &World) {
    let object = connect(
        world,
        &json!({"secretName": "new-name", "type": "servicebinding.io/postgresql", "rotation": {"overlap": "10s"}}),
    )
    .await;
    let status = &object["status"];
    assert_eq!(
        (&status["secretRef"]["name"], &status["binding"]["name"]),
        (&json!("new-name"), &json!("new-name"))
    );
    assert_eq!(status["formerSecrets"][0]["name"], "one-connection", "{object:#}");
    let new = world.get(Kind::Secret, TENANTS, "new-name").await.unwrap().unwrap();
    assert_eq!(new["type"], "servicebinding.io/postgresql");
    drop(tenant(world, "one").await);
    drop(login(&secret(world, TENANTS, "new-name").await["uri"]).await.unwrap());
    gone(world, Kind::Secret, TENANTS, "one-connection").await;
    let none = |object: &Value| object["status"]["formerSecrets"].is_null();
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, none)
        .await
        .unwrap();
}

async fn a_direct_host_is_said_to_have_ipv6_only(world: &World) {
    let before = secret(world, TENANTS, "third-name").await;
    patch(world, &json!({"mode": "Direct"}));
    let object = reason(world, "one", "DatabaseUnreachable").await;
    let message = condition(&object, "Ready").2;
    for says in ["IPv6 address only", "IPv4 add-on", "SessionPooler", "db."] {
        assert!(message.contains(says), "{message}");
    }
    assert!(is_true(&object, "Available"), "{object:#}");
    assert_eq!(
        secret(world, TENANTS, "third-name").await,
        before,
        "what does not work is not published"
    );
    patch(world, &json!({"mode": "TransactionPooler"}));
    ready(world, "one").await;
    let keys = secret(world, TENANTS, "third-name").await;
    assert_ne!(keys["port"], before["port"]);
}

/// A template changes while the database is down, and another operator publishes it; then the owner's password is not the stored
/// one.
async fn while_the_database_cannot_be_used(
    world: &World,
    (operator, start): (&mut Operator, &dyn Fn(&str) -> Operator),
) {
    let object = ready(world, "one").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap();
    let before = secret(world, TENANTS, "third-name").await;
    let standby = start("standby");
    soon("it stands by", async || standby.log().contains("standing by")).await;
    world.api.stop_server(reference).await.unwrap();
    patch(world, &json!({"template": {"mine": "{{ namespace }}"}}));
    let told = |object: &Value| condition(object, "Reconciling").1 == "DatabaseUnreachable";
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, told)
        .await
        .unwrap();
    assert_eq!(secret(world, TENANTS, "third-name").await, before, "the Secret stays");
    kill(world, operator);
    world.api.start_server(reference).await.unwrap();
    let published = async |value: &str| {
        soon(value, async || {
            secret(world, TENANTS, "third-name").await["mine"] == value
        })
        .await;
        ready(world, "one").await;
        let url = secret(world, TENANTS, "third-name").await["DATABASE_URL"].clone();
        drop(login(&url).await.unwrap());
    };
    published(TENANTS).await;

    let mut admin = world.api.project(reference).await.unwrap();
    sqlx::raw_sql("ALTER ROLE postgres PASSWORD 'somebody-elses'")
        .execute(&mut admin)
        .await
        .unwrap();
    patch(world, &json!({"template": {"mine": "{{ user }}"}}));
    published(&before["user"]).await;
    let keys = secret(world, TENANTS, "third-name").await;
    assert_eq!(keys["password"], before["password"], "the tenant's login stays");
}
