//! The life of a project.

use crate::common::{PASSWORD, start};
use orchestra_sandbox::api::Fate;
use orchestra_sandbox::router::Logins;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

#[tokio::test]
async fn a_project_comes_up() {
    let client = start("pro").await;
    client.sandbox.behave(|it| it.fate = Fate::Stuck);
    let reference = client.create("tenant-a").await;
    let path = format!("/v1/projects/{reference}");
    assert_eq!(client.get(&path).await.1["status"], "COMING_UP");
    assert_eq!(client.get(&format!("{path}/api-keys")).await.0, 400);
    let (status, body) = client.call(Method::DELETE, &path, None).await;
    let not_ready = json!("Project not ready for deletion.");
    assert_eq!((status, &body["message"]), (400, &not_ready));
    client.sandbox.unstick();
    client.wait_for(&reference, "ACTIVE_HEALTHY").await;

    let services = "services=db&services=pooler&services=auth&services=rest";
    let (_, health) = client.get(&format!("{path}/health?{services}")).await;
    let health = health.as_array().unwrap();
    assert_eq!(health.len(), 4);
    assert!(health.iter().all(|it| it["status"] == "ACTIVE_HEALTHY"));
    let (_, pooler) = client.get(&format!("{path}/config/database/pooler")).await;
    assert_eq!(pooler[0]["db_user"], format!("postgres.{reference}"));
    let url = pooler[0]["connection_string"].as_str().unwrap();
    assert!(url.contains(":[YOUR-PASSWORD]@"), "{url}");
    client.assert_no_violations();
}

#[tokio::test]
async fn the_owner_and_its_roles_log_in_through_the_pooler() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let (postgres, app) = (format!("postgres.{reference}"), format!("app_a.{reference}"));
    let mut owner = client.login(&postgres, PASSWORD).await.unwrap();
    owner
        .execute("CREATE TABLE part (id int); CREATE ROLE app_a LOGIN PASSWORD 'app-password'")
        .await
        .unwrap();
    assert!(client.login(&app, "app-password").await.is_ok());
    let revoke = "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO postgres";
    owner.execute(revoke).await.unwrap();
    let refused = client.login(&app, "app-password").await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("permission denied for database"), "{refused}");

    let path = format!("/v1/projects/{reference}/database/password");
    let change = Some(json!({"password": "Another-password.2"}));
    assert_eq!(client.call(Method::PATCH, &path, change).await.0, 200);
    assert!(client.login(&postgres, PASSWORD).await.is_err());
    assert!(client.login(&postgres, "Another-password.2").await.is_ok());
    let expected = Logins {
        accepted: 3,
        refused: 2,
    };
    assert_eq!(client.sandbox.router().tenants().logins(&reference), expected);
    let secrets = client.sandbox.ledger().secrets();
    assert!(secrets.iter().any(|secret| secret == "Another-password.2"));
    client.assert_no_violations();
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let owner = format!("postgres.{reference}");
    let mut owner = client.login(&owner, PASSWORD).await.unwrap();
    owner
        .execute("CREATE ROLE app_a LOGIN; CREATE TABLE part (); GRANT SELECT ON part TO app_a")
        .await
        .unwrap();
    let path = format!("/v1/projects/{reference}");
    assert_eq!(client.call(Method::DELETE, &path, None).await.0, 200);
    let (status, body) = client.get(&path).await;
    let removed = json!("Resource has been removed");
    assert_eq!((status, &body["message"]), (400, &removed));
    let (_, listed) = client.get("/v1/organizations/acme-org/projects").await;
    assert_eq!(listed["pagination"]["count"], 0);

    assert!(owner.execute("SELECT 1").await.is_err(), "the server is gone");
    assert!(client.sandbox.project(&reference).await.is_err());
    assert!(client.login(&format!("postgres.{reference}"), PASSWORD).await.is_err());
    let ledger = client.sandbox.ledger();
    assert_eq!(ledger.most_alive()["tenant-a"], 1);
    assert!(ledger.projects()[0].deleted.is_some());
    client.assert_no_violations();
}

#[tokio::test]
async fn a_login_without_a_known_project_is_refused() {
    let client = start("pro").await;
    for user in ["postgres.abcdefghijklmnopqrst", "postgres"] {
        let error = client.login(user, PASSWORD).await.unwrap_err().to_string();
        assert!(error.contains("Tenant or user not found"), "{error}");
    }
}

#[tokio::test]
async fn the_pooler_wants_tls_on_both_ports() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let router = client.sandbox.router();
    for address in [router.session_address(), router.transaction_address()] {
        let url = format!("postgresql://postgres.{reference}:{PASSWORD}@{address}/postgres");
        let plain = PgConnection::connect(&format!("{url}?sslmode=disable")).await;
        let error = plain.unwrap_err().to_string();
        assert!(error.contains("SSL connection is required"), "{error}");
        assert!(PgConnection::connect(&format!("{url}?sslmode=require")).await.is_ok());
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.crt");
    std::fs::write(&root, router.root()).unwrap();
    let url = format!(
        "postgresql://postgres.{reference}:{PASSWORD}@{}/postgres",
        router.session_address()
    );
    let verified = format!("{url}?sslmode=verify-full&sslrootcert={}", root.display());
    assert!(PgConnection::connect(&verified).await.is_ok());
}

