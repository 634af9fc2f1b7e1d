//! What is known of the API keys that the operator has made in a hosted project: kept in the owner's Secret beside the
//! keys that are published, and written before each step of a rotation.
//!
//! It contains no keys of other people, so these are never deleted: only those that the operator made and, in a project that
//! it made, the first ones, which came with the project.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::api::names::{
    KEYS_ENDED_LABEL, KEYS_LEGACY_LABEL, KEYS_MADE_LABEL, KEYS_PENDING_LABEL, KEYS_REVOKE_LABEL, KEYS_ROTATED_LABEL,
    KEYS_WAIT_LABEL,
};
use crate::supabase::types::KeyType;

/// The most former keys that are kept at the same time: a further rotation waits until some have ended.
const MOST_FORMER: usize = 8;

/// The longest name of a key that the API takes.
const LONGEST: usize = 64;

/// The name of the keys that a project has from its creation on.
pub const FIRST: &str = "default";

/// The most characters of a name that a number takes, with its underscore.
const NUMBER: usize = 11;

/// Kinds of keys that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyKind {
    /// For browsers.
    Publishable,
    /// For servers.
    Secret,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Publishable, Self::Secret];

    /// The API's type of it.
    pub fn type_(self) -> KeyType {
        match self {
            Self::Publishable => KeyType::Publishable,
            Self::Secret => KeyType::Secret,
        }
    }
}

/// A key that the operator has made, or that came with a project that it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeKey {
    /// Its identity at the provider.
    pub id: String,
    /// Its name: [`name_of`], or [`FIRST`].
    pub name: String,
    /// Its kind.
    pub kind: KeyKind,
}

/// Such a key that a newer one has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerKey {
    /// Which.
    #[serde(flatten)]
    pub key: MadeKey,
    /// When it is deleted; none until the newer one is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// New keys that are being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingKeys {
    /// The number in their names.
    pub number: u32,
    /// Which kinds.
    pub kinds: Vec<KeyKind>,
    /// The time of the login's rotation that they follow, if it was ever rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Timestamp>,
}

/// New keys that were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKeys {
    /// The number in their names.
    pub number: u32,
    /// The keys.
    pub made: Vec<MadeKey>,
    /// The project's first keys, which they replace as well.
    pub first: Vec<MadeKey>,
    /// UID of the Orchestra that has released the database last, and had the keys that they replace.
    pub former: Option<String>,
    /// That Orchestra had legacy keys, which they do not replace, and these are enabled.
    pub legacy_left: bool,
}

/// What is known of the keys that the operator has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyState {
    /// The last number that was used.
    #[serde(default)]
    pub last: u32,
    /// New ones, while they are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingKeys>,
    /// Those that are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub current: Vec<MadeKey>,
    /// Those that newer ones have replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerKey>,
    /// The time of the login's rotation that the last rotation of keys followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Timestamp>,
    /// UID of the Orchestra that has released the database, and whose keys are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_for: Option<String>,
    /// When the published ones were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    /// A legacy key (JWT) was stored for the connection Secret at some time. The operator does not replace it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_given: bool,
    /// The Orchestra that has released the database had one, and legacy keys were enabled when that was read last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_left: bool,
}

impl KeyState {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether new keys are wanted, and can be made now: for this rotation of the login, or because the Orchestra with this
    /// UID has released the database.
    pub fn is_due(&self, login: Option<Timestamp>, former: Option<&str>) -> bool {
        let older = login.is_some_and(|login| self.followed.is_none_or(|followed| followed < login));
        let unended = former.is_some() && self.ended_for.as_deref() != former;
        (older || unended) && self.pending.is_none() && self.former.len() < MOST_FORMER
    }

    /// Records which keys are about to be made. `highest` is the highest number of a key of these names that the
    /// project has.
    pub fn begin(&mut self, kinds: Vec<KeyKind>, highest: u32, follows: Option<Timestamp>) {
        self.last = self.last.max(highest).saturating_add(1);
        self.pending = Some(PendingKeys {
            number: self.last,
            kinds,
            follows,
        });
    }

