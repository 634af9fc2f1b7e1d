//! The whole state space of a drill.

use super::*;

fn all() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..64_u8 {
        let bit = |number: u8| bits & (1 << number) != 0;
        for job in [Job::None, Job::Runs, Job::Done, Job::Failed] {
            for due in [Due::Now, Due::In(Duration::from_secs(1)), Due::Never] {
                all.push(Facts {
                    wanted: bit(0),
                    announced: bit(1),
                    job,
                    left_over: bit(2) || job != Job::None,
                    scratch: bit(3),
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
    for seen in all() {
        match plan(&seen) {
            Some(Step::Start) => assert!(seen.announced && seen.has_room, "{seen:?}"),
            Some(Step::Announce) => {
                assert!(
                    seen.wanted && seen.has_place && seen.has_room && !seen.announced,
                    "{seen:?}"
                );
                assert!(!seen.scratch && !seen.left_over, "the one before is gone: {seen:?}");
            }
            Some(Step::Refuse) => assert!(!seen.has_place && seen.due == Due::Now, "{seen:?}"),
            _ => {}
        }
    }
}

#[test]
fn nothing_is_dropped_while_a_job_is_there() {
    for seen in all() {
        for step in [plan(&seen), leave(&seen)] {
            if step == Some(Step::Drop) {
                assert!(seen.scratch && seen.job == Job::None && !seen.left_over, "{seen:?}");
            }
        }
    }
}

#[test]
fn a_backup_rests_and_goes_only_without_a_scratch_database() {
    for seen in all() {
        let is_clean = !seen.scratch && !seen.left_over;
        if plan(&seen).is_none() {
            assert!(is_clean && !seen.announced, "{seen:?}");
            assert!(!seen.wanted || seen.due == Due::Never, "{seen:?}");
        }
        assert_eq!(leave(&seen).is_none(), is_clean, "{seen:?}");
    }
}
