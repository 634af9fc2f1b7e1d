//! Passwords that are lost, and the owner's, which is rotated with the login of the tenant: a client that reads the Secret
//! can log in.

use std::collections::BTreeMap;

use orchestra_sandbox::api::{Operation, Rule};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, is_true};
use serde_json::{Value, json};

use crate::proof::{database_name, generous_world, one_project_and_both_logins, owner_url, soon};
use crate::rotation::{Client, ask, generation, killed_at};
use crate::support::{LONG, events_with, login, orchestra, secret, sources, standard_class};

/// The owner's Secret of `one`, once it has another password than before.
async fn new_password(world: &World, former: &str) -> BTreeMap<String, String> {
    let database = database_name(world, "one").await;
    soon("the owner has another password", async || {
        let stored = secret(world, SYSTEM, &database).await;
        stored["password"] != former && !stored.contains_key("pending-password")
    })
    .await;
    let stored = secret(world, SYSTEM, &database).await;
    drop(login(&owner_url(&stored)).await.unwrap());
    let mut before = stored.clone();
    before.insert("password".to_owned(), former.to_owned());
    assert!(login(&owner_url(&before)).await.is_err(), "the former password is void");
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_password_is_rotated_with_the_login_whatever_happens_on_the_way() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world.operator("first", |_| {}).unwrap();
    orchestra(
        &world,
        "one",
        "  connection: {rotation: {overlap: 3s, also: [OwnerPassword]}}",
    );
    one_project_and_both_logins(&world, "one").await;
    let client = Client::start(&world, "one-connection");
    let database = database_name(&world, "one").await;
    let mut password = secret(&world, SYSTEM, &database).await["password"].clone();
    let set = || world.api.ledger().count(Operation::UpdatePassword);
    assert_eq!(set(), 0);
    let answer = |status, effect| Rule {
        method: Some("PATCH".into()),
        path: Some("/database/password$".into()),
        times: Some(1),
        status: Some(status),
        effect: Some(effect),
        text: Some("no".into()),
        ..Rule::default()
    };
    for case in [
        "well",
        "killed before it is asked",
        "killed after it is asked",
        "lost answer",
        "refused",
    ] {
        match case {
            "lost answer" => drop(world.api.rules().add(answer(504, true)).unwrap()),
            "refused" => drop(world.api.rules().add(answer(403, false)).unwrap()),
            _ => {}
        }
        let before = set();
        ask(&world, "one", &case.replace(' ', "-"));
        if case.starts_with("killed") {
            soon(case, async || {
                let stored = secret(&world, SYSTEM, &database).await;
                let begun = stored.contains_key("pending-password") || stored["password"] != password;
                begun && (case.contains("before") || set() > before)
            })
            .await;
            operator.kill().unwrap();
            operator = world.operator(&case.replace(' ', "-"), |_| {}).unwrap();
        }
        password = new_password(&world, &password).await["password"].clone();
        assert!(set() - before <= 2, "{case}: {}", set() - before);
    }
    assert!(client.end().await.0 > 0);
    events_with(&world, "PasswordRotated").await;
    one_project_and_both_logins(&world, "one").await;
    let database = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
    assert!(is_true(&database, "Ready"), "{database:#}");
}

/// Merges into the connection of `one`.
fn connect_as(world: &World, connection: &Value) {
    let patch = json!({"spec": {"connection": connection}}).to_string();
    let patch = ["patch", "orchestra", "one", "-n", TENANTS, "--type=merge", "-p", &patch];
    world.kubectl(patch).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_lost_password_nor_a_shorter_overlap_leaves_a_login_that_fails() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world.operator("first", |_| {}).unwrap();
    orchestra(&world, "one", "  connection: {rotation: {overlap: 1h}}");
    one_project_and_both_logins(&world, "one").await;

    // The Secret of the former name goes when the login in it ends, not an hour later.
    connect_as(&world, &json!({"secretName": "renamed"}));
    let has_former = |object: &Value| object["status"]["formerSecrets"][0]["name"] == "one-connection";
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, has_former)
        .await
        .unwrap();
    connect_as(&world, &json!({"rotation": {"overlap": "3s"}}));
    ask(&world, "one", "shorter");
    generation(&world, "one", 2).await;
    soon("the Secret of the former name has no login", async || {
        let there = world.get(Kind::Secret, TENANTS, "one-connection").await.unwrap();
        there.is_none_or(|secret| secret["data"]["DATABASE_URL"].is_null())
    })
    .await;

    // The published login keeps its password until another one is published, also when the operator dies meanwhile.
    let client = Client::start(&world, "renamed");
    let tenant = format!("{}-tenant", database_name(&world, "one").await);
    let mut newest = 2;
    for step in ["begun", "made"] {
        let request = format!("lost-{step}");
        world.kubectl(["delete", "secret", &tenant, "-n", SYSTEM]).unwrap();
        ask(&world, "one", &request);
        killed_at(&world, &mut operator, step, newest + 1).await;
        let settled = |object: &Value| {
            let credentials = &object["status"]["credentials"];
            credentials["handledRequest"] == *request && credentials["generation"].as_u64() > Some(newest as u64)
        };
        let object = world
            .until(Kind::Orchestra, (TENANTS, "one"), LONG, settled)
            .await
            .unwrap();
        let now = usize::try_from(object["status"]["credentials"]["generation"].as_u64().unwrap()).unwrap();
        // The lost login is replaced at once: the request comes before that, or asks for one more.
        assert!((newest + 1..=newest + 2).contains(&now), "{object:#}");
        newest = now;
    }
    assert!(client.end().await.0 > 0);
}
