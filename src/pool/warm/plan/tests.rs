use std::collections::HashSet;

use super::*;
use crate::pool::plan::RefusedEntry;

const READY: [WarmMemberState; 2] = [
    WarmMemberState::Unprepared(UnpreparedState::Due),
    WarmMemberState::Available,
];

fn states() -> Vec<(WarmMemberState, bool)> {
    let running = |young| WarmMemberState::Unprepared(UnpreparedState::Running { young });
    let refused = |passing| {
        let again = Duration::from_secs(7);
        WarmMemberState::Unprepared(UnpreparedState::Refused(RefusedEntry { again, passing }))
    };
    let all = [
        WarmMemberState::Unrequested,
        WarmMemberState::Broken,
        WarmMemberState::Creating,
        running(false),
        refused(true),
    ];
    let mut all: Vec<_> = all.into_iter().map(|state| (state, false)).collect();
    // Only usable members can be old.
    all.extend(READY.into_iter().flat_map(|state| [(state, false), (state, true)]));
    all
}

/// Members `0`, `1`, … of these states, each younger than the one before it.
fn members(states: &[(WarmMemberState, bool)]) -> Vec<WarmMember> {
    let member = |(number, (state, old)): (usize, &(WarmMemberState, bool))| WarmMember {
        name: number.to_string(),
        created: Timestamp::from_second(i64::try_from(number).unwrap_or_default()).unwrap_or_default(),
        state: *state,
        old: *old,
    };
    states.iter().enumerate().map(member).collect()
}

fn pool(desired: usize, states: &[(WarmMemberState, bool)]) -> Facts {
    Facts {
        finalizer: true,
        desired,
        at_once: 2,
        members: members(states),
        free_preparations: 4,
        ..Facts::default()
    }
}

fn plain(states: &[WarmMemberState]) -> Vec<(WarmMemberState, bool)> {
    states.iter().map(|state| (*state, false)).collect()
}

/// All pools of up to three members and two planned ones.
fn all(mut each: impl FnMut(&Facts)) -> usize {
    let states = states();
    let mut lists: Vec<Vec<(WarmMemberState, bool)>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = lists.len();
        for list in from..to {
            for state in &states {
                let mut longer = lists[list].clone();
                longer.push(*state);
                lists.push(longer);
            }
        }
        from = to;
    }
    let mut number = 0;
    for list in &lists {
        for (desired, planned, flags) in (0..4)
            .flat_map(|desired| (0..3).flat_map(move |planned| (0..32).map(move |flags| (desired, planned, flags))))
        {
            let mut facts = pool(desired, list);
            facts.planned = (0..planned).map(|number| format!("p{number}")).collect();
            let flag = |bit: u32| flags & (1 << bit) != 0;
            (facts.deleting, facts.finalizer, facts.made) = (flag(0), flag(1), flag(2));
            facts.spent = flag(3);
            facts.supply = if flag(4) {
                MemberSupply::Open
            } else {
                MemberSupply::Closed
            };
            each(&facts);
            number += 1;
        }
    }
    number
}

#[test]
fn in_no_state_is_too_much_made_or_destroyed() {
    let number = all(|facts| {
        let (total, step) = (facts.members.len() + facts.planned.len(), plan(facts));
        let own: HashSet<_> = facts.members.iter().map(|member| &member.name).collect();
        let live = facts.finalizer && !facts.deleting;
        match &step {
            Step::AddFinalizer => assert!(!facts.finalizer && !facts.deleting),
            Step::RemoveFinalizer => assert!(facts.deleting && total == 0, "{facts:?}"),
            Step::Settle => assert!(facts.made),
            Step::Plan(more) => {
                assert!(live && facts.supply == MemberSupply::Open && *more > 0);
                let creating = facts.count(|state| {
                    matches!(
                        state,
                        WarmMemberState::Creating | WarmMemberState::Broken | WarmMemberState::Unrequested
                    )
                });
                assert!(creating + facts.planned.len() + more <= facts.at_once, "{facts:?}");
                assert!(total + more <= facts.desired + 1, "{facts:?}");
                // One more than wanted only for an old one, when the others can be claimed.
                if total + more > facts.desired {
                    assert!(*more == 1 && creating == 0 && facts.members.iter().any(|member| member.old));
                }
            }
            Step::Create(names) => assert!(live && *names == facts.planned && total <= facts.desired + 1),
            Step::Drop(names) => {
                assert!(names.iter().all(|name| facts.planned.contains(name)) && !names.is_empty());
                assert!(facts.deleting || total - names.len() >= facts.desired, "{facts:?}");
            }
            Step::Destroy(names) => {
                assert!(names.iter().all(|name| own.contains(name)) && !names.is_empty());
                let left = facts.members.iter().filter(|member| !names.contains(&member.name));
                assert!(facts.deleting || left.count() >= facts.desired, "{facts:?}");
            }
            Step::Prepare(names) => assert!(live && names.iter().all(|name| own.contains(name))),
            Step::AwaitPreparations => assert!(live),
            Step::Yield => assert!(facts.spent),
            // Missing members are created, or waited for.
            Step::Wait(_) | Step::Rest if live => {
                let blocked = facts.count(|state| {
                    matches!(
                        state,
                        WarmMemberState::Creating | WarmMemberState::Broken | WarmMemberState::Unrequested
                    )
                }) >= facts.at_once;
                let closed = facts.supply == MemberSupply::Closed;
                assert!(total >= facts.desired || blocked || closed, "{facts:?}");
                assert!(total < facts.desired || !closed || facts.planned.is_empty() || step != Step::Rest);
            }
            Step::Wait(_) => panic!("{facts:?}"),
            Step::Rest => assert!(facts.deleting && !facts.finalizer),
        }
    });
    assert!(number > 100_000, "{number}");
}

