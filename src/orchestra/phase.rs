//! What a step is called before people.

use super::plan::Step;
use crate::api::condition::Reason;
use crate::controller::conditions::Standing;

/// Phase, progress, reason and words of a step.
pub fn describe(step: Step) -> (&'static str, Standing, Reason, &'static str) {
    use Standing::{Reconciling, Settled, Stalled};
    match step {
        Step::AddFinalizer => ("Pending", Reconciling, Reason::Pending, "begins"),
        Step::Intend => ("Provisioning", Reconciling, Reason::Claiming, "claiming a database"),
        Step::Create => (
            "Provisioning",
            Reconciling,
            Reason::Claiming,
            "asking the provider for a database",
        ),
        Step::Take => (
            "Provisioning",
            Reconciling,
            Reason::Claiming,
            "taking a database from a pool",
        ),
        Step::AwaitDatabase => (
            "Provisioning",
            Reconciling,
            Reason::Provisioning,
            "waiting until the database is usable",
        ),
        Step::PrepareLogin => (
            "Migrating",
            Reconciling,
            Reason::PreparingLogin,
            "preparing the tenant's login",
        ),
        Step::Migrate | Step::Wait(Reason::Migrating) => {
            ("Migrating", Reconciling, Reason::Migrating, "applying migrations")
        }
        Step::TellPlan | Step::Wait(Reason::ApprovalPending) => (
            "Pending",
            Reconciling,
            Reason::ApprovalPending,
            "the pending migrations wait for approval",
        ),
        Step::Seed | Step::Wait(Reason::Seeding) => ("Seeding", Reconciling, Reason::Seeding, "applying the seed"),
        Step::ClearPlan | Step::Publish => (
            "Seeding",
            Reconciling,
            Reason::Publishing,
            "writing the connection Secret",
        ),
        Step::Rest => (
            "Ready",
            Settled,
            Reason::Ready,
            "the database is migrated, seeded and handed over",
        ),
        Step::Release | Step::AwaitRelease | Step::Forget => {
            ("Deleting", Reconciling, Reason::Deleting, "letting the database go")
        }
        Step::Wait(Reason::Queued) => ("Queued", Reconciling, Reason::Queued, "waiting for its turn"),
        Step::Wait(Reason::RolloutPending) => (
            "Migrating",
            Reconciling,
            Reason::RolloutPending,
            "the migrations are not whole, and the class's rollout has not come here with its newer ones",
        ),
        Step::Wait(reason) => ("Pending", Reconciling, reason, "waiting"),
        Step::Stop(reason) => ("Failed", Stalled, reason, "a person must act"),
    }
}
