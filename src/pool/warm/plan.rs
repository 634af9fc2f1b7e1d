//! The whole life of a pool that makes its members on one page: what was observed → the one next step.
//!
//! ```text
//! AddFinalizer → Plan → Create → Settle → (the room `database` makes it usable) → Prepare → Rest: it waits for a claim
//! too many:      Drop | Destroy, never a claimed one      old: Plan one more … → Destroy the old one
//! pool deleted:  Drop → Destroy → RemoveFinalizer
//! ```

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use crate::pool::plan::{BUSY, FALLBACK, UnpreparedState};

/// When a pool that cannot create missing members tries again: no watch reports room in a budget.
pub const RETRY: Duration = Duration::from_secs(30);

/// Everything that the next step depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Facts {
    /// The pool is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// How many members are to wait for a claim.
    pub desired: usize,
    /// How many may be created at once.
    pub at_once: usize,
    /// Recorded names whose member is not created yet.
    pub planned: Vec<String>,
    /// A recorded name is that of a member now.
    pub made: bool,
    /// The members that nobody has claimed and that are not being deleted.
    pub members: Vec<WarmMember>,
    /// Whether another member can be made.
    pub supply: MemberSupply,
    /// Further members that can be prepared now.
    pub free_preparations: usize,
    /// Time until the next member is old.
    pub ages_in: Option<Duration>,
    /// The pass has used up its time: what is left is the next pass's.
    pub spent: bool,
}

/// A member that nobody has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmMember {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its state.
    pub state: WarmMemberState,
    /// It is usable, but is to be replaced: it waited too long, or its contents are outdated.
    pub old: bool,
}

/// The state of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmMemberState {
    /// Nothing was requested from the provider yet: it costs nothing.
    Unrequested,
    /// A person must act before it is usable.
    Broken,
    /// It is not usable yet.
    Creating,
    /// It is usable, and lacks contents of the class.
    Unprepared(UnpreparedState),
    /// It waits for a claim.
    Available,
}

/// Whether another member can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberSupply {
    /// The class has a provider, and its budget has room.
    #[default]
    Open,
    /// Not now, or not until a person acts.
    Closed,
}

/// The one next step. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Add our finalizer.
    AddFinalizer,
    /// Remove our finalizer.
    RemoveFinalizer,
    /// Record that the planned members are created.
    Settle,
    /// Record this many names of members that are about to be created.
    Plan(usize),
    /// Create the members of these names.
    Create(Vec<String>),
    /// Remove these names, whose members are not created.
    Drop(Vec<String>),
    /// Delete these members, and with them their projects.
    Destroy(Vec<String>),
    /// Start the preparation of these members.
    Prepare(Vec<String>),
    /// Wait a moment for the preparations that have just started.
    AwaitPreparations,
    /// Release the worker and continue in another pass.
    Yield,
    /// Nothing to do before this time, unless something changes.
    Wait(Duration),
    /// Nothing to do until something changes.
    Rest,
}

/// The next step for what was observed.
pub fn plan(facts: &Facts) -> Step {
    match (facts.deleting, facts.finalizer) {
        (true, false) => Step::Rest,
        (true, true) => leave(facts),
        (false, false) => Step::AddFinalizer,
        (false, true) if facts.made => Step::Settle,
        (false, true) => LIVE.iter().find_map(|link| link(facts)).unwrap_or_else(|| rest(facts)),
    }
}

/// Claimed members stay.
fn leave(facts: &Facts) -> Step {
    if !facts.planned.is_empty() {
        return Step::Drop(facts.planned.clone());
    }
    if facts.members.is_empty() {
        return Step::RemoveFinalizer;
    }
    Step::Destroy(facts.members.iter().map(|member| member.name.clone()).collect())
}

/// The work of a pool that is not being deleted: the first link that has something to do decides.
const LIVE: [fn(&Facts) -> Option<Step>; 5] = [shrink, create, grow, retire, prepare];

impl Facts {
    fn total(&self) -> usize {
        self.members.len() + self.planned.len()
    }

    /// How many members can be claimed now.
    pub fn available(&self) -> usize {
        self.count(|state| *state == WarmMemberState::Available)
    }

    fn count(&self, is: impl Fn(&WarmMemberState) -> bool) -> usize {
        self.members.iter().filter(|member| is(&member.state)).count()
    }

