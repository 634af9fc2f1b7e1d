//! A database that is in use while it is backed up, and a store without room.

use std::process::Command;

use orchestra_operator::archive::OutcomeReason as Reason;
use serde_json::json;

use super::job::{Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;
use crate::support::{ask, execute, session};

#[tokio::test]
async fn changes_during_a_backup_are_not_in_it_and_definitions_wait() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    let large = "CREATE TABLE large AS SELECT n, gen_random_uuid()::text AS t FROM generate_series(1, 300000) n";
    execute(&mut owner, large).await.unwrap();
    let mut place = Place::new();
    let mut job = place.start(&backup(&json!({})), &source);
    // Who holds the snapshot, and who dumps.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orchestra-operator'";
    let mut refused = 0;
    let mut root = session(&server.login("postgres")).await;
    while job.child.try_wait().unwrap().is_none() {
        if ask(&mut root, sessions).await == "2" {
            execute(&mut owner, "INSERT INTO player (name) VALUES ('later')")
                .await
                .unwrap();
            let changed = execute(
                &mut owner,
                "SET lock_timeout = '10ms'; ALTER TABLE player ADD COLUMN later int",
            )
            .await;
            if changed.is_err() {
                refused += 1;
            }
        }
    }
    assert_eq!(job.end().reason, Reason::Done);
    assert!(refused > 0, "the table could be changed while it was backed up");
    let target = database(&server, "scratch", "owner_b").await;
    let asked = json!([{"name": "before", "sql": "SELECT count(*) = 3 FROM player"}]);
    let drill = place.verify(&target, &asked);
    assert_eq!(drill.reason, Reason::Done, "{drill:?}");
}

#[tokio::test]
async fn a_volume_without_room_is_told_and_left_clean() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let large = "CREATE TABLE large AS SELECT decode(md5(n::text) || md5(n::text || 'x'), 'hex') AS b FROM generate_series(1, 200000) n";
    execute(&mut session(&source).await, large).await.unwrap();
    let mut place = Place::new();
    let volume = place.root.path().join("volume");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&volume)
        .output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        orchestra_sandbox::left_out("a volume of 1 MiB can be mounted by root only");
        return;
    }
    let outcome = place.backup(&source);
    let stored = place.stored();
    let unmounted = Command::new("umount").arg(&volume).status().unwrap();
    assert!(unmounted.success());
    assert!(outcome.reason == Reason::StoreFull && outcome.retry, "{outcome:?}");
    assert_eq!(stored, [""; 0]);
}
