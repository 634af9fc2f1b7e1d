//! Nothing that opens a database or the provider is ever written where it does not belong: not to
//! logs (at `trace`), events, resources, metrics or command lines, in good days and bad ones.

use std::collections::BTreeSet;

use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World};
use serde_json::json;

use crate::backup::{DESTINATION, backup};
use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{LONG, gone, orchestra, patch_config_map, reason, secret, sources, standard_class};

const WRONG: &str = "not-the-pool-password-7f1c";
const REVOKED: &str = "sbp_0123456789abcdef0123456789abcdef01234567";

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn no_secret_is_ever_shown() {
    let world = generous_world().await;
    let log = |command: &mut std::process::Command| {
        command.env("ORCHESTRA_LOG", "trace");
    };
    let operator = world.operator("operator", log).unwrap();
    standard_class(&world, DESTINATION);
    sources(&world);
    orchestra(&world, "good", "");
    orchestra(&world, "gone", "  deletionPolicy: Delete");
    one_project_and_both_logins(&world, "good").await;
    one_project_and_both_logins(&world, "gone").await;
    // Its Job stays: nobody runs pods here.
    backup(&world, "kept", "good", "Retain");
    soon("the Job of a backup is there", async || {
        world.list(Kind::Job).await.unwrap().len() == 1
    })
    .await;
    let mut secrets = all_secrets(&world).await;
    let shown = page(&operator).await;

    bad_days(&world).await;
    secrets.extend(all_secrets(&world).await);
    secrets.extend([WRONG.to_string(), REVOKED.to_string()]);
    assert!(secrets.len() >= 12, "{} secrets", secrets.len());

    let mut places = vec![
        ("log", operator.log()),
        ("metrics", shown),
        ("metrics at the end", page(&operator).await),
        ("command line", read(&format!("/proc/{}/cmdline", operator.id()))),
    ];
    for kind in [
        Kind::Orchestra,
        Kind::Class,
        Kind::Database,
        Kind::Pool,
        Kind::Backup,
        Kind::Job,
        Kind::Event,
        Kind::Lease,
    ] {
        let found = world.list(kind).await.unwrap();
        assert!(!found.is_empty(), "{kind:?}");
        places.push(("resources and events", serde_json::to_string(&found).unwrap()));
    }
    assert!(places.iter().all(|(_, text)| !text.is_empty()));
    assert!(
        places
            .iter()
            .any(|(_, text)| text.contains("\"note\"") && text.contains("MigrationFailed")),
        "events are there"
    );
    assert!(places[0].1.contains("TRACE"), "the log tells everything it may");
    for (place, text) in &places {
        for secret in &secrets {
            // The position, not the secret: this message is printed.
            let found = text
                .find(secret.as_str())
                .map(|at| text[at.saturating_sub(120)..at].to_string());
            assert_eq!(
                found,
                None,
                "a secret of {} characters is in the {place}, after this",
                secret.len()
            );
        }
    }
}

/// A failing migration, a pool entry with a wrong password, a rejected token, a deletion.
async fn bad_days(world: &World) {
    let bad = json!({"20260103000000_bad.sql": "INSERT INTO \"Nowhere\" VALUES (1);"});
    patch_config_map(world, "schema", &bad);
    reason(world, "good", "MigrationFailed").await;

    let server = world.api.router().session_address();
    let url = format!("postgresql://postgres.nobody:{WRONG}@{server}/postgres?sslmode=require&sslpassword={WRONG}");
    world.store_secret("inventory", "DATABASE_URL_POOL_1", &url).unwrap();
    world
        .store_secret(
            "inventory-broken",
            "DATABASE_URL_POOL_1",
            &format!("postgres://u:{WRONG}#@h:port/d"),
        )
        .unwrap();
    for (pool, inventory) in [("wrong", "inventory"), ("broken", "inventory-broken")] {
        world
            .apply(&format!(
                "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraPool, metadata: {{name: {pool}}}, \
                 spec: {{static: {{secretRef: {{name: {inventory}}}}}}}}}"
            ))
            .unwrap();
        let told = |object: &serde_json::Value| {
            object["status"]["conditions"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        };
        world.until(Kind::Pool, ("", pool), LONG, told).await.unwrap();
    }

    world
        .kubectl(["delete", "orchestra", "gone", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(world, Kind::Orchestra, TENANTS, "gone").await;

    world.store_secret("supabase-token", "token", REVOKED).unwrap();
    let rejected = |object: &serde_json::Value| object.to_string().contains("TokenRejected");
    let class = world
        .until(Kind::Class, ("", "standard"), LONG, rejected)
        .await
        .unwrap();
    assert!(class.to_string().contains("rejected the token"), "{class:#}");
}

/// Every password, key and token that there is: what the provider knows, and what the Secrets hold.
pub async fn all_secrets(world: &World) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = world.api.ledger().secrets().into_iter().collect();
    found.insert(world.api.token());
    for object in world.list(Kind::Secret).await.unwrap() {
        let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_string();
        let (namespace, name) = (field("namespace"), field("name"));
        if namespace != SYSTEM && namespace != TENANTS {
            continue;
        }
        let open = [
            "host",
            "port",
            "dbname",
            "user",
            "database",
            "session-port",
            "transaction-port",
            "SUPABASE_URL",
            "project-url",
            "order.json",
        ];
        let values = secret(world, &namespace, &name).await;
        found.extend(
            values
                .into_iter()
                .filter(|(key, _)| !open.contains(&key.as_str()))
                .map(|(_, value)| value),
        );
    }
    found.retain(|secret| secret.len() >= 8);
    found
}

fn read(path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// The metrics page.
async fn page(operator: &Operator) -> String {
    crate::process::get(operator, "/metrics").await.1
}
