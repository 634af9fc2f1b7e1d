//! Migrations against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use orchestra_operator::api::MigrationFormat;
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{Error, Options, TimeLimits, apply};
use support::{ask, execute, migrate, pending, postgres::server, session, source, source_of, within};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE a (id int PRIMARY KEY);\nINSERT INTO a VALUES (1);\n",
);
const SECOND: (&str, &str) = (
    "2_more",
    "CREATE TYPE colour AS ENUM ('red');\nALTER TABLE a ADD c colour;",
);

#[tokio::test]
async fn applies_in_order_and_once() {
    let server = server().await;
    let login = server.login("postgres");
    let all = source(&[
        SECOND,
        INIT,
        // As pg_dump writes it: the next script must not notice.
        (
            "3_baseline",
            "SELECT pg_catalog.set_config('search_path', '', false);\nSET statement_timeout = 1;",
        ),
        ("4_index", "-- alone\nCREATE INDEX CONCURRENTLY a_c ON a (c);"),
        (
            "5_function",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\nDO $$ BEGIN PERFORM f(); END $$;",
        ),
        (
            "6_enum",
            "BEGIN;\nALTER TYPE colour ADD VALUE 'blue';\nCOMMIT;\nUPDATE a SET c = 'blue';",
        ),
        ("7_empty", "-- nothing\n"),
    ]);
    let mut conn = session(&login).await;
    let before = pending(&mut conn, &all).await.unwrap();
    assert_eq!((before.applied, before.pending, before.current), (0, 7, None));
    assert_eq!(
        ask(&mut conn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await,
        "0"
    );

    let mut told = Vec::new();
    let (_, status) = apply(session(&login).await, &all, &Options::default(), &mut |step| {
        told.push(format!("{step:?}"));
    })
    .await
    .unwrap();
    assert_eq!(
        (status.applied, status.pending, status.current.as_deref()),
        (7, 0, Some("7_empty"))
    );
    assert_eq!(told.len(), 14);
    assert_eq!(ask(&mut conn, "SELECT c FROM a").await, "blue");
    let rows = "SELECT string_agg(format('%s %s %s %s', migration_name, finished_at >= started_at, applied_steps_count, logs IS NULL), ',' ORDER BY started_at) FROM _prisma_migrations";
    let recorded = ask(&mut conn, rows).await;
    assert_eq!(recorded.split(',').next(), Some("1_init t 1 t"));
    assert_eq!(recorded.split(',').filter(|row| row.ends_with(" t 1 t")).count(), 7);

    assert_eq!(migrate(&login, &all).await.unwrap(), status);
    assert_eq!(pending(&mut conn, &all).await.unwrap(), status);
    assert_eq!(ask(&mut conn, rows).await, recorded);
    let edited = source(&[("1_init", "-- edited"), SECOND]);
    assert_eq!(
        migrate(&login, &edited).await.unwrap().divergence,
        "changed since they were applied: 1_init; applied, but no longer in the source: 3_baseline, 4_index, 5_function and 2 more"
    );
}

/// As the tools do: `prisma migrate deploy` and `sqlx migrate run` apply it, `supabase db push` wants `--include-all`.
#[tokio::test]
async fn a_script_that_comes_late_is_applied_or_refused_as_its_tool_does_it() {
    use MigrationFormat::{Prisma, Sqlx, Supabase};
    const SET: [(&str, &str); 3] = [
        ("20260101000000_first", "CREATE TABLE one ();"),
        ("20260102000000_late", "CREATE TABLE two ();"),
        ("20260103000000_last", "CREATE TABLE three ();"),
    ];
    let server = server().await;
    let mut root = session(&server.login("postgres")).await;
    for (format, name) in [(Prisma, "prisma"), (Supabase, "supabase"), (Sqlx, "sqlx")] {
        execute(&mut root, &format!("CREATE DATABASE {name}")).await.unwrap();
        let login = server.login(name);
        migrate(&login, &source_of(format, &[SET[0], SET[2]])).await.unwrap();
        let all = source_of(format, &SET);
        let told = pending(&mut session(&login).await, &all).await;
        let said = "20260102000000_late";
        let applied = migrate(&login, &all).await;
        let mut conn = session(&login).await;
        let there = ask(&mut conn, "SELECT to_regclass('two') IS NOT NULL").await;
        if format == Supabase {
            let error = applied.unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("--include-all"), "{error}");
            assert_eq!(there, "false");
        } else {
            assert_eq!(
                told.unwrap().divergence,
                format!("older than one that is applied: {said}")
            );
            let applied = applied.unwrap();
            assert_eq!(
                (applied.applied, applied.pending, applied.divergence.as_str()),
                (3, 0, "")
            );
            assert_eq!(there, "true");
        }
    }
}

