//! The archive of envtest from a server on this machine: the right one, and all that can be wrong with it.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use orchestra_setup::archive::{PROGRAMS, Patience, Source};
use orchestra_setup::progress::Progress;
use sha2::{Digest, Sha512};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// An archive as the official ones are, with things that have no place in it.
fn archive(programs: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |path: &str, kind: tar::EntryType, text: &[u8]| {
        let mut header = tar::Header::new_gnu();
        // By its bytes: `set_path` refuses what an attacker writes.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(text.len().try_into().unwrap());
        header.set_cksum();
        tar.append(&header, text).unwrap();
    };
    add("controller-tools/envtest/", tar::EntryType::Directory, b"");
    add(
        "controller-tools/envtest/README",
        tar::EntryType::Regular,
        b"no program",
    );
    add("../../outside", tar::EntryType::Regular, b"outside");
    for program in programs {
        let text = format!("#!/bin/sh\necho {program}\n");
        add(
            &format!("controller-tools/envtest/{program}"),
            tar::EntryType::Regular,
            text.as_bytes(),
        );
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn digest(archive: &[u8]) -> String {
    hex::encode(Sha512::digest(archive))
}

/// What the server has.
struct Server {
    archive: Vec<u8>,
    hash: String,
    /// What it does after each KiB of the archive.
    pause: Duration,
    /// Where the archive ends, whatever its length says.
    cut: usize,
    index_status: StatusCode,
    index_pause: Duration,
}

impl Server {
    fn of(archive: Vec<u8>) -> Self {
        Self {
            hash: digest(&archive),
            pause: Duration::ZERO,
            cut: archive.len(),
            archive,
            index_status: StatusCode::OK,
            index_pause: Duration::ZERO,
        }
    }

    /// The address of the index.
    async fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let index = format!(
            "releases:\n  v1.36.2:\n    envtest-v1.36.2-test.tar.gz:\n      hash: {}\n      selfLink: {base}/archive\n",
            self.hash
        );
        let index = get(move || async move {
            tokio::time::sleep(self.index_pause).await;
            (self.index_status, index)
        });
        let length = self.archive.len();
        let sent = Bytes::from(self.archive).slice(..self.cut);
        let archive = get(move || async move {
            let chunks: Vec<_> = sent.chunks(1 << 10).map(|chunk| sent.slice_ref(chunk)).collect();
            let whole = sent.len() == length;
            let chunks = futures::stream::unfold(chunks.into_iter(), move |mut chunks| async move {
                tokio::time::sleep(self.pause).await;
                match chunks.next() {
                    Some(chunk) => Some((Ok(chunk), chunks)),
                    None if whole => None,
                    None => Some((Err(std::io::Error::other("cut")), chunks)),
                }
            });
            ([("content-length", length.to_string())], Body::from_stream(chunks)).into_response()
        });
        let service = Router::new().route("/index.yaml", index).route("/archive", archive);
        tokio::spawn(async move { axum::serve(listener, service).await });
        format!("{base}/index.yaml")
    }

    /// What comes of it, and how long that takes.
    async fn fetched(self) -> (TempDir, anyhow::Result<String>, Duration) {
        fetched(self.start().await).await
    }
}

async fn fetched(index: String) -> (TempDir, anyhow::Result<String>, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let source = Source {
        platform: "test".to_owned(),
        patience: Patience {
            index: Duration::from_secs(2),
            silence: Duration::from_secs(2),
            grace: Duration::from_secs(2),
            ..Patience::default()
        },
        ..Source::new(index, "1.36".to_owned())
    };
    let place = dir.path().to_owned();
    let began = Instant::now();
    let fetch = move || source.fetch(&place, &Progress::new().task("control plane"));
    let outcome = tokio::task::spawn_blocking(fetch).await.unwrap();
    (dir, outcome, began.elapsed())
}

fn content(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An error with these words, in seconds, and nothing left behind.
async fn refused(server: Server, words: &str) {
    let (dir, outcome, took) = server.fetched().await;
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains(words), "{error}");
    assert!(!error.contains('\n'), "{error}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(content(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn the_programs_of_the_right_archive_are_kept_and_nothing_else_is() {
    let (dir, outcome, _) = Server::of(archive(&PROGRAMS)).fetched().await;
    assert_eq!(outcome.unwrap(), "v1.36.2");
    assert_eq!(content(dir.path()), PROGRAMS);
    for program in PROGRAMS {
        let output = std::process::Command::new(dir.path().join(program)).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), program);
    }
    assert!(!dir.path().parent().unwrap().join("outside").exists());
}

#[tokio::test]
async fn an_archive_with_another_digest_is_not_unpacked() {
    let server = Server {
        hash: digest(b"another"),
        ..Server::of(archive(&PROGRAMS))
    };
    refused(server, "SHA-512").await;
}

#[tokio::test]
async fn a_truncated_archive_is_refused() {
    let archive = archive(&PROGRAMS);
    let server = Server {
        cut: archive.len() / 2,
        ..Server::of(archive)
    };
    refused(server, "/archive: ").await;
}

#[tokio::test]
async fn what_is_no_archive_is_refused() {
    refused(Server::of(b"<html>Log in to the network</html>".to_vec()), "/archive: ").await;
}

#[tokio::test]
async fn an_archive_without_a_program_is_refused() {
    refused(Server::of(archive(&["etcd", "kubectl"])), "no kube-apiserver").await;
    refused(
        Server::of(archive(&["etcd", "etcd", "kube-apiserver", "kubectl"])),
        "a second etcd",
    )
    .await;
}

#[tokio::test]
async fn an_archive_that_comes_too_slowly_is_given_up() {
    let mut noise = GzEncoder::new(Vec::new(), Compression::none());
    noise.write_all(&vec![7; 64 << 10]).unwrap();
    let mut server = Server::of(noise.finish().unwrap());
    server.pause = Duration::from_millis(300);
    refused(server, "bytes came in").await;
}

#[tokio::test]
async fn an_archive_that_stops_coming_is_given_up() {
    let mut server = Server::of(archive(&PROGRAMS));
    server.pause = Duration::from_mins(1);
    refused(server, "nothing came").await;
}

#[tokio::test]
async fn an_index_that_does_not_answer_is_given_up() {
    let mut server = Server::of(archive(&PROGRAMS));
    server.index_pause = Duration::from_mins(1);
    refused(server, "did not answer").await;
}

#[tokio::test]
async fn an_index_that_is_not_there_is_given_up() {
    let mut server = Server::of(archive(&PROGRAMS));
    server.index_status = StatusCode::NOT_FOUND;
    refused(server, "404").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/index.yaml", listener.local_addr().unwrap());
    drop(listener);
    let (_, outcome, took) = fetched(nobody).await;
    assert!(outcome.is_err());
    assert!(took < Duration::from_secs(10), "{took:?}");
}
