//! The decision: which Orchestras of a class may be migrated to its new source now.
//!
//! Nothing is stored for it: a rollout that was cut off goes on from what the Orchestras say of
//! themselves.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::api::RolloutPhase as Phase;

/// What a class allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Orchestras that may be migrated at once.
    pub concurrent: usize,
    /// Orchestras that may fail before the rollout halts.
    pub failures: usize,
    /// Migrations that one database server bears at once.
    pub per_server: usize,
    /// Nothing further is begun.
    pub paused: bool,
}

/// How an Orchestra stands to the source of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has it.
    Updated,
    /// Its migration to it failed.
    Failed,
    /// Its migration to it waits for a person's approval: nothing of it has begun, and nobody waits for
    /// it but those that a canary goes before.
    Held,
    /// It was cut off in the middle of an older source, or failed there: its turn comes first,
    /// because it waits for a cure.
    Broken,
    /// It has an older source, whole.
    Pending,
}

/// An Orchestra in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "facts, each of which is either so or not")]
pub struct Tenant {
    /// Its UID.
    pub uid: String,
    /// `<namespace>/<name>`.
    pub name: String,
    /// When it was created: the older has the older right.
    pub created: Timestamp,
    /// How it stands to the source.
    pub state: State,
    /// It comes first.
    pub canary: bool,
    /// It keeps what it has.
    pub pinned: bool,
    /// It is being migrated, or waits for its server.
    pub engaged: bool,
    /// Nothing else is wrong with it.
    pub able: bool,
    /// Whose budget its migration is on; none while nobody knows.
    pub server: Option<String>,
}

/// What may begin, and where the rollout stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands.
    pub phase: Phase,
    /// UIDs of those that may begin now, in their order.
    pub start: Vec<String>,
    /// UIDs of those that failed and may try again. Neither a halt nor a pause keeps them from it:
    /// they are begun with already, and a cure is what the others wait for.
    pub retry: Vec<String>,
    /// Orchestras that have the source.
    pub updated: usize,
    /// Orchestras under way to it.
    pub running: usize,
    /// Orchestras that it has not come to.
    pub pending: usize,
    /// Orchestras whose migrations wait for approval.
    pub held: usize,
    /// Orchestras that failed.
    pub failed: usize,
    /// Orchestras that keep what they have.
    pub pinned: usize,
}

impl Decision {
    /// Whether this Orchestra may be migrated now.
    pub fn lets(&self, uid: &str) -> bool {
        self.start.iter().chain(&self.retry).any(|may| may == uid)
    }
}

/// Decides. Canaries go first; of others those that wait for a cure, and then the oldest.
pub fn decide(tenants: &[Tenant], limits: &Limits) -> Decision {
    let mut decision = count(tenants);
    let active = || tenants.iter().filter(|tenant| !tenant.pinned);
    let canaries = || active().filter(|tenant| tenant.canary);
    let testing = canaries().any(|tenant| tenant.state != State::Updated);
    let halted = decision.failed > limits.failures || canaries().any(|tenant| tenant.state == State::Failed);
    decision.phase = match decision.pending + decision.running + decision.held + decision.failed {
        0 => Phase::Complete,
        _ if halted => Phase::Halted,
        _ if limits.paused => Phase::Paused,
        _ if testing => Phase::Canary,
        _ => Phase::Rolling,
    };
    let mut room = Room::new(tenants, limits);
    if matches!(decision.phase, Phase::Canary | Phase::Rolling) {
        let waits = |tenant: &&Tenant| {
            matches!(tenant.state, State::Pending | State::Broken) && tenant.able && (tenant.canary || !testing)
        };
        let mut waiting: Vec<_> = active().filter(waits).collect();
        waiting.sort_by_key(|tenant| (tenant.state != State::Broken, tenant.created, &tenant.name));
        decision.start = room.take(waiting);
    }
    decision.retry = room.take(active().filter(|tenant| tenant.state == State::Failed));
    decision
}

fn count(tenants: &[Tenant]) -> Decision {
    let mut decision = Decision::default();
    for tenant in tenants {
        let of = match (tenant.pinned, tenant.state, tenant.engaged) {
            (true, ..) => &mut decision.pinned,
            (_, State::Updated, _) => &mut decision.updated,
            (_, State::Failed, _) => &mut decision.failed,
            (_, State::Held, _) => &mut decision.held,
            (_, State::Pending | State::Broken, true) => &mut decision.running,
            (_, State::Pending | State::Broken, false) => &mut decision.pending,
        };
        *of += 1;
    }
    decision
}

/// What is left of the limits.
struct Room<'a> {
    limits: &'a Limits,
    used: usize,
    servers: HashMap<&'a str, usize>,
}

impl<'a> Room<'a> {
    fn new(tenants: &'a [Tenant], limits: &'a Limits) -> Self {
        let mut room = Self {
            limits,
            used: 0,
            servers: HashMap::new(),
        };
        for tenant in tenants.iter().filter(|tenant| tenant.engaged) {
            room.used += 1;
            if let Some(server) = &tenant.server {
                *room.servers.entry(server).or_default() += 1;
            }
        }
        room
    }

    /// Those that there is room for. One whose server is busy holds up nobody on another.
    fn take(&mut self, tenants: impl IntoIterator<Item = &'a Tenant>) -> Vec<String> {
        let mut taken = Vec::new();
        for tenant in tenants.into_iter().filter(|tenant| !tenant.engaged) {
            let Some(server) = &tenant.server else { continue };
            let load = self.servers.entry(server).or_default();
            if self.used < self.limits.concurrent && *load < self.limits.per_server {
                self.used += 1;
                *load += 1;
                taken.push(tenant.uid.clone());
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
