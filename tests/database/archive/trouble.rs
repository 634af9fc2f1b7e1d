//! A store behind a bad network: slow, refusing for a while, or silent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_sandbox::S3;
use serde_json::json;

use super::job::{PATH, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;

/// Bytes that are passed on at a time.
const CHUNK: usize = 16 << 10;

/// What is between a client and a store.
#[derive(Clone, Copy)]
enum Network {
    /// The first connections get 503 instead of an answer; later ones are passed on.
    Refuses(usize),
    /// Each chunk waits so long.
    Slow(Duration),
    /// Nothing is ever answered.
    Silent,
}

/// A proxy before the store at this address, on threads that end with the test program. Returns its URL, and the count of its
/// connections.
fn proxy(store: &str, network: Network) -> (String, Arc<AtomicUsize>) {
    let store = store.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let store = store.clone();
            thread::spawn(move || match network {
                Network::Refuses(first) if number < first => refuse(client),
                Network::Refuses(_) => pass(client, &store, Duration::ZERO),
                Network::Slow(wait) => pass(client, &store, wait),
                Network::Silent => drain(client),
            });
        }
    });
    (endpoint, count)
}

fn refuse(mut client: TcpStream) {
    let mut request = vec![0; 64 << 10];
    let _ = client.read(&mut request);
    let _ = client.write_all(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = client.shutdown(Shutdown::Write);
    drain(client);
}

fn drain(mut client: TcpStream) {
    let mut bytes = vec![0; CHUNK];
    while matches!(client.read(&mut bytes), Ok(read) if read > 0) {}
}

fn pass(client: TcpStream, store: &str, wait: Duration) {
    let store = TcpStream::connect(store).unwrap();
    let (from, to) = (client.try_clone().unwrap(), store.try_clone().unwrap());
    let back = thread::spawn(move || copy(store, client, wait));
    copy(from, to, wait);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, wait: Duration) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        thread::sleep(wait);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[tokio::test]
async fn a_store_in_trouble_gets_a_whole_backup_or_none() {
    let (server, files) = (server().await, tempfile::tempdir().unwrap());
    let s3 = S3::start(files.path()).await.unwrap();
    let root = s3.bucket("backups").unwrap();
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    place.files = vec![
        ("s3-access-key-id".to_owned(), s3.access_key_id.clone()),
        ("s3-secret-access-key".to_owned(), s3.secret_access_key.clone()),
    ];
    let at = |endpoint: &str, prefix: &str| json!({"kind": "s3", "endpoint": endpoint, "bucket": "backups", "prefix": prefix, "pathStyle": true});
    for (number, (prefix, network)) in [
        ("refusing", Network::Refuses(4)),
        ("slow", Network::Slow(Duration::from_millis(150))),
    ]
    .into_iter()
    .enumerate()
    {
        let (endpoint, connections) = proxy(&s3.endpoint, network);
        place.store = at(&endpoint, prefix);
        let made = place.backup(&source);
        assert_eq!(made.reason, Reason::Done, "{prefix}: {made:?}");
        let is_refused = matches!(network, Network::Refuses(first) if connections.load(Ordering::SeqCst) > first);
        assert!(
            is_refused || matches!(network, Network::Slow(_)),
            "{prefix} refused nothing"
        );
        let target = database(&server, &format!("target_{number}"), &format!("owner_{number}")).await;
        let digest = made.backup.unwrap().manifest_digest;
        let verify = json!({"kind": "verify", "path": PATH, "manifestDigest": digest});
        let drill = place.run(&verify, &target);
        assert_eq!(drill.reason, Reason::Done, "{prefix}: {drill:?}");
    }

    let (endpoint, _) = proxy(&s3.endpoint, Network::Silent);
    place.store = at(&endpoint, "silent");
    let began = Instant::now();
    let ended = place.start_within(&backup(&json!({})), &source, 3).end();
    assert_eq!(ended.reason, Reason::DeadlineExceeded, "{ended:?}");
    assert!(ended.retry && began.elapsed() < Duration::from_mins(1), "{ended:?}");
    assert!(!root.join("silent").exists());
}
