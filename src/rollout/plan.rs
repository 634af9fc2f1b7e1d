//! The decision: which Orchestras of a class may be migrated to its new source now.
//!
//! The decision stores nothing: a rollout that was interrupted continues from the statuses of the Orchestras.

use std::collections::HashMap;

use jiff::Timestamp;

use super::turns::fair::may_take_more;
use crate::api::RolloutPhase as Phase;

/// The limits that a class sets to its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutLimits {
    /// Orchestras that may be migrated at once.
    pub concurrent: usize,
    /// Orchestras that may fail before the rollout halts.
    pub failures: usize,
    /// Migrations that may run on one database server at once.
    pub per_server: usize,
    /// No further migration is started.
    pub paused: bool,
}

/// How far an Orchestra is with the source of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// All migrations of the source are applied.
    Updated,
    /// The migration to the source failed.
    Failed,
    /// The migration to the source waits for a person's approval. None of it is applied. Only when a canary
    /// waits for approval do others wait for it.
    AwaitsApproval,
    /// A migration to an older source failed or was interrupted. Its turn comes first, because the new source
    /// may repair it.
    Broken,
    /// All migrations of an older source are applied.
    Pending,
}

/// An Orchestra that takes part in the rollout: the facts that the decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Participant {
    /// Its UID.
    pub uid: String,
    /// `<namespace>/<name>`.
    pub name: String,
    /// When it was created: older Orchestras are migrated first.
    pub created: Timestamp,
    /// How far it is with the source.
    pub standing: UpdateState,
    /// It is migrated before the others.
    pub canary: bool,
    /// Its spec keeps it at the migrations that it has.
    pub pinned: bool,
    /// It is being migrated, or waits in the queue of its server.
    pub engaged: bool,
    /// The Orchestra has no problem except with its migrations.
    pub able: bool,
    /// The database server that its migration runs on; `None` while it is not known.
    pub server: Option<String>,
}

/// Which migrations may start, and the phase and counts of the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The phase of the rollout.
    pub phase: Phase,
    /// UIDs of the Orchestras that may start now, in order.
    pub start: Vec<String>,
    /// UIDs of the Orchestras that failed and may try again, also while the rollout is halted or paused: they
    /// have started already, and the others wait for their repair.
    pub retry: Vec<String>,
    /// Orchestras that have the source.
    pub updated: usize,
    /// Orchestras that are being migrated to it.
    pub running: usize,
    /// Orchestras whose migration has not started.
    pub pending: usize,
    /// Orchestras whose migrations wait for approval.
    pub awaiting_approval: usize,
    /// Orchestras that failed.
    pub failed: usize,
    /// Orchestras whose spec keeps them at the migrations that they have.
    pub pinned: usize,
}

impl Decision {
    /// Whether this Orchestra may be migrated now.
    pub fn lets(&self, uid: &str) -> bool {
        self.start.iter().chain(&self.retry).any(|may| may == uid)
    }
}

/// Decides. Canaries are migrated first; of the others, broken ones before the rest, and then the oldest.
pub fn decide(participants: &[Participant], limits: &RolloutLimits) -> Decision {
    let mut decision = count(participants);
    let active = || participants.iter().filter(|is| !is.pinned);
    let canaries = || active().filter(|is| is.canary);
    let testing = canaries().any(|is| is.standing != UpdateState::Updated);
    let halted = decision.failed > limits.failures || canaries().any(|is| is.standing == UpdateState::Failed);
    decision.phase = match decision.pending + decision.running + decision.awaiting_approval + decision.failed {
        0 => Phase::Complete,
        _ if halted => Phase::Halted,
        _ if limits.paused => Phase::Paused,
        _ if testing => Phase::Canary,
        _ => Phase::Rolling,
    };
    let mut capacity = Capacity::new(participants, limits);
    if matches!(decision.phase, Phase::Canary | Phase::Rolling) {
        let waits = |is: &&Participant| {
            matches!(is.standing, UpdateState::Pending | UpdateState::Broken) && is.able && (is.canary || !testing)
        };
        let mut waiting: Vec<_> = active().filter(waits).collect();
        waiting.sort_by_key(|is| (is.standing != UpdateState::Broken, is.created, &is.name));
        decision.start = capacity.take(waiting);
    }
    decision.retry = capacity.take(active().filter(|is| is.standing == UpdateState::Failed));
    decision
}

fn count(participants: &[Participant]) -> Decision {
    let mut decision = Decision::default();
    for participant in participants {
        let of = match (participant.pinned, participant.standing, participant.engaged) {
            (true, ..) => &mut decision.pinned,
            (_, UpdateState::Updated, _) => &mut decision.updated,
            (_, UpdateState::Failed, _) => &mut decision.failed,
            (_, UpdateState::AwaitsApproval, _) => &mut decision.awaiting_approval,
            (_, UpdateState::Pending | UpdateState::Broken, true) => &mut decision.running,
            (_, UpdateState::Pending | UpdateState::Broken, false) => &mut decision.pending,
        };
        *of += 1;
    }
    decision
}

impl Participant {
    fn namespace(&self) -> &str {
        self.name.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

/// The rest of the limits.
struct Capacity<'a> {
    limits: &'a RolloutLimits,
    used: usize,
    servers: HashMap<&'a str, RolloutServer<'a>>,
}

/// The load of a server.
#[derive(Default)]
struct RolloutServer<'a> {
    load: usize,
    /// Its part for each namespace that uses the server.
    by_namespace: HashMap<&'a str, usize>,
}

impl<'a> Capacity<'a> {
    fn new(participants: &'a [Participant], limits: &'a RolloutLimits) -> Self {
        let mut capacity = Self {
            limits,
            used: 0,
            servers: HashMap::new(),
        };
        for participant in participants {
            capacity.used += usize::from(participant.engaged);
            let Some(server) = &participant.server else { continue };
            let server = capacity.servers.entry(server).or_default();
            server.load += usize::from(participant.engaged);
            *server.by_namespace.entry(participant.namespace()).or_default() += usize::from(participant.engaged);
        }
        capacity
    }

    /// The participants that there is capacity for. A busy server does not delay participants on other servers,
    /// and those of one namespace leave a turn of their server to the others.
    fn take(&mut self, participants: impl IntoIterator<Item = &'a Participant>) -> Vec<String> {
        let per_server = self.limits.per_server;
        let mut taken = Vec::new();
        for participant in participants.into_iter().filter(|is| !is.engaged) {
            let Some(server) = &participant.server else { continue };
            let server = self.servers.entry(server).or_default();
            let shared = server.by_namespace.len() > 1;
            let of_namespace = server.by_namespace.entry(participant.namespace()).or_default();
            let fair = may_take_more(*of_namespace, per_server, shared);
            if fair && self.used < self.limits.concurrent && server.load < per_server {
                self.used += 1;
                server.load += 1;
                *of_namespace += 1;
                taken.push(participant.uid.clone());
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
