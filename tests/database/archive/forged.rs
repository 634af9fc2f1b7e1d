//! Manifests that the store's owner, or somebody who may write to the store, has forged: no backup is ever reported from
//! them.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::archive::manifest::digest_of;
use orchestra_sandbox::S3;
use serde_json::{Value, json};

use super::job::{PATH, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;

/// A manifest of the same subject, in which the digest of the archive is another one.
fn forge(told: &str) -> String {
    let manifest: Value = serde_json::from_str(told).unwrap();
    let digest = manifest["objects"][0]["sha256"].as_str().unwrap();
    let forged = told.replace(digest, &"0".repeat(64));
    assert_ne!(forged, told);
    forged
}

fn without_seal(told: &str) -> String {
    let mut manifest: Value = serde_json::from_str(told).unwrap();
    manifest.as_object_mut().unwrap().remove("mac").unwrap();
    serde_json::to_string_pretty(&manifest).unwrap()
}

/// A Job after one whose outcome was lost finds this manifest, and tells no backup by it.
fn is_refused(place: &mut Place, source: &orchestra_operator::postgres::Login, path: &Path, forged: &str) {
    fs::write(path, forged).unwrap();
    let outcome = place.backup(source);
    assert!(outcome.reason == Reason::AlreadyExists && !outcome.retry, "{outcome:?}");
    assert!(outcome.backup.is_none(), "{outcome:?}");
    assert!(
        outcome
            .message
            .contains("manifest.json was not written by a Job of this OrchestraBackup"),
        "{outcome:?}"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), forged, "it is not replaced");
}

#[tokio::test]
async fn a_manifest_that_was_there_before_the_first_job_or_was_changed_after_it_is_refused() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    let made = place.backup(&source);
    assert_eq!(made.reason, Reason::Done, "{made:?}");
    let path = place.folder().join("manifest.json");
    let told = fs::read_to_string(&path).unwrap();
    // The outcome of the Job was lost: the next one finds what the first one wrote.
    let again = place.backup(&source);
    assert_eq!((again.reason, &again.backup), (Reason::Done, &made.backup), "{again:?}");
    // It was changed in between, with the seal and without.
    for forged in [
        forge(&told),
        forge(&without_seal(&told)),
        without_seal(&told),
        format!("{told}\n"),
        String::new(),
    ] {
        is_refused(&mut place, &source, &path, &forged);
    }
    // A whole backup of the same subject that another key has sealed lay there before the first Job.
    let mut first = Place::new();
    first.key = "of somebody who may write to the store".into();
    first.secrets.push(first.key.clone());
    assert_eq!(first.backup(&source).reason, Reason::Done);
    let planted = fs::read_to_string(first.folder().join("manifest.json")).unwrap();
    first.key.clone_from(&place.key);
    let path_of_first = first.folder().join("manifest.json");
    is_refused(&mut first, &source, &path_of_first, &planted);
    // As it was written, it is believed, but for its own recipients alone.
    fs::write(&path, &told).unwrap();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let other = place.run(&backup(&json!({"recipients": [recipient]})), &source);
    assert!(
        other.reason == Reason::AlreadyExists && other.message.contains("backup.encryption.recipients"),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_job_without_a_key_makes_no_backup() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    let mut place = Place::new();
    place.key = "short".into();
    let outcome = place.backup(&source);
    assert!(
        outcome.reason == Reason::InvalidOrder && outcome.message.contains("manifest-key"),
        "{outcome:?}"
    );
    assert_eq!(place.stored(), [""; 0]);
}

/// How a store answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// As the real one.
    AsItIs,
    /// It keeps the manifest, and its answer is lost.
    ManifestLost,
    /// It says of an object that exists that it has taken another one.
    Overwrites,
    /// It has no room for an archive.
    Full,
}

/// A store that keeps what it is given, and does not always say so.
#[derive(Clone)]
struct Liar {
    real: Arc<str>,
    client: reqwest::Client,
    answers: Arc<Mutex<Answers>>,
}

