use super::*;

const YOUNG: EntryState = EntryState::Probing { young: true };
const OLD: EntryState = EntryState::Probing { young: false };
const SOON: Duration = Duration::from_secs(7);

fn usable(database: &str) -> EntryState {
    let database = database.into();
    EntryState::Usable { database }
}

fn refused(again: Duration, passing: bool) -> EntryState {
    EntryState::Refused(RefusedEntry { again, passing })
}

/// Entries `a`, `b`, …, each at an address of its own.
fn pool(states: impl IntoIterator<Item = EntryState>) -> Facts {
    let entry = |(number, state): (usize, EntryState)| PoolEntry {
        key: format!("{number:04}"),
        address: Some(format!("host-{number}")),
        state,
    };
    Facts {
        entries: states.into_iter().enumerate().map(entry).collect(),
        free_preparations: 4,
        ..Facts::default()
    }
}

fn enlist(entries: &[(usize, &str)]) -> Step {
    let entries = entries
        .iter()
        .map(|(number, database)| (format!("{number:04}"), (*database).into()));
    Step::Enlist(entries.collect())
}

fn probe(numbers: &[usize]) -> Step {
    Step::Probe(numbers.iter().map(|number| format!("{number:04}")).collect())
}

#[test]
fn an_entry_is_probed_enlisted_and_rests() {
    assert_eq!(plan(&pool([EntryState::Unprobed])), probe(&[0]));
    assert_eq!(plan(&pool([YOUNG])), Step::AwaitProbes);
    assert_eq!(plan(&pool([OLD])), Step::Wait(FALLBACK));
    assert_eq!(plan(&pool([usable("x")])), enlist(&[(0, "x")]));
    assert_eq!(plan(&pool([EntryState::Member])), Step::Rest);
    assert_eq!(plan(&pool([])), Step::Rest);
}

#[test]
fn a_server_that_no_entry_leads_to_is_looked_at_with_its_own_login() {
    let looked = |wait: Option<Duration>| {
        let mut seen = pool([]);
        seen.own_look = wait;
        seen
    };
    assert_eq!(plan(&looked(Some(Duration::ZERO))), Step::LookAtServer);
    assert_eq!(plan(&looked(Some(SOON))), Step::Wait(SOON));
    assert_eq!(plan(&looked(None)), Step::Rest);
    let mut spent = looked(Some(Duration::ZERO));
    spent.spent = true;
    assert_eq!(plan(&spent), Step::Wait(Duration::ZERO));
}

#[test]
fn what_was_refused_is_probed_again_when_it_may_be() {
    assert_eq!(plan(&pool([refused(Duration::ZERO, false)])), probe(&[0]));
    assert_eq!(plan(&pool([refused(SOON, true)])), Step::Wait(SOON));
    // Only a person can change it: an event or the resync triggers the pool.
    assert_eq!(plan(&pool([refused(SOON, false)])), Step::Rest);
    let both = pool([refused(SOON * 2, true), refused(SOON, true), OLD]);
    assert_eq!(plan(&both), Step::Wait(SOON));
}

#[test]
fn a_hanging_entry_keeps_no_other_out() {
    // While it is young, it may turn out to be the first of two for one database.
    assert_eq!(plan(&pool([YOUNG, usable("x")])), Step::AwaitProbes);
    assert_eq!(plan(&pool([OLD, usable("x")])), enlist(&[(1, "x")]));
    // The plan does not wait for a later one.
    assert_eq!(plan(&pool([usable("x"), YOUNG])), enlist(&[(0, "x")]));
    // New entries come before those that were refused already.
    let mut many = vec![refused(Duration::ZERO, true); PROBED_AT_ONCE];
    many.push(EntryState::Unprobed);
    let Step::Probe(keys) = plan(&pool(many)) else {
        panic!("nothing is probed")
    };
    assert_eq!((keys.len(), keys[0].as_str()), (PROBED_AT_ONCE, "0032"));
}

#[test]
fn no_more_than_the_limit_are_probed_at_once() {
    let states = |running: usize, fresh: usize| {
        let running = std::iter::repeat_n(OLD, running);
        running.chain(std::iter::repeat_n(EntryState::Unprobed, fresh))
    };
    for (running, fresh, begun) in [(0, 100, 32), (31, 100, 1), (30, 1, 1)] {
        let Step::Probe(keys) = plan(&pool(states(running, fresh))) else {
            panic!("nothing is probed")
        };
        assert_eq!(keys.len(), begun);
    }
    assert_eq!(plan(&pool(states(32, 100))), Step::Wait(FALLBACK));
}

