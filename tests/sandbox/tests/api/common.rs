//! A stand-in and a client for it.

use std::net::SocketAddr;
use std::time::Duration;

use orchestra_sandbox::api::Organization;
use orchestra_sandbox::{Options, StandIn};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

pub const PASSWORD: &str = "Owner-password.1";

pub struct Client {
    pub sandbox: StandIn,
    http: reqwest::Client,
}

pub async fn start(plan: &str) -> Client {
    start_with(plan, true).await
}

/// With a pooler that wants TLS of everybody, or of nobody.
pub async fn start_with(plan: &str, require_tls: bool) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut options = Options {
        organizations: vec![Organization {
            slug: "acme-org".to_owned(),
            name: "Acme".to_owned(),
            plan: plan.to_owned(),
        }],
        ..Options::default()
    };
    options.router.require_tls = require_tls;
    options.behaviour.coming_up = Duration::from_millis(300);
    options.behaviour.pausing = Duration::from_millis(100);
    Client {
        sandbox: StandIn::start(options).await.unwrap(),
        http: reqwest::Client::new(),
    }
}

pub fn new_project(name: &str) -> Value {
    json!({
        "name": name,
        "db_pass": PASSWORD,
        "organization_slug": "acme-org",
        "region_selection": {"type": "specific", "code": "eu-central-1"},
    })
}

impl Client {
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sandbox.url());
        let mut request = self.http.request(method, url).bearer_auth(self.sandbox.token());
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    }

    /// Status and body; a body that is not JSON is null.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    /// The status and body of a project's own API, asked with an API key.
    pub async fn own_api(&self, reference: &str, key: &str) -> (u16, Value) {
        let url = format!("{}/_project/{reference}/auth/v1/health", self.sandbox.url());
        let response = self.http.get(url).header("apikey", key).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// Creates a project and gives its reference.
    pub async fn create(&self, name: &str) -> String {
        let (status, body) = self.call(Method::POST, "/v1/projects", Some(new_project(name))).await;
        assert_eq!((status, &body["status"]), (201, &json!("UNKNOWN")), "{body}");
        body["ref"].as_str().unwrap().to_owned()
    }

    /// Creates a project, waits until it is healthy and gives its reference.
    pub async fn create_healthy(&self, name: &str) -> String {
        let reference = self.create(name).await;
        self.wait_for(&reference, "ACTIVE_HEALTHY").await;
        reference
    }

    pub async fn wait_for(&self, reference: &str, status: &str) {
        for _ in 0..200 {
            let (_, body) = self.get(&format!("/v1/projects/{reference}")).await;
            if body["status"] == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{reference} did not become {status}");
    }

    pub async fn login(&self, user: &str, password: &str) -> sqlx::Result<PgConnection> {
        let address = self.sandbox.router().session_address();
        self.login_at(address, user, password).await
    }

    pub async fn login_at(&self, address: SocketAddr, user: &str, password: &str) -> sqlx::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&address.ip().to_string())
            .port(address.port())
            .username(user)
            .password(password)
            .database("postgres")
            .ssl_mode(PgSslMode::Require);
        PgConnection::connect_with(&options).await
    }

    pub fn assert_no_violations(&self) {
        assert!(self.sandbox.violations().is_empty(), "{:#?}", self.sandbox.violations());
        if !self.sandbox.is_checked() {
            orchestra_sandbox::left_out("the traffic was not checked: there is no OpenAPI document");
        }
    }
}
