//! Requests to create a project that a proxy refused.

use super::*;

#[test]
fn a_refusal_of_a_proxy_is_told_in_place_of_the_wait_for_the_outcome_alone() {
    for facts in every_state() {
        let refused = Facts { refused: true, ..facts };
        let step = match plan(&facts) {
            Step::AwaitOutcome => Step::TellRefusal,
            step => step,
        };
        assert_eq!(plan(&refused), step, "{facts:?}");
    }
}
