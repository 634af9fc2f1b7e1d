//! What a script does to its session, and the lock.

use super::*;

#[tokio::test]
async fn nothing_that_a_script_does_to_its_session_reaches_the_history_or_the_lock() {
    let server = server().await;
    let first = server.login("postgres");
    execute(
        &mut session(&first).await,
        "CREATE ROLE nobody; CREATE ROLE other LOGIN",
    )
    .await
    .unwrap();
    let session_words = [
        "DEALLOCATE ALL",
        "DISCARD PLANS",
        "SELECT pg_advisory_unlock_all()",
        "RESET ALL",
        "SET ROLE nobody",
        "SET ROLE nobody; RESET ROLE",
        "SET SESSION AUTHORIZATION other",
        "SET search_path = 'nowhere'",
        "SELECT set_config('search_path', '', false)",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'LATIN1'",
        "SET default_transaction_read_only = on",
        "SET session_replication_role = replica",
        "SET statement_timeout = 300",
        "SET default_transaction_isolation = 'serializable'",
        "PREPARE sqlx_s_1 AS SELECT 'mine'",
        "CREATE TEMPORARY TABLE _prisma_migrations (id text)",
        "DISCARD ALL",
    ];
    let mut set = vec![(
        "20260101000000_first".to_owned(),
        "CREATE TABLE é (ö text DEFAULT 'Ü')".to_owned(),
    )];
    for (number, what) in (10..).zip(session_words) {
        let script = match what {
            "DISCARD ALL" => what.to_owned(),
            what => format!("CREATE TABLE t{number} (ö text DEFAULT 'Ü'); {what};"),
        };
        set.push((format!("202601{number}000000_é"), script));
    }
    // Longer than the timeout that a script before it has set.
    let last = "CREATE TABLE last (); SELECT pg_sleep(0.4)";
    set.push(("20260201000000_last".to_owned(), last.to_owned()));
    let set: Vec<_> = set
        .iter()
        .map(|(name, script)| (name.as_str(), script.as_str()))
        .collect();
    for format in FORMATS {
        for options in [Options::default(), per_statement()] {
            let database = format!("{}{}", format.as_str().to_lowercase(), options.per_statement);
            databases(&first, &[&database]).await;
            let login = server.login(&database);
            let status = migrate_with(&login, &source_of(format, &set), &options).await;
            let status = status.unwrap_or_else(|error| panic!("{database}: {error}"));
            assert_eq!((status.applied, status.pending), (set.len(), 0), "{database}");
            let mut conn = session(&login).await;
            assert_eq!(pending(&mut conn, &source_of(format, &set)).await.unwrap(), status);
            let tables =
                "SELECT count(*) FROM pg_class WHERE relname ~ '^(t[0-9]+|é|last)$' AND relowner = 'postgres'::regrole";
            assert_eq!(ask(&mut conn, tables).await, (set.len() - 1).to_string(), "{database}");
        }
    }
}

/// What the server's message of more than 4 MiB cut off is tried again when the operator has forgotten it: that changes
/// nothing, because nothing was kept, or the history tells that something was.
#[tokio::test]
async fn a_script_that_is_cut_off_by_its_message_may_be_tried_again() {
    let server = server().await;
    let login = server.login("postgres");
    let long = "RAISE NOTICE '%', repeat('x', 5000000)";
    let atomic = format!("INSERT INTO a VALUES (3); DO $$ BEGIN {long}; END $$;");
    let commits = format!("DO $$ BEGIN INSERT INTO a VALUES (3); COMMIT; {long}; END $$;");
    for (number, script, options, kept) in [
        (2, &atomic, Options::default(), "0"),
        (3, &commits, Options::default(), "1"),
        (4, &atomic, per_statement(), "1"),
        (5, &commits, per_statement(), "1"),
    ] {
        let database = format!("d{number}");
        databases(&login, &[&database]).await;
        let login = server.login(&database);
        let all = source(&[INIT, ("2_long", script)]);
        for attempt in 0..3 {
            let error = migrate_with(&login, &all, &options).await.unwrap_err();
            let is_told = match error {
                Error::Database(postgres::Error::TooLong) => attempt == 0 || script == &atomic,
                Error::Unfinished { .. } => attempt > 0 && script == &commits,
                _ => false,
            };
            assert!(is_told, "{number}, {attempt}: {error}");
            let count = ask(&mut session(&login).await, "SELECT count(*) FROM a WHERE id = 3").await;
            assert_eq!(count, kept, "{number}, {attempt}");
        }
    }
}

