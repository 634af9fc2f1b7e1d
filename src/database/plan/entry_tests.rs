use super::*;

#[test]
fn an_entry_that_cannot_be_used_concerns_only_a_database_that_waits_for_a_claim() {
    for facts in every_state() {
        let Backing::Static(entry) = facts.backing else {
            continue;
        };
        let waits = facts.finalizer && !facts.deleting && facts.claim == ClaimState::None;
        let stays_out = matches!(plan(&facts), Step::AwaitEntry { .. });
        assert_eq!(stays_out, waits && entry.out.is_some(), "{facts:?}");
    }
}

#[test]
fn nothing_is_dropped_but_what_was_released_for_good_after_its_grace_period() {
    for facts in every_state() {
        let Backing::Static(entry) = facts.backing else {
            continue;
        };
        let released = facts.finalizer && facts.claim == ClaimState::Released && facts.destroy;
        match plan(&facts) {
            Step::DecideReset => {
                let over = matches!(facts.grace, Grace::None | Grace::Over);
                assert!(
                    released && over && !facts.deleting && entry.reset == Reset::Wanted,
                    "{facts:?}"
                );
            }
            Step::DeleteSelf => assert!(released && entry.reset == Reset::Decided, "{facts:?}"),
            Step::Reset => assert!(released && facts.deleting && entry.reset == Reset::Decided, "{facts:?}"),
            _ => {}
        }
    }
}

#[test]
fn logins_that_are_left_are_revoked_before_a_released_database_rests_and_delay_neither_its_end_nor_its_schedule() {
    for facts in every_state() {
        let step = plan(&facts);
        match facts.backing {
            Backing::Static(entry) if entry.logins_left && facts.finalizer && !facts.deleting => {
                assert_ne!(step, Step::Rest, "{facts:?}");
                let rested = plan(&Facts {
                    backing: Backing::Static(EntryFacts {
                        logins_left: false,
                        ..entry
                    }),
                    ..facts
                });
                assert!(step == rested || rested == Step::Rest, "{facts:?}");
            }
            Backing::Hosted(hosted) if step == Step::RevokeLogins => {
                assert!(hosted.project == ProjectLook::Active && !facts.deleting, "{facts:?}");
            }
            _ => {}
        }
    }
}
