//! How scripts are run, what is recorded of them, and how what did not finish is cured.

use std::time::Duration;

use crate::support::{
    INIT, ask, counted, execute, migrate, migrate_with, pending, postgres::server, resolve, session, source, source_of,
};
use orchestra_operator::api::{MigrationFormat, ResolvedAs};
use orchestra_operator::migrate::{Error, Options, RunEvent, TimeLimits, apply};
use orchestra_operator::postgres::Login;

async fn root(login: &Login, sql: &str) -> String {
    ask(&mut session(login).await, sql).await
}

const STATES: &str = "SELECT string_agg(format('%s:%s', migration_name, CASE WHEN rolled_back_at IS NOT NULL THEN 'back' \
    WHEN finished_at IS NULL THEN 'open' ELSE 'done' END), ' ' ORDER BY started_at) FROM _prisma_migrations";

/// As functions and statements of extensions are that look whether they are in a transaction, and code that is too long to be
/// read: nothing but the refusal tells.
#[tokio::test]
async fn a_statement_that_refuses_a_transaction_runs_without_one() {
    let server = server().await;
    let first = server.login("postgres");
    let alone = "CREATE FUNCTION alone() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
         IF now() <> statement_timestamp() THEN RAISE EXCEPTION 'not in a transaction' USING ERRCODE = '25001'; END IF; \
         CREATE TABLE made (); END $$;";
    let long = format!(
        "DO $$ BEGIN CREATE TABLE made (); /* {} */ COMMIT; CREATE TABLE more (); END $$",
        "long ".repeat(60_000)
    );
    for (number, script) in ["-- alone\nSELECT alone();", &long].into_iter().enumerate() {
        for format in [
            MigrationFormat::Prisma,
            MigrationFormat::Supabase,
            MigrationFormat::Sqlx,
        ] {
            for per_statement in [false, true] {
                let database = format!("d{number}{}{per_statement}", format.as_str().to_lowercase());
                execute(&mut session(&first).await, &format!("CREATE DATABASE {database}"))
                    .await
                    .unwrap();
                let login = server.login(&database);
                let options = Options {
                    per_statement,
                    ..Options::default()
                };
                let all = source_of(format, &[("1_alone", alone), ("2_run", script)]);
                let status = migrate_with(&login, &all, &options).await;
                assert_eq!(status.unwrap().applied, 2, "{database}");
                assert_eq!(root(&login, "SELECT count(*) FROM made").await, "0");
            }
        }
    }
}

