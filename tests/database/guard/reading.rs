//! How a script is read when its settings change that.

use super::*;

/// A script that changes how text is read does what the guard has read, where that is let through: each of its statements
/// is sent by itself, and would be divided in another way.
#[tokio::test]
async fn a_changed_reading_runs_nothing_that_was_not_judged() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    let lenient = Consent {
        effects: [Effect::Destructive].into(),
        ..consent(None)
    };
    for (number, (set, read)) in [
        (
            "SET standard_conforming_strings = off",
            "SELECT 'a\\'' ; DELETE FROM a; --'",
        ),
        (
            "SELECT set_config('standard_conforming_strings', 'off', false)",
            "SELECT 'a\\'' ; DELETE FROM a; --'",
        ),
        ("SET client_encoding = 'GBK'", "SELECT E'€\\' ; DELETE FROM a; --'"),
        ("SET NAMES 'GBK'", "SELECT E'€\\' ; DELETE FROM a; --'"),
    ]
    .into_iter()
    .enumerate()
    {
        let script = format!("{set};\n{read};");
        let name = format!("{}_odd", number + 2);
        let options = Options {
            per_statement: true,
            ..options(&lenient)
        };
        let all = source(&[INIT, (&name, &script)]);
        let review = look(&mut conn, &all, &options).await;
        let losses = review
            .plan
            .findings
            .iter()
            .filter(|it| it.effect == Effect::Destructive);
        assert_eq!((losses.count(), review.clearance), (0, Clearance::Free), "{script}");
        migrate_with(&login, &all, &options).await.unwrap();
        assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "2", "{script}");
        // Sent by somebody else, the same text deletes.
        if number == 0 {
            execute(&mut conn, set).await.unwrap();
            execute(&mut conn, &format!("BEGIN; {read}")).await.unwrap();
            assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "0");
            execute(&mut conn, "ROLLBACK; RESET ALL").await.unwrap();
        }
    }
}

/// In a database that is not in UTF-8 the server cuts and folds names otherwise than the parser.
#[tokio::test]
async fn a_script_that_is_read_in_another_encoding_waits_for_approval() {
    let server = server().await;
    let mut first = session(&server.login("postgres")).await;
    execute(
        &mut first,
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )
    .await
    .unwrap();
    let login = server.login("latin");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    // More than 63 bytes in UTF-8, to which the parser cuts the name, and fewer in this database.
    let long = "\u{e4}".repeat(40);
    let create = format!("CREATE TABLE \"{long}\" (id int); INSERT INTO \"{long}\" VALUES (1)");
    execute(&mut conn, &create).await.unwrap();
    let drop = format!("DROP TABLE IF EXISTS \"{long}\";");
    let escaped = format!("DROP TABLE IF EXISTS U&\"{}\";", "\\00e4".repeat(40));
    for (script, expected) in [
        (drop.as_str(), Clearance::Waits),
        (escaped.as_str(), Clearance::Waits),
        ("CREATE TABLE plain (id int);", Clearance::Free),
    ] {
        let review = look(
            &mut conn,
            &source(&[INIT, ("2_next", script)]),
            &options(&consent(None)),
        )
        .await;
        let opaque = review.plan.findings.iter().any(|it| it.kind == FindingKind::Opaque);
        let waits = expected == Clearance::Waits;
        assert_eq!((opaque, review.clearance), (waits, expected), "{script}");
    }
    // Without the guard the table is gone.
    migrate(&login, &source(&[INIT, ("2_next", &escaped)])).await.unwrap();
    let left = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname = repeat(chr(228), 40)";
    assert_eq!(ask(&mut conn, left).await, "0");
}
