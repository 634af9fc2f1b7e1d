#![allow(clippy::unwrap_used)]
use clap::Parser;

use super::*;
use crate::archive::catalog::{IncompleteBackup, RefusedBackup};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(words: &[&str]) -> Result<Arguments, clap::Error> {
    Line::try_parse_from([&["list"], words].concat()).map(|line| line.arguments)
}

fn entry(name: &str, uid: &str) -> CatalogEntry {
    CatalogEntry {
        namespace: "tenants".into(),
        name: name.into(),
        uid: uid.into(),
        orchestra: "acme".into(),
        class: "standard".into(),
        cluster: "7d1f0c2e93ab".into(),
        snapshot_time: "2026-11-29T02:00:03Z".parse().unwrap(),
        bytes: 7_000_000,
        encrypted: true,
        server_major: 17,
        tables: 3,
        path: format!("7d1f0c2e93ab/tenants/acme-1/20261129T020000Z-{uid}"),
        manifest_digest: "0".repeat(64),
    }
}

#[test]
fn a_store_is_read_from_its_url() {
    let of = |words: &[&str]| store(&arguments(words).unwrap());
    let Store::S3 {
        bucket,
        prefix,
        path_style,
        ..
    } = of(&["--from", "s3://backups/eu/one/", "--endpoint", "http://127.0.0.1:1"]).unwrap()
    else {
        panic!("a bucket")
    };
    assert_eq!(
        (bucket.as_str(), prefix.as_str(), path_style),
        ("backups", "eu/one", true)
    );
    let Store::Folder { path, .. } = of(&["--from", "file:///var/backups/eu"]).unwrap() else {
        panic!("a folder")
    };
    assert_eq!(path, "/var/backups/eu");
    for wrong in [
        "s3:///eu",
        "https://backups/eu",
        "s3://me:word@backups/eu",
        "s3://backups/eu?x=1",
    ] {
        assert!(of(&["--from", wrong]).is_err(), "{wrong}");
    }
    for wrong in [
        vec!["--namespace", "../a"],
        vec!["--cluster", "7D1F0C2E93AB"],
        vec!["--class", "standard"],
        vec!["--recreate", "-o", "json"],
    ] {
        assert!(
            arguments(&[&["--from", "s3://backups"], &wrong[..]].concat()).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn what_is_no_backup_is_named_and_not_listed() {
    let mut found = StoreListing {
        backups: vec![entry("one", "1111")],
        ..StoreListing::default()
    };
    assert_eq!(
        table(&found),
        "NAMESPACE  BACKUP  ORCHESTRA  SNAPSHOT               SIZE  ENCRYPTED  SERVER  CLUSTER\n\
         tenants    one     acme       2026-11-29T02:00:03Z  6 MiB  yes        17      7d1f0c2e93ab"
    );
    found.incomplete.push(IncompleteBackup {
        path: "half".into(),
        objects: 1,
        bytes: 3,
    });
    found.refused.push(RefusedBackup {
        path: "copied".into(),
        message: "it is of another folder".into(),
    });
    let text = table(&found);
    assert!(
        text.contains("have failed): 1\n  half (3 B)") && text.contains("refused: 1\n  copied: it is"),
        "{text}"
    );
    assert!(table(&StoreListing::default()).contains("no complete backups"));
}

#[test]
fn what_is_recreated_keeps_its_data_and_has_a_name_of_its_own() {
    let found = StoreListing {
        backups: vec![
            entry("one", "11111111-1"),
            entry("two", "22222222-2"),
            entry("one", "33333333-3"),
        ],
        refused: vec![RefusedBackup {
            path: "copied".into(),
            message: "it is of another folder".into(),
        }],
        ..StoreListing::default()
    };
    let text = manifests(&found, Some("other")).unwrap();
    assert!(
        text.contains("recoverFrom: [7d1f0c2e93ab]") && text.contains("# Refused: copied: it is"),
        "{text}"
    );
    let documents: Vec<_> = text.split("---\n").skip(1).collect();
    let names = ["one-11111111", "two", "one-33333333"];
    assert_eq!(documents.len(), names.len());
    for (document, name) in documents.iter().zip(names) {
        let object: crate::api::OrchestraBackup = serde_saphyr::from_str(document).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some(name));
        assert_eq!(object.spec.deletion_policy, crate::api::DeletionPolicy::Retain);
        assert!(
            !document.contains("deletionPolicy") && !document.contains("status"),
            "{document}"
        );
        assert_eq!(object.spec.stored.unwrap().class_name, "other");
    }
    let own = manifests(&found, None).unwrap();
    assert!(own.contains("className: standard"), "{own}");
}
