//! Runs that are interrupted by the end of the operator or the server: the record is true, and the next run continues from
//! there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::support::tenant::database;
use crate::support::{
    INIT, ask, counted, execute, migrate, migrate_with, postgres::server, resolve, session, source, source_of,
};
use orchestra_operator::api::{MigrationFormat, ResolvedAs};
use orchestra_operator::migrate::{Error, Options, RunEvent, TimeLimits, apply, supervised};
use orchestra_operator::postgres::{Login, connect, end_owners_sessions};

/// The script switches off what would end its session with the connection, and everything that shows whose session it is.
const HIDDEN: &str = "SET client_connection_check_interval = 0; SET application_name = 'x'; SELECT pg_advisory_unlock_all(); \
    SELECT pg_sleep(600);";

#[tokio::test]
async fn a_script_that_hides_its_session_goes_on_after_no_run() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let mut root = session(&server.login("one")).await;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    for is_late in [true, false] {
        let limits = TimeLimits {
            total: Duration::from_secs(if is_late { 5 } else { 600 }),
            ..TimeLimits::default()
        };
        let run = tokio::spawn({
            let (owner, hidden) = (owner.clone(), source(&[("1_hidden", HIDDEN)]));
            async move {
                let options = Options {
                    limits,
                    login: Some(counted(&owner)),
                    ..Options::default()
                };
                let conn = connect(&owner, "test").await.unwrap();
                let scripts = async |conn| apply(conn, &hidden, &options, &mut |_| {}).await;
                supervised(conn, Some(&owner), scripts).await.map(drop)
            }
        });
        while ask(&mut root, sleeping).await == "0" {
            assert!(!run.is_finished(), "the script has not slept");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_late {
            assert!(matches!(run.await.unwrap(), Err(Error::Timeout(_))));
        } else {
            run.abort();
        }
        let began = std::time::Instant::now();
        while ask(&mut root, sleeping).await != "0" {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the server runs it on, {is_late}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // A session that was nevertheless left ends before the database is given to another tenant.
    let mut left = session(&owner).await;
    let mut own = connect(&owner, "test").await.unwrap();
    end_owners_sessions(&mut own).await.unwrap();
    assert!(execute(&mut left, "SELECT 1").await.is_err());
    execute(&mut own, "SELECT 1").await.unwrap();
}

/// The server goes away, or the operator is killed, at every statement of every kind of script.
#[tokio::test]
async fn whatever_is_cut_off_is_recorded_truly() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    for (number, (script, mode)) in [
        (
            "CREATE TABLE x (id int); SELECT pg_sleep(20); CREATE TABLE y ();",
            "atomic",
        ),
        (
            "CREATE TABLE x (id int); SELECT pg_sleep(20); CREATE TABLE y ();",
            "statement",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}_{mode}");
        let options = Options {
            per_statement: mode == "statement",
            ..Options::default()
        };
        let slow = source(&[(&name, script)]);
        let task = tokio::spawn({
            let (login, options) = (login.clone(), options.clone());
            async move { migrate_with(&login, &slow, &options).await }
        });
        let sleeper = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while ask(&mut conn, sleeper).await == "0" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        task.abort();
        let began = std::time::Instant::now();
        while ask(&mut conn, sleeper).await != "0" {
            assert!(began.elapsed() < Duration::from_secs(10), "the server runs it on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let kept = ask(&mut conn, "SELECT to_regclass('x')").await;
        assert_eq!(kept, if mode == "atomic" { "NULL" } else { "x" });
        let cured = source(&[(&name, &script.replace("pg_sleep(20)", "1"))]);
        migrate_with(&login, &cured, &options).await.unwrap();
        assert_eq!(ask(&mut conn, "SELECT to_regclass('y')").await, "y");
        execute(&mut conn, "DROP TABLE x; DROP TABLE y; DROP TABLE _prisma_migrations")
            .await
            .unwrap();
    }
}

/// The operator is killed between the end of a script that has transactions of its own and its row.
#[tokio::test]
async fn the_last_transaction_of_a_script_is_committed_with_its_row() {
    let server = server().await;
    let first = server.login("postgres");
    let mut admin = session(&first).await;
    let init = ("20260101000000_init", "CREATE TABLE a (id int);");
    let own = "BEGIN;\nSET LOCAL search_path = pg_temp, public;\nCREATE TABLE public.x ();\nSET ROLE pg_monitor;\nCOMMIT;\n-- end";
    let two = "BEGIN; INSERT INTO a VALUES (1); COMMIT;\nSTART TRANSACTION; CREATE TABLE x (); END;";
    for (format, history) in [
        (MigrationFormat::Supabase, "supabase_migrations.schema_migrations"),
        (MigrationFormat::Sqlx, "_sqlx_migrations"),
    ] {
        for (number, (script, steps)) in [(own, false), (own, true), (two, false)].into_iter().enumerate() {
            let database = format!("d{number}{}", format.as_str().to_lowercase());
            execute(&mut admin, &format!("CREATE DATABASE {database}"))
                .await
                .unwrap();
            let login = server.login(&database);
            migrate(&login, &source_of(format, &[init])).await.unwrap();
            let mut blocker = session(&login).await;
            let lock = format!("BEGIN; LOCK TABLE {history} IN EXCLUSIVE MODE");
            execute(&mut blocker, &lock).await.unwrap();
            let options = Options {
                per_statement: steps,
                ..Options::default()
            };
            let all = source_of(format, &[init, ("20260102000000_own", script)]);
            let task = tokio::spawn({
                let (login, options, all) = (login.clone(), options.clone(), all.clone());
                async move { migrate_with(&login, &all, &options).await }
            });
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            while ask(&mut admin, waits).await == "0" {
                assert!(!task.is_finished(), "{database}: {:?}", task.await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            task.abort();
            while ask(&mut admin, waits).await != "0" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let mut conn = session(&login).await;
            assert_eq!(ask(&mut conn, "SELECT to_regclass('x')").await, "NULL", "{database}");
            drop(blocker);
            migrate_with(&login, &all, &options).await.unwrap();
            assert_eq!(ask(&mut conn, "SELECT to_regclass('x')").await, "x", "{database}");
            // An earlier transaction of the script stays committed, as with the tools.
            let kept = if script == two { "2" } else { "0" };
            assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, kept, "{database}");
        }
    }
}

/// PostgreSQL fails at every step of a run; the next run continues from the record.
#[tokio::test]
async fn a_server_that_fails_at_every_step_ends_alike() {
    let mut server = server().await;
    let login = server.login("postgres");
    let set = [
        INIT,
        ("2_index", "CREATE INDEX CONCURRENTLY a_id ON a (id);"),
        ("3_own", "BEGIN;\nCREATE TABLE b (id int);\nCOMMIT;"),
        (
            "4_steps",
            "CREATE TABLE c ();\nCREATE INDEX CONCURRENTLY b_id ON b (id);\nCREATE TABLE d ();",
        ),
        ("5_rows", "INSERT INTO b VALUES (1);"),
    ];
    execute(&mut session(&login).await, "CREATE DATABASE whole")
        .await
        .unwrap();
    migrate(&server.login("whole"), &source(&set)).await.unwrap();
    let wanted = server.dump("whole");
    for step in 0..2 * set.len() {
        for delay in [0, 3, 8] {
            let mut first = session(&login).await;
            execute(&mut first, "DROP DATABASE IF EXISTS cut").await.unwrap();
            execute(&mut first, "CREATE DATABASE cut").await.unwrap();
            // Without it the server may forget what it has confirmed, and this test would see nothing.
            execute(&mut first, "ALTER DATABASE cut SET synchronous_commit = on")
                .await
                .unwrap();
            drop(first);
            let cut = server.login("cut");
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let task = tokio::spawn({
                let (cut, all) = (cut.clone(), source(&set));
                async move {
                    let tell = &mut |_: RunEvent<'_>| {
                        let _ = tell.send(());
                    };
                    apply(session(&cut).await, &all, &Options::default(), tell)
                        .await
                        .map(|_| ())
                }
            });
            for _ in 0..=step {
                told.recv().await;
            }
            tokio::time::sleep(Duration::from_millis(delay)).await;
            server.crash().await;
            let _ = task.await.unwrap();
            let mut outcome = migrate(&cut, &source(&set)).await;
            if let Err(Error::Unfinished { name, started_at, .. }) = &outcome {
                // With transactions of its own nobody can know; whoever looks can.
                assert_eq!(name, "3_own");
                let there = ask(&mut session(&cut).await, "SELECT to_regclass('b') IS NOT NULL").await == "true";
                let word = if there {
                    ResolvedAs::Applied
                } else {
                    ResolvedAs::RolledBack
                };
                outcome = migrate_with(&cut, &source(&set), &resolve(name, word, Some(started_at))).await;
            }
            assert_eq!(outcome.unwrap().pending, 0, "step {step}, {delay} ms");
            assert_eq!(server.dump("cut"), wanted, "step {step}, {delay} ms");
        }
    }
}

/// A session beside the one of the scripts tells who blocks them. After a refusal, as when the password was changed meanwhile,
/// it does not try again in each second: the hosted pooler blocks an address that keeps failing.
#[tokio::test]
async fn a_refused_login_beside_a_run_is_not_repeated_every_second() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wrong = Login {
        host: "127.0.0.1".into(),
        port: front.local_addr().unwrap().port(),
        ..owner.as_user(owner.user.clone(), "is-no-longer-right".into())
    };
    let address = (owner.host.clone(), owner.port);
    let logins = Arc::new(AtomicUsize::new(0));
    let counter = logins.clone();
    let relay = tokio::spawn(async move {
        while let Ok((mut client, _)) = front.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut server = TcpStream::connect((address.0.as_str(), address.1)).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let options = Options {
        login: Some(counted(&wrong)),
        ..Options::default()
    };
    let slow = source(&[("1_slow", "SELECT pg_sleep(3.5)"), ("2_slow", "SELECT pg_sleep(2.5)")]);
    migrate_with(&owner, &slow, &options).await.unwrap();
    assert_eq!(logins.load(Ordering::Relaxed), 1);
    relay.abort();
}
