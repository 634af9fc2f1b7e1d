//! A bucket of a real S3 server.

use std::path::Path;

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_sandbox::S3;
use serde_json::json;

use super::job::{PATH, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;
use crate::support::{execute, session};

fn bucket(s3: &S3, name: &str) -> serde_json::Value {
    json!({"kind": "s3", "endpoint": s3.endpoint, "bucket": name, "prefix": "fleet/one", "pathStyle": true})
}

/// Names of the objects of the backup.
fn stored(root: &Path) -> usize {
    let found = std::fs::read_dir(root.join("fleet/one").join(PATH));
    found.map_or(0, |found| {
        found.flatten().filter(|entry| entry.path().is_file()).count()
    })
}

#[tokio::test]
async fn a_backup_in_a_bucket_is_made_verified_and_removed() {
    let (server, files) = (server().await, tempfile::tempdir().unwrap());
    let s3 = S3::start(files.path()).await.unwrap();
    let root = s3.bucket("backups").unwrap();
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    // Several parts: what does not compress.
    let large = "CREATE TABLE large AS SELECT n, decode(md5(n::text) || md5(n::text || 'x') || md5(n::text || 'y'), 'hex') AS b \
                 FROM generate_series(1, 500000) n";
    execute(&mut session(&source).await, large).await.unwrap();
    let mut place = Place::new();
    place.store = bucket(&s3, "backups");
    let keys = |id: &str, key: &str| {
        vec![
            ("s3-access-key-id".to_owned(), id.to_owned()),
            ("s3-secret-access-key".to_owned(), key.to_owned()),
        ]
    };
    place.secrets.push(s3.secret_access_key.clone());
    assert_eq!(place.backup(&source).reason, Reason::InvalidOrder, "no keys");
    place.files = keys(&s3.access_key_id, "of somebody else's");
    assert_eq!(place.backup(&source).reason, Reason::StoreRefused);
    place.files = keys(&s3.access_key_id, &s3.secret_access_key);
    let made = place.backup(&source);
    assert_eq!(made.reason, Reason::Done, "{made:?}");
    let facts = made.backup.unwrap();
    assert!(facts.bytes > 17 << 20, "{facts:?}");
    assert_eq!(stored(&root), 2);
    let target = database(&server, "scratch", "owner_b").await;
    let verify = json!({"kind": "verify", "path": PATH, "manifestDigest": facts.manifest_digest});
    let drill = place.run(&verify, &target);
    assert_eq!(drill.reason, Reason::Done, "{drill:?}");
    let other = backup(
        &json!({"subject": {"cluster": "other", "namespace": "", "orchestra": "", "orchestraUid": "", "class": "",
        "databaseName": "", "backupName": ""}}),
    );
    assert_eq!(place.run(&other, &source).reason, Reason::AlreadyExists);
    assert_eq!(
        place.run(&json!({"kind": "delete", "path": PATH}), &source).reason,
        Reason::Done
    );
    assert_eq!(stored(&root), 0);
    assert_eq!(place.run(&verify, &target).reason, Reason::StoreMissing);
    place.store = bucket(&s3, "no-such-bucket");
    assert_eq!(place.backup(&source).reason, Reason::StoreMissing);
}
