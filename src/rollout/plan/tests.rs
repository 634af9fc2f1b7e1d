#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    concurrent: 3,
    failures: 0,
    per_server: 100,
    paused: false,
};

fn tenant(number: usize, state: State) -> Tenant {
    Tenant {
        uid: format!("uid-{number}"),
        name: format!("tenants/t{number}"),
        created: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        state,
        canary: false,
        pinned: false,
        engaged: false,
        able: true,
        server: Some("one:5432".into()),
    }
}

fn fleet(states: &[State]) -> Vec<Tenant> {
    states
        .iter()
        .enumerate()
        .map(|(number, state)| tenant(number, *state))
        .collect()
}

fn started(decision: &Decision) -> Vec<&str> {
    decision.start.iter().map(String::as_str).collect()
}

#[test]
fn the_oldest_begin_and_no_more_than_may() {
    let mut tenants = fleet(&[State::Pending; 5]);
    tenants.reverse();
    let decision = decide(&tenants, &LIMITS);
    assert_eq!(started(&decision), ["uid-0", "uid-1", "uid-2"]);
    assert_eq!((decision.phase, decision.pending), (Phase::Rolling, 5));
    tenants[4].engaged = true;
    let decision = decide(&tenants, &LIMITS);
    assert_eq!(started(&decision), ["uid-1", "uid-2"]);
    assert_eq!((decision.running, decision.pending), (1, 4));
}

#[test]
fn who_waits_for_approval_takes_no_place_and_is_no_failure() {
    let mut tenants = fleet(&[State::Held, State::Held, State::Held, State::Pending, State::Updated]);
    let limits = Limits {
        concurrent: 1,
        ..LIMITS
    };
    let decision = decide(&tenants, &limits);
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-3"]));
    assert_eq!((decision.held, decision.failed, decision.pending), (3, 0, 1));
    assert!(decision.retry.is_empty());
    tenants.truncate(3);
    assert_eq!(decide(&tenants, &limits).phase, Phase::Rolling, "it is not over");
    // Others wait for a canary that waits.
    let mut tenants = fleet(&[State::Held, State::Pending]);
    tenants[0].canary = true;
    let decision = decide(&tenants, &limits);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Canary, 0));
}

#[test]
fn canaries_come_first_and_alone() {
    let mut tenants = fleet(&[State::Pending; 4]);
    tenants[2].canary = true;
    tenants[3].canary = true;
    let decision = decide(&tenants, &LIMITS);
    assert_eq!(
        (decision.phase, started(&decision)),
        (Phase::Canary, vec!["uid-2", "uid-3"])
    );
    tenants[2].state = State::Updated;
    tenants[3].engaged = true;
    assert!(decide(&tenants, &LIMITS).start.is_empty(), "one is not done yet");
    tenants[3] = Tenant {
        state: State::Updated,
        engaged: false,
        ..tenants[3].clone()
    };
    assert_eq!(started(&decide(&tenants, &LIMITS)), ["uid-0", "uid-1"]);
}

#[test]
fn a_canary_that_cannot_be_updated_is_waited_for_unless_it_is_pinned() {
    let mut tenants = fleet(&[State::Pending; 2]);
    tenants[0].canary = true;
    tenants[0].able = false;
    let decision = decide(&tenants, &LIMITS);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Canary, 0));
    tenants[0].pinned = true;
    let decision = decide(&tenants, &LIMITS);
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-1"]));
    assert_eq!(decision.pinned, 1);
}

#[test]
fn too_many_failures_halt_and_only_the_failed_try_again() {
    let mut tenants = fleet(&[State::Failed, State::Pending, State::Updated]);
    let halted = decide(&tenants, &LIMITS);
    assert_eq!((halted.phase, halted.start.len()), (Phase::Halted, 0));
    assert!(halted.lets("uid-0") && !halted.lets("uid-1"));
    let one = Limits { failures: 1, ..LIMITS };
    assert_eq!(started(&decide(&tenants, &one)), ["uid-1"], "one may fail");
    tenants[0].canary = true;
    assert_eq!(decide(&tenants, &one).phase, Phase::Halted, "but no canary");
    // One that tries again counts as failed until it is cured.
    tenants[0].engaged = true;
    let trying = decide(&tenants, &LIMITS);
    assert_eq!(
        (trying.phase, trying.failed, trying.running, trying.start.len()),
        (Phase::Halted, 1, 0, 0)
    );
}

