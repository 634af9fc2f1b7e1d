//! The history stays true whatever a script does to its transaction, its session and the history's table.

#[path = "history/divided.rs"]
mod divided_scripts;
#[path = "history/emptied.rs"]
mod emptied_by_scripts;
#[path = "history/first.rs"]
mod first_of_scripts;
#[path = "history/parts.rs"]
mod parts_of_scripts;
#[path = "history/session.rs"]
mod session_of_scripts;
#[path = "history/spoiled.rs"]
mod spoiled_by_scripts;

use crate::support::{
    INIT, ask, execute, migrate, migrate_with, missing_tables, pending, postgres::server, session, source, source_of,
};
use orchestra_operator::api::MigrationFormat;
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{Error, Options, Source};
use orchestra_operator::postgres::{self, Login};

const FORMATS: [MigrationFormat; 3] = [
    MigrationFormat::Prisma,
    MigrationFormat::Supabase,
    MigrationFormat::Sqlx,
];

const STATES: &str = "SELECT string_agg(format('%s:%s', migration_name, CASE WHEN rolled_back_at IS NOT NULL THEN 'back' \
    WHEN finished_at IS NULL THEN 'open' ELSE 'done' END), ' ' ORDER BY started_at) FROM public._prisma_migrations";

fn per_statement() -> Options {
    Options {
        per_statement: true,
        ..Options::default()
    }
}

/// An empty database of each name.
async fn databases(first: &Login, names: &[&str]) {
    let mut conn = session(first).await;
    for name in names {
        execute(&mut conn, &format!("CREATE DATABASE {name}")).await.unwrap();
    }
}