#[tokio::test]
async fn keys_are_added_and_deleted() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}/api-keys");
    let new = Some(json!({"type": "secret", "name": "ci_key"}));
    let (status, key) = client.call(Method::POST, &format!("{path}?reveal=true"), new).await;
    assert_eq!(status, 201, "{key}");
    let one = format!("{path}/{}", key["id"].as_str().unwrap());
    assert_eq!(client.get(&format!("{one}?reveal=true")).await.1, key);
    let change = Some(json!({"name": "other_key", "description": "of the tests", "secret_jwt_template": null}));
    assert_eq!(client.call(Method::PATCH, &one, change).await.0, 200);
    let (_, changed) = client.get(&format!("{one}?reveal=true")).await;
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("other_key"), &json!("of the tests"))
    );
    assert_eq!(
        (&changed["secret_jwt_template"], &changed["api_key"]),
        (&json!(null), &key["api_key"])
    );
    assert_eq!(client.call(Method::DELETE, &one, None).await.0, 200);
    assert_eq!(client.get(&one).await.0, 404);
    client.assert_no_violations();
}

#[tokio::test]
async fn the_secret_key_is_masked_unless_revealed() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let path = format!("/v1/projects/{reference}/api-keys");
    for (query, masked) in [("", true), ("?reveal=true", false)] {
        let (_, keys) = client.get(&format!("{path}{query}")).await;
        let keys = keys.as_array().unwrap();
        assert_eq!(keys.len(), 4);
        for key in keys {
            let shown = key["api_key"].as_str().unwrap();
            assert_eq!(shown.contains('\u{b7}'), masked && key["type"] == "secret", "{key}");
        }
    }
    let (_, before) = client.get(&format!("{path}/legacy")).await;
    assert_eq!(before["enabled"], true);
    client
        .call(Method::PUT, &format!("{path}/legacy?enabled=false"), None)
        .await;
    // Only this tells: they are listed as before.
    assert_eq!(client.get(&format!("{path}/legacy")).await.1["enabled"], false);
    let (_, keys) = client.get(&format!("{path}?reveal=true")).await;
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 4);
    // The project's own API tells, too.
    for enabled in [false, true] {
        client
            .call(Method::PUT, &format!("{path}/legacy?enabled={enabled}"), None)
            .await;
        for key in keys {
            let (status, body) = client.own_api(&reference, key["api_key"].as_str().unwrap()).await;
            let lets_in = enabled || key["type"] != "legacy";
            assert_eq!(status, if lets_in { 200 } else { 401 }, "{key} {body}");
            assert!(lets_in || body["message"] == "Legacy API keys are disabled", "{body}");
        }
    }
    assert_eq!(client.own_api(&reference, "sb_secret_none").await.0, 401);
    client.assert_no_violations();
}

#[tokio::test]
async fn a_free_project_is_paused_and_restored_with_its_data() {
    let client = start("free").await;
    let reference = client.create_healthy("tenant-a").await;
    let user = format!("postgres.{reference}");
    let mut owner = client.login(&user, PASSWORD).await.unwrap();
    owner.execute("CREATE TABLE part (id int)").await.unwrap();
    let path = format!("/v1/projects/{reference}");
    assert_eq!(client.call(Method::POST, &format!("{path}/pause"), None).await.0, 200);
    assert_eq!(client.call(Method::POST, &format!("{path}/restore"), None).await.0, 400);
    client.wait_for(&reference, "INACTIVE").await;
    assert!(client.login(&user, PASSWORD).await.is_err());
    assert_eq!(client.call(Method::POST, &format!("{path}/restore"), None).await.0, 200);
    client.wait_for(&reference, "ACTIVE_HEALTHY").await;
    let mut owner = client.login(&user, PASSWORD).await.unwrap();
    owner.execute("SELECT * FROM part").await.unwrap();
    client.assert_no_violations();
}

#[tokio::test]
async fn everything_else_can_be_read() {
    let client = start("pro").await;
    let reference = client.create("tenant-a").await;
    for path in [
        "/v1/projects",
        "/v1/organizations",
        "/v1/organizations/acme-org",
        "/v1/organizations/acme-org/entitlements",
        "/v1/organizations/acme-org/projects?search=TENANT&limit=1&offset=0&sort=created_desc",
        "/v1/projects/available-regions?organization_slug=acme-org&continent=EU",
    ] {
        let (status, body) = client.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    for part in ["restore", "billing/addons", "database/backups"] {
        let (status, body) = client.get(&format!("/v1/projects/{reference}/{part}")).await;
        assert_eq!(status, 200, "{part}: {body}");
    }
    let rename = Some(json!({"name": "tenant-b"}));
    let (_, body) = client
        .call(Method::PATCH, &format!("/v1/projects/{reference}"), rename)
        .await;
    assert_eq!(body["name"], "tenant-b");
    assert_eq!(client.get("/v1/organizations/unknown-org").await.0, 404);
    assert_eq!(client.get("/v1/projects/aaaaaaaaaaaaaaaaaaaa").await.0, 404);
    client.assert_no_violations();
}
