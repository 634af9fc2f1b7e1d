//! The database of a project through the API.

use crate::common::{Client, start};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

async fn post(client: &Client, path: &str, body: Value) -> (u16, Value) {
    client.call(Method::POST, path, Some(body)).await
}

#[tokio::test]
async fn queries_run_in_the_database() {
    let client = start("pro").await;
    let reference = client.create("tenant-a").await;
    let query = format!("/v1/projects/{reference}/database/query");
    let ask = async |query: &str, body: Value| post(&client, query, body).await;
    let (status, body) = ask(&query, json!({"query": "SELECT 1"})).await;
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("Project must be active and healthy."))
    );
    client.wait_for(&reference, "ACTIVE_HEALTHY").await;

    assert_eq!(
        ask(&query, json!({"query": "SELECT 1"})).await,
        (201, json!([{"?column?": 1}]))
    );
    let made = "CREATE TABLE part (id bigint PRIMARY KEY, names text[], more jsonb, at timestamptz);
        INSERT INTO part VALUES (1, '{a,b}', '{\"x\": 1}', '2026-01-02 03:04:05+00'), (2, NULL, NULL, NULL)";
    assert_eq!(ask(&query, json!({"query": made})).await, (201, json!([])));
    let (_, rows) = ask(
        &query,
        json!({"query": "SELECT * FROM part ORDER BY id; SELECT 1 WHERE false"}),
    )
    .await;
    let first = json!({"id": 1, "names": ["a", "b"], "more": {"x": 1}, "at": "2026-01-02 03:04:05+00"});
    assert_eq!(rows, json!([first, {"id": 2, "names": null, "more": null, "at": null}]));
    let given = json!({"query": "SELECT id FROM part WHERE id = $1 AND names = $2;", "parameters": [1, ["a", "b"]]});
    assert_eq!(ask(&query, given).await, (201, json!([{"id": 1}])));
    let commented = json!({"query": "SELECT $1 AS id -- id; really", "parameters": [1]});
    assert_eq!(ask(&query, commented).await, (201, json!([{"id": "1"}])));

    let (status, body) = ask(&query, json!({"query": "SELECT 1,\n  nope"})).await;
    let words = "Failed to run sql query: ERROR:  42703: column \"nope\" does not exist\nLINE 2:   nope\n          ^\n";
    assert_eq!((status, &body["message"]), (400, &json!(words)));

    let read_only = format!("{query}/read-only");
    assert_eq!(
        ask(&read_only, json!({"query": "SELECT id FROM part WHERE id > 1"})).await,
        (201, json!([{"id": 2}]))
    );
    for (path, body) in [
        (&read_only, json!({"query": "DELETE FROM part"})),
        (&query, json!({"query": "DELETE FROM part", "read_only": true})),
    ] {
        let (status, body) = ask(path, body).await;
        assert_eq!(status, 400);
        assert!(body["message"].as_str().unwrap().contains("ERROR:  "), "{body}");
    }
    let (_, rows) = ask(&query, json!({"query": "SELECT count(*) FROM part"})).await;
    assert_eq!(rows, json!([{"count": 2}]));
    client.assert_no_violations();
}