    /// Nothing more is to be made for this rotation of the login, or for this release, which leaves enabled legacy keys or
    /// not.
    pub fn skip(&mut self, follows: Option<Timestamp>, former: Option<String>, legacy_left: bool) {
        self.followed = follows.or(self.followed);
        if former.is_some() {
            (self.ended_for, self.legacy_left) = (former, legacy_left);
        }
    }

    /// These keys were made, and are to be published. If several keys have one name, the others become former
    /// ones at once. False where somebody else has already ended that rotation: unknown keys are then former ones, and
    /// nothing is to be published.
    pub fn end(&mut self, keys: NewKeys, now: Timestamp) -> bool {
        let pending = self.pending.take_if(|pending| pending.number == keys.number);
        let mut new = Vec::new();
        for key in keys.made {
            let known = self.has(&key.id);
            let first = !new.iter().any(|other: &MadeKey| other.kind == key.kind);
            if pending.is_some() && first && !known {
                new.push(key);
            } else if !known {
                self.former.push(FormerKey { key, until: None });
            }
        }
        let Some(pending) = pending else { return false };
        let replaced = |old: &MadeKey| new.iter().any(|key| key.kind == old.kind);
        let (old, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.current).into_iter().partition(replaced);
        self.former
            .extend(old.into_iter().map(|key| FormerKey { key, until: None }));
        self.current = kept;
        self.current.extend(new);
        for key in keys.first {
            if !self.has(&key.id) {
                self.former.push(FormerKey { key, until: None });
            }
        }
        self.skip(pending.follows, keys.former, keys.legacy_left);
        self.made_at = Timestamp::from_second(now.as_second()).ok();
        true
    }

    /// The newer keys are published: the former ones end after the overlap. Whole seconds, so that it is never shorter
    /// than it was asked for.
    pub fn published(&mut self, now: Timestamp, overlap: SignedDuration) {
        let until = now.as_second().saturating_add(overlap.as_secs()).saturating_add(1);
        let until = Timestamp::from_second(until).unwrap_or(Timestamp::MAX);
        for former in &mut self.former {
            former.until.get_or_insert(until);
        }
    }

    /// The former keys whose overlap has ended.
    pub fn overdue(&self, now: Timestamp) -> Vec<MadeKey> {
        let due = self
            .former
            .iter()
            .filter(|former| former.until.is_some_and(|until| until <= now));
        due.map(|former| former.key.clone()).collect()
    }

    /// A former key is published again: it stays until it is replaced.
    pub fn restore(&mut self, id: &str) {
        let all = std::mem::take(&mut self.former);
        let (again, former): (Vec<_>, _) = all.into_iter().partition(|former| former.key.id == id);
        self.former = former;
        self.current.extend(again.into_iter().map(|former| former.key));
    }

    /// A former key is gone.
    pub fn forget(&mut self, id: &str) {
        self.former.retain(|former| former.key.id != id);
    }

    /// Keys that somebody deleted at the provider no longer count as published, and new ones are made for the last rotation
    /// of the login. A former key that replaces such a key is a published one again. Returns the names of those that are
    /// missing.
    pub fn lose(&mut self, chosen: &[String]) -> Vec<String> {
        let (kept, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut self.current)
            .into_iter()
            .partition(|key| chosen.contains(&key.id));
        self.current = kept;
        for id in chosen {
            self.restore(id);
        }
        if !lost.is_empty() {
            self.followed = None;
        }
        let names = lost.iter().map(|key| key.name.clone()).collect();
        // A key that reappears ends as a former one.
        self.former
            .extend(lost.into_iter().map(|key| FormerKey { key, until: None }));
        names
    }

    /// The identities of the published keys that the operator has made.
    pub fn ids(&self) -> Vec<String> {
        self.current.iter().map(|key| key.id.clone()).collect()
    }

