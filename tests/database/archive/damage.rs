//! Backups that are not what was written: nothing of them is restored.

use std::fs;
use std::path::PathBuf;

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::archive::manifest::{Part, digest_of};
use serde_json::{Value, json};

use super::job::{PATH, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::server;
use crate::support::{ask, session};

fn restore() -> Value {
    json!({"kind": "restore", "path": PATH})
}

fn archive(place: &Place) -> PathBuf {
    place.folder().join(&place.manifest().object(Part::App).unwrap().name)
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_restored() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    let target = database(&server, "target", "owner_b").await;
    let (path, manifest) = (archive(&place), place.folder().join("manifest.json"));
    let (whole, told) = (fs::read(&path).unwrap(), fs::read_to_string(&manifest).unwrap());
    for at in [5, whole.len() / 2, whole.len() - 3] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(place.run(&restore(), &target).reason, Reason::Damaged, "byte {at}");
    }
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(place.run(&restore(), &target).reason, Reason::Damaged, "{length} bytes");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(place.run(&restore(), &target).reason, Reason::StoreMissing);
    fs::write(&path, &whole).unwrap();
    // A manifest that somebody has changed, one of a newer server, one of another program, and none.
    let changed = told.replace("owner_a", "owner_x");
    fs::write(&manifest, &changed).unwrap();
    let digest = digest_of(told.as_bytes());
    let verify = json!({"kind": "verify", "path": PATH, "manifestDigest": digest});
    assert_eq!(place.run(&verify, &target).reason, Reason::Damaged);
    fs::write(&manifest, told.replace("\"serverMajor\": 15", "\"serverMajor\": 18")).unwrap();
    let newer = place.run(&restore(), &target);
    assert!(
        newer.reason == Reason::Incompatible && newer.message.contains("PostgreSQL 18"),
        "{newer:?}"
    );
    fs::write(&manifest, told.replacen("\"version\": 1,", "\"version\": 2,", 1)).unwrap();
    assert_eq!(place.run(&restore(), &target).reason, Reason::Incompatible);
    fs::remove_file(&manifest).unwrap();
    let none = place.run(&restore(), &target);
    assert!(
        none.reason == Reason::StoreMissing && none.message.contains("no backup found"),
        "{none:?}"
    );
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(ask(&mut session(&target).await, left).await, "0");
    // And whole it is restored.
    fs::write(&manifest, &told).unwrap();
    assert_eq!(place.run(&restore(), &target).reason, Reason::Done);
}

#[tokio::test]
async fn an_encrypted_backup_needs_the_key_of_a_recipient() {
    use age::secrecy::ExposeSecret as _;
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    let (right, wrong) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let order = backup(&json!({"recipients": [right.to_public().to_string()]}));
    assert_eq!(place.run(&order, &source).reason, Reason::Done);
    let stored = fs::read(archive(&place)).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1"));
    let target = database(&server, "target", "owner_b").await;
    assert_eq!(place.run(&restore(), &target).reason, Reason::WrongKey, "no key");
    for (text, reason) in [
        ("no key".to_owned(), Reason::WrongKey),
        (wrong.to_string().expose_secret().to_owned(), Reason::WrongKey),
        (
            format!("# created\n{}\n", right.to_string().expose_secret()),
            Reason::Done,
        ),
    ] {
        place.secrets.push(text.clone());
        place.files = vec![("age-identity".into(), text)];
        assert_eq!(place.run(&restore(), &target).reason, reason);
    }
    place.files.clear();
    // A manifest that turns the decryption off is refused where the class has encryption, whatever its digest is.
    let path = place.folder().join("manifest.json");
    let told = fs::read_to_string(&path).unwrap();
    let mut plain: Value = serde_json::from_str(&told).unwrap();
    plain["recipients"] = json!([]);
    fs::write(&path, plain.to_string()).unwrap();
    let digest = digest_of(plain.to_string().as_bytes());
    let empty = database(&server, "empty", "owner_c").await;
    for kind in ["restore", "verify"] {
        let work = json!({"kind": kind, "path": PATH, "manifestDigest": digest, "encryptedOnly": true});
        let outcome = place.run(&work, &empty);
        assert!(
            outcome.reason == Reason::Incompatible && outcome.message.contains("backup.encryption"),
            "{outcome:?}"
        );
    }
    let order = backup(&json!({"recipients": ["age1nobody"]}));
    fs::remove_dir_all(place.folder()).unwrap();
    assert_eq!(place.run(&order, &source).reason, Reason::InvalidOrder);
}
