#![allow(clippy::unwrap_used)]
use super::*;

fn project(name: &str, created: i64, issued: bool, monthly: &str) -> BudgetItem {
    BudgetItem {
        of: BudgetUse::Project,
        name: name.into(),
        created: Timestamp::from_second(created).unwrap(),
        issued,
        monthly: money::parse(monthly),
    }
}

/// An accepted schedule.
fn backups(name: &str, monthly: &str) -> BudgetItem {
    BudgetItem {
        of: BudgetUse::Backups,
        ..project(name, 1, true, monthly)
    }
}

fn limits(monthly: &str, projects: Option<usize>) -> BudgetLimits {
    BudgetLimits {
        monthly: money::parse(monthly),
        projects,
    }
}

#[test]
fn the_last_cent_may_be_spent_and_not_one_more() {
    let there = [project("a", 1, true, "9.81"), project("b", 2, true, "9.81")];
    let next = project("c", 3, false, "9.81");
    assert_eq!(room(&there, &next, &limits("29.43", None)), Ok(()));
    assert_eq!(room(&there, &next, &limits("29.42", None)), Err(Full::Money));
    assert_eq!(room(&there, &next, &limits("", Some(3))), Ok(()));
    assert_eq!(room(&there, &next, &limits("", Some(2))), Err(Full::Projects));
    assert_eq!(room(&there, &next, &limits("1000", Some(2))), Err(Full::Projects));
    assert_eq!(room(&there, &next, &BudgetLimits::default()), Ok(()));
}

#[test]
fn a_limit_of_nothing_admits_what_costs_nothing() {
    let free = project("a", 1, false, "0");
    assert_eq!(room(&[], &free, &limits("0", None)), Ok(()));
    assert_eq!(
        room(&[], &project("a", 1, false, "0.01"), &limits("0", None)),
        Err(Full::Money)
    );
    assert_eq!(room(&[], &free, &limits("0", Some(0))), Err(Full::Projects));
}

#[test]
fn what_waits_longer_goes_first_and_what_was_asked_for_before_all() {
    let [old, young] = [project("z", 1, false, "10"), project("a", 2, false, "10")];
    let both = [old.clone(), young.clone()];
    assert_eq!(room(&both, &old, &limits("10", None)), Ok(()));
    assert_eq!(room(&both, &young, &limits("10", None)), Err(Full::Money));
    // Of the same second, the name decides, and the same way for both.
    let [one, two] = [project("a", 1, false, "10"), project("b", 1, false, "10")];
    let both = [two.clone(), one.clone()];
    assert_eq!(room(&both, &one, &limits("10", None)), Ok(()));
    assert_eq!(room(&both, &two, &limits("10", None)), Err(Full::Money));
    let issued = [project("y", 9, true, "10"), one.clone()];
    assert_eq!(room(&issued, &one, &limits("10", None)), Err(Full::Money));
    // One that is too expensive for what is left does not delay a cheaper one.
    let dear = [project("d", 1, false, "100")];
    assert_eq!(room(&dear, &young, &limits("10", None)), Ok(()));
}

#[test]
fn of_any_number_that_ask_at_once_only_as_many_as_fit_are_let_through() {
    let projects: Vec<_> = (0..50)
        .map(|n| project(&format!("p{n}"), n % 7, n % 5 == 0, "9.81"))
        .collect();
    for most in 10..50 {
        let limits = limits(&money::text(Decimal::new(981, 2) * Decimal::from(most)), None);
        let through = projects
            .iter()
            .filter(|it| it.issued || room(&projects, it, &limits).is_ok())
            .count();
        assert_eq!(through, most);
    }
}

#[test]
fn a_price_that_nobody_knows_fits_into_no_limit_of_money() {
    let unknown = project("a", 1, false, "");
    assert_eq!(room(&[], &unknown, &limits("1000", None)), Err(Full::Unpriced));
    assert_eq!(room(&[], &unknown, &limits("", Some(1))), Ok(()));
    let there = [project("b", 0, true, "")];
    assert_eq!(
        room(&there, &project("a", 1, false, "1"), &limits("1000", None)),
        Err(Full::Unpriced)
    );
}

