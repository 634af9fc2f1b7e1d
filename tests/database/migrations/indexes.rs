//! Indexes that are built beside other transactions.

use std::time::Instant;

use super::*;
use crate::support::migrate_with;

const FORMATS: [MigrationFormat; 3] = [
    MigrationFormat::Prisma,
    MigrationFormat::Supabase,
    MigrationFormat::Sqlx,
];

const TABLE: (&str, &str) = ("1_table", "CREATE TABLE t (a int);");
const INDEX: &str = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS u ON t (a);";
const VALID: &str = "SELECT string_agg(indisvalid::text, ',') FROM pg_index WHERE indrelid = 't'::regclass";

/// Limits with a short wait for locks.
fn hasty() -> Options {
    within(TimeLimits {
        table_lock: Duration::from_millis(300),
        ..TimeLimits::default()
    })
}

/// Each script with a database of its own that has the table. sqlx itself refuses the second one.
async fn each_script(
    server: &crate::support::postgres::Server,
    first: &'static str,
) -> Vec<(String, orchestra_operator::postgres::Login, MigrationFormat, String)> {
    let mut root = session(&server.login("postgres")).await;
    let mut all = Vec::new();
    for format in FORMATS {
        for (number, script) in [INDEX.to_owned(), format!("{first} {INDEX}")].into_iter().enumerate() {
            if format == MigrationFormat::Sqlx && number > 0 {
                continue;
            }
            let database = format!("{}{number}", format.as_str().to_lowercase());
            execute(&mut root, &format!("CREATE DATABASE {database}"))
                .await
                .unwrap();
            let login = server.login(&database);
            migrate(&login, &source_of(format, &[TABLE])).await.unwrap();
            all.push((database, login, format, script));
        }
    }
    all
}

/// It takes a lock beside which the table is read and written, and nobody waits for it.
#[tokio::test]
async fn an_index_waits_for_other_transactions_as_long_as_the_migrations_may_take() {
    let server = server().await;
    for (database, login, format, script) in each_script(&server, "CREATE TABLE more ();").await {
        let all = source_of(format, &[TABLE, ("2_index", &script)]);
        let mut other = session(&login).await;
        execute(&mut other, "BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
        let (started, options) = (Instant::now(), hasty());
        let (done, ()) = tokio::join!(migrate_with(&login, &all, &options), async {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            execute(&mut other, "COMMIT").await.unwrap();
        });
        let status = done.unwrap_or_else(|error| panic!("{database}: {error}"));
        assert_eq!((status.applied, status.pending), (2, 0), "{database}");
        assert!(started.elapsed() > Duration::from_secs(1), "{database}");
        assert_eq!(ask(&mut other, VALID).await, "true", "{database}");
    }
}

/// What the script says of its locks counts, and what its failed build leaves is dropped.
#[tokio::test]
async fn a_script_may_say_how_long_its_index_waits() {
    let server = server().await;
    let login = server.login("postgres");
    let script = format!("SET lock_timeout = '300ms'; {INDEX}");
    let all = source_of(MigrationFormat::Supabase, &[TABLE, ("2_index", &script)]);
    migrate(&login, &source_of(MigrationFormat::Supabase, &[TABLE]))
        .await
        .unwrap();
    let mut other = session(&login).await;
    execute(&mut other, "BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let (done, ()) = tokio::join!(migrate(&login, &all), async {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        execute(&mut other, "COMMIT").await.unwrap();
    });
    let error = done.unwrap_err();
    assert!(
        matches!(&error, Error::Failed(failure) if failure.sqlstate == "55P03" && !failure.keeps_parts),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(ask(&mut other, VALID).await, "NULL");
    assert_eq!(migrate(&login, &all).await.unwrap().pending, 0);
    assert_eq!(ask(&mut other, VALID).await, "true");
}

/// `IF NOT EXISTS` passes over it with a notice.
#[tokio::test]
async fn an_invalid_index_is_not_recorded_as_built() {
    let server = server().await;
    for (database, login, format, script) in each_script(&server, "COMMENT ON TABLE t IS 'x';").await {
        let all = source_of(format, &[TABLE, ("2_index", &script)]);
        let mut conn = session(&login).await;
        let left =
            "CREATE UNIQUE INDEX u ON t (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'u'::regclass";
        execute(&mut conn, left).await.unwrap();
        for _ in 0..2 {
            let error = migrate(&login, &all).await.unwrap_err();
            let told = error.to_string();
            assert!(
                told.contains("an invalid index \"u\" is there") && told.contains("DROP INDEX CONCURRENTLY \"u\""),
                "{database}: {told}"
            );
            assert_eq!(error.class(), ErrorClass::Invalid, "{database}");
            assert_eq!(pending(&mut conn, &all).await.unwrap().pending, 1, "{database}");
            assert_eq!(ask(&mut conn, VALID).await, "false", "{database}");
        }
        execute(&mut conn, "DROP INDEX CONCURRENTLY u").await.unwrap();
        assert_eq!(migrate(&login, &all).await.unwrap().pending, 0, "{database}");
        assert_eq!(ask(&mut conn, VALID).await, "true", "{database}");
    }
}
