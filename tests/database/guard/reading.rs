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