#[test]
fn a_grant_counts_until_it_is_shown() {
    let budgets = Budgets::default();
    let limits = limits("20", None);
    let ask = |shown: Vec<BudgetItem>, name: &str, taken| {
        let mut candidate = project(name, 9, false, "9.81");
        // A candidate whose OrchestraDatabase is not created yet.
        candidate.created = Timestamp::MAX;
        budgets.decide(("standard", &limits), || shown, Vec::new(), &candidate, taken)
    };
    // A check without taking changes nothing.
    for _ in 0..5 {
        assert_eq!(ask(vec![], "a", false), Ok(()));
    }
    assert_eq!(ask(vec![], "a", true), Ok(()));
    assert_eq!(ask(vec![], "a", true), Ok(()), "the same one asks again");
    assert_eq!(ask(vec![], "b", true), Ok(()));
    assert_eq!(
        ask(vec![], "c", true),
        Err(Full::Money),
        "the watch shows none of them yet"
    );
    assert_eq!(ask(vec![], "A", true), Err(Full::Money), "names do not matter");
    let (a, b) = (project("a", 1, false, "9.81"), project("b", 1, false, "9.81"));
    assert_eq!(ask(vec![a.clone(), b.clone()], "c", true), Err(Full::Money));
    assert_eq!(ask(vec![a], "c", true), Ok(()), "b was shown, and is gone");
}

#[test]
fn what_was_shown_and_goes_makes_room_at_once() {
    let budgets = Budgets::default();
    let limits = limits("10", None);
    let mut issued = project("a", 1, true, "9.81");
    let ask = |candidate: &BudgetItem| budgets.decide(("standard", &limits), Vec::new, Vec::new(), candidate, true);
    assert_eq!(ask(&issued), Ok(()));
    let next = project("b", 2, true, "9.81");
    issued.issued = false;
    budgets.settle("standard", || vec![issued.clone()]);
    assert_eq!(ask(&next), Err(Full::Money), "it is not shown as asked for yet");
    issued.issued = true;
    budgets.settle("standard", || vec![issued]);
    assert_eq!(ask(&next), Ok(()));
}

#[test]
fn a_look_for_room_changes_nothing() {
    let budgets = Budgets::default();
    let limits = limits("10", None);
    let granted = project("a", 1, true, "9.81");
    let ask = |shown: &[BudgetItem], candidate: &BudgetItem, taken| {
        budgets.decide(("standard", &limits), || shown.to_vec(), Vec::new(), candidate, taken)
    };
    assert_eq!(ask(&[], &granted, true), Ok(()));
    let next = project("b", 2, true, "9.81");
    // The grant is shown, and counts once; what only looks does not drop it.
    assert_eq!(ask(std::slice::from_ref(&granted), &next, false), Err(Full::Money));
    assert_eq!(ask(&[], &next, false), Err(Full::Money));
    assert_eq!(ask(&[], &next, false), Err(Full::Money));
    // What takes room does.
    assert_eq!(ask(std::slice::from_ref(&granted), &next, true), Err(Full::Money));
    assert_eq!(ask(&[], &next, false), Ok(()));
}

#[test]
fn what_was_announced_counts_as_such_before_the_watch_says_so() {
    let budgets = Budgets::default();
    let limits = limits("10", None);
    // The younger one was alone when it asked, and was granted.
    let (old, young) = (project("a", 1, false, "9.81"), project("b", 1, false, "9.81"));
    let mut candidate = young.clone();
    candidate.issued = true;
    let decide = |shown: Vec<BudgetItem>, candidate: &BudgetItem| {
        budgets.decide(("standard", &limits), || shown, Vec::new(), candidate, true)
    };
    assert_eq!(decide(vec![young.clone()], &candidate), Ok(()));
    let mut other = old.clone();
    other.issued = true;
    assert_eq!(decide(vec![old.clone(), young.clone()], &other), Err(Full::Money));
    let mut shown = young;
    shown.issued = true;
    assert_eq!(decide(vec![old.clone(), shown], &other), Err(Full::Money));
    assert_eq!(decide(vec![old], &other), Ok(()), "the young one is gone");
}

#[test]
fn a_grant_that_never_shows_runs_out_and_counts_for_its_class_only() {
    let grant = |class: &str, at| BudgetGrant {
        class: class.into(),
        item: project("a", 1, false, "9.81"),
        at,
    };
    let now = Instant::now();
    let seen = |class: &str, later| {
        let grants = HashMap::from([("a".to_owned(), grant("standard", now))]);
        let mut projects = Vec::new();
        let over = merge(&grants, class, &mut projects, now + later);
        (projects.len(), over.len())
    };
    assert_eq!(seen("standard", Duration::ZERO), (1, 0));
    assert_eq!(seen("standard", GRANT), (0, 1));
    assert_eq!(seen("other", Duration::ZERO), (0, 0));
}

