//! The life of an entry of a static pool, whose database the operator did not create.

use super::{ClaimState, Facts, Grace, Step};
use crate::api::condition::Reason;

/// What is known of an entry of a static pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryFacts {
    /// Why its database cannot be used through the entry, and whether that is transient.
    pub out: Option<(Reason, bool)>,
    /// What happens with the database once it is released.
    pub reset: Reset,
    /// Logins of the Orchestra that has released the database may still work.
    pub logins_left: bool,
}

/// What happens with a released database of a static pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It is kept: its pool says so, or no longer has the entry.
    Never,
    /// Everything in it is to be dropped.
    Wanted,
    /// Everything in it is to be dropped, and the decision is recorded.
    Decided,
    /// It equals an empty one.
    Done,
}

/// The next step for an entry that is not being deleted.
pub(super) fn plan(facts: &Facts, entry: EntryFacts) -> Step {
    let step = match (entry.out, entry.reset) {
        (_, Reset::Wanted | Reset::Decided | Reset::Done) if facts.claim == ClaimState::Released => {
            release(facts, entry.reset)
        }
        // An Orchestra that has the database keeps it.
        (Some((reason, passing)), _) if facts.claim == ClaimState::None => Step::AwaitEntry { reason, passing },
        _ => Step::Rest,
    };
    match step {
        Step::Rest if entry.logins_left => Step::RevokeLogins,
        step => step,
    }
}

/// A released entry whose pool resets it. One that is to be kept is kept.
fn release(facts: &Facts, reset: Reset) -> Step {
    match (facts.destroy, facts.grace, reset) {
        (true, Grace::Unset, _) | (false, Grace::Void, _) => Step::Schedule,
        (true, Grace::None | Grace::Over, Reset::Wanted) => Step::DecideReset,
        (true, Grace::None | Grace::Over, Reset::Decided) => Step::DeleteSelf,
        _ => Step::Rest,
    }
}

/// The next step for an entry that is being deleted, and that no Orchestra holds. Nothing is dropped that was not decided.
pub(super) fn plan_deletion(facts: Facts, entry: EntryFacts) -> Step {
    let decided = facts.destroy && !facts.abandon && entry.reset == Reset::Decided;
    if decided && facts.claim == ClaimState::Released {
        Step::Reset
    } else {
        Step::Forget
    }
}
