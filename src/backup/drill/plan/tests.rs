//! The whole state space of a drill.

use super::*;

fn all() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..128_u8 {
        let bit = |number: u8| bits & (1 << number) != 0;
        let drop_wait = Duration::from_secs(u64::from(bit(6)));
        for job in [Job::None, Job::Runs, Job::Done, Job::Failed] {
            for due in [Due::Now, Due::In(Duration::from_secs(1)), Due::Never] {
                all.push(Facts {
                    wanted: bit(0),
                    announced: bit(1),
                    job,
                    left_over: bit(2) || job != Job::None,
                    scratch: bit(3),
                    drop_wait,
                    due,
                    has_place: bit(4),
                    has_room: bit(5),
                });
            }
        }
    }
    all
}

#[test]
fn a_scratch_database_is_made_only_after_it_was_written_down() {
    for facts in all() {
        match plan(&facts) {
            Some(Step::Start) => assert!(facts.announced && facts.has_room, "{facts:?}"),
            Some(Step::Announce) => {
                assert!(
                    facts.wanted && facts.has_place && facts.has_room && !facts.announced,
                    "{facts:?}"
                );
                assert!(!facts.scratch && !facts.left_over, "the one before is gone: {facts:?}");
            }
            Some(Step::Refuse) => assert!(!facts.has_place && facts.due == Due::Now, "{facts:?}"),
            _ => {}
        }
    }
}

#[test]
fn nothing_is_dropped_while_a_job_is_there() {
    for facts in all() {
        for step in [plan(&facts), leave(&facts)] {
            if step == Some(Step::Drop) {
                assert!(facts.scratch && facts.job == Job::None && !facts.left_over, "{facts:?}");
            }
        }
    }
}

#[test]
fn a_scratch_database_that_is_there_again_is_not_dropped_at_once() {
    for facts in all() {
        for step in [plan(&facts), leave(&facts)] {
            match step {
                Some(Step::Drop) => assert_eq!(facts.drop_wait, Duration::ZERO, "{facts:?}"),
                Some(Step::Pause(wait)) => {
                    assert!(facts.scratch && !facts.left_over, "{facts:?}");
                    assert!(wait == facts.drop_wait && wait > Duration::ZERO, "{facts:?}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_backup_rests_and_goes_only_without_a_scratch_database() {
    for facts in all() {
        let is_clean = !facts.scratch && !facts.left_over;
        if plan(&facts).is_none() {
            assert!(is_clean && !facts.announced, "{facts:?}");
            assert!(!facts.wanted || facts.due == Due::Never, "{facts:?}");
        }
        assert_eq!(leave(&facts).is_none(), is_clean, "{facts:?}");
    }
}