#[test]
fn a_changed_source_goes_first_to_those_that_wait_for_a_cure() {
    // Of another source nothing has failed yet: what failed is Broken, and the halt is over.
    let tenants = fleet(&[State::Pending, State::Pending, State::Broken]);
    let decision = decide(
        &tenants,
        &Limits {
            concurrent: 1,
            ..LIMITS
        },
    );
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-2"]));
}

#[test]
fn nothing_begins_while_it_is_paused_and_all_is_well_when_all_have_it() {
    let paused = Limits { paused: true, ..LIMITS };
    let mut tenants = fleet(&[State::Updated, State::Pending]);
    let decision = decide(&tenants, &paused);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Paused, 0));
    tenants[1].state = State::Updated;
    assert_eq!(decide(&tenants, &paused).phase, Phase::Complete);
    assert_eq!(decide(&[], &LIMITS).phase, Phase::Complete);
}

#[test]
fn a_busy_server_holds_up_no_other_and_who_is_in_trouble_holds_up_nobody() {
    let mut tenants = fleet(&[State::Pending; 6]);
    tenants[5].server = Some("two:5432".into());
    tenants[0].able = false;
    tenants[1].server = None;
    let limits = Limits {
        per_server: 1,
        ..LIMITS
    };
    assert_eq!(started(&decide(&tenants, &limits)), ["uid-2", "uid-5"]);
}

fn any_tenant() -> impl Strategy<Value = Tenant> {
    let states = prop_oneof![
        1 => Just(State::Updated),
        1 => Just(State::Failed),
        1 => Just(State::Held),
        1 => Just(State::Broken),
        4 => Just(State::Pending),
    ];
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.9));
    (states, flags, 0..3_usize, 0..50_usize).prop_map(|(state, (canary, pinned, able), server, number)| Tenant {
        canary,
        pinned,
        able,
        server: Some(format!("server-{server}")),
        ..tenant(number, state)
    })
}

/// A class of Orchestras with names of their own.
fn any_fleet() -> impl Strategy<Value = Vec<Tenant>> {
    prop::collection::vec(any_tenant(), 0..40).prop_map(|mut tenants| {
        for (number, tenant) in tenants.iter_mut().enumerate() {
            tenant.uid = format!("uid-{number}");
            tenant.name = format!("tenants/t{number}");
        }
        tenants
    })
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (1..6_usize, 0..4_usize, 1..4_usize, prop::bool::weighted(0.2)).prop_map(
        |(concurrent, failures, per_server, paused)| Limits {
            concurrent,
            failures,
            per_server,
            paused,
        },
    )
}

proptest! {
    /// A whole rollout, with ends in any order and any outcome: the bounds hold at every moment, canaries
    /// come first, nothing begins after a halt, and what can be updated is.
    #[test]
    fn the_bounds_hold_at_every_moment(
        mut tenants in any_fleet(),
        limits in any_limits(),
        ends in prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.05)), 1..200),
    ) {
        for (which, fails) in ends {
            let decision = decide(&tenants, &limits);
            let total = [decision.updated, decision.running, decision.pending, decision.held, decision.failed, decision.pinned];
            let total: usize = total.iter().sum();
            prop_assert_eq!(total, tenants.len());
            let testing = tenants.iter().any(|is| is.canary && !is.pinned && is.state != State::Updated);
            for tenant in &mut tenants {
                if decision.start.contains(&tenant.uid) {
                    prop_assert!(!limits.paused && decision.failed <= limits.failures);
                    prop_assert!(!testing || tenant.canary, "{} before the canaries", tenant.uid);
                }
                if decision.lets(&tenant.uid) {
                    prop_assert!(!tenant.pinned && !tenant.engaged && tenant.state != State::Updated);
                    tenant.engaged = true;
                }
            }
            let engaged: Vec<_> = tenants.iter().filter(|is| is.engaged).map(|is| is.uid.clone()).collect();
            prop_assert!(engaged.len() <= limits.concurrent);
            for server in 0..3 {
                let server = Some(format!("server-{server}"));
                let load = tenants.iter().filter(|is| is.engaged && is.server == server).count();
                prop_assert!(load <= limits.per_server);
            }
            if engaged.is_empty() {
                let stuck = tenants.iter().any(|is| {
                    is.able && !is.pinned && matches!(is.state, State::Pending | State::Broken) && (is.canary || !testing)
                });
                prop_assert!(!stuck || matches!(decision.phase, Phase::Halted | Phase::Paused), "{:?}", decision);
                break;
            }
            let ended = which.get(&engaged);
            let tenant = tenants.iter_mut().find(|is| &is.uid == ended).unwrap();
            tenant.engaged = false;
            tenant.state = if fails { State::Failed } else { State::Updated };
        }
    }
}
