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
