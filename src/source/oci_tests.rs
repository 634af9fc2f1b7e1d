#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::source::manifest::TITLE;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const UNPACK: &str = "io.deis.oras.content.unpack";

fn layer(kind: &str, annotations: &Value) -> Layer {
    let layer = json!({"mediaType": kind, "digest": DIGEST, "size": 1, "annotations": annotations});
    let manifest = json!({"schemaVersion": 2, "config": {}, "layers": [layer]}).to_string();
    layers(manifest.as_bytes()).unwrap().remove(0)
}

fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    builder.append_data(&mut header, "m/1_a.sql", &b";"[..]).unwrap();
    builder.into_inner().unwrap()
}

/// An archive is in memory while what it holds is added: together they stay within the bound.
#[test]
fn an_archive_counts_beside_what_it_holds() {
    let archive = |bytes: usize| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes as u64);
        builder
            .append_data(&mut header, "m/1_a.sql", &vec![b'-'; bytes][..])
            .unwrap();
        builder.into_inner().unwrap()
    };
    let read = |bytes: Vec<u8>| {
        let mut empty = Files::default();
        empty.hold_packed(bytes.len())?;
        files(
            vec![(layer("application/vnd.oci.image.layer.v1.tar", &Value::Null), bytes)],
            empty,
        )
    };
    let kept = read(archive(20 << 20)).unwrap();
    assert!(kept.weight() < 21 << 20, "the archive counts no longer");
    assert_eq!(read(archive(40 << 20)).unwrap_err(), Flaw::TooLarge);
    let file = || layer("text/plain", &json!({TITLE: "1_a.sql"}));
    let mut empty = Files::default();
    empty.hold_packed(40 << 20).unwrap();
    assert!(files(vec![(file(), vec![b'-'; 40 << 20])], empty).is_ok());
}

#[test]
fn a_layer_is_a_file_or_an_archive() {
    for (kind, annotations, bytes, found) in [
        // `oras push` says so of a plain file, too.
        (
            "application/vnd.oci.image.layer.v1.tar",
            json!({TITLE: "a/1_a.sql"}),
            b"x".to_vec(),
            Ok("a/1_a.sql"),
        ),
        ("text/plain", json!({TITLE: "1_a.sql"}), b"x".to_vec(), Ok("1_a.sql")),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            json!({TITLE: "m", UNPACK: "true"}),
            tar(),
            Ok("m/1_a.sql"),
        ),
        (
            "application/vnd.cncf.flux.content.v1.tar+gzip",
            json!({}),
            tar(),
            Ok("m/1_a.sql"),
        ),
        (
            "application/vnd.oci.image.layer.v1.tar",
            Value::Null,
            tar(),
            Ok("m/1_a.sql"),
        ),
        ("text/plain", json!({TITLE: "m.tar"}), tar(), Ok("m/1_a.sql")),
        ("text/plain", json!({}), b"x".to_vec(), Err("has no title")),
        (
            "application/vnd.oci.image.layer.v1.tar+zstd",
            json!({}),
            b"x".to_vec(),
            Err("has no title"),
        ),
        (
            "text/plain",
            json!({TITLE: "../a.sql"}),
            b"x".to_vec(),
            Err("not a path inside"),
        ),
        (
            "x",
            json!({TITLE: "m", UNPACK: "true"}),
            b"x".to_vec(),
            Err("cannot be unpacked"),
        ),
    ] {
        let mut files = Files::default();
        let added = super::add(&layer(kind, &annotations), bytes, &mut files);
        match (added, found) {
            (Ok(()), Ok(found)) => assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), [found]),
            (Err(flaw), Err(says)) => assert!(flaw.to_string().contains(says), "{kind}: {flaw}"),
            (given, _) => panic!("{kind} {annotations}: {given:?}"),
        }
    }
}

#[test]
fn the_first_name_is_always_the_host() {
    for (image, parts) in [
        ("oci://ghcr.io/acme/migrations", ("ghcr.io", "acme/migrations")),
        ("127.0.0.1:5000/a", ("127.0.0.1:5000", "a")),
        ("registry/a", ("registry", "a")),
    ] {
        assert_eq!(split(image), parts);
    }
}
