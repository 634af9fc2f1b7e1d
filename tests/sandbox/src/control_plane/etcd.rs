//! What a control plane has stored, as it lies in etcd: read, and put back to what it was.
//!
//! Both go through the JSON gateway of etcd (`POST /v3/kv/range` and `/v3/kv/txn`, etcd v3.6 API reference). The API server
//! watches etcd, so that it, and its own watchers, learn of each change at once.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ControlPlane;

/// All that the API server stores is below it.
const ALL: &str = "/registry/";

/// Kinds that the API server itself writes all the time, and reads back.
const ITS_OWN: [&str; 2] = ["/registry/leases/kube-system/", "/registry/ranges/"];

/// A changed definition of a kind takes effect some time after it is stored.
const DEFINITIONS: &str = "/registry/apiextensions.k8s.io/";

/// The most operations of a transaction (etcd's default of `--max-txn-ops` is 128).
const OPERATIONS: usize = 100;

/// Everything that a control plane has stored at a time.
pub(crate) struct Stored {
    keys: BTreeMap<Vec<u8>, Version>,
}

struct Version {
    /// The revision of the key's last write.
    revision: String,
    value: ByteString,
}

impl ControlPlane {
    /// Every stored byte, keys and values, below a key prefix such as `/registry/secrets/`, as it lies in etcd.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn etcd_raw(&self, key_prefix: &str) -> Result<Vec<u8>> {
        let pairs = self.range(key_prefix, false).await?;
        Ok(pairs
            .into_iter()
            .flat_map(|pair| [pair.key.0, pair.value.0])
            .flatten()
            .collect())
    }

    /// Everything that is stored now.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub(crate) async fn stored(&self) -> Result<Stored> {
        let pairs = self.range(ALL, false).await?;
        let keys = pairs
            .into_iter()
            .filter(|pair| !is_its_own(&pair.key.0))
            .map(|pair| {
                let (revision, value) = (pair.mod_revision, pair.value);
                (pair.key.0, Version { revision, value })
            })
            .collect();
        Ok(Stored { keys })
    }

    /// Makes all that is stored what it was, without a restart.
    ///
    /// # Errors
    /// When etcd does not answer, or a definition of a kind has changed.
    pub(crate) async fn put_back(&self, stored: &mut Stored) -> Result<()> {
        let now: BTreeMap<_, _> = self
            .range(ALL, true)
            .await?
            .into_iter()
            .filter(|pair| !is_its_own(&pair.key.0))
            .map(|pair| (pair.key.0, pair.mod_revision))
            .collect();
        let added = now.keys().filter(|key| !stored.keys.contains_key(*key));
        let changed = stored
            .keys
            .iter()
            .filter(|(key, was)| now.get(*key) != Some(&was.revision));
        let (added, changed): (Vec<_>, Vec<_>) =
            (added.cloned().collect(), changed.map(|(key, _)| key.clone()).collect());
        let definition = added
            .iter()
            .chain(&changed)
            .find(|key| key.starts_with(DEFINITIONS.as_bytes()));
        ensure!(definition.is_none(), "a definition of a kind has changed");
        for keys in added.chunks(OPERATIONS) {
            let deletions = keys
                .iter()
                .map(|key| json!({"requestDeleteRange": {"key": bytes(key)}}));
            self.transact(deletions.collect()).await?;
        }
        for keys in changed.chunks(OPERATIONS) {
            let puts = keys.iter().map(
                |key| json!({"requestPut": {"key": bytes(key), "value": stored.keys.get(key).map(|was| &was.value)}}),
            );
            let revision = self.transact(puts.collect()).await?;
            for key in keys {
                if let Some(was) = stored.keys.get_mut(key) {
                    was.revision.clone_from(&revision);
                }
            }
        }
        Ok(())
    }

    async fn range(&self, prefix: &str, keys_only: bool) -> Result<Vec<Pair>> {
        let range = json!({
            "key": bytes(prefix.as_bytes()),
            "range_end": bytes(&end_of_prefix(prefix.as_bytes())),
            "keys_only": keys_only,
        });
        Ok(self.ask::<Range>("range", &range).await?.kvs)
    }

    /// Returns the revision that all of it has got.
    async fn transact(&self, operations: Vec<Value>) -> Result<String> {
        let done: Done = self.ask("txn", &json!({ "success": operations })).await?;
        ensure!(done.succeeded, "etcd refuses to put back what it had");
        Ok(done.header.revision)
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, question: &Value) -> Result<T> {
        let answer = reqwest::Client::new()
            .post(format!("{}/v3/kv/{what}", self.etcd_url))
            .json(question)
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

fn is_its_own(key: &[u8]) -> bool {
    ITS_OWN.iter().any(|prefix| key.starts_with(prefix.as_bytes()))
}

fn bytes(of: &[u8]) -> ByteString {
    ByteString(of.to_vec())
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    key: ByteString,
    #[serde(default)]
    value: ByteString,
    mod_revision: String,
}

#[derive(Deserialize)]
struct Done {
    header: Header,
    #[serde(default)]
    succeeded: bool,
}

#[derive(Deserialize)]
struct Header {
    revision: String,
}

/// The first key after all keys with this prefix.
fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}
