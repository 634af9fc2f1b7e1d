//! Scripts that may stop halfway, and functions of extensions.

use super::*;

/// What a script drops and creates again is lost where the script stops between the two.
#[tokio::test]
async fn a_script_that_runs_statement_by_statement_is_judged_as_such() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(
        &login,
        &source(&[INIT, ("2_view", "CREATE VIEW shown AS SELECT id FROM a;")]),
    )
    .await
    .unwrap();
    let all = source(&[
        INIT,
        ("2_view", "CREATE VIEW shown AS SELECT id FROM a;"),
        (
            "3_again",
            "DROP VIEW shown; CREATE VIEW shown AS SELECT id AS number FROM a;",
        ),
    ]);
    let mut conn = session(&login).await;
    let whole = options(&consent(None));
    assert_eq!(look(&mut conn, &all, &whole).await.clearance, Clearance::Free);
    let stepwise = Options {
        per_statement: true,
        ..whole.clone()
    };
    let review = look(&mut conn, &all, &stepwise).await;
    assert_eq!(review.clearance, Clearance::Waits);
    assert_eq!(review.plan.findings[0].kind, FindingKind::DropView);
    // Under the lock as well.
    let status = migrate_with(&login, &all, &stepwise).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 1));
    let status = migrate_with(&login, &all, &whole).await.unwrap();
    assert_eq!((status.applied, status.pending), (3, 0));
}

/// The catalog says which functions belong to an extension, and whether they change anything.
#[tokio::test]
async fn functions_of_installed_extensions_are_told_from_others() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    execute(
        &mut conn,
        "CREATE EXTENSION pgcrypto; CREATE EXTENSION pg_stat_statements",
    )
    .await
    .unwrap();
    execute(
        &mut conn,
        "CREATE FUNCTION schedule(text) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE FUNCTION drop_queue(text) RETURNS void LANGUAGE sql AS 'DELETE FROM a'",
    )
    .await
    .unwrap();
    for (script, found) in [
        ("SELECT gen_salt('bf'), pg_stat_statements_reset();", &[][..]),
        ("SELECT schedule('x');", &[]),
        ("SELECT drop_queue('x');", &[FindingKind::DeleteAll]),
        ("SELECT purge_queue('x');", &[FindingKind::Truncate]),
    ] {
        let all = source(&[INIT, ("2_next", script)]);
        let review = look(&mut conn, &all, &options(&consent(None))).await;
        let kinds: Vec<_> = review.plan.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, found, "{script}");
    }
}
