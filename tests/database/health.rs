//! Probes of databases: what an application would meet is reported by its kind, with what to do.

use std::time::{Duration, Instant};

use crate::hostile::{Act, Hostile};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Server, server};
use crate::support::{execute, session};
use orchestra_operator::postgres::{Fault, FaultKind as Kind, Login, Tls, probe};
use orchestra_sandbox::router::Authority;
use sqlx::PgConnection;
use tokio::net::TcpListener;

const PASSWORD: &str = "A-password.of_the~tests-01234567";

/// A database of a tenant, with its login.
async fn tenant(server: &Server) -> (PgConnection, Login) {
    let admin = server.login("postgres");
    let mut conn = session(&admin).await;
    for statement in [
        &format!("CREATE ROLE tenant LOGIN PASSWORD '{PASSWORD}'"),
        "CREATE DATABASE one",
    ] {
        execute(&mut conn, statement).await.unwrap();
    }
    let login = server.login("one").as_user("tenant", PASSWORD.to_owned().into());
    (conn, login)
}

async fn fault(login: &Login) -> Fault {
    let fault = probe(login, false).await.unwrap_err();
    let told = &fault.message;
    assert!(
        !told.contains(PASSWORD) && !told.contains(crate::hostile::PASSWORD),
        "{told}"
    );
    assert!(told.len() < 1000 && !told.contains('\n'), "{told}");
    fault
}