/// The lock that a script releases is taken again before the next one begins.
#[tokio::test]
async fn the_lock_is_held_after_a_script_that_releases_it() {
    let server = server().await;
    let login = server.login("postgres");
    let held = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369 \
                AND pid = pg_backend_pid()) THEN RAISE 'the lock is not held'; END IF; END $$;";
    for (number, what) in [
        "DISCARD ALL;",
        "SELECT pg_advisory_unlock_all();",
        "BEGIN; SELECT pg_advisory_unlock_all(); COMMIT;",
    ]
    .into_iter()
    .enumerate()
    {
        for options in [Options::default(), per_statement()] {
            let database = format!("d{number}{}", options.per_statement);
            databases(&login, &[&database]).await;
            let set = [
                ("1_first", held),
                ("2_unlock", what),
                ("3_then", held),
                ("4_last", "SELECT 1;"),
            ];
            let status = migrate_with(&server.login(&database), &source(&set), &options).await;
            assert_eq!(status.unwrap().applied, 4, "{what}");
        }
    }
    // Of one script, each statement begins with the lock, whatever releases it.
    databases(&login, &["hidden"]).await;
    let let_go = format!("SELECT let_go();\n{held}");
    let set = [
        (
            "1_function",
            "CREATE FUNCTION let_go() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_unlock_all()';",
        ),
        ("2_then", let_go.as_str()),
    ];
    let status = migrate_with(&server.login("hidden"), &source(&set), &per_statement()).await;
    assert_eq!(status.unwrap().applied, 2);
}

/// What the real tool would run means something else than what the operator has read.
#[tokio::test]
async fn a_database_with_escapes_in_plain_strings_is_told() {
    let server = server().await;
    let login = server.login("postgres");
    let set = [INIT, ("2_path", "CREATE TABLE p (path text DEFAULT 'C:\\new')")];
    migrate(&login, &source(&set[..1])).await.unwrap();
    for (off, on) in [
        (
            "ALTER DATABASE postgres SET standard_conforming_strings = off",
            "ALTER DATABASE postgres RESET standard_conforming_strings",
        ),
        (
            "ALTER ROLE CURRENT_USER SET standard_conforming_strings = off",
            "ALTER ROLE CURRENT_USER SET standard_conforming_strings = on",
        ),
    ] {
        execute(&mut session(&login).await, off).await.unwrap();
        let mut conn = session(&login).await;
        // Without a backslash, nothing has two meanings.
        assert_eq!(pending(&mut conn, &source(&set[..1])).await.unwrap().applied, 1);
        for error in [
            pending(&mut conn, &source(&set)).await.unwrap_err(),
            migrate(&login, &source(&set)).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.class(), error.reason()),
                (ErrorClass::Blocked, Reason::MigrationFailed)
            );
            let told = error.to_string();
            assert!(
                told.starts_with("migration 2_path holds a backslash") && told.contains("ALTER DATABASE"),
                "{told}"
            );
        }
        execute(&mut conn, on).await.unwrap();
    }
    migrate(&login, &source(&set)).await.unwrap();
    let mut conn = session(&login).await;
    execute(&mut conn, "INSERT INTO p DEFAULT VALUES").await.unwrap();
    assert_eq!(ask(&mut conn, "SELECT path FROM p").await, "C:\\new");
}