/// The facts after a successful step.
fn carry_out(facts: &mut Facts, step: Step, clock: &mut i64) {
    match step {
        Step::AddFinalizer => facts.finalizer = true,
        Step::RemoveFinalizer => facts.finalizer = false,
        Step::Settle => facts.made = false,
        Step::Plan(more) => facts
            .planned
            .extend((0..more).map(|number| format!("new-{clock}-{number}"))),
        Step::Drop(names) => facts.planned.retain(|name| !names.contains(name)),
        Step::Destroy(names) => facts.members.retain(|member| !names.contains(&member.name)),
        Step::Create(names) => {
            facts.planned.clear();
            facts.made = true;
            for name in names {
                *clock += 1;
                facts.members.push(WarmMember {
                    name,
                    created: Timestamp::from_second(*clock).unwrap_or_default(),
                    state: WarmMemberState::Unrequested,
                    old: false,
                });
            }
        }
        Step::Prepare(names) => {
            for member in facts.members.iter_mut().filter(|member| names.contains(&member.name)) {
                member.state = WarmMemberState::Available;
            }
        }
        Step::AwaitPreparations | Step::Yield | Step::Wait(_) | Step::Rest => {
            facts.spent = false;
            for member in &mut facts.members {
                member.state = match member.state {
                    WarmMemberState::Unrequested => WarmMemberState::Creating,
                    WarmMemberState::Creating | WarmMemberState::Broken => {
                        WarmMemberState::Unprepared(UnpreparedState::Due)
                    }
                    WarmMemberState::Unprepared(_) | WarmMemberState::Available => WarmMemberState::Available,
                };
            }
        }
    }
}

#[test]
fn from_every_state_the_pool_becomes_what_it_is_to_be() {
    all(|first| {
        // Transient problems are tested elsewhere; and without its finalizer a deleted pool is gone.
        if first.spent || first.supply == MemberSupply::Closed || first.deleting && !first.finalizer {
            return;
        }
        let (mut facts, mut clock) = (first.clone(), 1000);
        for _ in 0..200 {
            let step = plan(&facts);
            let usable = facts.count(|state| *state == WarmMemberState::Available);
            if step == Step::Rest && (usable == facts.members.len() || facts.deleting) {
                break;
            }
            let retires = matches!(&step, Step::Destroy(_)) && facts.members.len() == facts.desired + 1;
            carry_out(&mut facts, step, &mut clock);
            let available = facts.count(|state| *state == WarmMemberState::Available);
            // The new one exists before the old one is deleted.
            if retires && first.members.len() <= first.desired && !facts.deleting {
                assert!(available >= facts.desired, "{first:?}");
            }
        }
        assert!(facts.planned.is_empty(), "{first:?} {facts:?}");
        let available = facts.count(|state| *state == WarmMemberState::Available);
        if facts.deleting {
            assert!(
                !facts.finalizer && (facts.members.is_empty() || !first.finalizer),
                "{first:?} {facts:?}"
            );
        } else {
            assert_eq!(
                (facts.members.len(), available),
                (facts.desired, facts.desired),
                "{first:?} {facts:?}"
            );
            assert!(!facts.members.iter().any(|member| member.old), "{first:?} {facts:?}");
        }
    });
}

#[test]
fn what_costs_least_goes_first() {
    let states = [
        WarmMemberState::Available,
        WarmMemberState::Unrequested,
        WarmMemberState::Available,
        WarmMemberState::Broken,
        WarmMemberState::Creating,
    ];
    let destroyed = |desired| match plan(&pool(desired, &plain(&states))) {
        Step::Destroy(names) => names,
        step => panic!("{step:?}"),
    };
    assert_eq!(destroyed(4), ["1"]);
    assert_eq!(destroyed(3), ["1", "3"]);
    assert_eq!(destroyed(2), ["1", "3", "4"]);
    assert_eq!(destroyed(1), ["1", "3", "4", "2"], "the younger one of two that wait");
    assert_eq!(destroyed(0).len(), 5);
    // Recorded names are removed before existing members.
    let planned = Facts {
        planned: vec!["a".into(), "b".into()],
        ..pool(6, &plain(&states))
    };
    assert_eq!(plan(&planned), Step::Drop(vec!["b".into()]));
}

#[test]
fn old_members_are_replaced_one_at_a_time() {
    let mut states = vec![(WarmMemberState::Available, true), (WarmMemberState::Available, true)];
    assert_eq!(plan(&pool(2, &states)), Step::Plan(1));
    states.push((WarmMemberState::Creating, false));
    assert_eq!(plan(&pool(2, &states)), Step::Rest);
    states[2].0 = WarmMemberState::Available;
    assert_eq!(plan(&pool(2, &states)), Step::Destroy(vec!["0".into()]));
    // While others are being created, nothing is replaced.
    let refilled = [(WarmMemberState::Available, true), (WarmMemberState::Creating, false)];
    assert_eq!(plan(&pool(2, &refilled)), Step::Rest);
    // Without room in the budget the old one stays.
    let closed = Facts {
        supply: MemberSupply::Closed,
        ..pool(1, &states[..1])
    };
    assert_eq!(plan(&closed), Step::Wait(RETRY));
    let soon = Facts {
        ages_in: Some(Duration::from_secs(5)),
        ..pool(1, &plain(&[WarmMemberState::Available]))
    };
    assert_eq!(plan(&soon), Step::Wait(Duration::from_secs(5)));
}
