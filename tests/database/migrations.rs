//! Migrations against a real PostgreSQL.

#[path = "migrations/indexes.rs"]
mod indexes_of_migrations;
#[path = "migrations/sessions.rs"]
mod sessions_of_migrations;
#[path = "migrations/settled.rs"]
mod settled_migrations;
#[path = "migrations/unfinished.rs"]
mod unfinished_migrations;

use std::time::Duration;

use crate::support::{ask, execute, migrate, pending, postgres::server, session, source, source_of, within};
use orchestra_operator::api::MigrationFormat;
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{Error, Options, TimeLimits, apply};

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

/// Version 3 of the CLI applies them by their versions, as the operator does, and earlier ones by the names of the files.
#[tokio::test]
async fn versions_of_several_lengths_are_told_to_have_two_orders() {
    let server = server().await;
    let mut conn = session(&server.login("postgres")).await;
    for (names, told) in [
        (["1_a", "10_b"], "1_a, 10_b"),
        (["20240101_init", "20240101120000_x"], "20240101_init, 20240101120000_x"),
        (["20240101000000_a", "20240102000000_b"], ""),
    ] {
        let all = source_of(MigrationFormat::Supabase, &names.map(|name| (name, "SELECT 1")));
        let divergence = pending(&mut conn, &all).await.unwrap().divergence;
        assert!(
            divergence.ends_with(told) && divergence.is_empty() == told.is_empty(),
            "{divergence}"
        );
        assert!(
            told.is_empty() || divergence.contains("Supabase CLI up to version 2"),
            "{divergence}"
        );
    }
}
