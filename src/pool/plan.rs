//! The whole life of a static pool on one page: what was observed → the one next step.
//!
//! ```text
//! an entry:   Probe → AwaitProbes → Enlist: it is a member, an OrchestraDatabase
//! a member:   Check, again and again while it waits for a claim; Prepare → AwaitPreparations
//! left: Withdraw: its entry left the inventory, or leads to another database, before it was claimed
//! ```

pub mod members;

use std::time::Duration;

pub use members::{EntryMember, EntryMemberState, Pace};

/// Entries of one pool that are probed at once: an unreachable host delays few others, and one server that
/// holds all entries is not filled with sessions.
pub const PROBED_AT_ONCE: usize = 32;

/// When a pass checks again work that should have triggered the pool by then.
pub const FALLBACK: Duration = Duration::from_secs(45);

/// How long a pass waits before it checks again whether another pool's preparations have ended.
pub const BUSY: Duration = Duration::from_secs(5);

/// Everything that the next step depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The entries of the inventory, in the order of their keys.
    pub entries: Vec<PoolEntry>,
    /// Names of the unclaimed members whose entry left the inventory, or leads to another database.
    pub left: Vec<String>,
    /// The members of existing entries, unclaimed and claimed ones.
    pub members: Vec<EntryMember>,
    /// How often they are checked.
    pub pace: Pace,
    /// Keys of members whose servers are to be checked again.
    pub looks: Vec<String>,
    /// When the server of the pool is to be checked with its own login; none when it need not be.
    pub own_look: Option<Duration>,
    /// What is to be prepared. It is looked up once the entries need nothing more.
    pub preparation: PreparationWork,
    /// Further members that can be prepared now.
    pub free_preparations: usize,
    /// The pass has used up its time: the rest is left to the next pass.
    pub spent: bool,
}

/// One entry of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEntry {
    /// Key of the entry.
    pub key: String,
    /// Host, port and database of its URL; none when the URL is not valid.
    pub address: Option<String>,
    /// Its state.
    pub state: EntryState,
}

/// The state of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It has an OrchestraDatabase.
    Member,
    /// It has never been probed.
    Unprobed,
    /// A probe is running.
    Probing {
        /// It started a moment ago, so that it is worth waiting for it.
        young: bool,
    },
    /// A probe has just found it usable.
    Usable {
        /// Name of the OrchestraDatabase of the database that it leads to.
        database: String,
    },
    /// The last probe refused it.
    Refused(RefusedEntry),
}

/// What was refused, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Time until it may be tried again; zero when it may be now.
    pub again: Duration,
    /// It is transient, or a person has asked for another attempt: a pass comes back for it.
    pub passing: bool,
}

/// What is to be prepared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PreparationWork {
    /// The pool asks for no preparation, or it was not looked up.
    #[default]
    None,
    /// The class, the template or its source is missing.
    Blocked,
    /// The unclaimed members that do not have the template yet.
    Of(Vec<Unprepared>),
}

/// A member that does not have the template yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprepared {
    /// Key of its entry.
    pub key: String,
    /// The state of its preparation.
    pub state: UnpreparedState,
}

/// The state of a member's preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpreparedState {
    /// It can start.
    Due,
    /// It is running.
    Running {
        /// It started a moment ago, so that it is worth waiting for it.
        young: bool,
    },
    /// The last attempt was refused, or could not start.
    Refused(RefusedEntry),
}

/// The one next step. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete these members, which nobody has claimed.
    Withdraw(Vec<String>),
    /// Make these entries members: their keys and the names of their databases, in the order of the keys.
    Enlist(Vec<(String, String)>),
    /// Start probes of the entries of these keys.
    Probe(Vec<String>),
    /// Wait a moment for the probes that have just started.
    AwaitProbes,
    /// Start checks whether the entries of the members of these keys still lead to their databases.
    Check(Vec<String>),
    /// Start checks of the servers of the members of these keys.
    Look(Vec<String>),
    /// Start a check of the server of the pool with its own login.
    LookAtServer,
    /// Start the preparation of the members of these keys.
    Prepare(Vec<String>),
    /// Wait a moment for the preparations that have just started.
    AwaitPreparations,
    /// What the members are to be prepared from is missing.
    Stop,
    /// Release the worker and continue in another pass.
    Yield,
    /// Nothing to do before this time, unless something changes.
    Wait(Duration),
    /// Nothing to do until something changes.
    Rest,
}

