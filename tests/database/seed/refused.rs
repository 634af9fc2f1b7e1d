//! Seeds that would not mean what they say, or that spoil what is recorded.

use super::*;

#[tokio::test]
async fn a_seed_with_escapes_that_the_database_reads_in_another_way_is_told() {
    let server = server().await;
    let login = server.login("postgres");
    let off = "ALTER DATABASE postgres SET standard_conforming_strings = off";
    execute(&mut session(&login).await, off).await.unwrap();
    let error = once(&login, &[("1.sql", "SELECT 'C:\\new'")]).await.unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::Blocked, Reason::SeedFailed)
    );
    assert!(error.to_string().starts_with("seed 1.sql holds a backslash"), "{error}");
    // Values are quoted for whatever setting.
    let plain = [("1.sql", "SELECT :'display_name'")];
    assert_eq!(once(&login, &plain).await.unwrap(), SeedOutcome::Applied);
}

/// The next look at the migrations or the seed would not believe the table.
#[tokio::test]
async fn a_seed_that_spoils_a_record_is_rolled_back() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    crate::support::migrate(&login, &crate::support::source(&[crate::support::INIT]))
        .await
        .unwrap();
    let first = source(&[("1.sql", "INSERT INTO a VALUES (3)")]);
    let seeded = run(&login, &first, &named(""), OnChange).await.unwrap();
    assert_eq!(seeded, SeedOutcome::Applied);
    execute(&mut conn, "CREATE ROLE other LOGIN").await.unwrap();
    for (script, says) in [
        (
            "CREATE RULE r AS ON INSERT TO _prisma_migrations DO INSTEAD NOTHING",
            "_prisma_migrations has a rule r",
        ),
        (
            "ALTER TABLE stagesub.seed OWNER TO other",
            "stagesub.seed belongs to the role other",
        ),
        (
            "ALTER TABLE stagesub.seed ADD CHECK (applied_at < '2000-01-01') NOT VALID",
            "SQLSTATE 23514",
        ),
    ] {
        let second = source(&[("1.sql", script)]);
        let error = run(&login, &second, &named(""), OnChange).await.unwrap_err();
        assert!(matches!(error, Error::RecordSpoiled(_)), "{script}: {error:?}");
        assert_eq!(
            (error.class(), error.reason()),
            (ErrorClass::Invalid, Reason::SeedFailed)
        );
        let told = error.to_string();
        assert!(told.contains(says) && told.contains("rolled back"), "{told}");
        assert_eq!(record(&mut conn).await.digest, first.digest(&named("")).unwrap());
    }
}
