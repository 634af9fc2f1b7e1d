//! Databases that are backed up before they are destroyed.

use super::*;

/// The state of the backup after a successful step.
pub(super) fn after(backup: FinalBackupState, step: Step) -> FinalBackupState {
    match step {
        Step::MakeFinalBackup => FinalBackupState::UnderWay,
        Step::AwaitFinalBackup => FinalBackupState::Settled,
        _ => backup,
    }
}

#[test]
fn nothing_is_destroyed_before_its_final_backup() {
    for facts in every_state() {
        let bare = plan(&facts);
        let ends = destroys(&facts, bare);
        for (backup, held) in [
            (FinalBackupState::Unmade, Some(Step::MakeFinalBackup)),
            (FinalBackupState::UnderWay, Some(Step::AwaitFinalBackup)),
            (FinalBackupState::Failed, Some(Step::Stop(DatabaseStop::FinalBackup))),
            (FinalBackupState::Settled, None),
        ] {
            let step = plan(&Facts {
                final_backup: backup,
                ..facts
            });
            let early = bare == Step::Rest && step == Step::MakeFinalBackup && facts.grace == Grace::Running;
            let expected = held.filter(|_| ends).unwrap_or(bare);
            assert!(step == expected || early, "{facts:?} {backup:?}: {step:?}");
        }
        // A database that was never usable, or is gone, has nothing to back up.
        if let Backing::Hosted(hosted) = facts.backing
            && matches!(
                hosted.project,
                ProjectLook::Lost | ProjectLook::Absent | ProjectLook::Discarded
            )
        {
            assert!(!ends, "{facts:?}");
        }
    }
}

#[test]
fn a_forged_decision_resets_nothing_and_a_reset_that_was_decided_goes_on() {
    let released = |reset, deleting, final_backup| Facts {
        deleting,
        abandon: false,
        finalizer: true,
        claim: ClaimState::Released,
        destroy: true,
        grace: Grace::None,
        refused: false,
        final_backup,
        backing: Backing::Static(EntryFacts {
            out: None,
            reset,
            logins_left: false,
        }),
    };
    for backup in [
        FinalBackupState::Unmade,
        FinalBackupState::UnderWay,
        FinalBackupState::Failed,
    ] {
        assert_ne!(plan(&released(Reset::Decided, true, backup)), Step::Reset, "{backup:?}");
    }
    let mut facts = released(Reset::Wanted, false, FinalBackupState::Unmade);
    let mut steps = Vec::new();
    while facts.finalizer {
        steps.push(plan(&facts));
        facts = super::after(facts, plan(&facts));
        assert!(steps.len() < 10, "{steps:?}");
    }
    let expected = [
        Step::MakeFinalBackup,
        Step::AwaitFinalBackup,
        Step::DecideReset,
        Step::DeleteSelf,
        Step::Reset,
        Step::Forget,
    ];
    assert_eq!(steps, expected);
}
