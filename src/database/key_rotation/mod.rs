//! The rotation of a hosted project's API keys: it follows each rotation of the tenant's login, where the Orchestra asks for
//! it, and each release, so that the keys of a deleted Orchestra end. Each step is written into the owner's Secret before it is taken:
//!
//! ```text
//! Due (the names of the new keys are stored) → Pending (made, or found by their names, proven and stored: they are
//!       published)
//!       … published … Overdue (the end of the former ones is stored) … overlap … Overdue (they are deleted)
//! ```
//!
//! Only keys are deleted whose identity was recorded when the operator made them, or when it replaced the first ones of a
//! project that it made, and that still have the name that they had then.

mod end;
mod make;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::keys::{self, Postponed};
use super::plan::{ClaimState, KeyWork};
use super::{Pass, holder};
use crate::api::condition::Reason;
use crate::api::names::{KEYS_LABEL, KEYS_MADE_LABEL};
use crate::api::{AlsoRotated, Orchestra};
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::api_keys::KeyMarks;
use crate::credentials::owner;
use crate::error::ErrorClass;
use crate::supabase::keys::ApiKey;
use crate::supabase::{self, Account};

/// After how many poll intervals it is checked again whether the new keys are published: a minute by default.
const LOOK: u32 = 12;

/// The progress of a pass.
#[derive(Debug)]
pub enum KeyAttempt {
    /// The names of new keys were stored in this pass, and these are the project's keys: none of them is a new one.
    Begun(Vec<ApiKey>),
    /// Nothing more is tried in this pass.
    Over,
}

/// Facts other than the owner's Secret.
#[derive(Clone, Copy, Debug)]
struct Around {
    /// Who holds the database.
    claim: ClaimState,
    /// The Orchestra asks for the rotation of keys.
    asked: bool,
    /// When its login was rotated.
    login: Option<Timestamp>,
    /// Its connection Secret has the keys that are stored, or it has none yet.
    replaced: bool,
    /// The keys of the Orchestra that has released the database last are not replaced yet.
    unended: bool,
}

/// What is to be done now.
pub fn work(pass: &Pass, claim: ClaimState, now: Timestamp) -> Option<KeyWork> {
    match &pass.keys {
        Some(KeyAttempt::Over) => return None,
        Some(KeyAttempt::Begun(_)) => return Some(KeyWork::Pending),
        None if wait(pass, claim).is_some() => return None,
        None => {}
    }
    let (marks, digest) = marks(pass)?;
    let holder = holder::watched(pass);
    let also = holder
        .as_ref()
        .and_then(|holder| holder.spec.connection.rotation.as_ref()?.also.clone());
    let around = Around {
        claim,
        asked: also.is_some_and(|also| also.contains(&AlsoRotated::ApiKeys)),
        login: holder::login(pass).rotated_at,
        replaced: is_published(holder.as_deref(), digest.as_ref()) || is_unused(holder.as_deref()),
        unended: is_unended(pass, claim, &marks),
    };
    decide(&marks, around, now)
}

fn decide(marks: &KeyMarks, around: Around, now: Timestamp) -> Option<KeyWork> {
    let held = around.claim == ClaimState::Held;
    // The Secret that contained the former keys no longer exists.
    let released = around.claim == ClaimState::Released;
    let over = held && around.replaced;
    let ends = marks.revoke_at.is_some_and(|until| released || (over && until <= now));
    let unended = around.unended && (held || released);
    if marks.pending && (held || unended) {
        Some(KeyWork::Pending)
    } else if ends || (marks.waits && (released || (held && around.replaced))) {
        Some(KeyWork::Overdue)
    } else {
        let login = around.login.filter(|_| held && around.asked);
        let older = login.is_some_and(|login| marks.followed.is_none_or(|followed| followed < login));
        (older || unended).then_some(KeyWork::Due)
    }
}