async fn is(login: &Login, kind: Kind, says: &str) {
    let fault = fault(login).await;
    assert_eq!(fault.kind, kind, "{}", fault.message);
    assert!(fault.message.contains(says), "{says} is not in {}", fault.message);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_a_server_refuses_is_told_by_its_kind() {
    let server = server().await;
    let (mut admin, login) = tenant(&server).await;
    assert_eq!(probe(&login, false).await, Ok(None));

    let wrong = login.as_user("tenant", "another password".to_owned().into());
    is(&wrong, Kind::Login, "stagesub.io/rotate-requested-at").await;
    let unknown = login.as_user("nobody", PASSWORD.to_owned().into());
    is(&unknown, Kind::Login, "28P01").await;
    let tls = Login {
        tls: Tls::VerifyFull,
        ..login.clone()
    };
    is(&tls, Kind::Tls, "does not offer TLS, which sslmode=verify-full").await;
    let gone = Login {
        database: "another".into(),
        ..login.clone()
    };
    is(&gone, Kind::Gone, "\"another\" does not exist").await;

    for (change, kind, says, back) in [
        (
            "ALTER ROLE tenant CONNECTION LIMIT 0",
            Kind::LoginLimit,
            "limits.connections",
            "ALTER ROLE tenant CONNECTION LIMIT -1",
        ),
        (
            "ALTER DATABASE one CONNECTION LIMIT 0",
            Kind::Connections,
            "53300",
            "ALTER DATABASE one CONNECTION LIMIT -1",
        ),
        (
            "ALTER ROLE tenant NOLOGIN",
            Kind::Login,
            "not permitted to log in",
            "ALTER ROLE tenant LOGIN",
        ),
        (
            "REVOKE CONNECT ON DATABASE one FROM PUBLIC",
            Kind::Other,
            "GRANT CONNECT",
            "GRANT CONNECT ON DATABASE one TO PUBLIC",
        ),
        (
            "ALTER DATABASE one ALLOW_CONNECTIONS false",
            Kind::Other,
            "not currently accepting connections",
            "ALTER DATABASE one ALLOW_CONNECTIONS true",
        ),
        (
            "ALTER DATABASE one SET default_transaction_read_only = on",
            Kind::ReadOnly,
            "default_transaction_read_only",
            "ALTER DATABASE one RESET default_transaction_read_only",
        ),
    ] {
        execute(&mut admin, change).await.unwrap();
        is(&login, kind, says).await;
        execute(&mut admin, back).await.unwrap();
        assert_eq!(probe(&login, false).await, Ok(None), "{back}");
    }
    // What a role has set for itself is its own matter, and nothing of its own misleads the question.
    for own in [
        "ALTER ROLE tenant SET default_transaction_read_only = on",
        "ALTER ROLE tenant SET search_path = hostile, pg_catalog",
    ] {
        execute(&mut admin, own).await.unwrap();
        assert_eq!(probe(&login, false).await, Ok(None), "{own}");
    }
    execute(&mut admin, "DROP DATABASE one").await.unwrap();
    is(&login, Kind::Gone, "does not exist").await;
}

#[tokio::test]
async fn a_server_that_is_full_or_ends_is_told_so() {
    let mut server = server().await;
    let (mut admin, login) = tenant(&server).await;
    let (_, limit) = probe(&login, true).await.unwrap().unwrap().connections[2];
    let mut open = Vec::new();
    for _ in 0..limit.unwrap() {
        match orchestra_operator::postgres::connect(&login, "test").await {
            Ok(conn) => open.push(conn),
            Err(error) => {
                assert!(error.to_string().contains("53300"), "{error}");
                break;
            }
        }
    }
    is(&login, Kind::Connections, "53300").await;
    open.clear();
    // A session that ends takes a moment.
    let began = Instant::now();
    while probe(&login, false).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    execute(&mut admin, "CHECKPOINT").await.unwrap();
    server.crash().await;
    assert_eq!(probe(&login, false).await, Ok(None), "it is back");
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_is_on_the_way_is_told_by_its_kind() {
    let base = Login::parse(&format!("postgresql://tenant:{PASSWORD}@127.0.0.1/one?sslmode=disable").into()).unwrap();
    let at = |host: &str, port: u16| Login {
        host: host.into(),
        port,
        ..base.clone()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    is(&at("127.0.0.1", port), Kind::Refused, &format!("127.0.0.1:{port}")).await;
    is(
        &at("no-such-host.invalid", 5432),
        Kind::Name,
        "no-such-host.invalid does not resolve",
    )
    .await;
    // An address for documentation (RFC 3849), to which no way leads.
    is(
        &at("2001:db8::1", 5432),
        Kind::Ipv6Only,
        "connection.mode to SessionPooler",
    )
    .await;

    let (own, other) = (Authority::new("Own").unwrap(), Authority::new("Other").unwrap());
    let secured = |roots: &Authority| {
        let roots = Some(roots.root().into());
        move |login: &Login| Login {
            tls: Tls::VerifyFull,
            roots,
            ..login.clone()
        }
    };
    let fake = Hostile::start(Act::Serve, Some((&other, "127.0.0.1"))).await;
    is(&secured(&own)(&fake.login), Kind::Tls, "certificate is not trusted").await;
    let misnamed = Hostile::start(Act::Serve, Some((&own, "elsewhere.example"))).await;
    is(&secured(&own)(&misnamed.login), Kind::Tls, "certificate is not trusted").await;
    assert!(!fake.knows() && !misnamed.knows());
    let plain = |hostile: &Hostile| Login {
        tls: Tls::Disable,
        ..hostile.login.clone()
    };
    let asks = Hostile::start(Act::Ask(3), None).await;
    is(&plain(&asks), Kind::Tls, "in clear text").await;
    assert!(!asks.knows());
    let refuses = Hostile::start(Act::Refuse, None).await;
    is(&plain(&refuses), Kind::Login, "28P01").await;

    // Another protocol, and one that closes at once.
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut client, answer).await;
            }
        });
        for tls in [Tls::Disable, Tls::Require] {
            let login = Login {
                tls,
                ..at("127.0.0.1", port)
            };
            is(&login, Kind::Unreachable, &format!("127.0.0.1:{port}")).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_floods_takes_a_bounded_time() {
    let began = Instant::now();
    let run = |act| async move {
        let server = Hostile::start(act, None).await;
        let login = Login {
            tls: Tls::Disable,
            ..server.login.clone()
        };
        fault(&login).await
    };
    let (stalls, notices, huge) = tokio::join!(run(Act::Stall), run(Act::Notices), run(Act::Huge));
    assert_eq!(stalls.kind, Kind::Unreachable, "{}", stalls.message);
    assert!(
        stalls.message.contains("not answered within 10 s"),
        "{}",
        stalls.message
    );
    assert_eq!(notices.kind, Kind::Unreachable, "{}", notices.message);
    assert_eq!(huge.kind, Kind::Other, "{}", huge.message);
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn a_pooler_is_told_apart_from_its_server() {
    let server = server().await;
    let (mut admin, login) = tenant(&server).await;
    let settings = "pool_mode = transaction\nquery_wait_timeout = 1\ndefault_pool_size = 1\nserver_login_retry = 1";
    let Some(pooler) = PgBouncer::start(&login, settings).await else {
        return;
    };
    let through = pooler.login(&login);
    assert_eq!(probe(&through, false).await, Ok(None));
    let measured = probe(&through, true).await.unwrap().unwrap();
    assert!(measured.bytes > 1_000_000, "{measured:?}");
    let wrong = through.as_user("tenant", "another password".to_owned().into());
    assert_eq!(fault(&wrong).await.kind, Kind::Login);
    execute(&mut admin, "ALTER ROLE tenant CONNECTION LIMIT 0")
        .await
        .unwrap();
    execute(
        &mut admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenant'",
    )
    .await
    .unwrap();
    // The pooler passes the end of its session on first.
    drop(probe(&through, false).await);
    let full = fault(&through).await;
    assert!(
        matches!(full.kind, Kind::Pooler | Kind::Connections),
        "{}",
        full.message
    );
    drop(server);
    // The server's session that the pooler has lost is reported first.
    let gone = fault(&through).await;
    assert!(
        matches!(
            gone.kind,
            Kind::Pooler | Kind::Unreachable | Kind::Starting | Kind::Connections
        ),
        "{}",
        gone.message
    );
    drop(pooler);
    assert_eq!(fault(&through).await.kind, Kind::Refused);
}

#[tokio::test]
async fn a_database_is_measured_by_its_tenant() {
    let server = server().await;
    let (mut admin, login) = tenant(&server).await;
    execute(&mut admin, "ALTER ROLE tenant CONNECTION LIMIT 7")
        .await
        .unwrap();
    execute(&mut admin, "ALTER DATABASE one CONNECTION LIMIT 9")
        .await
        .unwrap();
    let before = probe(&login, true).await.unwrap().unwrap();
    assert!(before.bytes > 1_000_000, "{before:?}");
    let [own, database, all] = before.connections;
    assert_eq!((own, database), ((1, Some(7)), (1, Some(9))), "{before:?}");
    assert!(all.0 >= 2 && all.1.is_some_and(|limit| limit > 10), "{before:?}");
    assert!(before.oldest_transaction.abs() < 0.01, "{before:?}");

    let mut owner = session(&server.login("one")).await;
    let mut idle = session(&login).await;
    execute(
        &mut owner,
        "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
    )
    .await
    .unwrap();
    execute(&mut idle, "BEGIN; SELECT 1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = probe(&login, true).await.unwrap().unwrap();
    assert!(after.bytes > before.bytes + 10_000_000, "{after:?}");
    assert_eq!((after.connections[0].0, after.connections[1].0), (2, 3), "{after:?}");
    assert!(after.oldest_transaction >= 0.3, "{after:?}");
    // A tenant that shadows what is asked measures itself all the same.
    execute(&mut owner, "CREATE SCHEMA evil AUTHORIZATION tenant")
        .await
        .unwrap();
    execute(
        &mut idle,
        "COMMIT; CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE sql AS $$SELECT 'x'::name$$; \
         ALTER ROLE tenant SET search_path = evil, pg_catalog",
    )
    .await
    .unwrap();
    assert!(probe(&login, true).await.unwrap().is_some());
}