    /// While a member is old, one more than wanted may exist: its replacement.
    fn most(&self) -> usize {
        let old = self.members.iter().any(|member| member.old);
        self.desired + usize::from(old && self.desired > 0)
    }

    /// How many members are to be created: the missing ones, or one for an old one when all others can be claimed.
    fn lacking(&self) -> usize {
        let usable = self.count(|state| matches!(state, WarmMemberState::Unprepared(_) | WarmMemberState::Available));
        match self.desired.checked_sub(self.total()) {
            Some(0) if usable >= self.desired => self.most() - self.desired,
            lacking => lacking.unwrap_or_default(),
        }
    }
}

/// First, because each member costs money.
fn shrink(facts: &Facts) -> Option<Step> {
    let surplus = facts.total().checked_sub(facts.most()).filter(|surplus| *surplus > 0)?;
    if !facts.planned.is_empty() {
        let names = facts.planned.iter().rev().take(surplus);
        return Some(Step::Drop(names.cloned().collect()));
    }
    let rank = |state: &WarmMemberState| match state {
        WarmMemberState::Unrequested => 0,
        WarmMemberState::Broken => 1,
        WarmMemberState::Creating => 2,
        WarmMemberState::Unprepared(_) => 3,
        WarmMemberState::Available => 4,
    };
    let mut members: Vec<_> = facts.members.iter().collect();
    members.sort_by_key(|member| (rank(&member.state), !member.old, Reverse(member.created), &member.name));
    let names = members.iter().take(surplus).map(|member| member.name.clone());
    Some(Step::Destroy(names.collect()))
}

/// Recorded names are created.
fn create(facts: &Facts) -> Option<Step> {
    let can = facts.supply == MemberSupply::Open && !facts.planned.is_empty();
    can.then(|| Step::Create(facts.planned.clone()))
}

/// No more at once than the pool says. Broken members count, so that a failing provider does not get repeated requests.
fn grow(facts: &Facts) -> Option<Step> {
    let creating = facts.count(|state| {
        matches!(
            state,
            WarmMemberState::Unrequested | WarmMemberState::Broken | WarmMemberState::Creating
        )
    });
    let free = facts.at_once.saturating_sub(creating + facts.planned.len());
    let next = facts.lacking().min(free);
    (facts.supply == MemberSupply::Open && next > 0).then_some(Step::Plan(next))
}

/// When its replacement can be claimed.
fn retire(facts: &Facts) -> Option<Step> {
    let spare = facts.available() > facts.desired;
    let old = facts.members.iter().filter(|member| member.old);
    let oldest = old
        .min_by_key(|member| (member.created, &member.name))
        .filter(|_| spare)?;
    Some(Step::Destroy(vec![oldest.name.clone()]))
}

/// Last, because nobody waits for it.
fn prepare(facts: &Facts) -> Option<Step> {
    let of = |wanted: fn(&UnpreparedState) -> bool| {
        let is =
            move |member: &&WarmMember| matches!(&member.state, WarmMemberState::Unprepared(state) if wanted(state));
        facts.members.iter().filter(is).map(|member| member.name.clone())
    };
    let due: Vec<_> = of(|state| *state == UnpreparedState::Due)
        .take(facts.free_preparations)
        .collect();
    let young = of(|state| *state == UnpreparedState::Running { young: true }).next();
    match (due.is_empty(), facts.spent) {
        (false, false) => Some(Step::Prepare(due)),
        (false, true) => Some(Step::Yield),
        (true, false) if young.is_some() => Some(Step::AwaitPreparations),
        (true, _) => None,
    }
}

/// Until when nothing is to be done. A member that becomes usable or is claimed triggers the pool.
fn rest(facts: &Facts) -> Step {
    let members = facts.members.iter().filter_map(|member| match member.state {
        WarmMemberState::Unprepared(UnpreparedState::Due) => Some(BUSY),
        WarmMemberState::Unprepared(UnpreparedState::Running { .. }) => Some(FALLBACK),
        WarmMemberState::Unprepared(UnpreparedState::Refused(refused)) => refused.passing.then_some(refused.again),
        _ => None,
    });
    let lacks = facts.supply == MemberSupply::Closed && (facts.lacking() > 0 || !facts.planned.is_empty());
    let waits = members.chain(lacks.then_some(RETRY)).chain(facts.ages_in);
    waits.min().map_or(Step::Rest, Step::Wait)
}

#[cfg(test)]
mod tests;
