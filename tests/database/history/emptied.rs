//! What a script does to the rows of the history.

use super::*;

fn table(format: MigrationFormat) -> (&'static str, &'static str) {
    match format {
        MigrationFormat::Prisma => ("public._prisma_migrations", "migration_name"),
        MigrationFormat::Supabase => ("supabase_migrations.schema_migrations", "version"),
        MigrationFormat::Sqlx => ("public._sqlx_migrations", "version::text"),
    }
}

/// The scripts that take an applied migration out of the history, but not the history itself.
fn scripts(format: MigrationFormat) -> Vec<String> {
    let (table, name) = table(format);
    let mut scripts = vec![
        format!("TRUNCATE {table}"),
        format!("DELETE FROM {table}"),
        format!("DELETE FROM {table} WHERE {name} LIKE '1%'"),
        format!("DO $$ BEGIN EXECUTE 'DELETE FROM {table}'; END $$"),
        format!("SET search_path TO nowhere; DELETE FROM {table}"),
        format!("CREATE TABLE copy AS TABLE {table}; TRUNCATE {table}"),
    ];
    match format {
        MigrationFormat::Prisma => scripts.extend([
            format!("UPDATE {table} SET rolled_back_at = now()"),
            format!("UPDATE {table} SET finished_at = NULL"),
            format!("UPDATE {table} SET migration_name = '0_other'"),
        ]),
        MigrationFormat::Supabase => scripts.push(format!("UPDATE {table} SET version = '0'")),
        MigrationFormat::Sqlx => scripts.extend([
            format!("UPDATE {table} SET version = 0"),
            format!("UPDATE {table} SET success = false"),
        ]),
    }
    scripts
}

#[tokio::test]
async fn a_script_takes_no_applied_migration_out_of_the_history() {
    let server = server().await;
    let first = server.login("postgres");
    for (number, format) in FORMATS.into_iter().enumerate() {
        let (table, name) = table(format);
        let rows = format!("SELECT string_agg({name}, ' ' ORDER BY {name}) FROM {table}");
        let database = format!("e{number}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        migrate(&login, &source_of(format, &[INIT])).await.unwrap();
        let mut conn = session(&login).await;
        let before = ask(&mut conn, &rows).await;
        // Nothing of a script is kept, so that all of them start alike.
        for script in &scripts(format) {
            let all = source_of(
                format,
                &[INIT, ("2_clean", script), ("3_more", "CREATE TABLE more ();")],
            );
            let error = migrate(&login, &all).await.unwrap_err();
            assert!(
                matches!(error, Error::HistoryGone { kept: false, .. }),
                "{script}: {error}"
            );
            assert_eq!(ask(&mut conn, &rows).await, before, "{script}");
            assert_eq!(pending(&mut conn, &all).await.unwrap().applied, 1, "{script}");
        }
    }
}

#[tokio::test]
async fn what_has_committed_without_the_history_is_no_success() {
    let server = server().await;
    let first = server.login("postgres");
    for (number, format) in FORMATS.into_iter().enumerate() {
        let (table, name) = table(format);
        let one = format!("DELETE FROM {table} WHERE {name} LIKE '1%'; SELECT 1;");
        let whole = format!("BEGIN; {one} COMMIT;");
        for (index, (script, options)) in [
            (one.as_str(), per_statement()),
            (&whole, Options::default()),
            (&whole, per_statement()),
        ]
        .into_iter()
        .enumerate()
        {
            let database = format!("c{number}_{index}");
            databases(&first, &[&database]).await;
            let login = server.login(&database);
            let all = source_of(
                format,
                &[INIT, ("2_clean", script), ("3_more", "CREATE TABLE more ();")],
            );
            let error = migrate_with(&login, &all, &options).await.unwrap_err();
            // The record is written in the transaction, be it the script's own. Each of Prisma's statements has one.
            let keeps = format == MigrationFormat::Prisma && options.per_statement;
            assert!(
                matches!(error, Error::HistoryGone { kept, .. } if kept == keeps),
                "{format:?} {index}: {error}"
            );
            let mut conn = session(&login).await;
            assert_eq!(ask(&mut conn, "SELECT to_regclass('more')").await, "NULL");
            let recorded = format!("SELECT count(*) FROM {table} WHERE {name} LIKE '2%'");
            let row = if format == MigrationFormat::Prisma { "1" } else { "0" };
            assert_eq!(ask(&mut conn, &recorded).await, row, "{format:?} {index}");
            if format == MigrationFormat::Prisma {
                // The first migration is not there either: nothing after it is applied.
                migrate_with(&login, &all, &options).await.unwrap_err();
            }
        }
    }
    // All rows at once: the statement's own record goes with it.
    for (index, script) in [
        "TRUNCATE _prisma_migrations",
        "DELETE FROM _prisma_migrations",
        "UPDATE _prisma_migrations SET rolled_back_at = now()",
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("all{index}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let all = source(&[INIT, ("2_clean", script), ("3_more", "CREATE TABLE more ();")]);
        let error = migrate_with(&login, &all, &per_statement()).await.unwrap_err();
        assert!(matches!(error, Error::HistoryGone { .. }), "{script}: {error}");
        let states = ask(&mut session(&login).await, STATES).await;
        assert_eq!(states, "1_init:done 2_clean:open", "{script}");
    }
}

/// The other tools stop before such a script, because their history has migrations that the source has not.
#[tokio::test]
async fn a_script_may_remove_migrations_that_the_source_no_longer_has() {
    let server = server().await;
    let first = server.login("postgres");
    let squash = "DELETE FROM _prisma_migrations WHERE migration_name = '2_old'";
    for steps in [false, true] {
        let database = format!("s{steps}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        migrate(&login, &source(&[INIT, ("2_old", "SELECT 1")])).await.unwrap();
        let set = source(&[INIT, ("3_squash", squash), ("4_more", "CREATE TABLE more ();")]);
        let options = if steps { per_statement() } else { Options::default() };
        let status = migrate_with(&login, &set, &options).await.unwrap();
        assert_eq!((status.applied, status.pending), (3, 0));
    }
}