impl Liar {
    async fn start(real: &str) -> (String, Self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let liar = Self {
            real: real.into(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            answers: Arc::new(Mutex::new(Answers::ManifestLost)),
        };
        let router = Router::new().fallback(relay).with_state(liar.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        (address, liar)
    }
}

/// Passes a request on as it is: the signature is of the host that the client has named.
async fn relay(State(liar): State<Liar>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (answers, is_put) = (*liar.answers.lock().unwrap(), method == Method::PUT);
    let is_lie = is_put && uri.path().ends_with("/manifest.json") && answers == Answers::ManifestLost;
    if answers == Answers::Full && is_put && uri.path().contains("/app-") {
        let said = "<Error><Code>QuotaExceeded</Code><Message>no room</Message></Error>";
        return Response::builder().status(403).body(Body::from(said)).unwrap();
    }
    let request = liar.client.request(method, format!("{}{uri}", liar.real));
    let answer = request.headers(headers).body(body).send().await.unwrap();
    if answers == Answers::Overwrites && is_put && answer.status() == 412 {
        let response = Response::builder().status(200).header("etag", "\"other\"");
        return response.body(Body::empty()).unwrap();
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let response = response.body(Body::from(answer.bytes().await.unwrap())).unwrap();
    if !is_lie {
        return response;
    }
    // The answer is lost with the connection, which the client does not send again: 503 is repeated for a minute, and ends the same.
    std::panic::resume_unwind(Box::new("the answer is lost"))
}

/// The place of a Job whose store answers at an endpoint.
fn place_at(s3: &S3, endpoint: &str) -> Place {
    let mut place = Place::new();
    place.store = json!({"kind": "s3", "endpoint": endpoint, "bucket": "backups", "prefix": "p", "pathStyle": true});
    place.files = vec![
        ("s3-access-key-id".to_owned(), s3.access_key_id.clone()),
        ("s3-secret-access-key".to_owned(), s3.secret_access_key.clone()),
    ];
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_gives_back_another_manifest_than_it_was_given_is_not_believed() {
    let (server, files) = (server().await, tempfile::tempdir().unwrap());
    let s3 = S3::start(files.path()).await.unwrap();
    let root = s3.bucket("backups").unwrap();
    let (endpoint, liar) = Liar::start(&s3.endpoint).await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = place_at(&s3, &endpoint);
    let first = place.run_apart(&backup(&json!({})), &source).await;
    assert!(first.reason == Reason::StoreUnreachable && first.retry, "{first:?}");
    // It has the manifest that it said it had not taken, and gives back one of its own.
    let path = root.join("p").join(PATH).join("manifest.json");
    let told = fs::read_to_string(&path).unwrap();
    *liar.answers.lock().unwrap() = Answers::AsItIs;
    fs::write(&path, forge(&told)).unwrap();
    let second = place.run_apart(&backup(&json!({})), &source).await;
    assert!(
        second.reason == Reason::AlreadyExists && second.backup.is_none(),
        "{second:?}"
    );
    // Given back as it was, it is the backup, whose outcome alone was lost.
    fs::write(&path, &told).unwrap();
    let third = place.run_apart(&backup(&json!({})), &source).await;
    assert_eq!(third.reason, Reason::Done, "{third:?}");
    assert_eq!(third.backup.unwrap().manifest_digest, digest_of(told.as_bytes()));
    // But not without its archives.
    let manifest: Value = serde_json::from_str(&told).unwrap();
    let archive = path.with_file_name(manifest["objects"][0]["name"].as_str().unwrap());
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[1..]).unwrap();
    let cut = place.run_apart(&backup(&json!({})), &source).await;
    assert!(cut.reason == Reason::Damaged && cut.backup.is_none(), "{cut:?}");
    fs::remove_file(&archive).unwrap();
    assert_eq!(
        place.run_apart(&backup(&json!({})), &source).await.reason,
        Reason::Damaged
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_create_only_puts_or_without_room_gets_no_backup() {
    let (server, files) = (server().await, tempfile::tempdir().unwrap());
    let s3 = S3::start(files.path()).await.unwrap();
    let root = s3.bucket("backups").unwrap();
    let (endpoint, liar) = Liar::start(&s3.endpoint).await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = place_at(&s3, &endpoint);
    for (answers, reason, says) in [
        (Answers::Overwrites, Reason::StoreUnsafe, "If-None-Match"),
        (Answers::Full, Reason::StoreFull, "free space"),
    ] {
        *liar.answers.lock().unwrap() = answers;
        let outcome = place.run_apart(&backup(&json!({})), &source).await;
        assert!(
            outcome.reason == reason && outcome.message.contains(says) && outcome.backup.is_none(),
            "{outcome:?}"
        );
        let left = fs::read_dir(root.join("p").join(PATH)).into_iter().flatten().flatten();
        let left: Vec<_> = left.filter(|entry| entry.path().is_file()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    *liar.answers.lock().unwrap() = Answers::AsItIs;
    let outcome = place.run_apart(&backup(&json!({})), &source).await;
    assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
}