#[tokio::test]
async fn a_failure_leaves_nothing_and_a_changed_file_cures_it() {
    let server = server().await;
    let login = server.login("postgres");
    let bad = "CREATE TABLE b (id int);\n\nINSERT INTO b\n  SELECT id FROM nope;";
    let error = migrate(&login, &source(&[INIT, ("2_bad", bad)])).await.unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::Invalid, Reason::MigrationFailed)
    );
    assert_eq!(
        error.to_string(),
        "migration 2_bad failed at line 4, column 18: relation \"nope\" does not exist (SQLSTATE 42P01)"
    );
    let mut conn = session(&login).await;
    assert_eq!(ask(&mut conn, "SELECT to_regclass('b')").await, "NULL");
    assert_eq!(
        ask(
            &mut conn,
            "SELECT string_agg(migration_name, ',') FROM _prisma_migrations"
        )
        .await,
        "1_init"
    );

    // Without a position the server's error is placed at its statement.
    let error = migrate(
        &login,
        &source(&[INIT, ("2_bad", "SELECT 1;\n-- again\nINSERT INTO a VALUES (1);")]),
    )
    .await
    .unwrap_err();
    let Error::Failed(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(
        (failure.sqlstate.as_str(), failure.line, failure.column),
        ("23505", 3, 1)
    );
    assert_eq!(failure.detail.as_deref(), Some("Key (id)=(1) already exists."));
    assert!(
        failure.to_string().contains("detail: Key (id)=(…) already exists."),
        "{failure}"
    );

    let status = migrate(&login, &source(&[INIT, ("2_bad", "CREATE TABLE b (id int);")]))
        .await
        .unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
}

#[tokio::test]
async fn an_unfinished_row_is_only_resolved_when_it_is_certain() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    // One statement outside of a transaction: PostgreSQL undid it, so a changed file is tried again.
    let error = migrate(&login, &source(&[INIT, ("2_v", "VACUUM nope;")]))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    let logs = ask(
        &mut conn,
        "SELECT logs FROM _prisma_migrations WHERE finished_at IS NULL",
    )
    .await;
    assert!(
        logs.contains("Migration name: 2_v\n\nDatabase error code: 42P01"),
        "{logs}"
    );
    assert_eq!(
        pending(&mut conn, &source(&[INIT, ("2_v", "VACUUM a;")]))
            .await
            .unwrap()
            .pending,
        1
    );
    migrate(&login, &source(&[INIT, ("2_v", "VACUUM a;")])).await.unwrap();
    assert_eq!(
        ask(
            &mut conn,
            "SELECT count(*) FROM _prisma_migrations WHERE rolled_back_at IS NOT NULL"
        )
        .await,
        "1"
    );

    // With transactions of its own a part was kept: a person must look.
    let parts = source(&[
        INIT,
        ("2_v", "VACUUM a;"),
        ("3_parts", "BEGIN; CREATE TABLE kept (); COMMIT; SELECT nope;"),
    ]);
    assert!(matches!(migrate(&login, &parts).await, Err(Error::Failed(_))));
    let error = migrate(&login, &parts).await.unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::Blocked, Reason::MigrationUnfinished)
    );
    assert!(
        error.to_string().contains("migration 3_parts, started at 20"),
        "{error}"
    );
    assert!(pending(&mut conn, &parts).await.is_err());
}

#[tokio::test]
async fn a_failed_concurrent_index_can_be_built_after_the_cure() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    let twice = ("1_init", "CREATE TABLE a (id int); INSERT INTO a VALUES (1), (1);");
    let all = source(&[
        twice,
        ("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY \"A id\" ON a (id);"),
    ]);
    assert!(migrate(&login, &all).await.unwrap_err().to_string().contains("23505"));
    assert_eq!(
        ask(&mut conn, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
        "0"
    );
    execute(&mut conn, "DELETE FROM a").await.unwrap();
    assert_eq!(migrate(&login, &all).await.unwrap().pending, 0);
}

