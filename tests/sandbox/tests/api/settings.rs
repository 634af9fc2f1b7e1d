//! What is changed of a project is read back.

use std::time::Duration;

use crate::common::{Client, PASSWORD, new_project, start, start_with};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn every_configuration_is_read_back() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    for (method, path, body, status) in [
        (
            Method::PATCH,
            "postgrest",
            json!({"db_schema": "public", "max_rows": 7}),
            200,
        ),
        (
            Method::PATCH,
            "config/auth",
            json!({"site_url": "https://example.org", "jwt_exp": 600}),
            200,
        ),
        (
            Method::PATCH,
            "config/storage",
            json!({"fileSizeLimit": 7, "features": {"s3Protocol": {"enabled": false}}}),
            200,
        ),
        (Method::PATCH, "config/realtime", json!({"private_only": true}), 204),
        (
            Method::PUT,
            "config/database/postgres",
            json!({"statement_timeout": "7s", "restart_database": true}),
            200,
        ),
    ] {
        let path = format!("/v1/projects/{reference}/{path}");
        let (_, before) = client.get(&path).await;
        assert_eq!(client.call(method, &path, Some(body.clone())).await.0, status, "{path}");
        let mut expected = before;
        merge(&mut expected, &body);
        expected.as_object_mut().unwrap().remove("restart_database");
        assert_eq!(client.get(&path).await, (200, expected), "{path}");
    }
    let pooler = format!("/v1/projects/{reference}/config/database/pooler");
    let (status, body) = client
        .call(Method::PATCH, &pooler, Some(json!({"default_pool_size": 7})))
        .await;
    assert_eq!(
        (status, body),
        (200, json!({"default_pool_size": 7, "pool_mode": "transaction"}))
    );
    assert_eq!(client.get(&pooler).await.1[0]["default_pool_size"], 7);
    assert_eq!(
        client
            .get(&format!("/v1/projects/{reference}/config/database/pgbouncer"))
            .await
            .1["default_pool_size"],
        7
    );

    // Without schemas the Data API is off, and its service is not healthy.
    let off = Some(json!({"db_schema": ""}));
    client
        .call(Method::PATCH, &format!("/v1/projects/{reference}/postgrest"), off)
        .await;
    let (_, health) = client
        .get(&format!("/v1/projects/{reference}/health?services=rest,db"))
        .await;
    assert_eq!(
        (&health[0]["status"], &health[1]["status"]),
        (&json!("UNHEALTHY"), &json!("ACTIVE_HEALTHY"))
    );
    client.assert_no_violations();
}

fn merge(into: &mut Value, change: &Value) {
    match change.as_object() {
        Some(fields) => fields.iter().for_each(|(name, value)| merge(&mut into[name], value)),
        None => *into = change.clone(),
    }
}

#[tokio::test]
async fn secrets_are_listed_as_hashes() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}/secrets");
    let new = json!([{"name": "ONE", "value": "top-secret-1"}, {"name": "TWO", "value": "top-secret-2"}]);
    assert_eq!(client.call(Method::POST, &path, Some(new)).await.0, 201);
    assert_eq!(client.call(Method::DELETE, &path, Some(json!(["TWO"]))).await.0, 200);
    let (_, listed) = client.get(&path).await;
    assert_eq!(
        (
            listed.as_array().unwrap().len(),
            listed[0]["value"].as_str().unwrap().len()
        ),
        (1, 64)
    );
    let auth = format!("/v1/projects/{reference}/config/auth");
    let change = json!({"smtp_pass": "top-secret-3", "external_github_secret": "top-secret-4"});
    let (_, told) = client.call(Method::PATCH, &auth, Some(change)).await;
    let (_, read) = client.get(&auth).await;
    assert_eq!(told, read);
    assert_eq!(read["smtp_pass"].as_str().unwrap().len(), 64);
    for shown in [listed, told, client.get("/_sandbox/ledger").await.1] {
        assert!(!shown.to_string().contains("top-secret"), "{shown}");
    }
    client.assert_no_violations();
}

