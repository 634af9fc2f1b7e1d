//! What is known of a tenant's logins, without their passwords.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use serde::{Deserialize, Serialize};

use crate::api::names::{
    ENDED_LABEL, GENERATION_LABEL, HOLDER_LABEL, REVOKE_LABEL, ROTATED_LABEL, ROTATING_LABEL, tenant_secret,
};
use crate::controller::Core;

/// The most former logins that are kept at the same time: a further rotation waits until one has ended.
pub const MOST_FORMER: usize = 4;

/// Key of a rotated tenant's Secret: what is known of the logins without their passwords, as JSON.
pub(super) const STATE_KEY: &str = "logins";

/// Whether a tenant's Secret belongs to another Orchestra than the one with this UID. Earlier versions did not record the
/// owner.
pub(super) fn is_left_by_another(secret: &ObjectMeta, uid: &str) -> bool {
    let holder = secret.labels.as_ref().and_then(|labels| labels.get(HOLDER_LABEL));
    holder.is_some_and(|holder| holder != uid)
}

/// What is known of a tenant's logins, which are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginState {
    /// The published one.
    pub current: u32,
    /// The new one, while it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// The number of the new one is not compared with the roles of the server yet: one of them may have its name. Afterwards
    /// a role of that name is expected to be its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tentative: bool,
    /// The former ones, each with the time when it is revoked.
    #[serde(default)]
    pub former: BTreeMap<u32, Timestamp>,
    /// Former ones that can no longer log in, and whose roles are not dropped yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ended: BTreeSet<u32>,
    /// When the published one was published; none for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// The last request for a rotation that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Default for LoginState {
    fn default() -> Self {
        Self {
            current: 1,
            pending: None,
            tentative: false,
            former: BTreeMap::new(),
            ended: BTreeSet::new(),
            rotated_at: None,
            request: None,
        }
    }
}

impl LoginState {
    /// As a tenant's Secret has it.
    pub(super) fn stored(secret: &Secret) -> Self {
        let state = secret.data.as_ref().and_then(|data| data.get(STATE_KEY));
        let state = state.and_then(|state| serde_json::from_slice(&state.0).ok());
        state.unwrap_or_default()
    }

    /// The login that the connection Secret is to have.
    pub fn newest(&self) -> u32 {
        self.pending.unwrap_or(self.current)
    }

    /// When the oldest former login is revoked.
    pub fn revoke_at(&self) -> Option<Timestamp> {
        self.former.values().min().copied()
    }

    /// The former logins whose overlap has ended.
    pub fn overdue(&self, now: Timestamp) -> Vec<u32> {
        let due = self.former.iter().filter(|(_, until)| **until <= now);
        due.map(|(generation, _)| *generation).collect()
    }

    /// Whether another login can be made now.
    pub fn has_room(&self) -> bool {
        self.pending.is_none() && self.former.len() < MOST_FORMER
    }

    /// Starts a rotation, if none is under way. A rotation that has created nothing yet also answers the request.
    pub fn begin(&mut self, request: Option<String>) {
        if self.has_room() {
            self.replace();
        }
        if self.tentative {
            self.request = request.or(self.request.take());
        }
    }

    /// Starts the replacement of the published login, whose password is lost: it keeps working until the new one is
    /// published, and for the overlap.
    pub fn replace(&mut self) {
        if self.pending.is_none() {
            let last = self.generations().chain(self.ended.iter().copied()).max();
            self.pending = Some(last.unwrap_or(self.current).saturating_add(1));
            self.tentative = true;
        }
    }

    /// The numbers that the new login can have, in the order of preference: its own, the next ones, and those at these
    /// distances. They are higher than those of all other logins.
    pub fn candidates(&self, jumps: impl IntoIterator<Item = u32>) -> impl Iterator<Item = u32> {
        let steps = (0..3).chain(jumps);
        let numbers = self
            .pending
            .map(|pending| steps.map(move |step| pending.saturating_add(step)));
        numbers.into_iter().flatten()
    }

