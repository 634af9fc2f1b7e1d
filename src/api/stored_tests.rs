//! Objects that an earlier version of the operator wrote: this version reads all of them, and writes them as they are.
#![allow(clippy::unwrap_used)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::unreadable::{decode, unreadable};
use super::{Orchestra, OrchestraDatabase, OrchestraPool};

fn read<K: DeserializeOwned + Serialize>(text: &str) -> K {
    let stored: Value = serde_saphyr::from_str(text).unwrap();
    let object: K = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&object).unwrap(), stored);
    object
}

#[test]
fn a_hosted_database_is_the_same() {
    for text in [
        include_str!("../../tests/fixtures/stored/1/hosted/database.yaml"),
        include_str!("../../tests/fixtures/stored/2/hosted/database.yaml"),
    ] {
        let database: OrchestraDatabase = read(text);
        assert!(database.is_ready() && database.is_held() && database.is_issued() && database.was_usable());
        assert!(database.is_quiet() && !database.is_paused() && !database.is_to_be_destroyed());
        assert_eq!(database.project_ref(), Some("abcdefghijklmnopqrst"));
    }
}

#[test]
fn a_pool_that_makes_its_members_is_the_same() {
    for text in [
        include_str!("../../tests/fixtures/stored/1/hosted/pool.yaml"),
        include_str!("../../tests/fixtures/stored/2/hosted/pool.yaml"),
    ] {
        let pool: OrchestraPool = read(text);
        assert!(pool.stalled_reason().is_none() && pool.recycle().is_none());
        assert_eq!(pool.status.unwrap().planned, Vec::<String>::new());
    }
}

/// The statements of docs/upgrade.md about a downgrade.
#[test]
fn what_a_newer_version_has_left_is_read_as_far_as_it_is_known() {
    let orchestra = |spec: Value| -> Result<Orchestra, _> {
        decode(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": "newer"}, "spec": spec,
            "status": {"observedGeneration": 1, "future": {"a": 1}, "conditions": [{
                "type": "Foreseen", "status": "True", "reason": "FromTheFuture", "message": "",
                "lastTransitionTime": "2026-11-28T06:14:22Z",
            }, {
                "type": "Stalled", "status": "True", "reason": "FromTheFuture", "message": "",
                "lastTransitionTime": "2026-11-28T06:14:22Z",
            }]},
        }))
    };
    let known = orchestra(json!({"displayName": "A", "future": {"a": [1]}})).unwrap();
    assert_eq!(known.spec.display_name.as_deref(), Some("A"));
    assert!(known.is_stalled() && known.stalled_reason().is_none());
    // An object with an unknown value is marked: without the mark, the value would seem to be absent.
    let unknown = orchestra(json!({"migrations": {"format": "Future", "source": {"folder": "a"}}}));
    let told = unreadable(&unknown.unwrap()).unwrap_or_default().to_owned();
    assert!(
        told.starts_with("spec.migrations.format: unknown variant `Future`"),
        "{told}"
    );
}