/// UID of the Orchestra that has released the database last, whose keys are to end: the operator saw the release, and has made
/// the project, or keys in it.
fn former(pass: &Pass, claim: ClaimState) -> Option<String> {
    let spec = &pass.object.spec;
    let former = match claim {
        ClaimState::Released => spec.claim_ref.as_ref().map(|claim| &claim.uid),
        ClaimState::Held => spec.former_uids.last(),
        ClaimState::None | ClaimState::Abandoned => None,
    };
    let ends = spec.former_logins.is_some();
    let are_given = pass.object.adopted().is_none() || pass.has_stored(KEYS_MADE_LABEL);
    former.filter(|_| ends && are_given).cloned()
}

fn is_unended(pass: &Pass, claim: ClaimState, marks: &KeyMarks) -> bool {
    let former = former(pass, claim);
    former.is_some() && marks.ended_for != former
}

/// Keys of an Orchestra that has released the database, and that may still work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysLeft {
    /// Keys that the operator replaces, or deletes.
    Replaced,
    /// Legacy keys, which only a person can disable.
    Legacy,
}

/// Which keys of an Orchestra that has released the database may still work.
pub fn left(pass: &Pass, claim: ClaimState) -> Option<KeysLeft> {
    let (marks, _) = marks(pass)?;
    decide_left(&marks, claim, is_unended(pass, claim, &marks))
}

fn decide_left(marks: &KeyMarks, claim: ClaimState, unended: bool) -> Option<KeysLeft> {
    let (released, held) = (claim == ClaimState::Released, claim == ClaimState::Held);
    // Another Orchestra's applications may use them until its overlap ends.
    let undeleted = released && (marks.waits || marks.revoke_at.is_some());
    if (unended && (released || held)) || undeleted {
        Some(KeysLeft::Replaced)
    } else if marks.legacy_left && (released || held) {
        Some(KeysLeft::Legacy)
    } else {
        None
    }
}

/// Whether an Orchestra has no connection Secret yet.
fn is_unused(holder: Option<&Orchestra>) -> bool {
    holder.is_some_and(|holder| !holder.is_published())
}

/// How long the next attempt has to wait.
fn wait(pass: &Pass, claim: ClaimState) -> Option<Duration> {
    pass.ctx.keys.rotation_wait(pass.name(), former(pass, claim).as_deref())
}

/// Why the last attempt failed.
pub fn failure(pass: &Pass, claim: ClaimState) -> Option<(Reason, String)> {
    pass.ctx
        .keys
        .rotation_failure(pass.name(), former(pass, claim).as_deref())
}

/// How long until the next work that no watch triggers: a second at least.
pub fn due_in(pass: &Pass, claim: ClaimState, now: Timestamp) -> Option<Duration> {
    if let Some(wait) = wait(pass, claim) {
        return Some(wait);
    }
    let (marks, _) = marks(pass)?;
    let look = pass.ctx.core.settings.poll_interval * LOOK;
    let until = marks.revoke_at.map(|until| {
        // They stay while newer ones are stored and not published.
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        if left.is_zero() {
            look
        } else {
            left.max(Duration::from_secs(1))
        }
    });
    let look = marks.waits.then_some(look);
    until.into_iter().chain(look).min()
}

/// What the owner's Secret says about the keys, and the digest of the stored ones.
fn marks(pass: &Pass) -> Option<(KeyMarks, Option<String>)> {
    let secret = ObjectRef::new(pass.name()).within(&pass.ctx.core.settings.namespace);
    let secret = pass.ctx.core.stores.secrets.get(&secret)?;
    let labels = secret.labels();
    Some((KeyMarks::read(labels), labels.get(KEYS_LABEL).cloned()))
}

/// Whether the connection Secret of an Orchestra has the keys of this digest.
fn is_published(holder: Option<&Orchestra>, digest: Option<&String>) -> bool {
    let written = holder.and_then(|holder| holder.status.as_ref()?.secret_ref.as_ref());
    written.is_some_and(|written| digest.is_some() && written.keys.as_ref() == digest)
}