    /// Settles the number of the new login: the first one that it can have. While there is none, it stays unsettled.
    pub fn choose(&mut self, next: Option<u32>) {
        if let Some(next) = next.filter(|_| self.pending.is_some()) {
            self.pending = Some(next);
            self.tentative = false;
        }
    }

    /// Former logins no longer log in, and their roles are to be dropped. The first role stays.
    pub fn shut(&mut self, generations: &[u32]) {
        self.former.retain(|generation, _| !generations.contains(generation));
        self.ended
            .extend(generations.iter().filter(|generation| **generation > 1));
    }

    /// Ends a rotation: the new login is published, and the one before it stays for the overlap.
    pub fn end(&mut self, now: Timestamp, overlap: SignedDuration) {
        let Some(new) = self.pending.take() else { return };
        self.tentative = false;
        self.former.insert(self.current, end_of(now, overlap));
        self.current = new;
        self.rotated_at = Timestamp::from_second(now.as_second()).ok();
    }

    /// Adds unknown logins, for example after the Secret was lost: each is revoked after the overlap.
    pub fn found(&mut self, generations: &[u32], now: Timestamp, overlap: SignedDuration) {
        for generation in generations {
            if !self.generations().any(|known| known == *generation) {
                self.former.insert(*generation, end_of(now, overlap));
            }
        }
    }

    /// Whether the logins of the server, by number, are those that are known: the published one is among them, and no
    /// unknown one. A former one may have ended, and a new one may not exist yet.
    pub fn agrees(&self, found: &[u32]) -> bool {
        let is_known = |number: &u32| self.generations().any(|known| known == *number);
        found.contains(&self.current) && found.iter().all(is_known)
    }

    pub(super) fn generations(&self) -> impl Iterator<Item = u32> {
        let newest = [self.current].into_iter().chain(self.pending);
        self.former.keys().copied().chain(newest)
    }

    /// Whether the tenant's Secret is as it was before there were rotations.
    pub(super) fn is_first(&self) -> bool {
        *self == Self::default()
    }
}

/// Whole seconds, rounded so that the overlap is never shorter than it was asked for.
fn end_of(now: Timestamp, overlap: SignedDuration) -> Timestamp {
    let until = now.as_second().saturating_add(overlap.as_secs()).saturating_add(1);
    Timestamp::from_second(until).unwrap_or(Timestamp::MAX)
}

/// What the labels of a tenant's Secret say of its logins, without a look into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginMarks {
    /// The published login.
    pub generation: u32,
    /// A new one is being made.
    pub pending: bool,
    /// When it was published.
    pub rotated_at: Option<Timestamp>,
    /// When the oldest former login is revoked.
    pub revoke_at: Option<Timestamp>,
    /// Roles of former logins are to be dropped.
    pub ended: bool,
}

impl From<&LoginState> for LoginMarks {
    fn from(state: &LoginState) -> Self {
        Self {
            generation: state.current,
            pending: state.pending.is_some(),
            rotated_at: state.rotated_at,
            revoke_at: state.revoke_at(),
            ended: !state.ended.is_empty(),
        }
    }
}

impl LoginMarks {
    /// As the watch or our own last write has them; those of a first login where there is no Secret, or that of another
    /// Orchestra than the one with this UID.
    pub fn of(core: &Core, database: &str, uid: &str) -> Self {
        let secret = ObjectRef::new(&tenant_secret(database)).within(&core.settings.namespace);
        let secret = core.stores.secrets.get(&secret);
        let own = secret.filter(|secret| !is_left_by_another(&secret.metadata, uid));
        own.map_or_else(|| Self::from(&LoginState::default()), |secret| Self::read(&secret))
    }

    pub(super) fn read(secret: &PartialObjectMeta<Secret>) -> Self {
        let labels = secret.metadata.labels.as_ref();
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
        let time = |name: &str| Timestamp::from_second(label(name)?.parse().ok()?).ok();
        Self {
            generation: label(GENERATION_LABEL).and_then(|text| text.parse().ok()).unwrap_or(1),
            pending: label(ROTATING_LABEL).is_some(),
            rotated_at: time(ROTATED_LABEL),
            revoke_at: time(REVOKE_LABEL),
            ended: label(ENDED_LABEL).is_some(),
        }
    }
}
