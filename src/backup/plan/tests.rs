//! The whole state space of a backup.

use super::*;

const BOTH: [bool; 2] = [false, true];
const JOBS: [Job; 4] = [Job::None, Job::Runs, Job::Done, Job::Failed];
const SOURCES: [Requirement; 3] = [
    Requirement::Met,
    Requirement::Awaited(Reason::Paused),
    Requirement::Missing(Reason::OrchestraNotFound),
];
const STORES: [Requirement; 2] = [Requirement::Met, Requirement::Missing(Reason::BackupDestinationChanged)];
const DUES: [Due; 3] = [Due::Now, Due::In(Duration::from_secs(1)), Due::Never];

fn needs() -> impl Iterator<Item = (Due, Requirement, Requirement)> {
    let sources = DUES.into_iter().flat_map(|due| SOURCES.map(|source| (due, source)));
    sources.flat_map(|(due, source)| STORES.map(|store| (due, source, store)))
}

const NO_DRILL: drill::Facts = drill::Facts {
    wanted: false,
    announced: false,
    job: Job::None,
    left_over: false,
    scratch: false,
    drop_wait: Duration::ZERO,
    due: Due::Now,
    has_place: false,
    has_room: true,
};

#[test]
fn a_drill_begins_after_the_backup_and_ends_before_it_goes() {
    let wanted = drill::Facts {
        wanted: true,
        has_place: true,
        ..NO_DRILL
    };
    let scratch = drill::Facts {
        scratch: true,
        ..NO_DRILL
    };
    for facts in all() {
        let with = |drill| plan(&Facts { drill, ..facts });
        if matches!(with(wanted), Step::Drill(_)) {
            assert!(
                facts.complete && facts.removal.is_none() && plan(&facts) == Step::Rest,
                "{facts:?}"
            );
        }
        assert!(
            facts.removal.is_none() || !facts.finalizer || with(scratch) == Step::Drill(drill::Step::Drop),
            "{facts:?}"
        );
    }
}

