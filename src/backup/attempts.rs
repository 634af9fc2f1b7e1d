//! Attempts as a status counts them: those that were announced, and those whose end is known.

/// Counts one more attempt, whose end is not known yet. The counters come from a status, which others may have written:
/// whatever the counters were, the attempt is under way afterwards, and no other one is announced before its Job has ended.
pub fn announce(announced: &mut i32, concluded: &mut i32) {
    let before = (*announced).max(0);
    let before = if before == i32::MAX { 0 } else { before };
    (*announced, *concluded) = (before + 1, before);
}

/// Counts one more failure.
pub fn fail(failures: &mut i32) {
    *failures = (*failures).max(0).saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_under_way_once_it_is_announced_whatever_a_status_said() {
        for (before, after) in [
            ((0, 0), (1, 0)),
            ((3, 3), (4, 3)),
            ((1, i32::MAX), (2, 1)),
            ((i32::MIN, 0), (1, 0)),
            ((i32::MAX, i32::MAX), (1, 0)),
        ] {
            let (mut announced, mut concluded) = before;
            announce(&mut announced, &mut concluded);
            assert_eq!((announced, concluded), after, "{before:?}");
        }
    }

    #[test]
    fn failures_are_counted_from_none() {
        for (before, after) in [(0, 1), (2, 3), (i32::MIN, 1), (i32::MAX, i32::MAX)] {
            let mut failures = before;
            fail(&mut failures);
            assert_eq!(failures, after, "{before}");
        }
    }
}