/// The operator was killed while it built an index: there is the row, and nothing tells what became of the index.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn an_interrupted_index_is_looked_for_on_its_own_table() {
    const TABLES: (&str, &str) = (
        "1_init",
        "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.\"User\" (email text, name text); CREATE TABLE b.\"User\" (email text, name text);
         CREATE TABLE \"User\" (email text, name text);",
    );
    let server = server().await;
    let first = server.login("postgres");
    let of_b = "CREATE UNIQUE INDEX CONCURRENTLY \"U\" ON b.\"User\" (email);";
    let of_path = "CREATE UNIQUE INDEX CONCURRENTLY \"U\" ON \"User\" (email);";
    let invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid =";
    // What is there, the script, and which index is there and valid in the end: one that was there before, or a new one.
    for (number, (there, script, outcome)) in [
        ("CREATE INDEX \"U\" ON a.\"User\" (email)".to_owned(), of_b, "new"),
        ("CREATE INDEX \"U\" ON a.\"User\" (email)".to_owned(), of_path, "new"),
        (
            format!("CREATE UNIQUE INDEX \"U\" ON a.\"User\" (email); {invalid} 'a.\"U\"'::regclass"),
            of_b,
            "new",
        ),
        (
            format!("CREATE UNIQUE INDEX \"U\" ON b.\"User\" (email); {invalid} 'b.\"U\"'::regclass"),
            of_b,
            "new",
        ),
        (
            "CREATE UNIQUE INDEX \"U\" ON b.\"User\" (email)".to_owned(),
            of_b,
            "old",
        ),
        (
            "CREATE UNIQUE INDEX \"U\" ON \"User\" (email)".to_owned(),
            of_path,
            "old",
        ),
        ("CREATE INDEX \"U\" ON b.\"User\" (email)".to_owned(), of_b, "ask"),
        ("CREATE UNIQUE INDEX \"U\" ON b.\"User\" (name)".to_owned(), of_b, "ask"),
        (
            "CREATE UNIQUE INDEX \"U\" ON b.\"User\" (email) WHERE name IS NULL".to_owned(),
            of_b,
            "ask",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("d{number}");
        execute(&mut session(&first).await, &format!("CREATE DATABASE {database}"))
            .await
            .unwrap();
        let login = server.login(&database);
        migrate(&login, &source(&[TABLES])).await.unwrap();
        let mut conn = session(&login).await;
        execute(&mut conn, &there).await.unwrap();
        let row = format!(
            "INSERT INTO _prisma_migrations (id, checksum, migration_name) \
             SELECT 'x', encode(sha256(convert_to($s${script}$s$, 'UTF8')), 'hex'), '2_index'"
        );
        execute(&mut conn, &row).await.unwrap();
        let indexes = "SELECT string_agg(format('%s%s', indexrelid, indisvalid), ' ' ORDER BY indexrelid) \
             FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = 'U'";
        let before = ask(&mut conn, indexes).await;

        let done = migrate(&login, &source(&[TABLES, ("2_index", script)])).await;
        let after = ask(&mut conn, indexes).await;
        let schema = if script == of_b { "b" } else { "public" };
        let valid = format!(
            "SELECT bool_and(indisvalid AND indisunique) FROM pg_index WHERE indrelid = '{schema}.\"User\"'::regclass"
        );
        match (done, outcome) {
            (Ok(status), "new" | "old") => {
                assert_eq!(status.pending, 0, "{there}: {script}");
                assert_eq!(ask(&mut conn, &valid).await, "true", "{there}: {script}");
                assert_eq!(after == before, outcome == "old", "{there}: {script}");
                // That of another table stays, whatever is the matter with it.
                if there.contains("ON a.") {
                    assert!(after.starts_with(&before), "{there}: {before} {after}");
                }
            }
            (Err(Error::Unfinished { name, .. }), "ask") => assert_eq!((name.as_str(), after), ("2_index", before)),
            (done, _) => panic!("{there}: {script}: {done:?}"),
        }
    }
}

