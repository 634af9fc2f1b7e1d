//! The API keys of a project in use. Its owner may change them at the provider, so they are read again from time to time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Pass;
use super::published_keys::{PublishedKeys, UnseenKeys, deleted};
use crate::api::condition::Reason;
use crate::api::names::{KEYS_LEGACY_LABEL, KEYS_MADE_LABEL};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::api_keys::KeyState;
use crate::credentials::owner::{self, OwnerSecret};
use crate::error::ErrorClass;
use crate::recent::Recent;
use crate::supabase::keys::{ApiKey, ChosenKeys};
use crate::supabase::{self, Account};

/// The resync intervals between two reads: an hour by default. So a thousand projects cost 17 requests a
/// minute, and twice as many with legacy keys.
const RESYNCS: u32 = 6;

/// How long the time is remembered for a database that is not reconciled.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// When the keys of each project are read again or rotated, by OrchestraDatabase.
pub struct KeyReads {
    /// When this process started: earlier reads are not known.
    began: Instant,
    due: Mutex<Recent<Instant>>,
    /// The rotations that could not continue.
    rotation_due: Mutex<Recent<Postponed>>,
    /// The stored keys that the last reads have not found.
    unseen: UnseenKeys,
}

/// A rotation of the keys that is tried again later.
#[derive(Clone)]
pub struct Postponed {
    /// When it is tried again.
    pub until: Instant,
    /// Why the last attempt failed.
    pub cause: (Reason, String),
    /// UID of the Orchestra whose keys it is to end, after that has released the database.
    pub former: Option<String>,
}

/// The interval at which keys are read.
pub fn interval(resync: Duration) -> Duration {
    resync * RESYNCS
}

impl Default for KeyReads {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            due: Mutex::new(Recent::new(REMEMBERED)),
            rotation_due: Mutex::new(Recent::new(REMEMBERED)),
            unseen: UnseenKeys::new(REMEMBERED),
        }
    }
}

impl KeyReads {
    /// Whether it is time to read the keys of a database again. After a start, the databases are spread over the
    /// interval.
    pub fn are_due(&self, database: &str, resync: Duration) -> bool {
        self.are_due_at(database, interval(resync), Instant::now())
    }

    fn are_due_at(&self, database: &str, interval: Duration, now: Instant) -> bool {
        let due = self.due.lock().get(database).copied();
        match due {
            Some(due) => now >= due,
            None => now.saturating_duration_since(self.began) >= interval.mul_f64(share(database)),
        }
    }

    /// Remembers that the keys were read.
    pub fn were_read(&self, database: &str, resync: Duration) {
        self.postpone(database, interval(resync));
    }

    /// The keys are not read before this time has passed.
    fn postpone(&self, database: &str, wait: Duration) {
        self.due.lock().insert(database, Instant::now() + wait);
    }

    /// The keys are not rotated before a later time.
    pub fn postpone_rotation(&self, database: &str, postponed: Postponed) {
        self.rotation_due.lock().insert(database, postponed);
    }

    /// The keys may be rotated now.
    pub fn allow_rotation(&self, database: &str) {
        self.rotation_due.lock().remove(database);
    }

