#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const LIMITS: RolloutLimits = RolloutLimits {
    concurrent: 3,
    failures: 0,
    per_server: 100,
    paused: false,
};

fn participant(number: usize, standing: UpdateState) -> Participant {
    Participant {
        uid: format!("uid-{number}"),
        name: format!("tenants/t{number}"),
        created: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        standing,
        canary: false,
        pinned: false,
        engaged: false,
        able: true,
        server: Some("one:5432".into()),
    }
}

fn fleet(standings: &[UpdateState]) -> Vec<Participant> {
    standings
        .iter()
        .enumerate()
        .map(|(number, standing)| participant(number, *standing))
        .collect()
}

fn started(decision: &Decision) -> Vec<&str> {
    decision.start.iter().map(String::as_str).collect()
}

#[test]
fn the_oldest_begin_and_no_more_than_may() {
    let mut participants = fleet(&[UpdateState::Pending; 5]);
    participants.reverse();
    let decision = decide(&participants, &LIMITS);
    assert_eq!(started(&decision), ["uid-0", "uid-1", "uid-2"]);
    assert_eq!((decision.phase, decision.pending), (Phase::Rolling, 5));
    participants[4].engaged = true;
    let decision = decide(&participants, &LIMITS);
    assert_eq!(started(&decision), ["uid-1", "uid-2"]);
    assert_eq!((decision.running, decision.pending), (1, 4));
}

#[test]
fn who_waits_for_approval_takes_no_place_and_is_no_failure() {
    let mut participants = fleet(&[
        UpdateState::AwaitsApproval,
        UpdateState::AwaitsApproval,
        UpdateState::AwaitsApproval,
        UpdateState::Pending,
        UpdateState::Updated,
    ]);
    let limits = RolloutLimits {
        concurrent: 1,
        ..LIMITS
    };
    let decision = decide(&participants, &limits);
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-3"]));
    assert_eq!(
        (decision.awaiting_approval, decision.failed, decision.pending),
        (3, 0, 1)
    );
    assert!(decision.retry.is_empty());
    participants.truncate(3);
    assert_eq!(decide(&participants, &limits).phase, Phase::Rolling, "it is not over");
    // The others wait for a waiting canary.
    let mut participants = fleet(&[UpdateState::AwaitsApproval, UpdateState::Pending]);
    participants[0].canary = true;
    let decision = decide(&participants, &limits);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Canary, 0));
}

#[test]
fn canaries_come_first_and_alone() {
    let mut participants = fleet(&[UpdateState::Pending; 4]);
    participants[2].canary = true;
    participants[3].canary = true;
    let decision = decide(&participants, &LIMITS);
    assert_eq!(
        (decision.phase, started(&decision)),
        (Phase::Canary, vec!["uid-2", "uid-3"])
    );
    participants[2].standing = UpdateState::Updated;
    participants[3].engaged = true;
    assert!(decide(&participants, &LIMITS).start.is_empty(), "one is not done yet");
    participants[3] = Participant {
        standing: UpdateState::Updated,
        engaged: false,
        ..participants[3].clone()
    };
    assert_eq!(started(&decide(&participants, &LIMITS)), ["uid-0", "uid-1"]);
}

#[test]
fn a_canary_that_cannot_be_updated_is_waited_for_unless_it_is_pinned() {
    let mut participants = fleet(&[UpdateState::Pending; 2]);
    participants[0].canary = true;
    participants[0].able = false;
    let decision = decide(&participants, &LIMITS);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Canary, 0));
    participants[0].pinned = true;
    let decision = decide(&participants, &LIMITS);
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-1"]));
    assert_eq!(decision.pinned, 1);
}

#[test]
fn too_many_failures_halt_and_only_the_failed_try_again() {
    let mut participants = fleet(&[UpdateState::Failed, UpdateState::Pending, UpdateState::Updated]);
    let halted = decide(&participants, &LIMITS);
    assert_eq!((halted.phase, halted.start.len()), (Phase::Halted, 0));
    assert!(halted.lets("uid-0") && !halted.lets("uid-1"));
    let one = RolloutLimits { failures: 1, ..LIMITS };
    assert_eq!(started(&decide(&participants, &one)), ["uid-1"], "one may fail");
    participants[0].canary = true;
    assert_eq!(decide(&participants, &one).phase, Phase::Halted, "but no canary");
    // One that tries again counts as failed until it succeeds.
    participants[0].engaged = true;
    let trying = decide(&participants, &LIMITS);
    assert_eq!(
        (trying.phase, trying.failed, trying.running, trying.start.len()),
        (Phase::Halted, 1, 0, 0)
    );
}

#[test]
fn a_changed_source_goes_first_to_those_that_wait_for_a_cure() {
    // With another source nothing has failed yet: failed Orchestras are Broken, and the rollout is no longer halted.
    let participants = fleet(&[UpdateState::Pending, UpdateState::Pending, UpdateState::Broken]);
    let decision = decide(
        &participants,
        &RolloutLimits {
            concurrent: 1,
            ..LIMITS
        },
    );
    assert_eq!((decision.phase, started(&decision)), (Phase::Rolling, vec!["uid-2"]));
}

