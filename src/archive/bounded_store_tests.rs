//! Hostile stores.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::StreamExt as _;
use object_store::client::HttpRequestBody;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::archive::order::Store;
use crate::archive::outcome::OutcomeReason;
use crate::archive::store::{Folder, StoreSecrets};

/// What a store does after it has read a request: the beginning of its answer, and what it repeats for ever.
#[derive(Clone, Copy)]
struct Hostile {
    begins: &'static str,
    repeats: &'static str,
    /// How long it waits before each repetition.
    waits: Duration,
}

const XML: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\nconnection: close\r\n\r\n\
                   <?xml version=\"1.0\"?><ListBucketResult>";
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: 128\r\n\r\n\
                    <ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>\
                    </ListBucketResult>         ";

/// Starts a store; its address, and how many bytes it could send.
async fn store(hostile: Hostile) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, hostile, counted.clone()));
        }
    });
    (address, sent)
}

async fn answer(mut socket: TcpStream, hostile: Hostile, sent: Arc<AtomicUsize>) {
    let mut request = [0; 8192];
    while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
        if socket.write_all(hostile.begins.as_bytes()).await.is_err() {
            return;
        }
        sent.fetch_add(hostile.begins.len(), Ordering::Relaxed);
        let repeats = hostile.repeats.repeat(if hostile.waits.is_zero() { 600 } else { 1 });
        while !repeats.is_empty() {
            if !hostile.waits.is_zero() {
                tokio::time::sleep(hostile.waits).await;
            }
            if socket.write_all(repeats.as_bytes()).await.is_err() {
                return;
            }
            sent.fetch_add(repeats.len(), Ordering::Relaxed);
        }
    }
}

fn folder(address: &str) -> Folder {
    let store = Store::S3 {
        endpoint: Some(address.to_owned()),
        region: None,
        bucket: "b".into(),
        prefix: String::new(),
        path_style: true,
    };
    let secrets = StoreSecrets {
        access_key_id: Some("id".to_owned().into()),
        secret_access_key: Some("key".to_owned().into()),
        ca: None,
    };
    Folder::open(&store, &secrets, "a").unwrap()
}

const LONG: &str = "<Contents><Key>a/b</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>";

#[tokio::test]
async fn a_list_or_an_error_without_end_is_not_read_to_its_end() {
    for (begins, most, says) in [
        (XML, ANSWER, "more than 8 MiB"),
        (
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n<Error><Code>AccessDenied</Code>",
            REFUSAL,
            "403 Forbidden",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n<Error><Code>NoSuchBucket</Code>",
            REFUSAL,
            "create the bucket",
        ),
    ] {
        let hostile = Hostile {
            begins,
            repeats: LONG,
            waits: Duration::ZERO,
        };
        let (address, sent) = store(hostile).await;
        let refused = folder(&address).list().next().await.unwrap().unwrap_err();
        assert!(refused.message.contains(says), "{refused}");
        assert!(refused.message.len() < 2_000, "{}", refused.message.len());
        // What is on its way in the buffers of sockets comes beside it.
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < most + (16 << 20), "{sent}");
    }
}

#[tokio::test]
async fn pages_without_an_object_and_without_end_are_listed_and_removed_for_a_limited_time() {
    let hostile = Hostile {
        begins: PAGE,
        repeats: "",
        waits: Duration::ZERO,
    };
    assert_eq!(PAGE.split_once("\r\n\r\n").unwrap().1.len(), 128);
    let (address, _) = store(hostile).await;
    let folder = folder(&address).patient_for(Duration::from_millis(500));
    let began = Instant::now();
    let listed = folder.list().next().await.unwrap().unwrap_err();
    assert_eq!(listed.reason, OutcomeReason::StoreUnreachable);
    assert!(listed.message.contains("took more than"), "{listed}");
    let removed = folder.remove().await.unwrap_err();
    assert!(removed.message.contains("took more than"), "{removed}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_ends_after_a_time() {
    let hostile = Hostile {
        begins: XML,
        repeats: " ",
        waits: Duration::from_millis(20),
    };
    let (address, _) = store(hostile).await;
    let client = ReqwestConnector::default()
        .connect(&ClientOptions::new().with_allow_http(true).with_timeout_disabled())
        .unwrap();
    let longest = Duration::from_millis(300);
    let client = HttpClient::new(BoundedClient { client, longest });
    let mut asked = HttpRequest::new(HttpRequestBody::empty());
    *asked.uri_mut() = format!("{address}/b?list-type=2").parse().unwrap();
    let refused = client.execute(asked).await.unwrap_err().to_string();
    assert!(refused.contains("took more than"), "{refused}");
}