/// The next step for what was observed.
pub fn plan(facts: &Facts) -> Step {
    if !facts.left.is_empty() {
        return Step::Withdraw(facts.left.clone());
    }
    let (usable, due) = (usable(&facts.entries), due(&facts.entries));
    if facts.spent && !(usable.is_empty() && due.is_empty()) {
        return Step::Yield;
    }
    if !usable.is_empty() {
        return Step::Enlist(usable);
    }
    if !due.is_empty() {
        return Step::Probe(due);
    }
    if !facts.spent && facts.entries.iter().any(PoolEntry::is_young) {
        return Step::AwaitProbes;
    }
    let checks = members::due(&facts.members, facts.pace, PROBED_AT_ONCE);
    if !facts.spent && !checks.is_empty() {
        return Step::Check(checks);
    }
    if !facts.spent && !facts.looks.is_empty() {
        return Step::Look(facts.looks.clone());
    }
    if !facts.spent && facts.own_look.is_some_and(|wait| wait.is_zero()) {
        return Step::LookAtServer;
    }
    match &facts.preparation {
        PreparationWork::None => rest(facts, &[]),
        PreparationWork::Blocked => Step::Stop,
        PreparationWork::Of(unprepared) => prepare(facts, unprepared),
    }
}

/// Whether the entries need something before any preparation.
pub fn entries_come_first(facts: &Facts) -> bool {
    let without = Facts {
        preparation: PreparationWork::None,
        ..facts.clone()
    };
    !matches!(plan(&without), Step::Rest | Step::Wait(_))
}

fn prepare(facts: &Facts, unprepared: &[Unprepared]) -> Step {
    let due = unprepared.iter().filter(|member| member.state == UnpreparedState::Due);
    let due: Vec<_> = due
        .take(facts.free_preparations)
        .map(|member| member.key.clone())
        .collect();
    let young = |member: &Unprepared| member.state == UnpreparedState::Running { young: true };
    match (due.is_empty(), facts.spent) {
        (false, false) => Step::Prepare(due),
        (false, true) => Step::Yield,
        (true, false) if unprepared.iter().any(young) => Step::AwaitPreparations,
        (true, _) => rest(facts, unprepared),
    }
}

/// The entries that can become members. Of two entries for one database the first key is kept: an entry
/// waits while an earlier one is probed, for as long as that is young, or has the same address.
fn usable(entries: &[PoolEntry]) -> Vec<(String, String)> {
    let mut usable = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let EntryState::Usable { database } = &entry.state else {
            continue;
        };
        let comes_first = |earlier: &PoolEntry| match earlier.state {
            EntryState::Probing { young } => young || earlier.leads_where(entry),
            EntryState::Unprobed => earlier.leads_where(entry),
            _ => false,
        };
        if !entries[..place].iter().any(comes_first) {
            usable.push((entry.key.clone(), database.clone()));
        }
    }
    usable
}

/// The entries to probe now: those that were never probed first, and only as many as may run at once.
fn due(entries: &[PoolEntry]) -> Vec<String> {
    let running = entries
        .iter()
        .filter(|entry| matches!(entry.state, EntryState::Probing { .. }));
    let free = PROBED_AT_ONCE.saturating_sub(running.count());
    let fresh = entries.iter().filter(|entry| entry.state == EntryState::Unprobed);
    let again = entries.iter().filter(|entry| match &entry.state {
        EntryState::Refused(refused) => refused.again.is_zero(),
        _ => false,
    });
    fresh.chain(again).take(free).map(|entry| entry.key.clone()).collect()
}

/// Until when nothing is to be done: transient refusals are then tried again, and background work triggers the pool when it
/// ends.
fn rest(facts: &Facts, unprepared: &[Unprepared]) -> Step {
    let entries = facts.entries.iter().filter_map(|entry| match entry.state {
        EntryState::Probing { .. } | EntryState::Unprobed => Some(FALLBACK),
        EntryState::Refused(refused) => refused.passing.then_some(refused.again),
        EntryState::Member | EntryState::Usable { .. } => None,
    });
    let members = unprepared.iter().filter_map(|member| match member.state {
        UnpreparedState::Due => Some(BUSY),
        UnpreparedState::Running { .. } => Some(FALLBACK),
        UnpreparedState::Refused(refused) => refused.passing.then_some(refused.again),
    });
    let looks = members::next(&facts.members, facts.pace);
    match entries.chain(members).chain(looks).chain(facts.own_look).min() {
        Some(wait) => Step::Wait(wait),
        None => Step::Rest,
    }
}

impl PoolEntry {
    /// Whether its probe has just started.
    pub fn is_young(&self) -> bool {
        self.state == EntryState::Probing { young: true }
    }

    fn leads_where(&self, other: &Self) -> bool {
        self.address.is_some() && self.address == other.address
    }
}

#[cfg(test)]
mod tests;
