//! The life of a pool that makes its members on a server on one page: what was observed → the one next step. How many
//! entries there are is decided as in a pool with a provider, by [`counting`]; what follows once an entry's database is
//! made is the life of a static pool's entry.
//!
//! ```text
//! an entry:      Plan → Create: its Secret, with the password → Make: role, database → (probed and enlisted as an entry)
//! too many, old: Destroy: it is to leave → (its member is withdrawn) → Remove: database, role, Secret
//!                claimed meanwhile: Keep
//! login rotated, or that of the owner refused: Renew: the owner's password
//! pool deleted:  Destroy → Remove → RemoveFinalizer, once no entry is left
//! ```

use std::time::Duration;

use crate::pool::plan::FALLBACK;
use crate::pool::warm::plan as counting;

/// Everything that the next step depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How many entries there are and should be. Its members are the entries that nobody has claimed and that are not to
    /// leave, by the names of their Secrets.
    pub counted: counting::Facts,
    /// The entries whose databases are not created yet, or are to be dropped.
    pub entries: Vec<ServerEntry>,
    /// Further entries. The pool can be deleted when there are none.
    pub others: usize,
    /// The server has refused something lately: it gets no request before this time, and then one.
    pub pause: Option<Duration>,
}

/// An entry that needs the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEntry {
    /// Name of its Secret.
    pub name: String,
    /// What is to be done.
    pub need: Need,
    /// The state of the work on it.
    pub work: ServerWork,
}

/// What an entry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its database is not known to exist.
    Making,
    /// It is to be removed, and has no OrchestraDatabase.
    Removal,
    /// It is to be removed, and its OrchestraDatabase is not claimed: that is deleted first.
    Withdrawal,
    /// It was to be removed, and an Orchestra has claimed it.
    Keeping,
    /// Its owner is to get a new password, may have got one that is not stored as its own yet, or has another than the stored
    /// one.
    Password,
}

/// The state of the server's work on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerWork {
    /// It can start.
    Due,
    /// It is running.
    Running {
        /// It started a moment ago, so that it is worth waiting for it.
        young: bool,
    },
    /// It was refused, for a reason that only concerns this entry.
    Refused {
        /// Time until it is tried again.
        again: Duration,
    },
}

/// The one next step. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep entries that an Orchestra has claimed.
    Keep(Vec<String>),
    /// Start to give the owners of these entries new passwords, or the stored ones again.
    Renew(Vec<String>),
    /// Start to drop the databases and owners of these entries.
    Remove(Vec<String>),
    /// Start to create the databases and owners of these entries.
    Make(Vec<String>),
    /// A step that changes the number of entries, or the finalizer.
    Count(counting::Step),
    /// Wait a moment for the work that has just started.
    AwaitWork,
    /// The server has nothing to do before this time, unless something changes.
    Idle(Option<Duration>),
}

/// The next step for what was observed.
pub fn plan(facts: &Facts) -> Step {
    if facts.counted.deleting && !facts.counted.finalizer {
        return Step::Idle(None);
    }
    LINKS
        .iter()
        .find_map(|link| link(facts))
        .unwrap_or_else(|| Step::Idle(wait(facts)))
}

/// The work on the server: the first link that has something to do decides.
const LINKS: [fn(&Facts) -> Option<Step>; 6] = [keep, count, renew, remove, make, await_work];

impl Facts {
    fn due(&self, need: Need) -> Vec<String> {
        let due = self
            .entries
            .iter()
            .filter(|entry| entry.need == need && entry.work == ServerWork::Due);
        due.map(|entry| entry.name.clone()).collect()
    }

    fn running(&self) -> usize {
        let running = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.work, ServerWork::Running { .. }));
        running.count()
    }

    /// Entries whose work can start, no more at once than the pool says.
    fn next(&self, need: Need) -> Vec<String> {
        let at_once = match self.pause {
            None => self.counted.at_once,
            Some(pause) => usize::from(pause.is_zero()),
        };
        let free = at_once.saturating_sub(self.running());
        self.due(need).into_iter().take(free).collect()
    }
}

/// First, because a tenant uses it.
fn keep(facts: &Facts) -> Option<Step> {
    let claimed = facts.entries.iter().filter(|entry| entry.need == Need::Keeping);
    let names: Vec<_> = claimed.map(|entry| entry.name.clone()).collect();
    (!names.is_empty()).then_some(Step::Keep(names))
}

/// Before anything is created: a surplus entry is not created. The pool is deleted last, since the owners' passwords are
/// found through it.
fn count(facts: &Facts) -> Option<Step> {
    use counting::Step as Is;
    match counting::plan(&facts.counted) {
        Is::RemoveFinalizer if facts.others > 0 || !facts.entries.is_empty() => None,
        step @ (Is::AddFinalizer
        | Is::RemoveFinalizer
        | Is::Settle
        | Is::Plan(_)
        | Is::Create(_)
        | Is::Drop(_)
        | Is::Destroy(_)) => Some(Step::Count(step)),
        // Members are prepared like entries.
        Is::Prepare(_) | Is::AwaitPreparations | Is::Yield | Is::Wait(_) | Is::Rest => None,
    }
}

/// Before other work, because the operator may know none of the passwords as the owner's until it is done.
fn renew(facts: &Facts) -> Option<Step> {
    let names = facts.next(Need::Password);
    (!names.is_empty()).then_some(Step::Renew(names))
}

/// It makes room for others.
fn remove(facts: &Facts) -> Option<Step> {
    let names = facts.next(Need::Removal);
    (!names.is_empty()).then_some(Step::Remove(names))
}

fn make(facts: &Facts) -> Option<Step> {
    let names = facts.next(Need::Making);
    (!names.is_empty()).then_some(Step::Make(names))
}

fn await_work(facts: &Facts) -> Option<Step> {
    let young = |entry: &ServerEntry| entry.work == ServerWork::Running { young: true };
    let waits = !facts.counted.spent && facts.entries.iter().any(young);
    waits.then_some(Step::AwaitWork)
}

/// The end of the work triggers the pool; refused work is tried again.
fn wait(facts: &Facts) -> Option<Duration> {
    let entries = facts.entries.iter().map(|entry| match entry.work {
        ServerWork::Due => facts.pause.unwrap_or(FALLBACK),
        ServerWork::Running { .. } => FALLBACK,
        ServerWork::Refused { again } => again,
    });
    let counted = match counting::plan(&facts.counted) {
        counting::Step::Wait(wait) => Some(wait),
        _ => None,
    };
    entries.chain(counted).min()
}

#[cfg(test)]
mod tests;