    /// Whether the operator has recorded a key of this identity.
    pub fn has(&self, id: &str) -> bool {
        let former = self.former.iter().map(|former| &former.key);
        self.current.iter().chain(former).any(|key| key.id == id)
    }

    /// The labels of the owner's Secret that say it without a look into it.
    pub(super) fn labels(&self) -> Vec<(&'static str, String)> {
        let seconds = |time: Timestamp| time.as_second().to_string();
        let ends = self.former.iter().filter_map(|former| former.until).min();
        let waits = self.former.iter().any(|former| former.until.is_none());
        let of_time = [
            (KEYS_ROTATED_LABEL, self.followed),
            (KEYS_MADE_LABEL, self.made_at.filter(|_| !self.current.is_empty())),
            (KEYS_REVOKE_LABEL, ends),
        ];
        let of_time = of_time
            .into_iter()
            .filter_map(|(label, time)| Some((label, seconds(time?))));
        let ended = self.ended_for.clone().map(|uid| (KEYS_ENDED_LABEL, uid));
        let flags = [
            (KEYS_PENDING_LABEL, self.pending.is_some()),
            (KEYS_WAIT_LABEL, waits),
            (KEYS_LEGACY_LABEL, self.legacy_left),
        ];
        let flags = flags.into_iter().filter(|(_, is)| *is);
        of_time
            .chain(flags.map(|(label, _)| (label, "true".to_owned())))
            .chain(ended)
            .collect()
    }
}

/// What the labels of an owner's Secret say of the keys, without a look into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMarks {
    /// The time of the login's rotation that the last rotation of keys followed.
    pub followed: Option<Timestamp>,
    /// New ones are being made.
    pub pending: bool,
    /// When the first former one is deleted.
    pub revoke_at: Option<Timestamp>,
    /// Former ones stay until the newer ones are published.
    pub waits: bool,
    /// UID of the Orchestra that has released the database, and whose keys are replaced.
    pub ended_for: Option<String>,
    /// It had legacy keys, which are enabled.
    pub legacy_left: bool,
}

impl KeyMarks {
    /// As these labels have it.
    pub fn read(labels: &BTreeMap<String, String>) -> Self {
        let time = |name: &str| Timestamp::from_second(labels.get(name)?.parse().ok()?).ok();
        Self {
            followed: time(KEYS_ROTATED_LABEL),
            pending: labels.contains_key(KEYS_PENDING_LABEL),
            revoke_at: time(KEYS_REVOKE_LABEL),
            waits: labels.contains_key(KEYS_WAIT_LABEL),
            ended_for: labels.get(KEYS_ENDED_LABEL).cloned(),
            legacy_left: labels.contains_key(KEYS_LEGACY_LABEL),
        }
    }
}

/// The name of the keys of a database with this number: the database's name in the letters that the API takes, so that a key
/// is found again if the answer to its creation was lost.
pub fn name_of(database: &str, number: u32) -> String {
    format!("{}_{number}", stem(database))
}

/// The number in the name of a key of a database; none of any other name.
pub fn number_of(database: &str, name: &str) -> Option<u32> {
    let number = name.strip_prefix(&stem(database))?.strip_prefix('_')?;
    let plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| plain)
}

fn stem(database: &str) -> String {
    let letter = |c: char| match c {
        'a'..='z' | '0'..='9' => c,
        _ => '_',
    };
    let plain: String = database.chars().map(letter).collect();
    let plain = match plain.chars().next() {
        Some('a'..='z') => plain,
        _ => format!("_{plain}"),
    };
    if plain.len() <= LONGEST - NUMBER {
        return plain;
    }
    let digest = hex::encode(Sha256::digest(database));
    format!("{}_{}", &plain[..LONGEST - NUMBER - 17], &digest[..16])
}

#[cfg(test)]
#[path = "api_keys_tests.rs"]
mod tests;
