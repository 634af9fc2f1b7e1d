//! The operator, and not the script, records which parts of a script are kept.

use std::time::Duration;

use super::*;
use crate::support::{resolve, within};
use orchestra_operator::api::ResolvedAs;
use orchestra_operator::migrate::TimeLimits;

const LEDGER: (&str, &str) = ("20260101000000_ledger", "CREATE TABLE ledger (amount int);");

/// The changes and the row are committed together or not at all, and a read-only transaction holds no row.
#[tokio::test]
async fn a_script_that_makes_its_transaction_read_only_after_a_change_is_refused() {
    let server = server().await;
    let first = server.login("postgres");
    let insert = "INSERT INTO ledger VALUES (1)";
    for (number, (script, steps)) in [
        (format!("{insert}; SET TRANSACTION READ ONLY;"), false),
        (
            format!("SAVEPOINT s; {insert}; RELEASE s; SET TRANSACTION\n READ\n ONLY; SELECT 1"),
            false,
        ),
        (
            format!("{insert}; SELECT set_config('transaction_read_only', 'on', true);"),
            false,
        ),
        (format!("BEGIN; {insert}; SET TRANSACTION READ\tONLY; COMMIT;"), true),
        (
            format!("DO $$ BEGIN {insert}; SET TRANSACTION READ ONLY; END $$; SELECT 1;"),
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        for format in FORMATS {
            // The other formats have no row that a transaction of the script could hold.
            if format != MigrationFormat::Prisma && script.starts_with("BEGIN") {
                continue;
            }
            let database = format!("d{number}{}", format.as_str().to_lowercase());
            databases(&first, &[&database]).await;
            let login = server.login(&database);
            let options = if steps { per_statement() } else { Options::default() };
            let all = source_of(format, &[LEDGER, ("20260102000000_book", &script)]);
            for _ in 0..2 {
                let error = migrate_with(&login, &all, &options).await.unwrap_err();
                let said = error.to_string();
                assert!(
                    said.contains("read-only after it has changed something"),
                    "{script}: {said}"
                );
                assert_eq!(error.class(), ErrorClass::Invalid, "{script}");
                let mut conn = session(&login).await;
                assert_eq!(ask(&mut conn, "SELECT count(*) FROM ledger").await, "0", "{database}");
            }
            let read = "BEGIN; SET TRANSACTION READ\n ONLY; SELECT 1; COMMIT; SELECT 1;";
            let all = source_of(format, &[LEDGER, ("20260102000000_book", read)]);
            assert_eq!(
                migrate_with(&login, &all, &options).await.unwrap().applied,
                2,
                "{database}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_cannot_say_what_of_its_script_is_kept() {
    let server = server().await;
    let first = server.login("postgres");
    let told = "orchestra-operator: nothing of this script was kept.";
    let raise = format!("RAISE EXCEPTION E'not now\\n{told}'");
    for (number, script) in [
        format!("BEGIN; INSERT INTO a VALUES (3); COMMIT; DO $$ BEGIN {raise}; END $$;"),
        format!("DO $$ BEGIN INSERT INTO a VALUES (3); COMMIT; {raise}; END $$;"),
    ]
    .iter()
    .enumerate()
    {
        let database = format!("d{number}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let all = source(&[INIT, ("2_fails", script)]);
        let error = migrate(&login, &all).await.unwrap_err();
        assert!(error.to_string().contains("not now"), "{error}");
        let mut conn = session(&login).await;
        let cut = "UPDATE _prisma_migrations SET logs = replace(logs, 'orchestra-operator: a part of this script may be kept.', '')";
        // As it is now, and as an operator has left it that wrote nothing after the error.
        for change in ["SELECT 1", cut] {
            assert!(execute(&mut conn, change).await.is_ok());
            let again = migrate(&login, &all).await.unwrap_err();
            assert!(matches!(again, Error::Unfinished { .. }), "{script}: {again}");
        }
        let end = format!("SELECT logs LIKE E'%{told}\\n\\n' FROM _prisma_migrations WHERE finished_at IS NULL");
        assert_eq!(ask(&mut conn, &end).await, "true");
        assert_eq!(ask(&mut conn, "SELECT count(*) FROM a WHERE id = 3").await, "1");
    }

    // A COMMIT after names that look like the beginning of a function's body.
    databases(&first, &["hidden"]).await;
    let login = server.login("hidden");
    let hidden = "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path TO begin, atomic AS 'select 1'; COMMIT; \
                  INSERT INTO a VALUES (3);";
    let status = migrate(&login, &source(&[INIT, ("2_hidden", hidden)])).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
    let mut conn = session(&login).await;
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a WHERE id = 3").await, "1");
}

const TABLES: (&str, &str) = (
    "20260101000000_tables",
    "CREATE TABLE ledger (amount int); CREATE TABLE busy (id int);",
);
const AMOUNTS: &str = "SELECT count(*) FROM ledger";

/// Limits with a short wait for locks.
fn hasty() -> Options {
    within(TimeLimits {
        table_lock: Duration::from_millis(300),
        ..TimeLimits::default()
    })
}

/// Another run would begin with the statements that are committed, and the histories of these formats do not tell of them.
#[tokio::test]
async fn what_is_committed_is_not_committed_again_because_a_lock_was_taken() {
    use MigrationFormat::{Sqlx, Supabase};
    let parts = "BEGIN; INSERT INTO ledger VALUES (100); COMMIT; BEGIN; ALTER TABLE busy ADD a int; COMMIT;";
    let one = "BEGIN; INSERT INTO ledger VALUES (100); ALTER TABLE busy ADD a int; COMMIT;";
    let server = server().await;
    let first = server.login("postgres");
    for (number, (format, script, kept)) in [
        (Supabase, parts, true),
        (Sqlx, parts, true),
        (Supabase, "INSERT INTO ledger VALUES (100); VACUUM busy;", true),
        (Supabase, one, false),
        (Sqlx, one, false),
        (
            Supabase,
            "SET work_mem = '8MB'; VACUUM busy; INSERT INTO ledger VALUES (100)",
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("d{number}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        migrate(&login, &source_of(format, &[TABLES])).await.unwrap();
        let mut other = session(&login).await;
        execute(&mut other, "BEGIN; LOCK TABLE busy IN SHARE MODE")
            .await
            .unwrap();
        let all = source_of(format, &[TABLES, ("20260102000000_book", script)]);
        let error = migrate_with(&login, &all, &hasty()).await.unwrap_err();
        let told = error.to_string();
        let class = if kept {
            ErrorClass::Blocked
        } else {
            ErrorClass::Transient
        };
        assert_eq!(
            (error.class(), error.reason()),
            (class, Reason::MigrationFailed),
            "{number}: {told}"
        );
        assert!(told.contains("SQLSTATE 55P03"), "{number}: {told}");
        assert_eq!(
            told.contains("add the migration to migrations.resolve as Applied"),
            kept,
            "{told}"
        );
        execute(&mut other, "ROLLBACK").await.unwrap();
        assert_eq!(ask(&mut other, AMOUNTS).await, if kept { "1" } else { "0" }, "{number}");
        // A person has done the rest by hand.
        let cure = if kept {
            resolve("20260102000000_book", ResolvedAs::Applied, None)
        } else {
            Options::default()
        };
        assert_eq!(migrate_with(&login, &all, &cure).await.unwrap().applied, 2, "{number}");
        assert_eq!(ask(&mut other, AMOUNTS).await, "1", "{number}");
    }
}

/// As before, when the run is cut off.
#[tokio::test]
async fn what_is_committed_is_told_when_the_run_is_cut_off() {
    let server = server().await;
    let first = server.login("postgres");
    let slow = "INSERT INTO ledger VALUES (100); VACUUM busy; SELECT pg_sleep(60);";
    let all = source_of(MigrationFormat::Supabase, &[TABLES, ("20260102000000_book", slow)]);
    for (database, total) in [("late", Duration::from_secs(3)), ("killed", Duration::from_mins(1))] {
        databases(&first, &[database]).await;
        let login = server.login(database);
        let options = within(TimeLimits {
            total,
            ..TimeLimits::default()
        });
        let mut conn = session(&login).await;
        let kill = async {
            let sleeper = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'killed'";
            while database == "killed" && ask(&mut conn, sleeper).await == "0" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE wait_event = 'PgSleep' AND datname = 'killed'";
            ask(&mut conn, end).await
        };
        let (done, _) = tokio::join!(migrate_with(&login, &all, &options), kill);
        let error = done.unwrap_err();
        let told = error.to_string();
        assert!(matches!(&error, Error::PartsKept { .. }), "{database}: {told}");
        assert_eq!(
            (error.class(), error.reason(), error.gives_up_session()),
            (ErrorClass::Blocked, Reason::MigrationFailed, true),
            "{database}: {told}"
        );
        assert!(
            told.starts_with("migration 20260102000000_book was cut off: "),
            "{database}: {told}"
        );
        assert_eq!(told.contains("took longer than 3 s"), database == "late", "{told}");
        assert_eq!(ask(&mut conn, AMOUNTS).await, "1", "{database}");
    }
}

/// The partition stays attached until a person ends the detachment, and cannot be detached once more before.
#[tokio::test]
async fn a_detachment_that_was_cut_off_is_no_script_that_left_nothing() {
    let server = server().await;
    let login = server.login("postgres");
    let tables = (
        "1_tables",
        "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9);",
    );
    migrate(&login, &source(&[tables])).await.unwrap();
    let mut other = session(&login).await;
    execute(&mut other, "BEGIN; SELECT count(*) FROM p").await.unwrap();
    let all = source(&[tables, ("2_detach", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;")]);
    let error = migrate_with(&login, &all, &hasty()).await.unwrap_err();
    assert!(error.to_string().contains("SQLSTATE 55P03"), "{error}");
    execute(&mut other, "COMMIT").await.unwrap();
    let kept =
        "SELECT logs LIKE '%a part of this script may be kept.' FROM _prisma_migrations WHERE finished_at IS NULL";
    assert_eq!(ask(&mut other, kept).await, "true");
    let again = migrate(&login, &all).await.unwrap_err();
    assert!(matches!(again, Error::Unfinished { .. }), "{again}");
    execute(&mut other, "ALTER TABLE p DETACH PARTITION p1 FINALIZE")
        .await
        .unwrap();
    let done = resolve("2_detach", ResolvedAs::Applied, None);
    assert_eq!(migrate_with(&login, &all, &done).await.unwrap().pending, 0);
}