    /// How long the rotation of the keys has to wait that is to end those of this former Orchestra, if of any. A release waits
    /// for no earlier failure.
    pub fn rotation_wait(&self, database: &str, former: Option<&str>) -> Option<Duration> {
        let until = self.postponed(database, former)?.until;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Why the last attempt at that rotation failed, until one succeeds.
    pub fn rotation_failure(&self, database: &str, former: Option<&str>) -> Option<(Reason, String)> {
        Some(self.postponed(database, former)?.cause)
    }

    fn postponed(&self, database: &str, former: Option<&str>) -> Option<Postponed> {
        let postponed = self.rotation_due.lock().get(database).cloned();
        postponed.filter(|postponed| postponed.former.as_deref() == former)
    }

    /// Forgets a database that is gone.
    pub fn forget(&self, database: &str) {
        self.due.lock().remove(database);
        self.unseen.forget(database);
        self.allow_rotation(database);
    }
}

/// A share of the interval, between a quarter and the whole of it.
fn share(database: &str) -> f64 {
    let mut hash = DefaultHasher::new();
    database.hash(&mut hash);
    let part = u32::try_from(hash.finish() % 1000).unwrap_or_default();
    0.25 + 0.75 * f64::from(part) / 1000.0
}

/// Reads the keys, and stores them when they have changed. A failure stops nothing and is not an error of the pass: the
/// tenant keeps its keys, and they are read again after the interval, or when the request limit allows it. Returns whether
/// the published keys work, if known.
pub async fn read_again(pass: &Pass, account: &Account, reference: &str) -> Option<PublishedKeys> {
    let usable = read(pass, account, reference).await;
    look_at_legacy(pass, account, reference).await;
    usable
}

async fn read(pass: &Pass, account: &Account, reference: &str) -> Option<PublishedKeys> {
    let (name, resync) = (pass.name(), pass.ctx.core.settings.resync);
    pass.ctx.keys.were_read(name, resync);
    let made = match made(pass).await {
        Ok(made) => made,
        Err(error) => {
            tracing::info!(%error, "the keys cannot be read again; the stored ones stay");
            pass.ctx.keys.postpone(name, resync);
            return None;
        }
    };
    let mut listed = Vec::new();
    let chosen = async {
        listed = account.client().list_keys(reference).await?;
        account.client().check_keys(reference, &listed, &made).await
    }
    .await;
    let keys = match chosen {
        Ok(keys) => keys,
        Err(supabase::Error::KeysDisabled { .. }) => {
            pass.ctx.keys.unseen.forget(name);
            pass.ctx.keys.postpone(name, resync);
            return Some(PublishedKeys::Disabled);
        }
        Err(error @ supabase::Error::KeyMissing { .. }) => {
            tracing::info!(%error, "the stored keys are looked for in the list");
            return look_for_stored(pass, &listed).await;
        }
        Err(error) => {
            if let ErrorClass::After(wait) = error.class() {
                // Nothing was read.
                pass.ctx.keys.postpone(name, wait.max(resync));
            }
            tracing::info!(%error, "the keys cannot be read again; the stored ones stay");
            return None;
        }
    };
    pass.ctx.keys.unseen.forget(name);
    if let Err(error) = store(pass, &keys, reference).await {
        tracing::info!(%error, "the keys cannot be stored; they are read again");
        pass.ctx.keys.postpone(name, resync);
        return None;
    }
    Some(PublishedKeys::Usable)
}

/// Says which of the stored keys were deleted, where the project has no other of their kind. Two reads in a row must say so,
/// because one list of the provider may be behind.
async fn look_for_stored(pass: &Pass, listed: &[ApiKey]) -> Option<PublishedKeys> {
    let (name, resync) = (pass.name(), pass.ctx.core.settings.resync);
    let looked = async {
        let stored = owner::read(&owner::secrets(&pass.ctx.core), name).await?;
        let stored = stored.unwrap_or_default();
        let kinds = deleted(listed, &stored);
        if kinds.is_empty() {
            pass.ctx.keys.unseen.forget(name);
            return Ok(None);
        }
        pass.ctx.keys.postpone(name, resync);
        if !pass.ctx.keys.unseen.confirm(name, &kinds, &stored) {
            return Ok(None);
        }
        lose(pass, &stored, listed).await?;
        Ok::<_, Error>(Some(PublishedKeys::Deleted(kinds)))
    };
    looked.await.unwrap_or_else(|error| {
        tracing::info!(%error, "the keys that were deleted cannot be recorded; they are read again");
        pass.ctx.keys.postpone(name, resync);
        None
    })
}

/// Records which published keys of the operator's are not listed: new ones are made for the last rotation of the login.
async fn lose(pass: &Pass, stored: &OwnerSecret, listed: &[ApiKey]) -> Result<(), Error> {
    let is_listed = |id: &String| listed.iter().any(|key| key.id.as_ref() == Some(id));
    let left: Vec<_> = stored.api_keys.ids().into_iter().filter(is_listed).collect();
    let lost = stored.api_keys.clone().lose(&left);
    if lost.is_empty() {
        return Ok(());
    }
    let record = |state: &mut KeyState| {
        state.lose(&left);
    };
    owner::change_keys(&owner::secrets(&pass.ctx.core), pass.name(), record).await?;
    tell_lost(pass, &lost, ", and the project has no other of their kind:").await;
    Ok(())
}

/// Publishes an event about keys that were deleted at the provider. `left`: what is published instead.
async fn tell_lost(pass: &Pass, lost: &[String], left: &str) {
    let note = format!(
        "the API keys {} were deleted at the provider{left} the operator makes new ones where connection.rotation.also contains \
         APIKeys",
        lost.join(", ")
    );
    tell(&pass.ctx.core, &pass.object, &News::warning(Reason::KeysLost, note)).await;
}

async fn store(pass: &Pass, keys: &ChosenKeys, reference: &str) -> Result<(), Error> {
    let secrets = owner::secrets(&pass.ctx.core);
    let stored = owner::read(&secrets, pass.name()).await?.unwrap_or_default();
    let new = stored
        .address
        .and_then(|address| address.with_keys(&keys.anon, &keys.service_role));
    let lost = stored.api_keys.clone().lose(&keys.ids);
    let is_noted = stored.api_keys.legacy_given || !keys.legacy;
    if new.is_none() && lost.is_empty() && is_noted {
        return Ok(());
    }
    let is_new = new.is_some();
    let values = (Some(keys.anon.clone()), Some(keys.service_role.clone()));
    let change = |state: &mut KeyState| {
        state.lose(&keys.ids);
        state.legacy_given |= keys.legacy;
        true
    };
    owner::store_keys(&secrets, pass.name(), values, change).await?;
    if !is_new && lost.is_empty() {
        return Ok(());
    }
    tracing::info!(
        project = reference,
        "the provider has changed the API keys; they are stored and published again"
    );
    if !lost.is_empty() {
        tell_lost(pass, &lost, ": others of the project are published instead, and").await;
    }
    Ok(())
}

/// Asks whether the legacy keys are still enabled that an Orchestra had which has released the database.
async fn look_at_legacy(pass: &Pass, account: &Account, reference: &str) {
    if !pass.has_stored(KEYS_LEGACY_LABEL) {
        return;
    }
    match account.client().legacy_keys_enabled(reference).await {
        Ok(true) => return,
        Ok(false) => {}
        Err(error) => {
            tracing::info!(%error, "whether the legacy keys are enabled is not known; it is asked again");
            return;
        }
    }
    let secrets = owner::secrets(&pass.ctx.core);
    let ended = owner::change_keys(&secrets, pass.name(), |state| state.legacy_left = false).await;
    if let Err(error) = ended {
        tracing::info!(%error, "that the legacy keys are disabled cannot be stored; it is asked again");
        pass.ctx.keys.postpone(pass.name(), pass.ctx.core.settings.resync);
        return;
    }
    let note = "the project's legacy API keys (JWT), which a deleted Orchestra had, are disabled: they no longer work";
    tell(
        &pass.ctx.core,
        &pass.object,
        &News::normal(Reason::KeysRevoked, note.to_owned()),
    )
    .await;
}

/// The identities of the published keys that the operator has made.
pub async fn made(pass: &Pass) -> Result<Vec<String>, Error> {
    if !pass.has_stored(KEYS_MADE_LABEL) {
        return Ok(Vec::new());
    }
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    Ok(stored.unwrap_or_default().api_keys.ids())
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
        reads.were_read("orchdb-1", hour / RESYNCS);
        assert!(!reads.are_due_at("orchdb-1", hour, after(59)));
        assert!(reads.are_due_at("orchdb-1", hour, after(61)));
        reads.postpone("orchdb-1", Duration::from_mins(2));
        assert!(!reads.are_due_at("orchdb-1", hour, after(1)));
        assert!(reads.are_due_at("orchdb-1", hour, after(3)));

        assert_eq!(reads.rotation_wait("orchdb-1", None), None);
        let refused = Postponed {
            until: Instant::now() + hour,
            cause: (Reason::PermissionDenied, "no".to_owned()),
            former: None,
        };
        reads.postpone_rotation("orchdb-1", refused.clone());
        assert!(reads.rotation_wait("orchdb-1", None) > Some(hour / 2));
        assert!(reads.rotation_wait("orchdb-2", None).is_none());
        // The release is another rotation.
        assert!(reads.rotation_wait("orchdb-1", Some("uid-1")).is_none());
        assert!(reads.rotation_failure("orchdb-1", Some("uid-1")).is_none());
        let now = Postponed {
            until: Instant::now(),
            former: Some("uid-1".to_owned()),
            ..refused.clone()
        };
        reads.postpone_rotation("orchdb-1", now);
        assert_eq!(reads.rotation_wait("orchdb-1", Some("uid-1")), None);
        // The cause stays until an attempt succeeds.
        assert_eq!(reads.rotation_failure("orchdb-1", Some("uid-1")), Some(refused.cause));
        reads.allow_rotation("orchdb-1");
        assert_eq!(reads.rotation_failure("orchdb-1", Some("uid-1")), None);
    }
}
