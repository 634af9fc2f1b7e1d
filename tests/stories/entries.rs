//! Entries of a static pool that cannot be used: each counts, and the status says what is wrong with each.

use orchestra_sandbox::world::{Kind, SYSTEM, World, condition};
use serde_json::{Map, Value, json};

use crate::pool::{admin, house, inventory};
use crate::support::{LONG, world};

/// Changes the Secret of the inventory.
pub fn patch_inventory(world: &World, change: &Value) {
    let change = change.to_string();
    world
        .kubectl([
            "patch",
            "secret",
            "database-pool",
            "-n",
            SYSTEM,
            "--type=merge",
            "-p",
            &change,
        ])
        .unwrap();
}

/// Entries that are refused without a login, and what is said of each.
const UNUSABLE: [(&str, &str); 9] = [
    (
        "postgresql://librarian:hush-hush@localhost/scores?host=/cloudsql/example:eu:main&schema=public",
        "Unix socket",
    ),
    (
        "postgresql://librarian:hush-hush@localhost:5432/scores?host=/var/run/postgresql",
        "Unix socket",
    ),
    (
        "postgresql://librarian:hush-hush@db-a.example.internal:5432,db-b.example.internal:5432/scores",
        "several hosts",
    ),
    (
        "postgresql://librarian:hush-hush@127.0.0.1:6543/scores?pgbouncer=true&connection_limit=1",
        "pgbouncer=true",
    ),
    (
        "postgresql://postgres.ref:hush-hush@aws-0-eu-north-1.pooler.supabase.com:6543/postgres",
        "port 6543 is Supabase's transaction pooler",
    ),
    ("'postgresql://librarian:hush-hush@db/scores'", "without quotes"),
    ("cG9zdGdyZXNxbDovL2E6aHVzaC1odXNoQGgvZA==", "base64 once more"),
    ("", "the text is empty"),
    (
        "postgresql://librarian:hush-hush@db/scores?sslmode=allow",
        "sslmode=allow",
    ),
];

/// The same entry, whose URL names another place than its parameters, which come first.
fn by_parameters(entry: &str) -> String {
    let (login, place) = entry.split_once('@').expect("the URL has a login");
    let (address, rest) = place.split_once('/').expect("the URL names a database");
    let (host, port) = address.split_once(':').expect("the URL names a port");
    let (database, quote) = rest.split_at(rest.len() - 1);
    let mark = if database.contains('?') { '&' } else { '?' };
    format!("{login}@db.nowhere.example:1/{database}{mark}host={host}&port={port}{quote}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_counts_and_is_told_what_is_wrong_with_it() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let mut entries = inventory(&world, &["one", "two"]).await;
    entries[0] = by_parameters(&entries[0]);
    admin(&world, "one", "ALTER ROLE two_owner NOCREATEROLE").await;
    for (number, (url, _)) in (3..).zip(UNUSABLE) {
        entries.push(format!(
            "DATABASE_URL_POOL_{number}: {}",
            serde_json::to_string(url).unwrap()
        ));
    }
    house(&world, &entries);
    // "postgres" in UTF-16, as Windows' echo writes it.
    let utf16 = "//5wAG8AcwB0AGcAcgBlAHMA";
    patch_inventory(&world, &json!({"data": {"DATABASE_URL_POOL_12": utf16}}));
    let told = |pool: &Value| {
        let message = condition(pool, "Stalled").2;
        pool["status"]["desired"] == 12
            && pool["status"]["available"] == 1
            && !message.contains("waiting for the first login")
    };
    let pool = world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
    let (_, reason, message) = condition(&pool, "Stalled");
    assert_eq!(reason, "InvalidEntry", "{message}");
    assert!(message.contains(" more"), "the others are counted: {message}");
    assert!(!message.contains("hush-hush"), "{message}");
    // Each of them alone.
    for (number, (url, says)) in (3..).zip(UNUSABLE).chain([(12, ("", "UTF-16"))]) {
        let others = (3..=12).filter(|other| *other != number);
        let removed = others.map(|other| (format!("DATABASE_URL_POOL_{other}"), Value::Null));
        let mut change = json!({"data": removed.collect::<Map<_, _>>()});
        if number < 12 {
            change["stringData"] = json!({format!("DATABASE_URL_POOL_{number}"): url});
        } else {
            change["data"]["DATABASE_URL_POOL_12"] = utf16.into();
        }
        patch_inventory(&world, &change);
        let told = |pool: &Value| {
            let message = condition(pool, "Stalled").2;
            pool["status"]["desired"] == 3
                && message.contains(&format!("_POOL_{number}: "))
                && message.contains(says)
                && message.contains("ALTER ROLE \"two_owner\" CREATEROLE")
        };
        let pool = world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
        assert!(!pool.to_string().contains("hush-hush"), "{pool}");
    }
}
