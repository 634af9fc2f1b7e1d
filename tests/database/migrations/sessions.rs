//! The session that applies migrations, and the lock that it holds.

use super::*;

#[tokio::test]
async fn a_killed_session_leaves_nothing() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    let slow = source(&[INIT, ("2_slow", "CREATE TABLE b (); SELECT pg_sleep(60);")]);
    let task = tokio::spawn({
        let login = login.clone();
        async move { migrate(&login, &slow).await }
    });
    let sleeper = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ask(&mut conn, sleeper).await == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    execute(
        &mut conn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    )
    .await
    .unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(ask(&mut conn, "SELECT to_regclass('b')").await, "NULL");
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM _prisma_migrations").await, "1");
    let quick = source(&[INIT, ("2_slow", "CREATE TABLE b ();")]);
    assert_eq!(migrate(&login, &quick).await.unwrap().pending, 0);

    // The same when the operator gives up: the server notices and the lock is free again.
    let long = source(&[
        INIT,
        ("2_slow", "CREATE TABLE b ();"),
        ("3_long", "SELECT pg_sleep(60);"),
    ]);
    let limits = TimeLimits {
        total: Duration::from_millis(500),
        ..TimeLimits::default()
    };
    let error = apply(session(&login).await, &long, &within(limits), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(migrate(&login, &quick).await.unwrap().pending, 0);
}

#[tokio::test]
async fn the_lock_is_prismas_and_waits_a_bounded_time() {
    let server = server().await;
    let login = server.login("postgres");
    let mut holder = orchestra_operator::postgres::connect(&login, "prisma").await.unwrap();
    execute(&mut holder, "SELECT pg_advisory_lock(72707369)").await.unwrap();
    let limits = TimeLimits {
        lock: Duration::from_millis(300),
        ..TimeLimits::default()
    };
    let error = apply(session(&login).await, &source(&[INIT]), &within(limits), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::After(Duration::from_secs(5)), Reason::MigrationLocked)
    );
    assert!(error.to_string().contains("prisma from 127.0.0.1, process "), "{error}");
    execute(&mut holder, "SELECT pg_advisory_unlock(72707369)")
        .await
        .unwrap();
    migrate(&login, &source(&[INIT])).await.unwrap();
}
