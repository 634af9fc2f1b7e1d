//! What a backup must not do: read another tenant's database, run what a tenant's login has made, tell a password.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::postgres::{Login, claim_record, identity};
use serde_json::json;

use super::job::{Place, backup};
use super::pool::{PASSWORD, database, fill};
use crate::support::postgres::{server, server_as_hosted};
use crate::support::{execute, session};

#[tokio::test]
async fn another_database_and_another_tenants_are_not_read() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    let mut place = Place::new();
    // The entry was reordered: the login leads elsewhere.
    let outcome = place.run(&backup(&json!({"identity": "0".repeat(32)})), &source);
    assert!(outcome.reason == Reason::OtherDatabase && !outcome.retry, "{outcome:?}");
    let digest = identity(&mut owner).await.unwrap().digest();
    assert!(
        outcome
            .message
            .contains(&format!("annotate orchdb orchdb-1 stagesub.io/identity={digest}")),
        "{outcome:?}"
    );
    // The entry was reset and claimed while the pod waited.
    claim_record::claim(&mut owner, ("2", "rivals", "victim"), &[])
        .await
        .unwrap();
    let outcome = place.run(&backup(&json!({"identity": digest})), &source);
    assert!(outcome.reason == Reason::OtherTenant && !outcome.retry, "{outcome:?}");
    assert!(
        !outcome.message.contains("victim"),
        "whose it is, is not told: {outcome:?}"
    );
    assert_eq!(place.stored(), [""; 0]);
    claim_record::remove(&mut owner, &["2".to_owned()]).await.unwrap();
    claim_record::claim(&mut owner, ("1", "tenants", "acme"), &[])
        .await
        .unwrap();
    assert_eq!(
        place.run(&backup(&json!({"identity": digest})), &source).reason,
        Reason::Done
    );
}

/// A function that tells when it runs as the owner, and views with the names of histories that call it.
const DISGUISED: [&str; 3] = [
    "CREATE FUNCTION public.climb() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN \
        IF current_user = 'owner_a' THEN RAISE EXCEPTION 'it runs as the owner'; END IF; RETURN 1; END $$",
    "CREATE VIEW public._sqlx_migrations AS SELECT public.climb() AS version",
    "CREATE VIEW public._prisma_migrations AS SELECT public.climb()::text AS migration_name, now() AS finished_at, \
        NULL::timestamptz AS rolled_back_at",
];

#[tokio::test]
async fn what_a_login_has_named_like_a_history_is_not_run() {
    for server in [server().await, server_as_hosted().await] {
        let source = database(&server, "source", "owner_a").await;
        let mut owner = session(&source).await;
        for sql in [
            "CREATE ROLE eve LOGIN PASSWORD 'eve'; GRANT USAGE, CREATE ON SCHEMA public TO eve",
            "GRANT CONNECT ON DATABASE source TO eve",
            "CREATE TABLE player AS SELECT 1 AS id",
        ] {
            execute(&mut owner, sql).await.unwrap();
        }
        let mut eve = session(&server.login("source").as_user("eve", "eve".to_owned().into())).await;
        for sql in DISGUISED {
            execute(&mut eve, sql).await.unwrap();
        }
        let mut place = Place::new();
        let outcome = place.backup(&source);
        assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
        assert_eq!(outcome.backup.unwrap().migration_head, None);
    }
}

#[tokio::test]
async fn the_name_of_a_migration_is_bounded() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    let mut owner = session(&source).await;
    let long =
        "CREATE TABLE _sqlx_migrations (version text); INSERT INTO _sqlx_migrations VALUES (repeat('9', 50000000))";
    execute(&mut owner, long).await.unwrap();
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    assert_eq!(
        place.manifest().facts.migration_heads["public._sqlx_migrations"].len(),
        1024
    );
}

/// A server between: the sessions of the program itself reach the real one, and the clients are asked for the password in
/// clear text. What they send then.
fn greedy(real: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, told) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = told.clone();
    spawn(move || {
        for client in listener.incoming() {
            let (mut client, kept) = (client.unwrap(), kept.clone());
            spawn(move || {
                let mut length = [0; 4];
                client.read_exact(&mut length).unwrap();
                let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
                client.read_exact(&mut rest).unwrap();
                if String::from_utf8_lossy(&rest).contains("-c lock_timeout=0") {
                    client.write_all(b"R\x00\x00\x00\x08\x00\x00\x00\x03").unwrap();
                    let mut answer = Vec::new();
                    let _ = client.read_to_end(&mut answer);
                    kept.lock().unwrap().extend(answer);
                    return;
                }
                let mut server = TcpStream::connect(real).unwrap();
                server.write_all(&length).unwrap();
                server.write_all(&rest).unwrap();
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut client, &mut server);
            });
        }
    });
    (address, told)
}

fn through(login: &Login, address: SocketAddr) -> Login {
    Login {
        host: address.ip().to_string(),
        port: address.port(),
        ..login.clone()
    }
}

#[tokio::test]
async fn clients_of_no_version_tell_the_password_in_clear_text() {
    for server in [server().await, server_as_hosted().await] {
        let source = database(&server, "source", "owner_a").await;
        let real = format!("{}:{}", source.host, source.port).parse().unwrap();
        let (address, told) = greedy(real);
        let mut place = Place::new();
        let outcome = place.backup(&through(&source, address));
        assert_ne!(outcome.reason, Reason::Done, "{outcome:?}");
        assert!(outcome.message.contains("pg_dump"), "it was asked: {outcome:?}");
        let told = told.lock().unwrap().clone();
        let leaked = told.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
        assert!(
            !leaked && told.first() != Some(&b'p'),
            "{:?}",
            String::from_utf8_lossy(&told)
        );
    }
}

/// The system's own clients, whose libpq may be older than 16.
#[tokio::test]
async fn clients_that_could_tell_it_are_refused() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    let mut place = Place::new();
    place.clients = place.root.path().join("no-clients-here");
    let system = Path::new("/usr/lib/postgresql/15/bin/pg_dump");
    if !system.is_file() {
        orchestra_sandbox::left_out("the system has no clients of PostgreSQL 15 to refuse");
        return;
    }
    let asked = std::process::Command::new(system)
        .arg("--dbname=require_auth=none")
        .output()
        .unwrap();
    let is_old = String::from_utf8_lossy(&asked.stderr).contains("invalid connection option");
    let outcome = place.backup(&source);
    if is_old {
        assert_eq!(outcome.reason, Reason::UntrustedServer, "{outcome:?}");
        assert!(
            outcome.message.contains("libpq") && outcome.message.contains("sslmode=verify-full"),
            "{outcome:?}"
        );
    } else {
        assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
    }
}
