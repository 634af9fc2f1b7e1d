//! sqlx itself judges: what the operator applied is up to date for it, and the other way round. Its
//! command-line program is a thin one over the same library.

use crate::support::{ask, execute, migrate, pending, postgres::server, session, source_of, within};
use orchestra_operator::api::MigrationFormat;
use orchestra_operator::migrate::{Error, Source, TimeLimits, apply};
use orchestra_operator::postgres::Login;
use sqlx::migrate::{MigrateError, Migrator};
use std::time::Duration;

/// sqlx over a folder of these scripts.
async fn run(login: &Login, migrations: &[(&str, &str)]) -> Result<(), MigrateError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in migrations {
        std::fs::write(folder.path().join(format!("{name}.sql")), sql).unwrap();
    }
    let migrator = Migrator::new(folder.path()).await?;
    migrator.run_direct(None, &mut session(login).await, false).await
}

fn source(migrations: &[(&str, &str)]) -> Source {
    source_of(MigrationFormat::Sqlx, migrations)
}

const SET: [(&str, &str); 7] = [
    (
        "0001_init",
        "CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL);\n",
    ),
    (
        "2_crlf_and_more",
        "CREATE TYPE role AS ENUM ('A');\r\nALTER TABLE users ADD role role;\r\n",
    ),
    (
        "3_index",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY users_email ON users (email);\n",
    ),
    ("10_reversible.up", "CREATE TABLE parts (id int);"),
    ("20260101000000_empty", ""),
    (
        "20260102000000_function",
        "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN NEW.email := 'a;b'; RETURN NEW; END; $$ LANGUAGE plpgsql;",
    ),
    (
        "20260103000000_isolation",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nCREATE TABLE archived AS SELECT id FROM users;",
    ),
];

/// Everything that the history holds but times.
const ROWS: &str = "SELECT string_agg(format('%s|%s|%s|%s|%s', version, description, success, encode(checksum, 'hex'), \
    execution_time >= 0), E'\\n' ORDER BY version) FROM _sqlx_migrations";

const COLUMNS: &str = "SELECT string_agg(format('%s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, \
    pg_get_expr(adbin, adrelid)), ',' ORDER BY attnum) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid \
    AND adnum = attnum WHERE attrelid = '_sqlx_migrations'::regclass AND attnum > 0";

#[tokio::test]
async fn sqlx_finds_our_work_up_to_date_and_writes_the_same() {
    let server = server().await;
    let ours = server.login("postgres");
    migrate(&ours, &source(&SET)).await.unwrap();
    run(&ours, &SET).await.unwrap();

    let mut root = session(&ours).await;
    execute(&mut root, "CREATE DATABASE theirs").await.unwrap();
    let theirs = server.login("theirs");
    run(&theirs, &SET).await.unwrap();
    let mut there = session(&theirs).await;
    for what in [ROWS, COLUMNS] {
        assert_eq!(ask(&mut root, what).await, ask(&mut there, what).await);
    }
    assert_eq!(server.dump("postgres"), server.dump("theirs"));
    let status = pending(&mut there, &source(&SET)).await.unwrap();
    assert_eq!(
        (status.applied, status.pending, status.divergence.as_str()),
        (SET.len(), 0, "")
    );
}

#[tokio::test]
async fn we_go_on_from_sqlx_and_sqlx_from_us() {
    let server = server().await;
    let login = server.login("postgres");
    for end in 1..=SET.len() {
        if end % 2 == 0 {
            migrate(&login, &source(&SET[..end])).await.unwrap();
        } else {
            run(&login, &SET[..end]).await.unwrap();
        }
        let status = pending(&mut session(&login).await, &source(&SET[..end])).await.unwrap();
        assert_eq!((status.applied, status.pending), (end, 0));
    }
}

#[tokio::test]
async fn what_sqlx_refuses_we_refuse() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[SET[0], SET[3]])).await.unwrap();

    let edited = [("0001_init", "SELECT 1;"), SET[3]];
    assert!(matches!(
        run(&login, &edited).await,
        Err(MigrateError::VersionMismatch(1))
    ));
    let error = migrate(&login, &source(&edited)).await.unwrap_err().to_string();
    assert!(
        error.contains("0001_init were changed after they were applied"),
        "{error}"
    );

    let gone = &SET[..1];
    assert!(matches!(run(&login, gone).await, Err(MigrateError::VersionMissing(10))));
    let error = migrate(&login, &source(gone)).await.unwrap_err().to_string();
    assert!(error.contains("10 are applied and not in the source"), "{error}");

    // An older one that is new is applied without complaint; before, the operator says so.
    let late = &SET[..4];
    let status = pending(&mut session(&login).await, &source(late)).await.unwrap();
    assert_eq!(
        status.divergence,
        "older than one that is applied: 2_crlf_and_more, 3_index"
    );
    migrate(&login, &source(late)).await.unwrap();
    run(&login, late).await.unwrap();

    let mut root = session(&login).await;
    execute(
        &mut root,
        "UPDATE _sqlx_migrations SET success = false WHERE version = 2",
    )
    .await
    .unwrap();
    assert!(matches!(run(&login, late).await, Err(MigrateError::Dirty(2))));
    let error = migrate(&login, &source(late)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unfinished { name, .. } if name == "2_crlf_and_more"),
        "{error}"
    );
}

#[tokio::test]
async fn one_waits_for_the_other() {
    let server = server().await;
    let login = server.login("postgres");
    // sqlx holds its lock for as long as its script runs.
    let slow = [("1_slow", "SELECT pg_sleep(1.5);")];
    let (theirs, ours) = tokio::join!(run(&login, &slow), async {
        let held = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted";
        let mut root = session(&login).await;
        while ask(&mut root, held).await != "true" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let limits = TimeLimits {
            lock: Duration::ZERO,
            ..TimeLimits::default()
        };
        let hasty = apply(session(&login).await, &source(&slow), &within(limits), &mut |_| {}).await;
        let patient = migrate(&login, &source(&slow)).await;
        (hasty.map(|_| ()), patient)
    });
    theirs.unwrap();
    let error = ours.0.unwrap_err().to_string();
    assert!(
        error.contains("another session holds the migration lock: test from"),
        "{error}"
    );
    assert_eq!(ours.1.unwrap().applied, 1);
}

#[tokio::test]
async fn a_byte_order_mark_fails_with_sqlx() {
    let server = server().await;
    let marked = run(&server.login("postgres"), &[("1_marked", "\u{feff}SELECT 1;")]).await;
    assert!(matches!(marked, Err(MigrateError::ExecuteMigration(..))), "{marked:?}");
}
