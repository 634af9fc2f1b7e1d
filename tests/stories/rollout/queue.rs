//! The status of a tenant whose server is busy says so from the beginning, with one write until its turn comes.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, TENANTS, condition};

use super::bound::per_server;
use super::{FIRST, all_have, class, databases, names, orchestra, source, tenants};
use crate::proof::soon;
use crate::support::world;

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_server_is_busy_has_one_status_until_its_turn_comes() {
    let world = world().await;
    let all = names(2);
    databases(&world, 2).await;
    source(&world, &[FIRST, ("2_slow", "SELECT pg_sleep(8);")]);
    class(&world, "{}");
    let _operator = world.operator("operator", per_server(1)).unwrap();
    tenants(&world, &all[..1], None);
    soon("the first one is migrated", async || {
        orchestra(&world, &all[0]).await["status"]["phase"] == "Migrating"
    })
    .await;

    tenants(&world, &all[1..], None);
    let mut seen = Vec::new();
    soon("the second one is migrated", async || {
        let object = orchestra(&world, &all[1]).await;
        let now = (
            object["status"]["phase"].as_str().unwrap_or_default().to_owned(),
            condition(&object, "Reconciling").1,
            object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
        if now.0 == "Queued" {
            let told = condition(&object, "Reconciling").2;
            assert_eq!(
                told,
                "the server of the database is busy: the migrations wait for their turn"
            );
            assert!(object["status"]["claiming"].is_string(), "{object}");
        }
        if !now.0.is_empty() && seen.last() != Some(&now) {
            seen.push(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen.last().is_some_and(|(phase, ..)| phase == "Migrating")
    })
    .await;
    let told: Vec<_> = seen.iter().map(|(phase, reason, _)| (&**phase, &**reason)).collect();
    assert_eq!(told, [("Queued", "Queued"), ("Migrating", "Migrating")], "{seen:?}");

    // The database is its own all the same, and nobody else's.
    let claimed = world.list(Kind::Database).await.unwrap();
    let names: Vec<_> = claimed
        .iter()
        .filter_map(|database| database["spec"]["claimRef"]["name"].as_str())
        .collect();
    assert!(names.contains(&&*all[1]), "{names:?}");
    all_have(&world, &all, 2).await;
    let object = orchestra(&world, &all[1]).await;
    assert!(object["status"]["databaseName"].is_string(), "{object}");
    assert_eq!(object["metadata"]["namespace"], TENANTS);
}