/// Executes a part of the rotation. A failure of the provider stops nothing and is not an error of the pass: the published
/// keys stay.
pub async fn act(
    pass: &mut Pass,
    (work, claim): (KeyWork, ClaimState),
    now: Timestamp,
    (account, reference): (&Account, &str),
) -> Result<(), Error> {
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    let stored = stored.unwrap_or_default();
    let done = match work {
        KeyWork::Due => make::begin(pass, (&stored, claim), account, reference).await?,
        KeyWork::Pending => make::make(pass, (&stored, claim), now, (account, reference)).await?,
        KeyWork::Overdue => end::end(pass, (&stored, claim), now, (account, reference)).await?,
    };
    match done {
        Ok(()) => Ok(()),
        Err(error) => postpone(pass, (work, claim), error).await,
    }
}

/// Whether the provider's requests succeeded.
type ProviderResult = Result<(), supabase::Error>;

/// The names of new keys were stored in this pass, when these were the project's keys.
fn begun(pass: &mut Pass, keys: Vec<ApiKey>) {
    pass.keys = Some(KeyAttempt::Begun(keys));
}

/// The project's keys from before the names of new ones were stored, if that was in this pass.
fn take_begun(pass: &mut Pass) -> Option<Vec<ApiKey>> {
    match pass.keys.take() {
        Some(KeyAttempt::Begun(keys)) => Some(keys),
        _ => None,
    }
}

/// Nothing more is tried in this pass.
fn over(pass: &mut Pass) {
    pass.keys = Some(KeyAttempt::Over);
}

/// The same, after something was done.
fn settled(pass: &mut Pass) {
    over(pass);
    pass.ctx.core.backoff.reset(&key(pass));
    pass.ctx.keys.allow_rotation(pass.name());
}

async fn warn(pass: &Pass, reason: Reason, note: String) {
    tell(&pass.ctx.core, &pass.object, &News::warning(reason, note)).await;
}

/// Continues with the published keys, and tries again later. A failure that a person must fix is retried, after the first
/// attempts, at the interval at which keys are read.
async fn postpone(pass: &mut Pass, (work, claim): (KeyWork, ClaimState), error: supabase::Error) -> Result<(), Error> {
    let core = pass.ctx.core.clone();
    // The key may exist by then.
    let settle = work == KeyWork::Pending && error.outcome_unknown();
    let unproven = matches!(error, supabase::Error::KeyNotAccepted { .. });
    let error = Error::from(error);
    let wait = match error.class() {
        ErrorClass::After(wait) => wait,
        _ => core.backoff.next(&key(pass)),
    };
    let wait = match error.is_passing() {
        true if settle => wait.max(core.settings.create_settle),
        false if wait >= SLOWEST => wait.max(keys::interval(core.settings.resync)),
        _ => wait,
    };
    let postponed = Postponed {
        until: Instant::now() + wait,
        cause: (error.reason(), error.to_string()),
        former: former(pass, claim),
    };
    pass.ctx.keys.postpone_rotation(pass.name(), postponed);
    over(pass);
    tracing::info!(%error, ?work, "the API keys are not rotated yet");
    // A key that is rejected for this long needs a person.
    if !error.is_passing() || (unproven && wait >= SLOWEST) {
        let what = match work {
            KeyWork::Overdue => "the former API keys are not deleted",
            _ if claim == ClaimState::Released => {
                "the API keys of the deleted Orchestra are not replaced, and still work"
            }
            _ => "the API keys are not rotated, and the former ones stay published",
        };
        warn(pass, error.reason(), format!("{what} ({error}); it is tried again")).await;
    }
    Ok(())
}

/// The key of attempts to rotate the keys.
fn key(pass: &Pass) -> String {
    format!("keys/{}", pass.name())
}

#[cfg(test)]
mod tests;
