#![allow(clippy::unwrap_used)]
use super::*;

fn folder(root: &std::path::Path) -> Folder {
    let store = Store::Folder {
        path: root.to_str().unwrap().to_owned(),
        prefix: "p".into(),
    };
    Folder::open(&store, &StoreSecrets::default(), "a/b").unwrap()
}

#[tokio::test]
async fn a_folder_creates_only_and_is_removed_with_what_was_not_finished() {
    let root = tempfile::tempdir().unwrap();
    let folder = folder(root.path());
    folder.probe().await.unwrap();
    folder.probe().await.unwrap();
    folder.create("manifest.json", b"one".to_vec()).await.unwrap();
    folder.create("manifest.json", b"one".to_vec()).await.unwrap();
    let error = folder.create("manifest.json", b"two".to_vec()).await.unwrap_err();
    assert_eq!(error.reason, OutcomeReason::AlreadyExists);
    assert_eq!(folder.probe().await.unwrap_err().reason, OutcomeReason::AlreadyExists);
    assert_eq!(folder.small("manifest.json", 3).await.unwrap(), b"one");
    assert_eq!(
        folder.small("manifest.json", 2).await.unwrap_err().reason,
        OutcomeReason::Damaged
    );
    assert_eq!(
        folder.small("other", 2).await.unwrap_err().reason,
        OutcomeReason::StoreMissing
    );
    let mut upload = folder.upload("app").await.unwrap();
    upload.part(vec![7; 100]).await.unwrap();
    assert!(!folder.exists("app").await.unwrap(), "before it is complete");
    std::mem::forget(upload);
    folder.remove().await.unwrap();
    folder.remove().await.unwrap();
    assert!(!root.path().join("p/a/b").exists());
}

#[test]
fn a_store_that_cannot_be_used_is_refused() {
    let missing = Store::Folder {
        path: "/nowhere/at/all".into(),
        prefix: String::new(),
    };
    let error = Folder::open(&missing, &StoreSecrets::default(), "a").unwrap_err();
    assert_eq!(error.reason, OutcomeReason::StoreMissing);
    let bucket = Store::S3 {
        endpoint: None,
        region: None,
        bucket: "b".into(),
        prefix: String::new(),
        path_style: true,
    };
    let error = Folder::open(&bucket, &StoreSecrets::default(), "a").unwrap_err();
    assert!(error.message.contains("s3-access-key-id"), "{error}");
}
