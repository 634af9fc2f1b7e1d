//! Backups that end early: what is left is no backup, and nothing of it stays.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use orchestra_operator::archive::OutcomeReason as Reason;
use serde_json::json;

use super::job::{Job, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;
use crate::support::{execute, session};

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn a_locked_table_is_waited_for_and_then_named() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    let mut holder = session(&source).await;
    execute(&mut holder, "BEGIN; LOCK TABLE player IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let outcome = place.run(&backup(&json!({"lockWaitSeconds": 1})), &source);
    assert!(outcome.reason == Reason::LockTimeout && outcome.retry, "{outcome:?}");
    assert!(outcome.message.contains("public.player"), "{outcome:?}");
    assert_eq!(place.stored(), [""; 0]);
    // The time of the work is over while it waits.
    let outcome = place.start_within(&backup(&json!({})), &source, 2).end();
    assert_eq!(outcome.reason, Reason::DeadlineExceeded);
    // It receives the stop signal while it waits.
    let job = place.start(&backup(&json!({})), &source);
    sleep(Duration::from_secs(2));
    signal(job.child.id(), "-TERM");
    let outcome = job.end();
    assert!(outcome.reason == Reason::Interrupted && outcome.retry, "{outcome:?}");
    assert_eq!(place.stored(), [""; 0]);
    execute(&mut holder, "COMMIT").await.unwrap();
    assert_eq!(place.backup(&source).reason, Reason::Done);
}

#[tokio::test]
async fn a_dumper_that_is_killed_leaves_nothing() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    let large = "CREATE TABLE large AS SELECT n, gen_random_uuid()::text || gen_random_uuid() AS t FROM generate_series(1, 400000) n";
    execute(&mut owner, large).await.unwrap();
    let mut place = Place::new();
    for (whom, reason) in [("dumper", None), ("job", Some(Reason::Interrupted))] {
        let job = place.start(&backup(&json!({})), &source);
        let dumper = dumper(&job);
        job.hides_secrets();
        match whom {
            "dumper" => signal(dumper, "-KILL"),
            _ => signal(job.child.id(), "-TERM"),
        }
        let outcome = job.end();
        assert!(
            outcome.retry && outcome.reason == reason.unwrap_or(Reason::DumpFailed),
            "{whom}: {outcome:?}"
        );
        assert_eq!(place.stored(), [""; 0], "{whom}");
    }
    assert_eq!(place.backup(&source).reason, Reason::Done);
    let complete = place.stored().len();

    // A lost node leaves what was written; the next run of the same backup removes it once it is complete.
    let mut place = Place::new();
    let mut job = place.start(&backup(&json!({})), &source);
    dumper(&job);
    let began = Instant::now();
    while place.stored().is_empty() {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", job.said());
        sleep(Duration::from_millis(1));
    }
    signal(job.child.id(), "-KILL");
    job.child.wait().unwrap();
    assert_ne!(place.stored(), [""; 0]);
    assert_eq!(place.backup(&source).reason, Reason::Done);
    assert_eq!(place.stored().len(), complete, "{:?}", place.stored());
}

/// The process of `pg_dump`, once it runs.
fn dumper(job: &Job) -> u32 {
    let began = Instant::now();
    loop {
        // pg_dump --version comes first.
        let found = job.children().into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("--snapshot")
        });
        if let Some(found) = found {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{}", job.said());
        sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn what_cannot_be_reached_or_used_is_told() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    let mut place = Place::new();
    let wrong = source.as_user("owner_a", "another password".to_owned().into());
    let outcome = place.backup(&wrong);
    assert!(outcome.reason == Reason::WrongPassword && !outcome.retry, "{outcome:?}");
    let mut nowhere = source.clone();
    nowhere.port = 1;
    let outcome = place.backup(&nowhere);
    assert!(outcome.reason == Reason::Unreachable && outcome.retry, "{outcome:?}");
    place.store = json!({"kind": "folder", "path": "/nowhere", "prefix": "backups"});
    assert_eq!(place.backup(&source).reason, Reason::StoreMissing);
    place.store = json!({"kind": "folder", "path": "/proc", "prefix": "backups"});
    let outcome = place.backup(&source);
    assert!(
        [Reason::StoreRefused, Reason::StoreMissing, Reason::StoreUnreachable].contains(&outcome.reason),
        "{outcome:?}"
    );
}
