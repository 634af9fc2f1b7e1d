//! Whether anybody uses a database, which decides when it is paused: what sessions do, not that they are open.

use std::time::{Duration, Instant};

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::server;
use crate::support::tenant::{database, prepare};
use crate::support::{ask, execute, session};
use orchestra_operator::postgres::{APPLICATION, Login, TenantRights, Usage, connect, probe, usage};
use sqlx::PgConnection;

/// The last statement of the only session of the tenant's.
const LAST: &str = "SELECT query FROM pg_stat_activity WHERE usename = 'tenant' AND state = 'idle'";

/// A session that shows this name, after these statements.
async fn left_idle(login: &Login, name: &str, statements: &[&str]) -> PgConnection {
    let mut conn = connect(login, name).await.unwrap();
    for statement in statements {
        execute(&mut conn, statement).await.unwrap();
    }
    conn
}

/// Looks until it is so: a session ends, and begins a statement, a moment later.
async fn until(owner: &mut PgConnection, what: &str, is: impl Fn(&Usage) -> bool) -> Usage {
    let began = Instant::now();
    loop {
        let found = usage(owner).await.unwrap();
        if is(&found) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until no session of the tenant's is left.
async fn alone(owner: &mut PgConnection) {
    let began = Instant::now();
    while ask(owner, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tenant'").await != "0" {
        assert!(began.elapsed() < Duration::from_secs(20), "a session stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The last statement of the session that a pooler keeps.
async fn last_statement(owner: &mut PgConnection) -> String {
    let began = Instant::now();
    loop {
        let last = ask(owner, LAST).await;
        if last != "NULL" {
            return last;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the pooler keeps no session");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nobody uses it, and no session has done anything.
fn is_quiet(found: &Usage) -> bool {
    found.sessions == 0 && found.acted.is_none()
}

#[tokio::test]
async fn a_session_counts_by_what_it_does() {
    let server = server().await;
    let (login, tenant) = database(&server).await;
    drop(prepare(&login, &tenant, &TenantRights::default()).await);
    let published = login.as_user(&tenant.name, tenant.password.clone());
    let mut owner = session(&login).await;
    until(&mut owner, "nobody is there", is_quiet).await;

    // A session that stays idle is as old as its last statement.
    let mut app = left_idle(&published, "app", &["SELECT 1"]).await;
    let first = until(&mut owner, "it is idle", |found| found.sessions == 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = usage(&mut owner).await.unwrap();
    assert!(second.acted.unwrap() >= first.acted.unwrap() + Duration::from_millis(900));
    execute(&mut app, "SELECT 1").await.unwrap();
    let third = until(&mut owner, "it is idle", |found| found.sessions == 0).await;
    assert!(third.acted < second.acted, "{second:?} {third:?}");

    // In a transaction it is in use, also in one that failed, and whatever it calls itself.
    execute(&mut app, "BEGIN").await.unwrap();
    until(&mut owner, "a transaction", |found| found.sessions == 1).await;
    execute(&mut app, "SELECT 1/0").await.unwrap_err();
    until(&mut owner, "a failed one", |found| found.sessions == 1).await;
    drop(app);
    alone(&mut owner).await;
    for name in ["Supavisor", APPLICATION] {
        let app = left_idle(&published, name, &["BEGIN", "SELECT 1"]).await;
        until(&mut owner, name, |found| found.sessions == 1).await;
        drop(app);
        alone(&mut owner).await;
        let mut app = left_idle(&published, name, &[]).await;
        let running = tokio::spawn(async move {
            let _ = execute(&mut app, "SELECT pg_sleep(60)").await;
        });
        until(&mut owner, name, |found| found.sessions == 1).await;
        running.abort();
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'tenant'";
        ask(&mut owner, end).await;
        alone(&mut owner).await;
    }

    // A session whose state the owner may not see is in use.
    let mut root = session(&server.login("one")).await;
    execute(&mut root, "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        .await
        .unwrap();
    execute(&mut root, "GRANT CONNECT ON DATABASE one TO stranger")
        .await
        .unwrap();
    let stranger = login.as_user("stranger", "stranger".to_owned().into());
    let _hidden = left_idle(&stranger, "app", &[]).await;
    until(&mut owner, "it is hidden", |found| found.sessions == 1).await;
}

#[tokio::test]
async fn sessions_of_a_pooler_that_only_probes_and_health_checks_use_are_idle() {
    let server = server().await;
    let (login, tenant) = database(&server).await;
    drop(prepare(&login, &tenant, &TenantRights::default()).await);
    let published = login.as_user(&tenant.name, tenant.password.clone());
    let mut owner = session(&login).await;
    for check in ["SELECT 1", " select  1 ;", "-- ping", ""] {
        let session_left = left_idle(&published, "Supavisor", &[check]).await;
        until(&mut owner, check, is_quiet).await;
        drop(session_left);
        alone(&mut owner).await;
    }
    // When in doubt, it is in use.
    for other in [
        "SELECT 1, 2",
        "SELECT 1; SELECT 2",
        "COMMIT",
        "SELECT pg_notify('a', 'b')",
    ] {
        let session_left = left_idle(&published, "Supavisor", &[other]).await;
        until(&mut owner, other, |found| found.sessions == 0 && found.acted.is_some()).await;
        drop(session_left);
        alone(&mut owner).await;
    }

    // The client of a pooler in session mode has left.
    let session_left = left_idle(&published, "app", &["SELECT 2", "DISCARD ALL"]).await;
    until(&mut owner, "DISCARD ALL", is_quiet).await;
    drop(session_left);
    alone(&mut owner).await;

    // The operator's own probe leaves a session behind in a pooler, which may give it another name.
    for (mode, measures) in [("transaction", false), ("transaction", true), ("session", true)] {
        let Some(pooler) = PgBouncer::start(&published, &format!("pool_mode = {mode}")).await else {
            return;
        };
        let through = pooler.login(&published);
        let found = probe(&through, measures).await.unwrap();
        assert_eq!(found.is_some(), measures);
        until(&mut owner, mode, is_quiet).await;
        let last = last_statement(&mut owner).await;
        drop(pooler);
        alone(&mut owner).await;
        // A COMMIT without a transaction is only a warning.
        let session_left = left_idle(&published, "Supavisor", &[last.as_str()]).await;
        until(&mut owner, &last, is_quiet).await;
        drop(session_left);
        alone(&mut owner).await;
    }
}
