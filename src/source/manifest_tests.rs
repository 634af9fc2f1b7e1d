#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest(layers: &[Value]) -> Vec<u8> {
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": DIGEST, "size": 2});
    json!({"schemaVersion": 2, "config": config, "layers": layers})
        .to_string()
        .into_bytes()
}

#[test]
fn a_manifest_is_checked_before_anything_is_fetched() {
    let one = |size: i64| json!({"mediaType": "text/plain", "digest": DIGEST, "size": size});
    assert_eq!(layers(&manifest(&[one(3)])).unwrap().len(), 1);
    for (manifest, says) in [
        (b"not json".to_vec(), "not that of an OCI image"),
        (b"{}".to_vec(), "not that of an OCI image"),
        (
            json!({"schemaVersion": 2, "manifests": []}).to_string().into_bytes(),
            "index",
        ),
        (manifest(&[]), "0 layers"),
        (manifest(&vec![one(1); MAX_LAYERS + 1]), "2001 layers"),
        (manifest(&[one(40 << 20), one(40 << 20)]), "more than 64 MiB"),
        (manifest(&[one(i64::MAX), one(i64::MAX)]), "more than 64 MiB"),
        (manifest(&[one(-1)]), "more than 64 MiB"),
    ] {
        let flaw = layers(&manifest).unwrap_err().to_string();
        assert!(flaw.contains(says), "{flaw}");
    }
}

/// 4 MiB of a manifest that nobody needs.
#[test]
fn what_is_not_used_of_a_manifest_is_not_kept() {
    let long = "é".repeat(1 << 20);
    let layer = json!({
        "mediaType": "text/plain", "digest": DIGEST, "size": 1, "urls": [long], "data": long,
        "annotations": {TITLE: "a.sql", "other": long, "nested": {"a": [[[]]]}},
    });
    let found = layers(&manifest(&[layer])).unwrap();
    assert!(found[0].weight() < 500, "{}", found[0].weight());
    let titled = |title: &str| {
        let layer = json!({"mediaType": "text/plain", "digest": long, "size": 1, "annotations": {TITLE: title}});
        layers(&manifest(&[layer])).unwrap().remove(0)
    };
    let found = titled(&long);
    assert!(found.weight() < 2000 && found.digest != DIGEST);
    let LayerContent::File(path) = found.content else {
        panic!("{found:?}");
    };
    assert!(path.len() > MAX_PATH_BYTES, "it is refused as too long");
    let many = format!("{{\"config\": {{}}, \"layers\": [{}1]}}", "0,".repeat(1 << 20));
    assert!(layers(many.as_bytes()).is_err());
}
