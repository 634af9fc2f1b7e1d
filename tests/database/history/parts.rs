//! The operator, and not the script, records which parts of a script are kept.

use super::*;

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
