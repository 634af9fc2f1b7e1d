use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::pool::warm::plan::{MemberSupply, WarmMember, WarmMemberState};

fn member(name: &str, state: WarmMemberState) -> WarmMember {
    WarmMember {
        name: name.into(),
        created: Timestamp::UNIX_EPOCH,
        state,
        old: false,
    }
}

fn entry(name: &str, need: Need, work: ServerWork) -> ServerEntry {
    ServerEntry {
        name: name.into(),
        need,
        work,
    }
}

/// A pool that wants so many, with these entries.
fn pool(desired: usize, members: &[(&str, WarmMemberState)]) -> Facts {
    Facts {
        counted: counting::Facts {
            finalizer: true,
            desired,
            at_once: 2,
            members: members.iter().map(|(name, state)| member(name, *state)).collect(),
            ..counting::Facts::default()
        },
        ..Facts::default()
    }
}

const REFUSED: ServerWork = ServerWork::Refused {
    again: Duration::from_secs(7),
};

#[test]
fn a_pool_writes_down_makes_and_rests() {
    let mut seen = pool(3, &[]);
    seen.counted.finalizer = false;
    assert_eq!(plan(&seen), Step::Count(counting::Step::AddFinalizer));
    assert_eq!(plan(&pool(3, &[])), Step::Count(counting::Step::Plan(2)));
    let mut seen = pool(3, &[]);
    seen.counted.planned = vec!["a".into(), "b".into()];
    let create = counting::Step::Create(seen.counted.planned.clone());
    assert_eq!(plan(&seen), Step::Count(create));

    let mut seen = pool(3, &[("a", WarmMemberState::Creating), ("b", WarmMemberState::Creating)]);
    seen.entries = ["a", "b"]
        .map(|name| entry(name, Need::Making, ServerWork::Due))
        .to_vec();
    assert_eq!(plan(&seen), Step::Make(vec!["a".into(), "b".into()]));
    seen.entries[0].work = ServerWork::Running { young: true };
    assert_eq!(plan(&seen), Step::Make(vec!["b".into()]));
    seen.entries[1].work = REFUSED;
    assert_eq!(plan(&seen), Step::AwaitWork);
    seen.entries[0].work = ServerWork::Running { young: false };
    assert_eq!(plan(&seen), Step::Idle(Some(Duration::from_secs(7))));

    // A server that refuses is asked for nothing, and then for one thing.
    for entry in &mut seen.entries {
        entry.work = ServerWork::Due;
    }
    seen.pause = Some(Duration::from_secs(9));
    assert_eq!(plan(&seen), Step::Idle(Some(Duration::from_secs(9))));
    seen.pause = Some(Duration::ZERO);
    assert_eq!(plan(&seen), Step::Make(vec!["a".into()]));
    let full = pool(1, &[("a", WarmMemberState::Available)]);
    assert_eq!(plan(&full), Step::Idle(None));
}

#[test]
fn too_many_leave_one_after_the_other_and_a_claimed_one_stays() {
    let seen = pool(0, &[("a", WarmMemberState::Available)]);
    assert_eq!(plan(&seen), Step::Count(counting::Step::Destroy(vec!["a".into()])));
    let leaving = |need, work| {
        let mut seen = pool(0, &[]);
        seen.entries = vec![entry("a", need, work)];
        plan(&seen)
    };
    assert_eq!(leaving(Need::Withdrawal, ServerWork::Due), Step::Idle(Some(FALLBACK)));
    assert_eq!(leaving(Need::Removal, ServerWork::Due), Step::Remove(vec!["a".into()]));
    assert_eq!(
        leaving(Need::Removal, REFUSED),
        Step::Idle(Some(Duration::from_secs(7)))
    );
    assert_eq!(leaving(Need::Keeping, ServerWork::Due), Step::Keep(vec!["a".into()]));
}