#[tokio::test]
async fn another_size_restarts_the_project() {
    let client = start("pro").await;
    client.sandbox.behave(|it| it.resizing = Duration::from_millis(400));
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}");
    let addons = format!("{path}/billing/addons");
    let choose = async |kind: &str, variant: &str| {
        let body = json!({"addon_type": kind, "addon_variant": variant});
        client.call(Method::PATCH, &addons, Some(body)).await.0
    };
    assert_eq!(choose("pitr", "pitr_7").await, 400, "it needs a small");
    assert_eq!(choose("compute_instance", "ci_48xlarge_high_memory").await, 200);
    assert_eq!(client.get(&path).await.1["status"], "RESIZING");
    assert_eq!(choose("compute_instance", "ci_small").await, 400);
    let user = format!("postgres.{reference}");
    assert!(client.login(&user, crate::common::PASSWORD).await.is_err());
    client.wait_for(&reference, "ACTIVE_HEALTHY").await;
    assert!(client.login(&user, crate::common::PASSWORD).await.is_ok());
    assert_eq!(choose("pitr", "pitr_7").await, 200);
    let (_, listed) = client.get(&addons).await;
    let selected: Vec<&Value> = listed["selected_addons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["variant"]["id"])
        .collect();
    assert_eq!(selected, ["ci_48xlarge_high_memory", "pitr_7"]);
    assert_eq!(listed["available_addons"][0]["variants"].as_array().unwrap().len(), 18);
    let (_, organization) = client.get("/v1/organizations/acme-org/projects").await;
    assert_eq!(
        organization["projects"][0]["databases"][0]["infra_compute_size"],
        "48xlarge_high_memory"
    );
    let remove = async |variant: &str| {
        client
            .call(Method::DELETE, &format!("{addons}/{variant}"), None)
            .await
            .0
    };
    assert_eq!((remove("pitr_7").await, remove("pitr_7").await), (200, 404));
    client.assert_no_violations();
}

#[tokio::test]
async fn a_free_user_has_two_active_projects() {
    let client = start("free").await;
    let create = async |name: &str| client.call(Method::POST, "/v1/projects", Some(new_project(name))).await;
    let first = client.create_healthy("tenant-a").await;
    // Their size is nano, which is no add-on.
    let (_, addons) = client.get(&format!("/v1/projects/{first}/billing/addons")).await;
    assert_eq!(addons["selected_addons"], json!([]));
    let (_, listed) = client.get("/v1/organizations/acme-org/projects").await;
    assert_eq!(listed["projects"][0]["databases"][0]["infra_compute_size"], "nano");
    client.create_healthy("tenant-b").await;
    let (status, body) = create("tenant-c").await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("(2 project limit)"),
        "{body}"
    );
    let path = format!("/v1/projects/{first}");
    let post = async |what: &str| client.call(Method::POST, &format!("{path}/{what}"), None).await;
    assert_eq!(post("pause").await.0, 200);
    client.wait_for(&first, "INACTIVE").await;
    let third = client.create_healthy("tenant-c").await;
    let (status, body) = post("restore").await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("(2 project limit)"),
        "{body}"
    );
    assert_eq!(
        client
            .call(Method::DELETE, &format!("/v1/projects/{third}"), None)
            .await
            .0,
        200
    );

    // A restore that is cancelled leaves the project paused.
    assert_eq!(post("restore/cancel").await.0, 400);
    client.sandbox.behave(|it| it.coming_up = Duration::from_mins(1));
    assert_eq!(post("restore").await, (200, json!(null)));
    assert_eq!(client.get(&path).await.1["status"], "RESTORING");
    assert_eq!(post("restore/cancel").await.0, 200);
    assert_eq!(client.get(&path).await.1["status"], "INACTIVE");
    client.assert_no_violations();
}

