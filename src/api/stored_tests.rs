//! Objects that an earlier version of the operator wrote: this version reads all of them, and writes them as they are.
#![allow(clippy::unwrap_used)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{OrchestraDatabase, OrchestraPool};

fn read<K: DeserializeOwned + Serialize>(text: &str) -> K {
    let stored: Value = serde_saphyr::from_str(text).unwrap();
    let object: K = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&object).unwrap(), stored);
    object
}

#[test]
fn a_hosted_database_is_the_same() {
    let database: OrchestraDatabase = read(include_str!("../../tests/fixtures/stored/hosted/database.yaml"));
    assert!(database.is_ready() && database.is_held() && database.is_issued() && database.was_usable());
    assert!(database.is_quiet() && !database.is_paused() && !database.is_to_be_destroyed());
    assert_eq!(database.project_ref(), Some("abcdefghijklmnopqrst"));
}

#[test]
fn a_pool_that_makes_its_members_is_the_same() {
    let pool: OrchestraPool = read(include_str!("../../tests/fixtures/stored/hosted/pool.yaml"));
    assert!(pool.stalled_reason().is_none() && pool.recycle().is_none());
    assert_eq!(pool.status.unwrap().planned, Vec::<String>::new());
}
