#![allow(clippy::unwrap_used)]
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::archive::order::Store;
use crate::archive::store::StoreSecrets;

const CLUSTER: &str = "7d1f0c2e93ab";
const UID: &str = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

fn root(at: &Path) -> Folder {
    let store = Store::Folder {
        path: at.to_str().unwrap().to_owned(),
        prefix: "eu".into(),
    };
    Folder::open(&store, &StoreSecrets::default(), "").unwrap()
}

fn path(namespace: &str, orchestra: &str, hour: u8) -> String {
    format!("{CLUSTER}/{namespace}/{orchestra}-{UID}/20261129T{hour:02}0000Z-{UID}")
}

/// A manifest as it is stored in this folder.
fn manifest_in(path: &str, hour: u8) -> Value {
    let read = BackupPath::parse(path).unwrap();
    json!({
        "version": 1, "path": path, "snapshotTime": format!("2026-11-29T{hour:02}:00:05Z"),
        "finishedTime": "2026-11-29T12:00:00Z", "serverVersion": "17.4", "serverMajor": 17, "clientVersion": "17.4",
        "programVersion": "0.1.0", "recipients": ["age1"], "notCovered": [], "facts": {"rows": {"public.member": 3}},
        "objects": [{"part": "app", "name": "app.pgdump.zst", "bytes": 5, "sha256": "00", "rawBytes": 9}],
        "subject": {"cluster": CLUSTER, "namespace": read.namespace, "orchestra": read.orchestra, "orchestraUid": UID,
            "class": "standard", "databaseName": "orchdb-1", "backupName": format!("b-{hour}")},
    })
}

fn write(at: &Path, path: &str, name: &str, bytes: &[u8]) -> PathBuf {
    let file = at.join("eu").join(path).join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, bytes).unwrap();
    file
}

fn backup(at: &Path, path: &str, hour: u8, change: impl FnOnce(&mut Value)) {
    let mut manifest = manifest_in(path, hour);
    change(&mut manifest);
    write(at, path, "app.pgdump.zst", b"12345");
    write(at, path, manifest::NAME, manifest.to_string().as_bytes());
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one store, and what is in it")]
async fn only_whole_backups_in_their_own_folders_are_listed() {
    let files = tempfile::tempdir().unwrap();
    let at = files.path();
    assert_eq!(
        read(&root(at), &Within::default()).await.unwrap(),
        StoreListing::default()
    );
    for (namespace, hour) in [("tenants", 2), ("tenants", 3), ("others", 4)] {
        backup(at, &path(namespace, "acme", hour), hour, |_| {});
    }
    write(at, &path("tenants", "half", 2), "app.pgdump.zst", b"123");
    write(at, "lost+found", "x", b"1");
    write(at, &path("tenants", "acme", 2), "below/manifest.json", b"1");
    // What is refused: copied from another tenant, changed, shortened, without its archive, of a newer program, too large.
    let copy = manifest_in(&path("tenants", "acme", 2), 2);
    backup(at, &path("victims", "acme", 2), 2, |manifest| *manifest = copy.clone());
    backup(at, &path("tenants", "a", 2), 2, |it| {
        it["subject"]["orchestra"] = "b".into();
    });
    backup(at, &path("tenants", "b", 2), 2, |it| {
        it["subject"]["backupName"] = "a: b\n---".into();
    });
    backup(at, &path("tenants", "c", 2), 2, |it| {
        it["objects"][0]["bytes"] = 6.into();
    });
    backup(at, &path("tenants", "d", 2), 2, |it| {
        it["objects"][0]["name"] = "gone".into();
    });
    backup(at, &path("tenants", "e", 2), 2, |it| it["version"] = 2.into());
    write(at, &path("tenants", "f", 2), manifest::NAME, b"{");
    let large = write(at, &path("tenants", "g", 2), manifest::NAME, b"");
    std::fs::File::options()
        .write(true)
        .open(large)
        .unwrap()
        .set_len(manifest::MOST + 1)
        .unwrap();

    let found = read(&root(at), &Within::default()).await.unwrap();
    let listed: Vec<_> = found
        .backups
        .iter()
        .map(|it| (it.namespace.as_str(), it.name.as_str()))
        .collect();
    assert_eq!(listed, [("others", "b-4"), ("tenants", "b-3"), ("tenants", "b-2")]);
    let first = &found.backups[0];
    assert!(first.encrypted && first.tables == 1 && first.server_major == 17 && first.manifest_digest.len() == 64);
    assert_eq!(first.path, path("others", "acme", 4));
    assert_eq!((found.incomplete.len(), found.incomplete[0].bytes), (1, 3));
    assert_eq!(found.foreign_objects, 2);
    let refused: Vec<_> = found.refused.iter().map(|it| it.message.as_str()).collect();
    let parts = [
        "the manifest is of another folder",
        "contains a backup or class name that Kubernetes does not allow",
        "has 5 bytes instead of 6",
        "the archive gone is missing",
        "has version 2 of its format",
        "cannot be read",
        "more than 67108864 bytes",
        "the manifest is of another folder",
    ];
    assert_eq!(refused.len(), parts.len(), "{refused:#?}");
    for (message, part) in refused.iter().zip(parts) {
        assert!(message.contains(part), "{message}: {part}");
    }

    let namespace = |cluster: Option<&str>| Within {
        cluster: cluster.map(Into::into),
        namespace: Some("others".into()),
    };
    for within in [namespace(None), namespace(Some(CLUSTER))] {
        let found = read(&root(at), &within).await.unwrap();
        assert_eq!((found.backups.len(), found.refused.len()), (1, 0), "{within:?}");
    }
    let other = read(&root(at), &namespace(Some("000000000000"))).await.unwrap();
    assert_eq!(other, StoreListing::default());
}

#[tokio::test]
async fn one_is_inspected_with_its_digest() {
    let files = tempfile::tempdir().unwrap();
    let (at, path) = (files.path(), path("tenants", "acme", 2));
    let look = async |path: &str, digest: Option<&str>| {
        let order = ReadOrder {
            path: path.to_owned(),
            manifest_digest: digest.map(Into::into),
        };
        inspect(&root(at).folder(path), &order)
            .await
            .map_err(|error| error.reason)
    };
    assert_eq!(look(&path, None).await, Err(OutcomeReason::StoreMissing));
    backup(at, &path, 2, |_| {});
    let facts = look(&path, None).await.unwrap().backup.unwrap();
    assert_eq!((facts.server_major, facts.tables), (17, 1));
    assert!(look(&path, Some(&facts.manifest_digest)).await.is_ok());
    backup(at, &path, 2, |it| it["serverMajor"] = 15.into());
    assert_eq!(
        look(&path, Some(&facts.manifest_digest)).await,
        Err(OutcomeReason::Damaged)
    );
    assert_eq!(look("elsewhere", None).await, Err(OutcomeReason::InvalidOrder));
}