fn all() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..64_u8 {
        let bit = |number: u8| bits & (1 << number) != 0;
        for removal in [None, Some(Removal::Keep), Some(Removal::Remove)] {
            for attempts in [0, 1, 3] {
                for (making, removing) in JOBS.into_iter().flat_map(|one| JOBS.map(|other| (one, other))) {
                    for (due, source, store) in needs() {
                        all.push(Facts {
                            finalizer: bit(0),
                            removal,
                            recorded: bit(1),
                            complete: bit(2),
                            attempts,
                            concluded: bit(3),
                            making,
                            removing,
                            left_over: bit(4) || making != Job::None || removing != Job::None,
                            due,
                            source,
                            store,
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
    for facts in all() {
        match plan(&facts) {
            Step::Start(_) => assert!(facts.finalizer && facts.attempts > 0 && !facts.concluded, "{facts:?}"),
            Step::Announce(_) => assert!(facts.finalizer && facts.has_room, "{facts:?}"),
            Step::Conclude(_) => assert!(!facts.concluded, "{facts:?}"),
            _ => {}
        }
    }
}

#[test]
fn nothing_begins_without_what_it_needs() {
    for facts in all() {
        let (has_source, has_store) = (facts.source == Requirement::Met, facts.store == Requirement::Met);
        match plan(&facts) {
            Step::Record => assert!(has_source, "{facts:?}"),
            Step::Announce(Task::Make) | Step::Start(Task::Make) => assert!(has_source && has_store, "{facts:?}"),
            Step::Announce(Task::Remove) | Step::Start(Task::Remove) => assert!(has_store, "{facts:?}"),
            Step::Wait(_, reason) => assert_eq!(facts.source, Requirement::Awaited(reason), "{facts:?}"),
            Step::Stop(_, reason) => {
                let missing = Requirement::Missing(reason);
                assert!(facts.source == missing || facts.store == missing, "{facts:?}");
            }
            _ => {}
        }
    }
}

/// A backup that is recorded and is to be made, or removed.
fn recorded(removal: Option<Removal>) -> Facts {
    Facts {
        finalizer: true,
        removal,
        recorded: true,
        complete: removal.is_some(),
        attempts: removal.map_or(0, |_| 1),
        concluded: true,
        making: Job::None,
        removing: Job::None,
        left_over: false,
        due: Due::Now,
        source: Requirement::Met,
        store: Requirement::Met,
        has_room: true,
        drill: NO_DRILL,
    }
}

#[test]
fn the_end_of_a_job_is_recorded_also_when_the_manifest_is_known_already() {
    let known = Facts {
        complete: true,
        attempts: 1,
        concluded: false,
        making: Job::Done,
        left_over: true,
        ..recorded(None)
    };
    assert_eq!(plan(&known), Step::Conclude(Task::Make));
    let concluded = Facts {
        concluded: true,
        ..known
    };
    assert_eq!(plan(&concluded), Step::CleanUp);
}

#[test]
fn a_missing_orchestra_stops_a_backup_that_is_not_recorded() {
    let missing = Facts {
        recorded: false,
        source: Requirement::Missing(Reason::OrchestraNotFound),
        ..recorded(None)
    };
    assert_eq!(plan(&missing), Step::Stop(Task::Make, Reason::OrchestraNotFound));
    let paused = Facts {
        source: Requirement::Awaited(Reason::Paused),
        ..missing
    };
    assert_eq!(plan(&paused), Step::Wait(Task::Make, Reason::Paused));
}

#[test]
fn a_changed_destination_stops_the_next_job_and_not_the_one_that_runs() {
    let changed = Requirement::Missing(Reason::BackupDestinationChanged);
    let of = |facts: Facts| Facts {
        store: changed,
        ..facts
    };
    let stop = |task| Step::Stop(task, Reason::BackupDestinationChanged);
    assert_eq!(plan(&of(recorded(None))), stop(Task::Make));
    let announced = Facts {
        attempts: 1,
        concluded: false,
        ..recorded(None)
    };
    assert_eq!(plan(&of(announced)), stop(Task::Make), "also of an announced one");
    let runs = Facts {
        making: Job::Runs,
        left_over: true,
        ..announced
    };
    assert_eq!(plan(&of(runs)), Step::Await(Task::Make));
    let ended = Facts {
        making: Job::Done,
        ..runs
    };
    assert_eq!(plan(&of(ended)), Step::Conclude(Task::Make));
    assert_eq!(plan(&of(recorded(Some(Removal::Remove)))), stop(Task::Remove));
    assert_eq!(plan(&of(recorded(Some(Removal::Keep)))), Step::Release);
}

#[test]
fn a_removal_needs_no_database() {
    let gone = Facts {
        source: Requirement::Missing(Reason::DatabaseGone),
        ..recorded(Some(Removal::Remove))
    };
    assert_eq!(plan(&gone), Step::Announce(Task::Remove));
}

#[test]
fn only_a_deletion_that_asks_for_it_removes_data() {
    for facts in all() {
        let (Step::Announce(task)
        | Step::Start(task)
        | Step::Conclude(task)
        | Step::Await(task)
        | Step::Queue(task)
        | Step::Wait(task, _)
        | Step::Stop(task, _)
        | Step::Retry(task, _)) = plan(&facts)
        else {
            continue;
        };
        let expected = match facts.removal {
            None => Task::Make,
            Some(Removal::Remove) => Task::Remove,
            Some(Removal::Keep) => panic!("{facts:?}"),
        };
        assert_eq!(task, expected, "{facts:?}");
    }
}

#[test]
fn an_object_goes_only_when_no_job_makes_it_and_its_data_is_removed() {
    for facts in all()
        .into_iter()
        .filter(|facts| facts.finalizer && plan(facts) == Step::Release)
    {
        let removed = facts.attempts == 0 || facts.removing == Job::Done;
        assert!(facts.removal == Some(Removal::Keep) || removed, "{facts:?}");
        assert!(facts.removal.is_some() && facts.making == Job::None, "{facts:?}");
    }
}

#[test]
fn a_complete_backup_is_never_made_again() {
    for facts in all()
        .into_iter()
        .filter(|facts| facts.complete && facts.concluded && facts.removal.is_none())
    {
        let step = plan(&facts);
        let calm = [Step::AddFinalizer, Step::Record, Step::CleanUp, Step::Rest];
        let is_unrecorded = !facts.recorded && matches!(step, Step::Wait(..) | Step::Stop(..));
        assert!(calm.contains(&step) || is_unrecorded, "{facts:?} {step:?}");
    }
}

/// The facts after a step: every sequence of steps ends, whatever the Jobs do.
fn after(facts: Facts, step: Step, job: Job) -> Facts {
    let mut next = facts;
    match step {
        Step::AddFinalizer => next.finalizer = true,
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
            next.complete |= task == Task::Make && facts.making == Job::Done;
            next.due = Due::In(Duration::from_secs(1));
        }
        Step::CleanUp => {
            next.left_over = false;
            (next.making, next.removing) = (Job::None, Job::None);
        }
        Step::Queue(_) => next.has_room = true,
        Step::Retry(..) => next.due = Due::Now,
        Step::Wait(..) | Step::Stop(..) => (next.source, next.store) = (Requirement::Met, Requirement::Met),
        Step::Release => next.finalizer = false,
        Step::Fail | Step::Rest | Step::Drill(_) => {}
    }
    next
}

#[test]
fn every_way_ends() {
    for start in all() {
        let mut facts = start;
        let ended = (0..30).any(|_| {
            let step = plan(&facts);
            facts = after(facts, step, Job::Done);
            matches!(step, Step::Release | Step::Fail | Step::Rest)
        });
        assert!(ended, "{start:?}");
    }
}

#[test]
fn the_combinations_are_many() {
    assert_eq!(all().len(), BOTH.len().pow(6) * 3 * 3 * 16 * 3 * 3 * 2);
}
