//! What a person has said in the spec about a database: its baseline, and what became of a migration.

use super::*;
use crate::support::{migrate_with, resolve};
use orchestra_operator::api::ResolvedAs;

#[tokio::test]
async fn a_baseline_takes_a_database_over_from_another_tool() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let all = source_of(
        MigrationFormat::Supabase,
        &[
            ("20260101000000_a", "SELECT nope;"),
            ("20260102000000_b", "CREATE TABLE b ();"),
        ],
    );
    let error = migrate(&login, &all).await.unwrap_err();
    let told = error.to_string();
    assert!(
        matches!(error, Error::OtherTool(_)) && told.contains("public._prisma_migrations"),
        "{told}"
    );
    assert!(
        told.contains("set migrations.format: Prisma") && told.contains("set migrations.baseline"),
        "{told}"
    );
    let options = |name: &str| Options {
        baseline: Some(name.to_owned()),
        ..Options::default()
    };
    assert!(matches!(
        migrate_with(&login, &all, &options("9_no")).await,
        Err(Error::NoBaseline(_))
    ));
    let options = options("20260101000000_a");
    for _ in 0..2 {
        let status = migrate_with(&login, &all, &options).await.unwrap();
        assert_eq!((status.applied, status.pending), (2, 0));
    }
    // Now it has a history of its own.
    assert_eq!(migrate(&login, &all).await.unwrap().pending, 0);
    let mut conn = session(&login).await;
    assert_eq!(ask(&mut conn, "SELECT to_regclass('b')").await, "b");
}

#[tokio::test]
async fn a_decision_on_a_migration_that_nobody_knows_is_refused_and_one_that_is_met_is_harmless() {
    use MigrationFormat::{Prisma, Sqlx, Supabase};
    let server = server().await;
    let mut root = session(&server.login("postgres")).await;
    let set = [("1_a", "CREATE TABLE a ();"), ("2_b", "CREATE TABLE b ();")];
    for (format, name) in [(Prisma, "prisma"), (Supabase, "supabase"), (Sqlx, "sqlx")] {
        execute(&mut root, &format!("CREATE DATABASE {name}")).await.unwrap();
        let login = server.login(name);
        let (all, less) = (source_of(format, &set), source_of(format, &set[1..]));
        let error = migrate_with(&login, &all, &resolve("3_b", ResolvedAs::Applied, None))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::NoResolution(wrong) if wrong == "3_b"),
            "{name}: {error}"
        );
        assert_eq!(
            (error.class(), error.reason()),
            (ErrorClass::Invalid, Reason::MigrationFailed)
        );
        let mut conn = session(&login).await;
        assert_eq!(ask(&mut conn, "SELECT to_regclass('b')").await, "NULL", "{name}");

        let decided = resolve("1_a", ResolvedAs::Applied, None);
        for _ in 0..2 {
            let status = migrate_with(&login, &all, &decided).await.unwrap();
            assert_eq!((status.applied, status.pending), (2, 0), "{name}");
        }
        let there = "SELECT concat_ws(' ', to_regclass('a'), to_regclass('b'))";
        assert_eq!(ask(&mut conn, there).await, "b", "{name}");
        // When the migration is no longer in the source, its tool decides, and not the decision.
        match migrate_with(&login, &less, &decided).await {
            Ok(status) => assert_eq!((format, status.applied), (Prisma, 1)),
            Err(Error::Diverged { .. }) => assert_ne!(format, Prisma),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