#[test]
fn of_two_entries_for_one_address_the_first_key_goes_first() {
    for (first, waits) in [
        (OLD, true),
        (YOUNG, true),
        (EntryState::Unprobed, true),
        (refused(SOON, true), false),
        (EntryState::Member, false),
    ] {
        let mut facts = pool([first.clone(), usable("x")]);
        facts.entries[1].address = Some("host-0".into());
        let enlisted = matches!(plan(&facts), Step::Enlist(_));
        assert_eq!(enlisted, !waits, "{first:?}");
    }
    let both = pool([usable("x"), usable("x")]);
    assert_eq!(plan(&both), enlist(&[(0, "x"), (1, "x")]));
    // Two URLs that are not valid have no address in common.
    let mut invalid = pool([OLD, usable("x")]);
    for entry in &mut invalid.entries {
        entry.address = None;
    }
    assert_eq!(plan(&invalid), enlist(&[(1, "x")]));
}

#[test]
fn what_left_the_inventory_is_withdrawn_first() {
    let mut facts = pool([EntryState::Unprobed]);
    facts.left = vec!["orchdb-1".into()];
    facts.spent = true;
    assert_eq!(plan(&facts), Step::Withdraw(facts.left.clone()));
}

#[test]
fn a_pass_gives_its_worker_back() {
    let spent = |facts: Facts| Facts { spent: true, ..facts };
    assert_eq!(plan(&spent(pool([EntryState::Unprobed]))), Step::Yield);
    assert_eq!(plan(&spent(pool([usable("x")]))), Step::Yield);
    assert_eq!(plan(&spent(pool([YOUNG]))), Step::Wait(FALLBACK));
    assert_eq!(plan(&spent(pool([EntryState::Member]))), Step::Rest);
}

fn preparing(states: &[UnpreparedState]) -> Facts {
    let member = |(number, state): (usize, &UnpreparedState)| Unprepared {
        key: format!("{number:04}"),
        state: *state,
    };
    let members: Vec<_> = states.iter().enumerate().map(member).collect();
    Facts {
        preparation: PreparationWork::Of(members),
        ..pool(vec![EntryState::Member; states.len()])
    }
}

#[test]
fn members_are_prepared_a_few_at_a_time() {
    use UnpreparedState::{Due, Running};
    let Step::Prepare(keys) = plan(&preparing(&[Due; 9])) else {
        panic!("nothing is prepared")
    };
    assert_eq!(keys, ["0000", "0001", "0002", "0003"]);
    let full = |facts: Facts| Facts {
        free_preparations: 0,
        ..facts
    };
    // Another pool's preparations trigger that pool, and not this one.
    assert_eq!(plan(&full(preparing(&[Due]))), Step::Wait(BUSY));
    let young = Running { young: true };
    assert_eq!(plan(&full(preparing(&[young, Due]))), Step::AwaitPreparations);
    assert_eq!(plan(&preparing(&[Running { young: false }])), Step::Wait(FALLBACK));
    let again = SOON;
    let passing = UnpreparedState::Refused(RefusedEntry { again, passing: true });
    assert_eq!(plan(&preparing(&[passing])), Step::Wait(SOON));
    let blocked = UnpreparedState::Refused(RefusedEntry { again, passing: false });
    assert_eq!(plan(&preparing(&[blocked])), Step::Rest);
    assert_eq!(plan(&preparing(&[])), Step::Rest);
}

#[test]
fn entries_come_before_preparations() {
    let blocked = Facts {
        preparation: PreparationWork::Blocked,
        ..pool([EntryState::Member])
    };
    assert_eq!(plan(&blocked), Step::Stop);
    assert!(!entries_come_first(&blocked));
    for state in [EntryState::Unprobed, YOUNG, usable("x")] {
        let mut facts = pool([state]);
        assert!(entries_come_first(&facts));
        let before = plan(&facts);
        facts.preparation = PreparationWork::Blocked;
        assert_eq!(plan(&facts), before);
    }
    for state in [EntryState::Member, OLD, refused(SOON, true), refused(SOON, false)] {
        assert!(!entries_come_first(&pool([state])));
    }
}

#[test]
fn members_are_looked_at_once_the_entries_need_nothing() {
    let mut facts = pool([EntryState::Member, EntryState::Member]);
    let member = |key: &str, state| EntryMember {
        key: key.into(),
        server: Some("one".into()),
        free: true,
        state,
    };
    facts.pace = Pace {
        calm: SOON * 2,
        again: SOON,
    };
    facts.members = vec![
        member("0000", EntryMemberState::Unknown),
        member("0001", EntryMemberState::Well { age: SOON }),
    ];
    assert_eq!(plan(&facts), Step::Check(vec!["0000".into()]));
    assert!(entries_come_first(&facts));
    facts.members[0].state = EntryMemberState::Looking;
    assert_eq!(plan(&facts), Step::Wait(SOON));
    facts.entries.push(pool([EntryState::Unprobed]).entries.remove(0));
    assert!(matches!(plan(&facts), Step::Probe(_)));
    facts.left = vec!["orchdb-1".into()];
    assert_eq!(plan(&facts), Step::Withdraw(vec!["orchdb-1".into()]));
}
