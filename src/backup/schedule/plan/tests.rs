#![allow(clippy::unwrap_used)]
use jiff::SignedDuration;

use super::*;
use crate::api::BackupRetention;
use crate::cron::Schedule;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn times() -> Times {
    Times::new(Schedule::read("spec.backup", "0 2 * * *", None).unwrap(), "uid-1")
}

/// When the backup of a day is made.
fn time_of(day: i8) -> Timestamp {
    let midnight = at(&format!("2026-11-{day:02}T00:00:00Z"));
    times().next(midnight).unwrap()
}

fn made(day: i8, state: BackupState) -> Made {
    Made {
        name: format!("one-{day}"),
        fired: at(&format!("2026-11-{day:02}T02:00:00Z")),
        taken: time_of(day),
        state,
        verified: false,
        in_use: false,
        prompt: true,
        timed: true,
    }
}

fn failed() -> BackupState {
    BackupState::Failed(Reason::StoreFull, "no room".into())
}

fn stalled() -> BackupState {
    BackupState::Stalled(Reason::NoBackupDestination, "none".into())
}

fn facts(now: Timestamp, known: Option<Timestamp>, made: Vec<Made>) -> Facts {
    Facts {
        now,
        stored_is_missing: false,
        drill_is_due: false,
        times: Some(times()),
        room: None,
        known,
        usable: true,
        made,
        keep: Rules::default(),
        zone: TimeZone::UTC,
    }
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[test]
fn what_is_named_and_what_is_reserved_come_before_the_status() {
    let noon = at("2026-11-10T12:00:00Z");
    let mut all = facts(noon, Some(time_of(10)), Vec::new());
    (all.stored_is_missing, all.drill_is_due, all.room) = (true, true, Some(Decimal::ONE));
    let is = |facts: &Facts, step: Step, follows: bool| {
        assert_eq!((plan(facts).0, step.follows_status()), (step, follows));
    };
    is(&all, Step::MakeStored, false);
    all.stored_is_missing = false;
    is(&all, Step::Reserve(Decimal::ONE), false);
    all.room = None;
    is(&all, Step::AskForDrill, true);
    // The backup stays due meanwhile.
    assert_eq!(plan(&all).1, Some(time_of(10)));
    all.drill_is_due = false;
    is(&all, Step::Make(time_of(10)), true);
}

#[test]
fn a_new_schedule_begins_with_its_next_time() {
    let noon = at("2026-11-10T12:00:00Z");
    assert_eq!(plan(&facts(noon, None, Vec::new())), (Step::Wait, Some(time_of(11))));
    let mut without = facts(noon, Some(time_of(9)), Vec::new());
    without.times = None;
    assert_eq!(
        plan(&without),
        (Step::Wait, None),
        "what is suspended is not made up for"
    );
}

#[test]
fn nothing_is_made_or_deleted_before_the_room_in_the_budget_is_taken() {
    let now = at("2026-11-10T12:00:00Z");
    let mut facts = facts(now, Some(time_of(10)), vec![made(9, BackupState::Complete)]);
    assert_eq!(plan(&facts).0, Step::Make(time_of(10)));
    facts.room = Some(Decimal::ONE);
    assert_eq!(plan(&facts), (Step::Reserve(Decimal::ONE), None));
}

#[test]
fn a_backup_is_made_at_its_time_and_once() {
    let (before, now) = (time_of(10) - SECOND, time_of(10));
    let known = Some(now);
    assert_eq!(plan(&facts(before, known, Vec::new())), (Step::Wait, known));
    assert_eq!(plan(&facts(now, known, Vec::new())), (Step::Make(now), known));
    // The backup exists and the status does not say so yet, as after a crash: the next time is recorded.
    for state in [
        BackupState::UnderWay,
        stalled(),
        BackupState::Complete,
        failed(),
        BackupState::Leaving,
    ] {
        let there = facts(now, known, vec![made(10, state)]);
        assert_eq!(plan(&there), (Step::Wait, Some(time_of(11))));
    }
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let (known, now) = (Some(time_of(7)), at("2026-11-10T12:00:00Z"));
    let mut missed = facts(now, known, vec![made(6, BackupState::Complete)]);
    assert_eq!(plan(&missed), (Step::Make(time_of(7)), known));
    missed.made.push(made(7, BackupState::UnderWay));
    let (step, next) = plan(&missed);
    assert_eq!(
        (step, next),
        (Step::Wait, Some(time_of(11))),
        "not the eighth, the ninth and the tenth as well"
    );
    missed.known = next;
    assert_eq!(plan(&missed), (Step::Wait, next));
}

#[test]
fn one_is_made_after_the_other_and_of_a_database_that_runs() {
    let now = at("2026-11-10T12:00:00Z");
    let known = Some(time_of(10));
    for (state, step) in [
        (BackupState::UnderWay, Step::Wait),
        (stalled(), Step::Wait),
        (BackupState::Complete, Step::Make(time_of(10))),
        (failed(), Step::Make(time_of(10))),
        (BackupState::Leaving, Step::Make(time_of(10))),
    ] {
        let mut facts = facts(now, known, vec![made(9, state.clone())]);
        assert_eq!(plan(&facts), (step, known), "it stays due: {state:?}");
        facts.usable = false;
        assert_eq!(plan(&facts), (Step::Wait, known), "a paused one stays due: {state:?}");
    }
}

#[test]
fn a_forged_backup_that_does_not_end_holds_up_none() {
    let (now, known) = (at("2026-11-10T12:00:00Z"), Some(time_of(10)));
    let step = |day, prompt, timed| {
        let forged = Made {
            prompt,
            timed,
            ..made(day, BackupState::UnderWay)
        };
        plan(&facts(now, known, vec![made(8, BackupState::Complete), forged])).0
    };
    assert_eq!(step(7, false, true), Step::Make(time_of(10)), "for an earlier time");
    assert_eq!(
        step(9, true, false),
        Step::Make(time_of(10)),
        "for no time of the schedule"
    );
    assert_eq!(step(9, false, true), Step::Wait, "it makes up for a missed time");
    assert_eq!(step(9, true, true), Step::Wait);
}

#[test]
fn what_is_due_is_made_before_anything_is_deleted() {
    let now = at("2026-11-10T12:00:00Z");
    let all: Vec<_> = (7..=9).map(|day| made(day, BackupState::Complete)).collect();
    let mut facts = facts(now, Some(time_of(10)), all);
    facts.keep.own = Some(BackupRetention {
        last: Some(1),
        ..BackupRetention::default()
    });
    assert_eq!(plan(&facts).0, Step::Make(time_of(10)));
    facts.made.push(made(10, BackupState::UnderWay));
    // A backup that is under way does not yet replace an earlier one.
    let removal = |of| Step::Remove(BackupRemoval { of, since: None });
    assert_eq!(plan(&facts), (removal(0), Some(time_of(11))));
    facts.made[0].state = BackupState::Leaving;
    assert_eq!(plan(&facts).0, removal(1));
    facts.made[1].state = BackupState::Leaving;
    assert_eq!(plan(&facts).0, Step::Wait);
    facts.made[3].state = BackupState::Complete;
    assert_eq!(plan(&facts).0, removal(2));
    // With the schedule running or suspended.
    facts.times = None;
    assert_eq!(plan(&facts), (removal(2), None));
}

#[test]
fn the_last_one_that_has_ended_is_told_of() {
    let complete = |day| made(day, BackupState::Complete);
    for (all, is) in [
        (vec![], None),
        (vec![made(3, BackupState::UnderWay)], None),
        (vec![complete(1), complete(2)], Some((2, false))),
        (vec![complete(1), made(2, BackupState::UnderWay)], Some((1, false))),
        (vec![complete(1), made(2, failed())], Some((2, true))),
        (vec![made(3, failed()), complete(4)], Some((4, false))),
        (vec![complete(1), made(2, stalled())], Some((2, true))),
        (vec![complete(1), made(2, BackupState::Leaving)], Some((1, false))),
    ] {
        let told = match verdict(&all) {
            ScheduleVerdict::Nothing => None,
            ScheduleVerdict::Complete(made) => Some((made, false)),
            ScheduleVerdict::Trouble(made, ..) => Some((made, true)),
        };
        let told = told.map(|(made, trouble)| (made.name.clone(), trouble));
        assert_eq!(
            told,
            is.map(|(day, trouble)| (format!("one-{day}"), trouble)),
            "{all:?}"
        );
    }
}