/// What the pooler says to a login without TLS, and to one with it.
async fn logins(client: &Client, reference: &str) -> (String, String) {
    let address = client.sandbox.router().session_address();
    let login = async |mode: &str| {
        let url = format!("postgresql://postgres.{reference}:{PASSWORD}@{address}/postgres?sslmode={mode}");
        match PgConnection::connect(&url).await {
            Ok(_) => "allowed".to_owned(),
            Err(error) => error
                .as_database_error()
                .map_or_else(|| error.to_string(), |it| it.message().to_owned()),
        }
    };
    (login("disable").await, login("require").await)
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn who_may_reach_the_database_is_enforced_and_read_back() {
    let client = start_with("pro", false).await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}");
    let mut logins = vec![logins(&client, &reference).await];
    let restrictions = format!("{path}/network-restrictions");
    assert_eq!(
        client.get(&restrictions).await.1["config"],
        json!({"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]})
    );
    let apply = format!("{restrictions}/apply");
    let new = json!({"dbAllowedCidrs": ["203.0.113.0/24"], "dbAllowedCidrsV6": []});
    assert_eq!(client.call(Method::POST, &apply, Some(new)).await.0, 201);
    let wrong = Some(json!({"dbAllowedCidrs": ["203.0.113.0"]}));
    assert_eq!(client.call(Method::POST, &apply, wrong).await.0, 400);
    let change =
        json!({"add": {"dbAllowedCidrsV6": ["2001:db8::/32"]}, "remove": {"dbAllowedCidrs": ["203.0.113.0/24"]}});
    let (_, told) = client.call(Method::PATCH, &restrictions, Some(change)).await;
    assert_eq!(
        told["config"],
        json!({"dbAllowedCidrs": [{"address": "2001:db8::/32", "type": "v6"}]})
    );
    assert_eq!(
        client.get(&restrictions).await.1["config"]["dbAllowedCidrsV6"],
        json!(["2001:db8::/32"])
    );
    assert_eq!(
        client
            .call(Method::POST, &format!("{path}/network-bans/retrieve"), None)
            .await
            .0,
        201
    );

    let ssl = format!("{path}/ssl-enforcement");
    let on = Some(json!({"requestedConfig": {"database": true}}));
    let told = client.call(Method::PUT, &ssl, on).await;
    assert_eq!(
        told,
        (
            200,
            json!({"currentConfig": {"database": true}, "appliedSuccessfully": true})
        )
    );
    assert_eq!(client.get(&ssl).await, told);
    logins.push(self::logins(&client, &reference).await);
    let open = json!({"dbAllowedCidrs": ["127.0.0.0/8"], "dbAllowedCidrsV6": ["::/0"]});
    client.call(Method::POST, &apply, Some(open)).await;
    logins.push(self::logins(&client, &reference).await);
    let off = json!({"requestedConfig": {"database": false}});
    client.call(Method::PUT, &ssl, Some(off)).await;
    logins.push(self::logins(&client, &reference).await);
    let allowed = || "allowed".to_owned();
    let elsewhere = || "Address not in tenant allow_list: {127, 0, 0, 1}".to_owned();
    let tls = || "SSL connection is required".to_owned();
    let found = [
        (allowed(), allowed()),
        (tls(), elsewhere()),
        (tls(), allowed()),
        (allowed(), allowed()),
    ];
    assert_eq!(logins, found);
    client
        .call(Method::PUT, &ssl, Some(json!({"requestedConfig": {"database": true}})))
        .await;

    let read_only = format!("{path}/readonly");
    assert_eq!(client.get(&read_only).await.1["enabled"], false);
    let admin = format!("{path}/database/query");
    let brake = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$";
    assert_eq!(
        client.call(Method::POST, &admin, Some(json!({"query": brake}))).await.0,
        201
    );
    let (_, mode) = client.get(&read_only).await;
    assert_eq!(
        (&mode["enabled"], &mode["override_enabled"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        client
            .call(Method::POST, &admin, Some(json!({"query": "CREATE TABLE part ()"})))
            .await
            .0,
        400
    );
    assert_eq!(
        client
            .call(Method::POST, &format!("{read_only}/temporary-disable"), None)
            .await
            .0,
        201
    );
    assert_eq!(
        client
            .call(Method::POST, &admin, Some(json!({"query": "CREATE TABLE part ()"})))
            .await
            .0,
        201
    );
    assert_eq!(client.get(&read_only).await.1["override_enabled"], true);
    client.assert_no_violations();
}

#[tokio::test]
async fn what_newer_clients_send_is_accepted() {
    let client = start("pro").await;
    let mut body = new_project("tenant-a");
    body["release_channel"] = json!("ga");
    body["postgres_engine"] = json!("17");
    body["high_availability"] = json!(false);
    assert_eq!(
        client.call(Method::POST, "/v1/projects", Some(body.clone())).await.0,
        201
    );
    body["postgres_engine"] = json!("16");
    assert_eq!(client.call(Method::POST, "/v1/projects", Some(body)).await.0, 400);
    client.assert_no_violations();
}

#[tokio::test]
async fn usage_and_lists_are_answered() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    for path in [
        "analytics/endpoints/usage.api-counts?interval=1day",
        "analytics/endpoints/usage.api-requests-count",
        "storage/buckets",
        "functions",
        "branches",
        "health?services=db,auth,realtime&services=storage",
    ] {
        let (status, body) = client.get(&format!("/v1/projects/{reference}/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    client.assert_no_violations();
}
