//! The whole state space of a backup.

use super::*;

const BOTH: [bool; 2] = [false, true];
const JOBS: [Job; 4] = [Job::None, Job::Runs, Job::Done, Job::Failed];
const DUES: [Due; 3] = [Due::Now, Due::In(Duration::from_secs(1)), Due::Never];

const NO_DRILL: drill::Seen = drill::Seen {
    wanted: false,
    announced: false,
    job: Job::None,
    left_over: false,
    scratch: false,
    due: Due::Now,
    has_place: false,
    has_room: true,
};

#[test]
fn a_drill_begins_after_the_backup_and_ends_before_it_goes() {
    let wanted = drill::Seen {
        wanted: true,
        has_place: true,
        ..NO_DRILL
    };
    let scratch = drill::Seen {
        scratch: true,
        ..NO_DRILL
    };
    for seen in all() {
        let with = |drill| plan(&Seen { drill, ..seen });
        if matches!(with(wanted), Step::Drill(_)) {
            assert!(
                seen.complete && seen.removal.is_none() && plan(&seen) == Step::Rest,
                "{seen:?}"
            );
        }
        assert!(
            seen.removal.is_none() || !seen.held || with(scratch) == Step::Drill(drill::Step::Drop),
            "{seen:?}"
        );
    }
}

fn all() -> Vec<Seen> {
    let mut all = Vec::new();
    for bits in 0..64_u8 {
        let bit = |number: u8| bits & (1 << number) != 0;
        for removal in [None, Some(Removal::Keep), Some(Removal::Remove)] {
            for attempts in [0, 1, 3] {
                for (making, removing) in JOBS.into_iter().flat_map(|one| JOBS.map(|other| (one, other))) {
                    for due in DUES {
                        all.push(Seen {
                            held: bit(0),
                            removal,
                            recorded: bit(1),
                            complete: bit(2),
                            attempts,
                            concluded: bit(3),
                            making,
                            removing,
                            left_over: bit(4) || making != Job::None || removing != Job::None,
                            due,
                            has_room: bit(5),
                            drill: NO_DRILL,
                        });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn nothing_is_made_that_was_not_written_down_before() {
    for seen in all() {
        match plan(&seen) {
            Step::Start(_) => assert!(seen.held && seen.attempts > 0 && !seen.concluded, "{seen:?}"),
            Step::Announce(_) => assert!(seen.held && seen.has_room, "{seen:?}"),
            Step::Conclude(_) => assert!(!seen.concluded, "{seen:?}"),
            _ => {}
        }
    }
}

#[test]
fn only_a_deletion_that_asks_for_it_removes_data() {
    for seen in all() {
        let (Step::Announce(task)
        | Step::Start(task)
        | Step::Conclude(task)
        | Step::Await(task)
        | Step::Queue(task)
        | Step::Retry(task, _)) = plan(&seen)
        else {
            continue;
        };
        let expected = match seen.removal {
            None => Task::Make,
            Some(Removal::Remove) => Task::Remove,
            Some(Removal::Keep) => panic!("{seen:?}"),
        };
        assert_eq!(task, expected, "{seen:?}");
    }
}

#[test]
fn an_object_goes_only_when_no_job_makes_it_and_its_data_is_removed() {
    for seen in all()
        .into_iter()
        .filter(|seen| seen.held && plan(seen) == Step::Release)
    {
        let removed = seen.attempts == 0 || seen.removing == Job::Done;
        assert!(seen.removal == Some(Removal::Keep) || removed, "{seen:?}");
        assert!(seen.removal.is_some() && seen.making == Job::None, "{seen:?}");
    }
}

#[test]
fn a_complete_backup_is_never_made_again() {
    for seen in all()
        .into_iter()
        .filter(|seen| seen.complete && seen.concluded && seen.removal.is_none())
    {
        let step = plan(&seen);
        let calm = [Step::Hold, Step::Record, Step::CleanUp, Step::Rest];
        assert!(calm.contains(&step), "{seen:?} {step:?}");
    }
}

/// What is so after a step: each way comes to an end, whatever the Jobs do.
fn after(seen: Seen, step: Step, job: Job) -> Seen {
    let mut next = seen;
    match step {
        Step::Hold => next.held = true,
        Step::Record => next.recorded = true,
        Step::Announce(_) => {
            next.attempts += 1;
            next.concluded = false;
        }
        Step::Start(task) | Step::Await(task) => {
            next.left_over = true;
            let state = if step == Step::Start(task) { Job::Runs } else { job };
            match task {
                Task::Make => next.making = state,
                Task::Remove => next.removing = state,
            }
        }
        Step::Conclude(task) => {
            next.concluded = true;
            next.complete |= task == Task::Make && seen.making == Job::Done;
            next.due = Due::In(Duration::from_secs(1));
        }
        Step::CleanUp => {
            next.left_over = false;
            (next.making, next.removing) = (Job::None, Job::None);
        }
        Step::Queue(_) => next.has_room = true,
        Step::Retry(..) => next.due = Due::Now,
        Step::Release => next.held = false,
        Step::Fail | Step::Rest | Step::Drill(_) => {}
    }
    next
}

#[test]
fn every_way_ends() {
    for start in all() {
        let mut seen = start;
        let ended = (0..30).any(|_| {
            let step = plan(&seen);
            seen = after(seen, step, Job::Done);
            matches!(step, Step::Release | Step::Fail | Step::Rest)
        });
        assert!(ended, "{start:?}");
    }
}

#[test]
fn the_combinations_are_many() {
    assert_eq!(all().len(), BOTH.len().pow(6) * 3 * 3 * 16 * 3);
}
