//! The progress of the rollout of a class's migrations over its Orchestras.

use crate::api::{OrchestraClass, RolloutPhase, RolloutStatus};

/// The stage of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The canaries are updated first.
    Canary,
    /// The other Orchestras are updated.
    Rolling,
    /// No further Orchestra is updated until the rollout is resumed.
    Paused,
    /// Too many Orchestras failed, so no further one is updated.
    Halted,
    /// Every Orchestra was tried, and some failed.
    Failed,
    /// Every Orchestra is updated.
    Complete,
}

/// The rollout in the status of a class; none while the operator has not seen the class's current spec.
pub fn rollout(class: &OrchestraClass) -> Option<&RolloutStatus> {
    let status = class.status.as_ref()?;
    let current = Some(status.observed_generation) == class.metadata.generation;
    status.rollout.as_ref().filter(|_| current)
}

/// Number of Orchestras that a rollout covers. Pinned ones are not part of it.
pub fn total(rollout: &RolloutStatus) -> i32 {
    sum([
        rollout.updated,
        rollout.running,
        rollout.pending,
        rollout.held,
        rollout.failed,
    ])
}

/// A sum of counts of a status, which others may have written.
fn sum<const N: usize>(counts: [i32; N]) -> i32 {
    counts.into_iter().fold(0, i32::saturating_add)
}

/// The stage of a rollout.
pub fn stage(rollout: &RolloutStatus) -> Stage {
    match rollout.phase {
        RolloutPhase::Canary => Stage::Canary,
        RolloutPhase::Rolling if sum([rollout.running, rollout.pending, rollout.held]) == 0 => Stage::Failed,
        RolloutPhase::Rolling => Stage::Rolling,
        RolloutPhase::Paused => Stage::Paused,
        RolloutPhase::Halted => Stage::Halted,
        RolloutPhase::Complete => Stage::Complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_status_are_added_whatever_they_are() {
        for (counts, total) in [
            ([1, 2, 3], 6),
            ([i32::MAX, 1, 0], i32::MAX),
            ([i32::MIN, -1, 0], i32::MIN),
        ] {
            assert_eq!(sum(counts), total, "{counts:?}");
        }
    }
}