#[tokio::test]
async fn what_nothing_else_can_run_runs_statement_by_statement() {
    let server = server().await;
    let login = server.login("postgres");
    let mixed = (
        "2_mixed",
        "CREATE TABLE b (id int);\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nBEGIN;\nINSERT INTO b VALUES (1);\nCOMMIT;\nCREATE INDEX CONCURRENTLY b_id ON b (id);",
    );
    let enumeration = (
        "3_enum",
        "CREATE TYPE colour AS ENUM ('red');\nALTER TABLE a ADD c colour;",
    );
    // Adding a value and using it needs a commit in between.
    let used = (
        "4_used",
        "ALTER TYPE colour ADD VALUE 'green';\nUPDATE a SET c = 'green';",
    );
    let mut one_by_one = Vec::new();
    let all = source(&[INIT, mixed, enumeration, used]);
    let (_, status) = apply(session(&login).await, &all, &Options::default(), &mut |step| {
        if let RunEvent::Started {
            name,
            per_statement: true,
            ..
        } = step
        {
            one_by_one.push(name.to_owned());
        }
    })
    .await
    .unwrap();
    assert_eq!((status.applied, status.pending), (4, 0));
    assert_eq!(one_by_one, ["2_mixed", "4_used"]);
    assert_eq!(
        root(&login, "SELECT string_agg(DISTINCT c::text, ',') FROM a").await,
        "green"
    );
    assert_eq!(
        root(&login, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
        "0"
    );
    let rows =
        "SELECT bool_and(logs IS NULL AND applied_steps_count = 1 AND finished_at IS NOT NULL) FROM _prisma_migrations";
    assert_eq!(root(&login, rows).await, "true");

    // The Supabase CLI shares transactions up to the next such statement.
    execute(&mut session(&login).await, "CREATE DATABASE other")
        .await
        .unwrap();
    let login = server.login("other");
    let mixed = (
        "20260102000000_mixed",
        "CREATE TABLE b (id int);\nCREATE INDEX CONCURRENTLY b_id ON b (id);\nCREATE TABLE c (id int);\nSELECT nope;",
    );
    let error = migrate(&login, &source_of(MigrationFormat::Supabase, &[mixed]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("failed at line 4, column 8"), "{error}");
    let kept = "SELECT concat_ws(' ', to_regclass('b'), to_regclass('b_id'), to_regclass('c'))";
    assert_eq!(root(&login, kept).await, "b b_id");
    let rows = "SELECT count(*) FROM supabase_migrations.schema_migrations";
    assert_eq!(root(&login, rows).await, "0");
}

#[tokio::test]
async fn a_script_goes_on_behind_the_statements_that_are_committed() {
    let server = server().await;
    let login = server.login("postgres");
    let options = Options {
        per_statement: true,
        ..Options::default()
    };
    let script = |last: &str| format!("INSERT INTO a VALUES (3);\nINSERT INTO a VALUES (4);\n{last}");
    let bad = script("INSERT INTO nope VALUES (5);");
    let error = migrate_with(&login, &source(&[INIT, ("2_rows", &bad)]), &options)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("2_rows failed at line 3, column 13"),
        "{error}"
    );
    assert_eq!(root(&login, STATES).await, "1_init:done 2_rows:open");
    assert_eq!(root(&login, "SELECT sum(id) FROM a").await, "10");

    // What is committed was changed: a person must say what became of it.
    let changed = script("SELECT 1;").replace("(3)", "(30)");
    let changed = source(&[INIT, ("2_rows", &changed)]);
    let error = migrate_with(&login, &changed, &options).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unfinished { name, .. } if name == "2_rows"),
        "{error}"
    );
    assert_eq!(root(&login, "SELECT sum(id) FROM a").await, "10");

    // Only the failed part was changed: the run continues there, also when single statements are no longer requested.
    let good = script("INSERT INTO a VALUES (5);");
    let good = source(&[INIT, ("2_rows", &good)]);
    assert_eq!(pending(&mut session(&login).await, &good).await.unwrap().unsettled, 1);
    assert_eq!(migrate(&login, &good).await.unwrap().pending, 0);
    assert_eq!(root(&login, STATES).await, "1_init:done 2_rows:back 2_rows:done");
    assert_eq!(root(&login, "SELECT sum(id) FROM a").await, "15");
}

