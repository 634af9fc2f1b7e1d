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
use super::support::postgres::{server, server_as_hosted};
use super::support::{ask, execute, session};

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
