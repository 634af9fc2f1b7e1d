//! Migrations that failed or were interrupted half-way.

use super::*;

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
                // The index of another table stays, whatever is wrong with it.
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