#[test]
fn a_pool_goes_when_no_entry_is_left() {
    let mut seen = pool(2, &[("a", WarmMemberState::Available)]);
    seen.counted.deleting = true;
    assert_eq!(plan(&seen), Step::Count(counting::Step::Destroy(vec!["a".into()])));
    seen.counted.members.clear();
    seen.entries = vec![entry("a", Need::Withdrawal, ServerWork::Due)];
    assert!(matches!(plan(&seen), Step::Idle(_)));
    seen.entries[0].need = Need::Removal;
    assert!(matches!(plan(&seen), Step::Remove(_)));
    seen.entries.clear();
    seen.others = 1;
    assert_eq!(plan(&seen), Step::Idle(None));
    seen.others = 0;
    assert_eq!(plan(&seen), Step::Count(counting::Step::RemoveFinalizer));
    seen.counted.finalizer = false;
    assert_eq!(plan(&seen), Step::Idle(None));
}

/// Whatever was observed: nothing is dropped that is claimed or has an OrchestraDatabase, nothing is made that is to leave,
/// no more at once than the pool says, and nothing at all without a finalizer.
#[test]
fn every_state_has_a_step_that_is_allowed() {
    let needs = [Need::Making, Need::Removal, Need::Withdrawal, Need::Keeping];
    let works = [
        ServerWork::Due,
        ServerWork::Running { young: true },
        ServerWork::Running { young: false },
        REFUSED,
    ];
    let states = [
        WarmMemberState::Creating,
        WarmMemberState::Broken,
        WarmMemberState::Available,
    ];
    let ones: Vec<_> = needs.iter().flat_map(|need| works.map(|work| (*need, work))).collect();
    let pauses = [None, Some(Duration::ZERO), Some(Duration::from_secs(9))];
    let mut seen = pool(0, &[("c", WarmMemberState::Creating)]);
    seen.counted.at_once = 1;
    for (one, two) in ones.iter().flat_map(|one| ones.iter().map(move |two| (one, two))) {
        seen.entries = vec![entry("a", one.0, one.1), entry("b", two.0, two.1)];
        for flags in 0..32 {
            let is = |bit: i32| flags & (1 << bit) != 0;
            seen.counted.deleting = is(0);
            seen.counted.finalizer = is(1);
            seen.counted.spent = is(2);
            seen.counted.supply = if is(3) {
                MemberSupply::Open
            } else {
                MemberSupply::Closed
            };
            seen.others = usize::from(is(4));
            for (desired, state) in [0, 1, 3].into_iter().flat_map(|some| states.map(|state| (some, state))) {
                seen.counted.desired = desired;
                seen.counted.members[0].state = state;
                for pause in pauses {
                    seen.pause = pause;
                    check(&seen, &plan(&seen));
                }
            }
        }
    }
}

fn check(seen: &Facts, step: &Step) {
    let (deleting, finalizer) = (seen.counted.deleting, seen.counted.finalizer);
    let all = |names: &[String], need| {
        let of = |name: &String| seen.entries.iter().find(|entry| entry.name == *name);
        names
            .iter()
            .all(|name| of(name).is_some_and(|entry| entry.need == need))
    };
    let asked = |names: &[String]| {
        assert!(names.len() == 1 && finalizer, "{seen:?}");
        assert!(
            seen.running() == 0 && seen.pause.is_none_or(|pause| pause.is_zero()),
            "{seen:?}"
        );
    };
    match step {
        Step::Remove(names) => {
            assert!(all(names, Need::Removal), "{seen:?}");
            asked(names);
        }
        Step::Make(names) => {
            assert!(all(names, Need::Making), "{seen:?}");
            asked(names);
        }
        Step::Keep(names) => assert!(all(names, Need::Keeping), "{seen:?}"),
        Step::Count(counting::Step::Destroy(names)) => assert_eq!(names, &["c"]),
        Step::Count(counting::Step::RemoveFinalizer) => panic!("an entry is left: {seen:?}"),
        Step::Count(counting::Step::AddFinalizer) => assert!(!finalizer && !deleting),
        Step::Count(_) => assert!(finalizer && !deleting),
        Step::AwaitWork => assert!(!seen.counted.spent),
        Step::Idle(_) => {}
    }
    let claimed = seen.entries.iter().any(|entry| entry.need == Need::Keeping);
    assert!(!claimed || matches!(step, Step::Keep(_)) || deleting && !finalizer);
}