#[test]
fn what_nobody_waits_for_comes_last() {
    let at = |name: &str, place| BudgetItem {
        created: before_the_end(place),
        ..project(name, 0, false, "9.81")
    };
    let limits = limits("10", None);
    // A pool's database that exists and was not requested yet gives way to an Orchestra that asks, or has asked.
    let spare = at("a", SPARE);
    assert_eq!(room([&spare], &at("z", NEXT_OF_TENANT), &limits), Ok(()));
    let tenant = project("z", 99, false, "9.81");
    assert_eq!(room([&spare, &tenant], &spare, &limits), Err(Full::Money));
    assert_eq!(room([&spare, &tenant], &tenant, &limits), Ok(()));
    // No other database of a pool is granted beside it, whatever its name.
    for name in ["", "0", "z"] {
        assert_eq!(room([&spare], &at(name, NEXT_OF_POOL), &limits), Err(Full::Money));
    }
    // A grant keeps its place.
    let budgets = Budgets::default();
    let ask = |candidate: &BudgetItem, ahead: Vec<BudgetItem>| {
        budgets.decide(("standard", &limits), Vec::new, ahead, candidate, true)
    };
    let waits = project("t", 5, false, "9.81");
    assert_eq!(ask(&at("p", NEXT_OF_POOL), vec![waits]), Err(Full::Money));
    assert_eq!(ask(&at("p", NEXT_OF_POOL), Vec::new()), Ok(()));
    assert_eq!(ask(&at("q", NEXT_OF_POOL), Vec::new()), Err(Full::Money));
    assert_eq!(
        ask(&at("t", NEXT_OF_TENANT), Vec::new()),
        Ok(()),
        "the Orchestra goes first"
    );
}

#[test]
fn backups_and_projects_share_the_money_and_only_projects_are_counted() {
    let there = [project("a", 1, true, "9.81"), backups("u", "5")];
    let (next, more) = (project("b", 2, false, "9.81"), backups("v", "9.81"));
    for candidate in [&next, &more] {
        assert_eq!(room(&there, candidate, &limits("24.62", None)), Ok(()));
        assert_eq!(room(&there, candidate, &limits("24.61", None)), Err(Full::Money));
    }
    assert_eq!(
        room(&there, &next, &limits("", Some(2))),
        Ok(()),
        "one project is there"
    );
    assert_eq!(room(&there, &next, &limits("", Some(1))), Err(Full::Projects));
    assert_eq!(room(&there, &more, &limits("", Some(1))), Ok(()));
    // A schedule that asks for more replaces itself.
    assert_eq!(room(&there, &backups("u", "9"), &limits("18.81", None)), Ok(()));
    assert_eq!(
        room(&there, &backups("u", "9.01"), &limits("18.81", None)),
        Err(Full::Money)
    );
}

#[test]
fn of_schedules_that_ask_at_once_only_as_many_as_fit_are_accepted() {
    let budgets = Budgets::default();
    let limits = limits("10", None);
    let ask = |shown: Vec<BudgetItem>, candidate: &BudgetItem, taken| {
        budgets.decide(("standard", &limits), || shown, Vec::new(), candidate, taken)
    };
    let (one, two) = (backups("u", "6"), backups("v", "6"));
    for candidate in [&one, &two] {
        assert_eq!(ask(vec![], candidate, false), Ok(()), "each would fit alone");
    }
    assert_eq!(ask(vec![], &one, true), Ok(()));
    assert_eq!(
        ask(vec![], &two, true),
        Err(Full::Money),
        "no watch shows the first one yet"
    );
    assert_eq!(ask(vec![], &project("p", 1, false, "4.01"), true), Err(Full::Money));
    assert_eq!(ask(vec![], &one, true), Ok(()), "the same one asks again");
    assert_eq!(ask(vec![one.clone()], &backups("w", "4"), true), Ok(()));
    assert_eq!(ask(vec![one, backups("w", "4")], &two, true), Err(Full::Money));
    // Both are shown, and are gone.
    assert_eq!(ask(vec![], &two, true), Ok(()));
}

#[test]
fn a_schedule_that_asks_for_more_counts_as_such_before_the_watch_says_so() {
    let budgets = Budgets::default();
    let limits = limits("10", None);
    let ask = |shown: &[BudgetItem], candidate: &BudgetItem| {
        budgets.decide(("standard", &limits), || shown.to_vec(), Vec::new(), candidate, true)
    };
    let (before, after) = (backups("u", "2"), backups("u", "7"));
    assert_eq!(ask(std::slice::from_ref(&before), &after), Ok(()));
    assert_eq!(ask(std::slice::from_ref(&before), &backups("v", "4")), Err(Full::Money));
    assert_eq!(ask(&[before], &backups("v", "3")), Ok(()));
    assert_eq!(
        ask(&[after, backups("v", "3")], &backups("w", "0.01")),
        Err(Full::Money)
    );
    // One that asks for less makes room once it is shown.
    assert_eq!(ask(&[backups("u", "7"), backups("v", "3")], &backups("u", "1")), Ok(()));
    assert_eq!(
        ask(&[backups("u", "7"), backups("v", "3")], &backups("w", "1")),
        Err(Full::Money)
    );
    assert_eq!(ask(&[backups("u", "1"), backups("v", "3")], &backups("w", "1")), Ok(()));
}
