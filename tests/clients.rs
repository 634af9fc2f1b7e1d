//! Real clients of the Management API judge the stand-in that the operator is tested against.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "clients/cli.rs"]
mod cli;
#[path = "clients/mcp.rs"]
mod mcp;
#[path = "clients/terraform.rs"]
mod terraform;

#[allow(dead_code, reason = "not every test uses everything")]
#[path = "support/npm.rs"]
mod npm;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use orchestra_sandbox::api::Organization;
use orchestra_sandbox::router::RouterOptions;
use orchestra_sandbox::{Options, StandIn};
use serde_json::{Value, json};

const FILES: &[&str] = &["package.json", "package-lock.json", "management.mjs"];
const PASSWORD: &str = "Owner-password.1";

/// A stand-in whose organization has this plan.
async fn stand_in(plan: &str) -> StandIn {
    stand_in_at(plan, RouterOptions::default()).await
}

async fn stand_in_at(plan: &str, router: RouterOptions) -> StandIn {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut options = Options {
        organizations: vec![Organization {
            slug: "acme-org".to_owned(),
            name: "Acme".to_owned(),
            plan: plan.to_owned(),
        }],
        router,
        ..Options::default()
    };
    options.behaviour.coming_up = Duration::from_millis(300);
    options.behaviour.resizing = Duration::from_millis(600);
    StandIn::start(options).await.unwrap()
}

/// The folder of the packages; none, and a line that says so, where they cannot be had.
fn packages(folder: &str, files: &[&str]) -> Option<PathBuf> {
    match npm::obtainable(folder, files) {
        Ok(home) => Some(home),
        Err(why) => left_out(&why),
    }
}

fn left_out<T>(why: &str) -> Option<T> {
    orchestra_sandbox::left_out(why);
    None
}

/// What a program prints, which must succeed.
async fn output(mut command: Command) -> String {
    let out = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{printed}{said}");
    printed
}

fn node(home: &Path) -> Command {
    let mut command = Command::new("node");
    command.current_dir(home);
    command
}

/// A project that the API makes, when it is healthy.
async fn project(api: &StandIn, name: &str) -> String {
    let client = reqwest::Client::new();
    let body = json!({
        "name": name, "db_pass": PASSWORD, "organization_slug": api.organization(),
        "region_selection": {"type": "specific", "code": "eu-central-1"},
    });
    let url = format!("{}/v1/projects", api.url());
    let created = client.post(&url).bearer_auth(api.token()).json(&body).send().await;
    let created: Value = created.unwrap().json().await.unwrap();
    let reference = created["ref"].as_str().unwrap().to_owned();
    wait_for(api, &reference, "ACTIVE_HEALTHY").await;
    reference
}

async fn wait_for(api: &StandIn, reference: &str, status: &str) {
    let client = reqwest::Client::new();
    let url = format!("{}/v1/projects/{reference}", api.url());
    for _ in 0..300 {
        let read = client.get(&url).bearer_auth(api.token()).send().await.unwrap();
        if read.json::<Value>().await.unwrap()["status"] == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the project did not become {status}");
}

#[tokio::test]
async fn the_library_reads_back_what_it_changes() {
    let Some(home) = packages("clients", FILES) else { return };
    let api = stand_in("pro").await;
    let mut command = node(&home);
    command
        .arg("management.mjs")
        .envs([("SUPABASE_API_URL", api.url()), ("SUPABASE_ACCESS_TOKEN", api.token())]);
    let found: Value = serde_json::from_str(&output(command).await).unwrap();
    let expected = json!({
        "health": ["ACTIVE_HEALTHY", "ACTIVE_HEALTHY", "ACTIVE_HEALTHY"],
        "query": [{"one": 1}],
        "migrations": ["part"],
        "read": [{"count": 0}],
        "legacy": {"enabled": false},
        "keys": ["legacy anon", "legacy service_role", "publishable default", "secret default"],
        "key": "of a worker",
        "pool": {"default_pool_size": 20, "pool_mode": "transaction"},
        "pooler": 20,
        "rows": 5,
        "auth": ["https://example.org", true],
        "storage": 1024,
        "secrets": [["ONE", true]],
        "restrictions": ["203.0.113.0/24"],
        "ssl": {"currentConfig": {"database": true}, "appliedSuccessfully": true},
        "readonly": false,
        "usage": true,
        "advisors": ["rls_disabled_in_public"],
        "resizing": "RESIZING",
        "addons": ["ci_small"],
        "deleted": true,
    });
    assert_eq!(found, expected);
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}
