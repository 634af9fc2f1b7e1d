//! Work inside a usable database that happens whatever else is to be done.

use super::tests::{every_power_state, every_state, inside};
use super::*;
use crate::controller::conditions::Standing;
use crate::orchestra::describe::{describe, rests};

/// Whether the plan considers the inside facts: for an Orchestra that is not being deleted, while no script runs.
fn is_looked_into(facts: &Facts) -> Option<Inside> {
    let lives = facts.finalizer && !facts.deleting && facts.expiry == TtlState::Later;
    let inside = inside(facts).filter(|_| lives)?;
    let is_busy = inside.migrations == WorkState::Running
        || (inside.migrations, inside.seed) == (WorkState::Done, WorkState::Running);
    (!is_busy).then_some(inside)
}

#[test]
fn a_former_login_ends_whatever_else_is_to_be_done() {
    for facts in every_state() {
        let Some(inside) = is_looked_into(&facts) else { continue };
        let ends = plan(&facts) == Step::RevokeFormer;
        assert_eq!(ends, inside.serving && inside.overdue, "{facts:?}");
    }
}

#[test]
fn a_connection_that_is_wrong_keeps_only_the_new_from_being_published() {
    for facts in every_state() {
        let Some(wrong) = is_looked_into(&facts).filter(|inside| inside.invalid) else {
            continue;
        };
        let right = Facts {
            database: DatabaseState::Usable(Inside {
                invalid: false,
                ..wrong
            }),
            ..facts
        };
        let told = Step::Stop(Stop::Connection);
        let expected = match plan(&right) {
            Step::Rest => told,
            Step::Publish if !wrong.serving => told,
            other => other,
        };
        assert_eq!(plan(&facts), expected, "{facts:?}");
    }
}

#[test]
fn no_condition_contradicts_its_reason() {
    for facts in every_state().into_iter().chain(every_power_state()) {
        let step = plan(&facts);
        let described = describe(step);
        // Everything that is False gives the reason of the step.
        let settled = described.standing == Standing::Settled;
        assert!(settled || !described.reason.is_fulfilled(), "{step:?} {facts:?}");
        // An Orchestra with everything that it asks for has no part that is False; a paused one says Paused, and a ttl is
        // reported by an event.
        if rests(step) && !facts.deleting {
            let inside = inside(&facts).map(|inside| (inside.published, inside.migrations, inside.seed));
            assert_eq!(
                inside,
                Some((true, WorkState::Done, WorkState::Done)),
                "{step:?} {facts:?}"
            );
        } else if settled && !facts.deleting {
            assert!(!described.reason.is_fulfilled(), "{step:?} {facts:?}");
        }
    }
}