#[test]
fn nothing_begins_while_it_is_paused_and_all_is_well_when_all_have_it() {
    let paused = RolloutLimits { paused: true, ..LIMITS };
    let mut participants = fleet(&[UpdateState::Updated, UpdateState::Pending]);
    let decision = decide(&participants, &paused);
    assert_eq!((decision.phase, decision.start.len()), (Phase::Paused, 0));
    participants[1].standing = UpdateState::Updated;
    assert_eq!(decide(&participants, &paused).phase, Phase::Complete);
    assert_eq!(decide(&[], &LIMITS).phase, Phase::Complete);
}

#[test]
fn a_busy_server_holds_up_no_other_and_who_is_in_trouble_holds_up_nobody() {
    let mut participants = fleet(&[UpdateState::Pending; 6]);
    participants[5].server = Some("two:5432".into());
    participants[0].able = false;
    participants[1].server = None;
    let limits = RolloutLimits {
        per_server: 1,
        ..LIMITS
    };
    assert_eq!(started(&decide(&participants, &limits)), ["uid-2", "uid-5"]);
}

fn any_participant() -> impl Strategy<Value = Participant> {
    let standings = prop_oneof![
        1 => Just(UpdateState::Updated),
        1 => Just(UpdateState::Failed),
        1 => Just(UpdateState::AwaitsApproval),
        1 => Just(UpdateState::Broken),
        4 => Just(UpdateState::Pending),
    ];
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.9));
    (standings, flags, 0..3_usize, 0..50_usize).prop_map(|(standing, (canary, pinned, able), server, number)| {
        Participant {
            canary,
            pinned,
            able,
            server: Some(format!("server-{server}")),
            ..participant(number, standing)
        }
    })
}

/// A class of Orchestras with names of their own.
fn any_fleet() -> impl Strategy<Value = Vec<Participant>> {
    prop::collection::vec(any_participant(), 0..40).prop_map(|mut participants| {
        for (number, participant) in participants.iter_mut().enumerate() {
            participant.uid = format!("uid-{number}");
            participant.name = format!("tenants/t{number}");
        }
        participants
    })
}

fn any_limits() -> impl Strategy<Value = RolloutLimits> {
    (1..6_usize, 0..4_usize, 1..4_usize, prop::bool::weighted(0.2)).prop_map(
        |(concurrent, failures, per_server, paused)| RolloutLimits {
            concurrent,
            failures,
            per_server,
            paused,
        },
    )
}

proptest! {
    /// A whole rollout, with ends in any order and any outcome: the bounds hold at every moment, canaries
    /// come first, nothing starts after a halt, and every Orchestra that can be updated is updated.
    #[test]
    fn the_bounds_hold_at_every_moment(
        mut participants in any_fleet(),
        limits in any_limits(),
        ends in prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.05)), 1..200),
    ) {
        for (which, fails) in ends {
            let decision = decide(&participants, &limits);
            let total = [decision.updated, decision.running, decision.pending, decision.awaiting_approval, decision.failed, decision.pinned];
            let total: usize = total.iter().sum();
            prop_assert_eq!(total, participants.len());
            let testing = participants.iter().any(|is| is.canary && !is.pinned && is.standing != UpdateState::Updated);
            for participant in &mut participants {
                if decision.start.contains(&participant.uid) {
                    prop_assert!(!limits.paused && decision.failed <= limits.failures);
                    prop_assert!(!testing || participant.canary, "{} before the canaries", participant.uid);
                }
                if decision.lets(&participant.uid) {
                    prop_assert!(!participant.pinned && !participant.engaged && participant.standing != UpdateState::Updated);
                    participant.engaged = true;
                }
            }
            let engaged: Vec<_> = participants.iter().filter(|is| is.engaged).map(|is| is.uid.clone()).collect();
            prop_assert!(engaged.len() <= limits.concurrent);
            for server in 0..3 {
                let server = Some(format!("server-{server}"));
                let load = participants.iter().filter(|is| is.engaged && is.server == server).count();
                prop_assert!(load <= limits.per_server);
            }
            if engaged.is_empty() {
                let stuck = participants.iter().any(|is| {
                    is.able && !is.pinned && matches!(is.standing, UpdateState::Pending | UpdateState::Broken) && (is.canary || !testing)
                });
                prop_assert!(!stuck || matches!(decision.phase, Phase::Halted | Phase::Paused), "{:?}", decision);
                break;
            }
            let ended = which.get(&engaged);
            let participant = participants.iter_mut().find(|is| &is.uid == ended).unwrap();
            participant.engaged = false;
            participant.standing = if fails { UpdateState::Failed } else { UpdateState::Updated };
        }
    }
}

#[test]
fn one_namespace_leaves_a_turn_of_a_shared_server_to_the_others() {
    let mut participants = fleet(&[UpdateState::Pending; 6]);
    participants[5].name = "modest/one".into();
    let limits = RolloutLimits {
        concurrent: 100,
        per_server: 4,
        ..LIMITS
    };
    let decision = decide(&participants, &limits);
    assert_eq!(started(&decision), ["uid-0", "uid-1", "uid-2", "uid-5"]);
    // Running migrations count, and a server with one namespace has no reserved turn.
    for participant in &mut participants[..3] {
        participant.engaged = true;
    }
    assert_eq!(started(&decide(&participants, &limits)), ["uid-5"]);
    participants.pop();
    assert_eq!(started(&decide(&participants, &limits)), ["uid-3"]);
}
