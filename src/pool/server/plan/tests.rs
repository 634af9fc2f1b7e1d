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

/// A pool that wants this number of databases, with these entries.
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
    let mut facts = pool(3, &[]);
    facts.counted.finalizer = false;
    assert_eq!(plan(&facts), Step::Count(counting::Step::AddFinalizer));
    assert_eq!(plan(&pool(3, &[])), Step::Count(counting::Step::Plan(2)));
    let mut facts = pool(3, &[]);
    facts.counted.planned = vec!["a".into(), "b".into()];
    let create = counting::Step::Create(facts.counted.planned.clone());
    assert_eq!(plan(&facts), Step::Count(create));

    let mut facts = pool(3, &[("a", WarmMemberState::Creating), ("b", WarmMemberState::Creating)]);
    facts.entries = ["a", "b"]
        .map(|name| entry(name, Need::Making, ServerWork::Due))
        .to_vec();
    assert_eq!(plan(&facts), Step::Make(vec!["a".into(), "b".into()]));
    facts.entries[0].work = ServerWork::Running { young: true };
    assert_eq!(plan(&facts), Step::Make(vec!["b".into()]));
    facts.entries[1].work = REFUSED;
    assert_eq!(plan(&facts), Step::AwaitWork);
    facts.entries[0].work = ServerWork::Running { young: false };
    assert_eq!(plan(&facts), Step::Idle(Some(Duration::from_secs(7))));

    // A server that refuses gets no request for a while, and then one.
    for entry in &mut facts.entries {
        entry.work = ServerWork::Due;
    }
    facts.pause = Some(Duration::from_secs(9));
    assert_eq!(plan(&facts), Step::Idle(Some(Duration::from_secs(9))));
    facts.pause = Some(Duration::ZERO);
    assert_eq!(plan(&facts), Step::Make(vec!["a".into()]));
    let full = pool(1, &[("a", WarmMemberState::Available)]);
    assert_eq!(plan(&full), Step::Idle(None));
}

#[test]
fn too_many_leave_one_after_the_other_and_a_claimed_one_stays() {
    let facts = pool(0, &[("a", WarmMemberState::Available)]);
    assert_eq!(plan(&facts), Step::Count(counting::Step::Destroy(vec!["a".into()])));
    let leaving = |need, work| {
        let mut facts = pool(0, &[]);
        facts.entries = vec![entry("a", need, work)];
        plan(&facts)
    };
    assert_eq!(leaving(Need::Withdrawal, ServerWork::Due), Step::Idle(Some(FALLBACK)));
    assert_eq!(leaving(Need::Removal, ServerWork::Due), Step::Remove(vec!["a".into()]));
    assert_eq!(
        leaving(Need::Removal, REFUSED),
        Step::Idle(Some(Duration::from_secs(7)))
    );
    assert_eq!(leaving(Need::Keeping, ServerWork::Due), Step::Keep(vec!["a".into()]));
    assert_eq!(leaving(Need::Password, ServerWork::Due), Step::Renew(vec!["a".into()]));
    assert_eq!(
        leaving(Need::Password, REFUSED),
        Step::Idle(Some(Duration::from_secs(7)))
    );
}

#[test]
fn a_pool_goes_when_no_entry_is_left() {
    let mut facts = pool(2, &[("a", WarmMemberState::Available)]);
    facts.counted.deleting = true;
    assert_eq!(plan(&facts), Step::Count(counting::Step::Destroy(vec!["a".into()])));
    facts.counted.members.clear();
    facts.entries = vec![entry("a", Need::Withdrawal, ServerWork::Due)];
    assert!(matches!(plan(&facts), Step::Idle(_)));
    facts.entries[0].need = Need::Removal;
    assert!(matches!(plan(&facts), Step::Remove(_)));
    facts.entries.clear();
    facts.others = 1;
    assert_eq!(plan(&facts), Step::Idle(None));
    facts.others = 0;
    assert_eq!(plan(&facts), Step::Count(counting::Step::RemoveFinalizer));
    facts.counted.finalizer = false;
    assert_eq!(plan(&facts), Step::Idle(None));
}

/// Whatever was observed: nothing is dropped that is claimed or has an OrchestraDatabase, nothing is made that is to leave,
/// no more at once than the pool says, and nothing at all without a finalizer.
#[test]
fn every_state_has_a_step_that_is_allowed() {
    let needs = [
        Need::Making,
        Need::Removal,
        Need::Withdrawal,
        Need::Keeping,
        Need::Password,
    ];
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
    let mut facts = pool(0, &[("c", WarmMemberState::Creating)]);
    facts.counted.at_once = 1;
    for (one, two) in ones.iter().flat_map(|one| ones.iter().map(move |two| (one, two))) {
        facts.entries = vec![entry("a", one.0, one.1), entry("b", two.0, two.1)];
        for flags in 0..32 {
            let is = |bit: i32| flags & (1 << bit) != 0;
            facts.counted.deleting = is(0);
            facts.counted.finalizer = is(1);
            facts.counted.spent = is(2);
            facts.counted.supply = if is(3) {
                MemberSupply::Open
            } else {
                MemberSupply::Closed
            };
            facts.others = usize::from(is(4));
            for (desired, state) in [0, 1, 3].into_iter().flat_map(|some| states.map(|state| (some, state))) {
                facts.counted.desired = desired;
                facts.counted.members[0].state = state;
                for pause in pauses {
                    facts.pause = pause;
                    check(&facts, &plan(&facts));
                }
            }
        }
    }
}

fn check(facts: &Facts, step: &Step) {
    let (deleting, finalizer) = (facts.counted.deleting, facts.counted.finalizer);
    let all = |names: &[String], need| {
        let of = |name: &String| facts.entries.iter().find(|entry| entry.name == *name);
        names
            .iter()
            .all(|name| of(name).is_some_and(|entry| entry.need == need))
    };
    let asked = |names: &[String]| {
        assert!(names.len() == 1 && finalizer, "{facts:?}");
        assert!(
            facts.running() == 0 && facts.pause.is_none_or(|pause| pause.is_zero()),
            "{facts:?}"
        );
    };
    match step {
        Step::Remove(names) => {
            assert!(all(names, Need::Removal), "{facts:?}");
            asked(names);
        }
        Step::Renew(names) => {
            assert!(all(names, Need::Password), "{facts:?}");
            asked(names);
        }
        Step::Make(names) => {
            assert!(all(names, Need::Making), "{facts:?}");
            asked(names);
        }
        Step::Keep(names) => assert!(all(names, Need::Keeping), "{facts:?}"),
        Step::Count(counting::Step::Destroy(names)) => assert_eq!(names, &["c"]),
        Step::Count(counting::Step::RemoveFinalizer) => panic!("an entry is left: {facts:?}"),
        Step::Count(counting::Step::AddFinalizer) => assert!(!finalizer && !deleting),
        Step::Count(_) => assert!(finalizer && !deleting),
        Step::AwaitWork => assert!(!facts.counted.spent),
        Step::Idle(_) => {}
    }
    let claimed = facts.entries.iter().any(|entry| entry.need == Need::Keeping);
    assert!(!claimed || matches!(step, Step::Keep(_)) || deleting && !finalizer);
}