const ATTENDANCE: (&str, &str) = (
    "20260901090000_attendance",
    "CREATE TABLE \"Attendance\" (id SERIAL PRIMARY KEY, player TEXT NOT NULL, status TEXT);
     INSERT INTO \"Attendance\" (player) SELECT 'player ' || n FROM generate_series(1, 2500) AS n;",
);
const IN_BATCHES: &str = "-- In batches, each committed.
    DO $$ DECLARE touched integer; BEGIN
        LOOP
            UPDATE \"Attendance\" SET status = 'PRESENT'
            WHERE id IN (SELECT id FROM \"Attendance\" WHERE status IS NULL ORDER BY id LIMIT 500);
            GET DIAGNOSTICS touched = ROW_COUNT;
            EXIT WHEN touched = 0;
            COMMIT;
        END LOOP;
    END $$;";
const PROCEDURE: &str = "CREATE PROCEDURE open_some() LANGUAGE plpgsql AS $$ BEGIN
        UPDATE \"Attendance\" SET status = 'OPEN' WHERE id <= 10;
        COMMIT;
        UPDATE \"Attendance\" SET status = 'OPEN' WHERE id BETWEEN 11 AND 20;
    END $$;";
const COUNTS: &str = "SELECT string_agg(format('%s %s', status, n), ', ' ORDER BY status) FROM \
    (SELECT status, count(*) AS n FROM \"Attendance\" GROUP BY 1) AS all_of_them";

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn code_that_commits_runs_outside_of_a_transaction() {
    let server = server().await;
    let set = [
        ATTENDANCE,
        ("20260902090000_fill", IN_BATCHES),
        ("20260903090000_procedure", PROCEDURE),
        ("20260904090000_call", "CALL open_some();"),
        // The CALL is found out when it runs, and what is before it stays as it is.
        (
            "20260905090000_both",
            "CREATE TABLE before (); CALL open_some(); CREATE TABLE after ();",
        ),
        ("20260906090000_nested", "DO $$ BEGIN CALL open_some(); END $$"),
        (
            "20260907090000_plain",
            "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; CALL p();",
        ),
    ];
    let first = server.login("postgres");
    databases(&first, &["prisma", "steps", "supabase", "sqlx"]).await;
    for (database, format, options) in [
        ("prisma", MigrationFormat::Prisma, Options::default()),
        ("steps", MigrationFormat::Prisma, per_statement()),
        ("supabase", MigrationFormat::Supabase, Options::default()),
        ("sqlx", MigrationFormat::Sqlx, Options::default()),
    ] {
        let login = server.login(database);
        // sqlx sends a script as one message.
        let set: Vec<_> = set
            .into_iter()
            .filter(|(name, _)| format != MigrationFormat::Sqlx || !name.ends_with("both"))
            .collect();
        let status = migrate_with(&login, &source_of(format, &set), &options).await.unwrap();
        assert_eq!((status.applied, status.pending), (set.len(), 0), "{database}");
        let mut conn = session(&login).await;
        assert_eq!(ask(&mut conn, COUNTS).await, "OPEN 20, PRESENT 2480", "{database}");
    }

    // What it has committed before a failure is known to be unknown.
    let failing = "DO $$ BEGIN INSERT INTO a VALUES (3); COMMIT; PERFORM 1 / 0; END $$;";
    let calls =
        "CREATE PROCEDURE f() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (3); COMMIT; PERFORM 1 / 0; END $$";
    for (index, (scripts, options)) in [
        (vec![INIT, ("2_fails", failing)], Options::default()),
        (vec![INIT, ("2_fails", failing)], per_statement()),
        (vec![INIT, ("1_p", calls), ("2_fails", "CALL f()")], Options::default()),
        (
            vec![INIT, ("1_p", calls), ("2_fails", "SELECT 1; CALL f();")],
            Options::default(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("fails{index}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let error = migrate_with(&login, &source(&scripts), &options).await.unwrap_err();
        assert!(error.to_string().contains("division by zero"), "{error}");
        let again = migrate_with(&login, &source(&scripts), &options).await.unwrap_err();
        assert!(matches!(again, Error::Unfinished { .. }), "{index}: {again}");
        assert_eq!(
            ask(&mut session(&login).await, "SELECT count(*) FROM a WHERE id = 3").await,
            "1"
        );
    }
}

#[tokio::test]
async fn what_postgresql_refuses_in_a_transaction_is_told_by_the_grammar_and_by_the_database() {
    let server = server().await;
    let login = server.login("postgres");
    let set = [
        (
            "1_members",
            "CREATE TABLE m (id int, name text); CREATE INDEX m_name ON m (name);",
        ),
        ("2_index", "REINDEX (VERBOSE, CONCURRENTLY) INDEX m_name;"),
        ("3_table", "REINDEX (CONCURRENTLY TRUE) TABLE m;"),
        (
            "4_off",
            "REINDEX (CONCURRENTLY FALSE) INDEX m_name; COMMENT ON TABLE m IS 'reindexed';",
        ),
        (
            "5_parts",
            "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9); \
             CREATE INDEX p_id ON p (id);",
        ),
        // Of a partitioned table, it cannot run in a transaction.
        ("6_parts", "REINDEX TABLE p;"),
        (
            "7_parts",
            "COMMENT ON TABLE p IS 'before'; REINDEX INDEX p_id; COMMENT ON TABLE p1 IS 'after';",
        ),
        ("8_vacuum", "VACUUM (ANALYZE) m"),
        ("9_detach", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;"),
    ];
    assert_eq!(migrate(&login, &source(&set)).await.unwrap().applied, set.len());
    let mut conn = session(&login).await;
    assert_eq!(ask(&mut conn, "SELECT obj_description('p1'::regclass)").await, "after");
    let rows = "SELECT bool_and(finished_at >= started_at AND logs IS NULL AND applied_steps_count = 1) \
                FROM _prisma_migrations WHERE rolled_back_at IS NULL";
    assert_eq!(ask(&mut conn, rows).await, "true");
}

#[tokio::test]
async fn the_row_comes_after_what_must_be_first_in_a_transaction() {
    let server = server().await;
    let first = server.login("postgres");
    let set = [
        (
            "20260101000000_fees",
            "CREATE TABLE fee (amount numeric); INSERT INTO fee VALUES (120), (100);",
        ),
        (
            "20260102000000_move",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; CREATE TABLE fee_archive AS SELECT * FROM fee; \
             UPDATE fee SET amount = amount * 1.02;",
        ),
        (
            "20260103000000_own",
            "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
        ),
        (
            "20260104000000_read",
            "SET TRANSACTION READ ONLY; SELECT count(*) FROM fee;",
        ),
        ("20260105000000_later", "SET default_transaction_read_only = on;"),
        (
            "20260106000000_lasting",
            "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on;",
        ),
    ];
    for (index, format) in FORMATS.into_iter().enumerate() {
        for steps in [false, true] {
            let database = format!("d{index}{steps}");
            databases(&first, &[&database]).await;
            let login = server.login(&database);
            let options = if steps { per_statement() } else { Options::default() };
            let status = migrate_with(&login, &source_of(format, &set), &options).await.unwrap();
            assert_eq!((status.applied, status.pending), (set.len(), 0), "{format:?} {steps}");
            let mut conn = session(&login).await;
            assert_eq!(ask(&mut conn, "SELECT count(*) FROM fee_archive").await, "2");
            assert_eq!(ask(&mut conn, "SELECT sum(amount) FROM fee").await, "224.40");
            assert_eq!(pending(&mut conn, &source_of(format, &set)).await.unwrap(), status);
            execute(&mut conn, "BEGIN READ WRITE; ALTER ROLE CURRENT_USER RESET ALL; COMMIT")
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_history_is_found_wherever_the_tool_finds_it() {
    let server = server().await;
    let login = server.login("postgres");
    let own = (
        "20260901090000_own_schema",
        "CREATE SCHEMA app; CREATE TABLE app.concert (); ALTER ROLE CURRENT_USER SET search_path TO app, public;",
    );
    let venue = (
        "20260908090000_add_venue",
        "ALTER TABLE app.concert ADD COLUMN venue TEXT;",
    );
    migrate(&login, &source(&[own])).await.unwrap();
    let status = migrate(&login, &source(&[own, venue])).await.unwrap();
    assert_eq!((status.applied, status.pending, status.divergence.as_str()), (2, 0, ""));
    let mut conn = session(&login).await;
    assert_eq!(
        ask(&mut conn, "SELECT count(*) FROM public._prisma_migrations").await,
        "2"
    );
    assert_eq!(
        ask(&mut conn, "SELECT to_regclass('app._prisma_migrations')").await,
        "NULL"
    );
    let columns = "SELECT count(*) FROM information_schema.columns \
         WHERE (table_schema, table_name, column_name) = ('app', 'concert', 'venue')";
    assert_eq!(ask(&mut conn, columns).await, "1", "the second script has run, once");

    // Where the tool no longer finds it, nothing is replayed.
    execute(&mut conn, "ALTER ROLE CURRENT_USER SET search_path TO app")
        .await
        .unwrap();
    let error = migrate(&login, &source(&[own, venue])).await.unwrap_err();
    assert!(
        matches!(error, Error::OtherTool(_)) && error.to_string().contains("public._prisma_migrations"),
        "{error}"
    );
    // Prisma looks for tables in public as well.
    databases(&login, &["other"]).await;
    let other = server.login("other");
    let mut there = session(&other).await;
    execute(&mut there, "CREATE SCHEMA app; CREATE TABLE public.theirs ()")
        .await
        .unwrap();
    execute(&mut conn, "ALTER ROLE CURRENT_USER SET search_path TO app, public")
        .await
        .unwrap();
    let error = migrate(&other, &source(&[venue])).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotEmpty { schema, table } if schema == "public" && table == "theirs"),
        "{error}"
    );
    execute(&mut conn, "ALTER ROLE CURRENT_USER RESET search_path")
        .await
        .unwrap();
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_success_is_in_the_history_or_there_is_none() {
    let server = server().await;
    let first = server.login("postgres");
    let clean = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE member (id int);";
    for (index, (script, options)) in [
        (clean, Options::default()),
        (clean, per_statement()),
        ("DROP TABLE _prisma_migrations", Options::default()),
        ("ALTER TABLE _prisma_migrations RENAME TO old", Options::default()),
        (
            "ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public",
            Options::default(),
        ),
        (
            "CREATE SCHEMA o; ALTER TABLE _prisma_migrations SET SCHEMA o",
            Options::default(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("d{index}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let all = source(&[INIT, ("2_clean", script), ("3_more", "CREATE TABLE more ();")]);
        let error = migrate_with(&login, &all, &options).await.unwrap_err();
        assert!(
            matches!(&error, Error::HistoryGone { kept: false, .. }),
            "{script}: {error}"
        );
        assert_eq!(
            (error.class(), error.reason()),
            (ErrorClass::Invalid, Reason::MigrationFailed)
        );
        let mut conn = session(&login).await;
        let expected = if options.per_statement {
            "1_init:done 2_clean:open"
        } else {
            "1_init:done"
        };
        assert_eq!(ask(&mut conn, STATES).await, expected, "{script}");
        assert_eq!(ask(&mut conn, "SELECT to_regclass('public.a')").await, "a", "{script}");
        assert_eq!(ask(&mut conn, "SELECT to_regclass('more')").await, "NULL");
    }
    // A script with transactions of its own has committed, and nobody says that it succeeded.
    databases(&first, &["own"]).await;
    let login = server.login("own");
    let own = format!("BEGIN; {clean} COMMIT; SELECT 1;");
    let error = migrate(&login, &source(&[("1_clean", &own)])).await.unwrap_err();
    assert!(matches!(error, Error::HistoryGone { kept: true, .. }), "{error}");
    assert!(error.to_string().contains("baseline"), "{error}");
    let error = migrate(&login, &source(&[("1_clean", &own)])).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    // One that ends with its COMMIT is rolled back.
    databases(&first, &["tied"]).await;
    let login = server.login("tied");
    let tied = format!("BEGIN; {clean} COMMIT;");
    let error = migrate(&login, &source(&[INIT, ("2_clean", &tied)])).await.unwrap_err();
    assert!(matches!(error, Error::HistoryGone { kept: false, .. }), "{error}");
    let mut conn = session(&login).await;
    assert_eq!(ask(&mut conn, STATES).await, "1_init:done 2_clean:back");
    assert_eq!(ask(&mut conn, "SELECT to_regclass('public.a')").await, "a");
    // The tools of the other formats fail as well.
    for (database, format, script) in [
        ("sqlx", MigrationFormat::Sqlx, clean),
        (
            "supabase",
            MigrationFormat::Supabase,
            "DROP SCHEMA supabase_migrations CASCADE",
        ),
    ] {
        databases(&first, &[database]).await;
        let error = migrate(&server.login(database), &source_of(format, &[("1_clean", script)]))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::HistoryGone { kept: false, .. }), "{error}");
    }
}

/// The tables that the history claims, whatever way one has gone.
#[tokio::test]
async fn only_a_table_that_a_person_dropped_is_missing() {
    let server = server().await;
    let login = server.login("postgres");
    let all = source(&[
        (
            "1_tables",
            "CREATE TABLE kept (); CREATE TABLE lost (); CREATE SCHEMA s; CREATE TABLE s.gone (); CREATE TABLE old ();",
        ),
        (
            "2_schema",
            "CREATE TABLE moved (); DROP SCHEMA s CASCADE; CREATE SCHEMA s; ALTER TABLE moved SET SCHEMA s;",
        ),
        ("3_code", "DO $$ BEGIN EXECUTE 'DROP TABLE old'; END $$;"),
        ("4_undone", "BEGIN; CREATE TABLE never (); ROLLBACK;"),
    ]);
    migrate(&login, &all).await.unwrap();
    let mut conn = session(&login).await;
    assert!(missing_tables(&mut conn, &all).await.unwrap().is_empty());
    execute(&mut conn, "DROP TABLE lost").await.unwrap();
    assert_eq!(missing_tables(&mut conn, &all).await.unwrap(), ["lost"]);
    let cleaned = (
        "5_clean",
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relname = 'kept' LOOP \
        EXECUTE format('DROP TABLE %I', t); END LOOP; END $$;",
    );
    let mut scripts: Vec<_> = all
        .migrations()
        .iter()
        .map(|it| (it.name.as_str(), it.script.as_str()))
        .collect();
    scripts.push(cleaned);
    let all = source(&scripts);
    migrate(&login, &all).await.unwrap();
    assert!(missing_tables(&mut conn, &all).await.unwrap().is_empty());
}