#[tokio::test]
async fn an_index_that_was_being_built_is_looked_at() {
    let server = server().await;
    let login = server.login("postgres");
    let index = ("2_index", "CREATE INDEX CONCURRENTLY a_id ON a (id);");
    let all = source(&[INIT, index]);
    for left in ["", "CREATE INDEX a_id ON a (id);", "INVALID"] {
        migrate(&login, &source(&[INIT])).await.unwrap();
        let mut conn = session(&login).await;
        if left == "INVALID" {
            execute(&mut conn, "INSERT INTO a VALUES (1)").await.unwrap();
            execute(&mut conn, "CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id)")
                .await
                .unwrap_err();
            assert_eq!(
                ask(&mut conn, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
                "1"
            );
        } else {
            execute(&mut conn, left).await.unwrap();
        }
        // As an operator, or Prisma, that was killed in the middle leaves it.
        let checksum = all.migrations()[1].checksum.clone();
        execute(
            &mut conn,
            &format!(
                "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', '{checksum}', '2_index')"
            ),
        )
        .await
        .unwrap();
        assert_eq!(pending(&mut conn, &all).await.unwrap().unsettled, 1);
        let status = migrate(&login, &all).await.unwrap();
        assert_eq!((status.applied, status.pending), (2, 0), "{left}");
        assert_eq!(
            ask(
                &mut conn,
                "SELECT string_agg(indisvalid::text, ',') FROM pg_index WHERE indrelid = 'a'::regclass"
            )
            .await,
            "true"
        );
        let rows = if left.starts_with("CREATE") {
            "1_init:done 2_index:done"
        } else {
            "1_init:done 2_index:back 2_index:done"
        };
        assert_eq!(ask(&mut conn, STATES).await, rows, "{left}");
        execute(&mut conn, "DROP TABLE a; DROP TABLE _prisma_migrations")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_persons_word_cures_what_nobody_can_know_and_counts_once() {
    let server = server().await;
    let login = server.login("postgres");
    let parts = ("2_parts", "BEGIN; CREATE TABLE kept (); COMMIT; SELECT nope;");
    let all = source(&[INIT, parts]);
    migrate(&login, &all).await.unwrap_err();
    let back = resolve("2_parts", ResolvedAs::RolledBack, None);
    let mut conn = session(&login).await;
    execute(&mut conn, "DROP TABLE kept").await.unwrap();
    let error = migrate_with(&login, &all, &back).await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "it ran again: {error}");

    // The word was for the first attempt.
    let error = migrate_with(&login, &all, &back).await.unwrap_err();
    let Error::Unfinished {
        started_at,
        again: true,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(
        error.to_string().contains(&format!("startedAt: \"{started_at}\"")),
        "{error}"
    );
    let applied = resolve("2_parts", ResolvedAs::Applied, Some(started_at));
    let status = migrate_with(&login, &all, &applied).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
    assert_eq!(
        root(&login, STATES).await,
        "1_init:done 2_parts:back 2_parts:back 2_parts:done"
    );
    let row = "SELECT format('%s %s', applied_steps_count, logs = '') FROM _prisma_migrations WHERE finished_at = started_at AND migration_name = '2_parts'";
    assert_eq!(root(&login, row).await, "0 t");

    // What somebody has done by hand is recorded without being run.
    let by_hand = source(&[INIT, parts, ("3_hand", "SELECT nope;")]);
    let word = resolve("3_hand", ResolvedAs::Applied, None);
    assert_eq!(migrate_with(&login, &by_hand, &word).await.unwrap().pending, 0);

    // What is no longer in the source is taken out of the Supabase CLI's history.
    execute(&mut conn, "CREATE DATABASE other").await.unwrap();
    let login = server.login("other");
    let (one, two) = (("1_one", "SELECT 1;"), ("2_two", "SELECT 2;"));
    migrate(&login, &source_of(MigrationFormat::Supabase, &[one, two]))
        .await
        .unwrap();
    let less = source_of(MigrationFormat::Supabase, &[one]);
    assert!(matches!(migrate(&login, &less).await, Err(Error::Diverged { .. })));
    let word = resolve("2", ResolvedAs::RolledBack, None);
    assert_eq!(migrate_with(&login, &less, &word).await.unwrap().applied, 1);
    assert_eq!(
        root(
            &login,
            "SELECT string_agg(version, ',') FROM supabase_migrations.schema_migrations"
        )
        .await,
        "1"
    );
}

#[tokio::test]
async fn a_database_that_was_there_before_begins_behind_its_baseline() {
    let server = server().await;
    let login = server.login("postgres");
    let all = source(&[INIT, ("2_more", "SELECT nope;"), ("3_new", "CREATE TABLE new ();")]);
    let options = |name: &str| Options {
        baseline: Some(name.to_owned()),
        ..Options::default()
    };
    let mut conn = session(&login).await;
    // An empty database has nothing that a baseline could speak of.
    assert!(matches!(
        migrate_with(&login, &all, &options("2_more")).await,
        Err(Error::Failed(_))
    ));
    execute(&mut conn, "TRUNCATE _prisma_migrations").await.unwrap();
    assert!(matches!(
        migrate_with(&login, &all, &options("9_no")).await,
        Err(Error::NoBaseline(_))
    ));
    let status = migrate_with(&login, &all, &options("2_more")).await.unwrap();
    assert_eq!((status.applied, status.pending), (3, 0));
    let steps = "SELECT string_agg(applied_steps_count::text, '' ORDER BY migration_name) FROM _prisma_migrations";
    assert_eq!(ask(&mut conn, steps).await, "001");
    // With a history it has no effect.
    migrate_with(&login, &all, &options("9_no")).await.unwrap();
}

#[tokio::test]
async fn it_says_who_holds_it_up() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut app = orchestra_operator::postgres::connect(&login, "box office")
        .await
        .unwrap();
    execute(&mut app, "SET search_path TO DEFAULT").await.unwrap();
    execute(&mut app, "BEGIN; UPDATE a SET id = 42 WHERE id = 1")
        .await
        .unwrap();
    let mut told = Vec::new();
    let options = Options {
        limits: TimeLimits {
            table_lock: Duration::from_secs(3),
            ..TimeLimits::default()
        },
        login: Some(counted(&login)),
        ..Options::default()
    };
    let all = source(&[INIT, ("2_alter", "ALTER TABLE a ADD b int;")]);
    let error = apply(session(&login).await, &all, &options, &mut |step| {
        if let RunEvent::Blocked { by } = step {
            told.push(by.map(ToOwned::to_owned));
        }
    })
    .await
    .unwrap_err();
    let by = told[0].as_deref().unwrap();
    assert!(
        by.starts_with("box office as ") && by.contains("idle in transaction"),
        "{by}"
    );
    assert!(by.ends_with("UPDATE a SET id = ? WHERE id = ?"), "{by}");
    assert!(error.to_string().contains("; it waited for box office as "), "{error}");
    execute(&mut app, "ROLLBACK").await.unwrap();
    assert_eq!(migrate(&login, &all).await.unwrap().pending, 0);
}

#[tokio::test]
async fn timeouts_are_the_scripts_own() {
    let server = server().await;
    let login = server.login("postgres");
    let limits = TimeLimits {
        statement: Duration::from_millis(300),
        ..TimeLimits::default()
    };
    let all = source(&[INIT, ("2_slow", "CREATE TABLE b ();\nSELECT pg_sleep(30);")]);
    let error = migrate_with(&login, &all, &crate::support::within(limits))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("2_slow failed at line 2, column 1"),
        "{error}"
    );
    assert_eq!(root(&login, "SELECT to_regclass('b')").await, "NULL");
}

#[tokio::test]
async fn fifty_megabytes_are_one_script() {
    let server = server().await;
    let login = server.login("postgres");
    let mut script = String::from("CREATE TABLE big (id int, body text);\n");
    let body = "x".repeat(1000);
    for id in 0..50_000 {
        use std::fmt::Write as _;
        writeln!(script, "INSERT INTO big VALUES ({id}, '{body}');").unwrap();
    }
    assert!(script.len() > 50_000_000);
    let status = migrate(&login, &source(&[("1_big", &script)])).await.unwrap();
    assert_eq!(status.applied, 1);
    assert_eq!(root(&login, "SELECT count(*) FROM big").await, "50000");
    // A script larger than a message of the protocol may be is refused before.
    let huge = vec![("1_huge.sql".to_owned(), vec![b' '; (64 << 20) + 1])];
    let error = orchestra_operator::migrate::Source::read(Some(MigrationFormat::Prisma), huge).unwrap_err();
    assert!(error.to_string().contains("larger than 64 MiB"), "{error}");
}
