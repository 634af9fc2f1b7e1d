//! Databases that are backed up before they are destroyed.

use super::*;

/// How far the backup is after a step that went well.
pub(super) fn after(backup: FinalBackup, step: Step) -> FinalBackup {
    match step {
        Step::MakeFinalBackup => FinalBackup::UnderWay,
        Step::AwaitFinalBackup => FinalBackup::Settled,
        _ => backup,
    }
}

#[test]
fn nothing_is_destroyed_before_its_final_backup() {
    for facts in every_state() {
        let bare = plan(&facts);
        let ends = destroys(&facts, bare);
        for (backup, held) in [
            (FinalBackup::Unmade, Some(Step::MakeFinalBackup)),
            (FinalBackup::UnderWay, Some(Step::AwaitFinalBackup)),
            (FinalBackup::Failed, Some(Step::Stop(Stop::FinalBackup))),
            (FinalBackup::Settled, None),
        ] {
            let step = plan(&Facts {
                final_backup: backup,
                ..facts
            });
            let early = bare == Step::Rest && step == Step::MakeFinalBackup && facts.grace == Grace::Running;
            let expected = held.filter(|_| ends).unwrap_or(bare);
            assert!(step == expected || early, "{facts:?} {backup:?}: {step:?}");
        }
        // What was never usable, or is gone, has nothing to back up.
        if let Backing::Hosted(hosted) = facts.backing
            && matches!(hosted.project, Project::Lost | Project::Absent | Project::Discarded)
        {
            assert!(!ends, "{facts:?}");
        }
    }
}
