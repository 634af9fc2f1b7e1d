//! The API keys of a project in use, which its owner may change at the provider: they are read again now and then.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Pass;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::owner;
use crate::error::ErrorClass;
use crate::supabase::{self, Account};

/// The resync intervals between two reads: an hour by default. So a thousand projects cost 17 requests a
/// minute, and twice as many with legacy keys.
const RESYNCS: u32 = 6;

/// When the keys of each project were read, by OrchestraDatabase.
pub struct KeyReads {
    /// When this process began: what was read before is not known.
    began: Instant,
    read: Mutex<HashMap<String, Instant>>,
}

impl Default for KeyReads {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            read: Mutex::default(),
        }
    }
}

impl KeyReads {
    /// Whether it is time to read the keys of a database again. After a start, the databases are spread over the
    /// interval.
    pub fn are_due(&self, database: &str, resync: Duration) -> bool {
        self.are_due_at(database, resync * RESYNCS, Instant::now())
    }

    fn are_due_at(&self, database: &str, interval: Duration, now: Instant) -> bool {
        let last = self.read.lock().get(database).copied();
        match last {
            Some(last) => now.saturating_duration_since(last) >= interval,
            None => now.saturating_duration_since(self.began) >= interval.mul_f64(share(database)),
        }
    }

    /// Remembers that the keys were read.
    pub fn were_read(&self, database: &str) {
        self.read.lock().insert(database.to_owned(), Instant::now());
    }

    /// Forgets a database that is gone.
    pub fn forget(&self, database: &str) {
        self.read.lock().remove(database);
    }
}

/// A share of the interval, between a quarter and the whole of it.
fn share(database: &str) -> f64 {
    let mut hash = DefaultHasher::new();
    database.hash(&mut hash);
    let part = u32::try_from(hash.finish() % 1000).unwrap_or_default();
    0.25 + 0.75 * f64::from(part) / 1000.0
}

/// Reads the keys, and stores them when they are others. Whatever goes wrong stops nothing: the tenant keeps what it
/// has, and the keys are read again after the interval.
pub async fn read_again(pass: &Pass, account: &Account, reference: &str) -> Result<(), Error> {
    let keys = match account.client().chosen_keys(reference).await {
        // The request waits for its turn, and nothing was read.
        Err(error) if matches!(error.class(), ErrorClass::After(_)) => return Err(error.into()),
        keys => keys,
    };
    pass.ctx.keys.were_read(pass.name());
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => {
            tracing::info!(%error, "the keys cannot be read again; the stored ones stay");
            if matches!(error, supabase::Error::KeysDisabled { .. }) {
                let note = format!("{error}; the connection Secret holds keys that do not work any more");
                tell(&pass.ctx.core, &pass.object, &News::warning(error.reason(), note)).await;
            }
            return Ok(());
        }
    };
    let secrets = owner::secrets(&pass.ctx.core);
    let stored = owner::read(&secrets, pass.name())
        .await?
        .and_then(|owner| owner.address);
    if let Some(new) = stored.and_then(|address| address.with_keys(&keys.anon, &keys.service_role)) {
        owner::store_address(&secrets, pass.name(), &new).await?;
        tracing::info!(
            project = reference,
            "the provider has changed the API keys; they are stored and published again"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_once_an_interval_and_not_all_at_the_start() {
        let reads = KeyReads::default();
        let hour = Duration::from_hours(1);
        let after = |minutes| reads.began + Duration::from_mins(minutes);
        let names: Vec<_> = (0..100).map(|n| format!("orchdb-{n}")).collect();
        let due = |minutes| {
            names
                .iter()
                .filter(|name| reads.are_due_at(name, hour, after(minutes)))
                .count()
        };
        assert_eq!((due(0), due(14), due(60)), (0, 0, 100));
        assert!((20..80).contains(&due(37)), "{}", due(37));
        reads.were_read("orchdb-1");
        assert!(!reads.are_due_at("orchdb-1", hour, after(59)));
        assert!(reads.are_due_at("orchdb-1", hour, after(61)));
    }
}