/// Nobody's build is interrupted: another session holds the lock of one.
#[tokio::test]
async fn an_index_that_somebody_builds_is_left_alone() {
    let server = server().await;
    let login = server.login("postgres");
    let init = ("1_init", "CREATE TABLE t (a int)");
    let script = "CREATE INDEX CONCURRENTLY i ON t (a)";
    migrate(&login, &source(&[init])).await.unwrap();
    let mut conn = session(&login).await;
    let there = format!(
        "CREATE INDEX i ON t (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass; \
         INSERT INTO _prisma_migrations (id, checksum, migration_name) \
         SELECT 'x', encode(sha256('{script}'), 'hex'), '2_index'"
    );
    execute(&mut conn, &there).await.unwrap();
    execute(&mut conn, "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let all = source(&[init, ("2_index", script)]);
    assert!(matches!(migrate(&login, &all).await, Err(Error::Unfinished { .. })));
    execute(&mut conn, "COMMIT").await.unwrap();
    assert_eq!(
        ask(
            &mut conn,
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"
        )
        .await,
        "false"
    );
    assert_eq!(migrate(&login, &all).await.unwrap().pending, 0);
    assert_eq!(
        ask(
            &mut conn,
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"
        )
        .await,
        "true"
    );
}

#[tokio::test]
async fn a_killed_session_leaves_nothing() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    let slow = source(&[INIT, ("2_slow", "CREATE TABLE b (); SELECT pg_sleep(60);")]);
    let task = tokio::spawn({
        let login = login.clone();
        async move { migrate(&login, &slow).await }
    });
    let sleeper = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ask(&mut conn, sleeper).await == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    execute(
        &mut conn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    )
    .await
    .unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(ask(&mut conn, "SELECT to_regclass('b')").await, "NULL");
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM _prisma_migrations").await, "1");
    let quick = source(&[INIT, ("2_slow", "CREATE TABLE b ();")]);
    assert_eq!(migrate(&login, &quick).await.unwrap().pending, 0);

    // The same when the operator gives up: the server notices and the lock is free again.
    let long = source(&[
        INIT,
        ("2_slow", "CREATE TABLE b ();"),
        ("3_long", "SELECT pg_sleep(60);"),
    ]);
    let limits = TimeLimits {
        total: Duration::from_millis(500),
        ..TimeLimits::default()
    };
    let error = apply(session(&login).await, &long, &within(limits), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(migrate(&login, &quick).await.unwrap().pending, 0);
}

#[tokio::test]
async fn the_lock_is_prismas_and_waits_a_bounded_time() {
    let server = server().await;
    let login = server.login("postgres");
    let mut holder = orchestra_operator::postgres::connect(&login, "prisma").await.unwrap();
    execute(&mut holder, "SELECT pg_advisory_lock(72707369)").await.unwrap();
    let limits = TimeLimits {
        lock: Duration::from_millis(300),
        ..TimeLimits::default()
    };
    let error = apply(session(&login).await, &source(&[INIT]), &within(limits), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::After(Duration::from_secs(5)), Reason::MigrationLocked)
    );
    assert!(error.to_string().contains("prisma from 127.0.0.1, process "), "{error}");
    execute(&mut holder, "SELECT pg_advisory_unlock(72707369)")
        .await
        .unwrap();
    migrate(&login, &source(&[INIT])).await.unwrap();
}

#[tokio::test]
async fn somebody_elses_database_is_left_alone() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(
        &mut conn,
        "CREATE TABLE spatial_ref_sys (); CREATE VIEW v AS SELECT 1; CREATE SCHEMA x CREATE TABLE t ()",
    )
    .await
    .unwrap();
    assert_eq!(pending(&mut conn, &source(&[INIT])).await.unwrap().pending, 1);
    execute(&mut conn, "CREATE TABLE theirs ()").await.unwrap();
    let error = migrate(&login, &source(&[INIT])).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotEmpty { table, .. } if table == "theirs"),
        "{error}"
    );
    execute(&mut conn, "CREATE SCHEMA prisma_contract").await.unwrap();
    assert!(matches!(
        migrate(&login, &source(&[INIT])).await,
        Err(Error::OtherTool(_))
    ));
}
