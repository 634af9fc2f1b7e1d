//! What comes first in a seed's transaction.

use super::*;

#[tokio::test]
async fn a_seed_may_begin_with_what_must_be_first_in_a_transaction() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, "CREATE TABLE a (id int)").await.unwrap();
    let level = "INSERT INTO a SELECT 1 WHERE current_setting('transaction_isolation') = 'serializable';";
    for (file, script) in [
        ("1.sql", "-- first\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE; "),
        (
            "2.sql",
            "SET LOCAL transaction_isolation = serializable; SELECT pg_advisory_unlock_all(); ",
        ),
        (
            "3.sql",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET ROLE pg_monitor; RESET ROLE; SET search_path = public; ",
        ),
    ] {
        let script = format!("{script}{level}");
        let set = source(&[(file, &script), ("4.sql", "SET ROLE pg_monitor")]);
        let outcome = run(&login, &set, &SeedVariables::default(), OnChange).await.unwrap();
        assert_eq!(outcome, SeedOutcome::Applied, "{file}");
        assert_eq!(
            record(&mut conn).await.digest,
            set.digest(&SeedVariables::default()).unwrap()
        );
    }
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "3");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(ask(&mut conn, held).await, "0");
}