#[tokio::test]
async fn migrations_are_applied_and_recorded() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}/database/migrations");
    let send = async |method: Method, path: &str, body: Value| client.call(method, path, Some(body)).await;
    assert_eq!(client.get(&path).await, (200, json!([])));
    let one = json!({"query": "CREATE TABLE one ()", "name": "one", "rollback": "DROP TABLE one"});
    assert_eq!(send(Method::POST, &path, one).await, (200, json!(null)));
    let two = json!({"query": "CREATE TABLE two (); SELECT nope", "name": "two"});
    let (status, body) = send(Method::POST, &path, two).await;
    assert_eq!(status, 400, "{body}");
    let known = json!({"query": "CREATE TABLE elsewhere ()", "name": "elsewhere"});
    assert_eq!(send(Method::PUT, &path, known).await.0, 200);
    let (_, listed) = client.get(&path).await;
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["one", "elsewhere"]);

    let mut owner = client
        .login(&format!("postgres.{reference}"), crate::common::PASSWORD)
        .await
        .unwrap();
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables = async |owner: &mut PgConnection| {
        let row = sqlx::query(tables).fetch_one(owner).await.unwrap();
        row.get::<Option<String>, _>(0)
    };
    assert_eq!(tables(&mut owner).await.as_deref(), Some("one"));

    let version = listed[0]["version"].as_str().unwrap();
    let single = format!("{path}/{version}");
    let (_, row) = client.get(&single).await;
    assert_eq!(
        (&row["statements"], &row["rollback"]),
        (&json!(["CREATE TABLE one ()"]), &json!(["DROP TABLE one"]))
    );
    assert_eq!(send(Method::PATCH, &single, json!({"name": "first"})).await.0, 200);
    assert_eq!(client.get(&single).await.1["name"], "first");
    assert_eq!(client.get(&format!("{path}/1")).await.0, 404);
    let undone = client
        .call(Method::DELETE, &format!("{path}?gte={version}"), None)
        .await;
    assert_eq!(undone.0, 200);
    assert_eq!(client.get(&path).await.1, json!([]));
    assert_eq!(tables(&mut owner).await, None);
    client.assert_no_violations();
}

#[tokio::test]
async fn an_idempotency_key_applies_once() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let url = format!("{}/v1/projects/{reference}/database/migrations", client.sandbox.url());
    for _ in 0..2 {
        let request = reqwest::Client::new().post(&url).bearer_auth(client.sandbox.token());
        let body = json!({"query": "CREATE TABLE one ()"});
        let sent = request.header("Idempotency-Key", "key-1").json(&body).send().await;
        assert_eq!(sent.unwrap().status(), 200);
    }
    let (_, listed) = client
        .get(&format!("/v1/projects/{reference}/database/migrations"))
        .await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_login_role_stands_for_the_owner_for_a_short_time() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}/cli/login-role");
    let (status, role) = post(&client, &path, json!({"read_only": false})).await;
    assert_eq!(status, 201, "{role}");
    let user = format!("{}.{reference}", role["role"].as_str().unwrap());
    let password = role["password"].as_str().unwrap();
    let mut session = client.login(&user, password).await.unwrap();
    let until =
        "SELECT rolvaliduntil BETWEEN now() AND now() + interval '301 s' FROM pg_roles WHERE rolname = session_user";
    assert!(
        sqlx::query_scalar::<_, bool>(until)
            .fetch_one(&mut session)
            .await
            .unwrap()
    );
    let owner =
        "SELECT pg_has_role(session_user, datdba, 'MEMBER') FROM pg_database WHERE datname = current_database()";
    assert!(
        sqlx::query_scalar::<_, bool>(owner)
            .fetch_one(&mut session)
            .await
            .unwrap()
    );
    session.close().await.unwrap();

    // The next one voids the password of the last.
    let (_, next) = post(&client, &path, json!({"read_only": false})).await;
    assert!(client.login(&user, password).await.is_err());
    assert!(client.login(&user, next["password"].as_str().unwrap()).await.is_ok());
    assert_eq!(
        client.call(Method::DELETE, &path, None).await,
        (200, json!({"message": "ok"}))
    );
    assert!(client.login(&user, next["password"].as_str().unwrap()).await.is_err());
    client.assert_no_violations();
}

#[tokio::test]
async fn the_advisors_look_at_the_database() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let query = json!({"query": "CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a ENABLE ROW LEVEL SECURITY;
        CREATE TABLE b (a int REFERENCES a)"});
    post(&client, &format!("/v1/projects/{reference}/database/query"), query).await;
    let found = async |kind: &str| {
        let (status, body) = client.get(&format!("/v1/projects/{reference}/advisors/{kind}")).await;
        assert_eq!(status, 200, "{body}");
        let lints = body["lints"].as_array().unwrap().clone();
        lints
            .iter()
            .map(|it| it["cache_key"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("security").await,
        ["rls_disabled_in_public_public_b", "rls_enabled_no_policy_public_a"]
    );
    assert_eq!(
        found("performance").await,
        ["no_primary_key_public_b", "unindexed_foreign_keys_public_b_b_a_fkey"]
    );
    client.assert_no_violations();
}
