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
    // Only what is usable is old.
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
            let mut seen = pool(desired, list);
            seen.planned = (0..planned).map(|number| format!("p{number}")).collect();
            let flag = |bit: u32| flags & (1 << bit) != 0;
            (seen.deleting, seen.finalizer, seen.made) = (flag(0), flag(1), flag(2));
            seen.spent = flag(3);
            seen.supply = if flag(4) {
                MemberSupply::Open
            } else {
                MemberSupply::Closed
            };
            each(&seen);
            number += 1;
        }
    }
    number
}

#[test]
fn in_no_state_is_too_much_made_or_destroyed() {
    let number = all(|seen| {
        let (total, step) = (seen.members.len() + seen.planned.len(), plan(seen));
        let own: HashSet<_> = seen.members.iter().map(|member| &member.name).collect();
        let live = seen.finalizer && !seen.deleting;
        match &step {
            Step::AddFinalizer => assert!(!seen.finalizer && !seen.deleting),
            Step::RemoveFinalizer => assert!(seen.deleting && total == 0, "{seen:?}"),
            Step::Settle => assert!(seen.made),
            Step::Plan(more) => {
                assert!(live && seen.supply == MemberSupply::Open && *more > 0);
                let creating = seen.count(|state| {
                    matches!(
                        state,
                        WarmMemberState::Creating | WarmMemberState::Broken | WarmMemberState::Unrequested
                    )
                });
                assert!(creating + seen.planned.len() + more <= seen.at_once, "{seen:?}");
                assert!(total + more <= seen.desired + 1, "{seen:?}");
                // One more than is wanted only for an old one, when the others can be claimed.
                if total + more > seen.desired {
                    assert!(*more == 1 && creating == 0 && seen.members.iter().any(|member| member.old));
                }
            }
            Step::Create(names) => assert!(live && *names == seen.planned && total <= seen.desired + 1),
            Step::Drop(names) => {
                assert!(names.iter().all(|name| seen.planned.contains(name)) && !names.is_empty());
                assert!(seen.deleting || total - names.len() >= seen.desired, "{seen:?}");
            }
            Step::Destroy(names) => {
                assert!(names.iter().all(|name| own.contains(name)) && !names.is_empty());
                let left = seen.members.iter().filter(|member| !names.contains(&member.name));
                assert!(seen.deleting || left.count() >= seen.desired, "{seen:?}");
            }
            Step::Prepare(names) => assert!(live && names.iter().all(|name| own.contains(name))),
            Step::AwaitPreparations => assert!(live),
            Step::Yield => assert!(seen.spent),
            // What lacks is made, or waited for.
            Step::Wait(_) | Step::Rest if live => {
                let blocked = seen.count(|state| {
                    matches!(
                        state,
                        WarmMemberState::Creating | WarmMemberState::Broken | WarmMemberState::Unrequested
                    )
                }) >= seen.at_once;
                let closed = seen.supply == MemberSupply::Closed;
                assert!(total >= seen.desired || blocked || closed, "{seen:?}");
                assert!(total < seen.desired || !closed || seen.planned.is_empty() || step != Step::Rest);
            }
            Step::Wait(_) => panic!("{seen:?}"),
            Step::Rest => assert!(seen.deleting && !seen.finalizer),
        }
    });
    assert!(number > 100_000, "{number}");
}

/// Carries a step out as the world does when all goes well.
fn carry_out(seen: &mut Facts, step: Step, clock: &mut i64) {
    match step {
        Step::AddFinalizer => seen.finalizer = true,
        Step::RemoveFinalizer => seen.finalizer = false,
        Step::Settle => seen.made = false,
        Step::Plan(more) => seen
            .planned
            .extend((0..more).map(|number| format!("new-{clock}-{number}"))),
        Step::Drop(names) => seen.planned.retain(|name| !names.contains(name)),
        Step::Destroy(names) => seen.members.retain(|member| !names.contains(&member.name)),
        Step::Create(names) => {
            seen.planned.clear();
            seen.made = true;
            for name in names {
                *clock += 1;
                seen.members.push(WarmMember {
                    name,
                    created: Timestamp::from_second(*clock).unwrap_or_default(),
                    state: WarmMemberState::Unrequested,
                    old: false,
                });
            }
        }
        Step::Prepare(names) => {
            for member in seen.members.iter_mut().filter(|member| names.contains(&member.name)) {
                member.state = WarmMemberState::Available;
            }
        }
        Step::AwaitPreparations | Step::Yield | Step::Wait(_) | Step::Rest => {
            seen.spent = false;
            for member in &mut seen.members {
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
        // What passes is looked at elsewhere; and without its finalizer a deleted pool is gone.
        if first.spent || first.supply == MemberSupply::Closed || first.deleting && !first.finalizer {
            return;
        }
        let (mut seen, mut clock) = (first.clone(), 1000);
        for _ in 0..200 {
            let step = plan(&seen);
            let usable = seen.count(|state| *state == WarmMemberState::Available);
            if step == Step::Rest && (usable == seen.members.len() || seen.deleting) {
                break;
            }
            let retires = matches!(&step, Step::Destroy(_)) && seen.members.len() == seen.desired + 1;
            carry_out(&mut seen, step, &mut clock);
            let available = seen.count(|state| *state == WarmMemberState::Available);
            // The new one is there before the old one goes.
            if retires && first.members.len() <= first.desired && !seen.deleting {
                assert!(available >= seen.desired, "{first:?}");
            }
        }
        assert!(seen.planned.is_empty(), "{first:?} {seen:?}");
        let available = seen.count(|state| *state == WarmMemberState::Available);
        if seen.deleting {
            assert!(
                !seen.finalizer && (seen.members.is_empty() || !first.finalizer),
                "{first:?} {seen:?}"
            );
        } else {
            assert_eq!(
                (seen.members.len(), available),
                (seen.desired, seen.desired),
                "{first:?} {seen:?}"
            );
            assert!(!seen.members.iter().any(|member| member.old), "{first:?} {seen:?}");
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
    // What is only written down goes before all that exists.
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
