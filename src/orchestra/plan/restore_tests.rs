//! Orchestras that are restored from a backup.

use super::*;
use crate::api::condition::Reason;

/// Every state of a restore. Until it is settled, nothing else is considered.
pub(super) fn every_restore() -> Vec<Inside> {
    let mut states = Vec::new();
    for restore in [
        RestoreState::Due,
        RestoreState::Announced,
        RestoreState::Queued,
        RestoreState::Runs,
        RestoreState::Ended,
        RestoreState::Leftover,
        RestoreState::Again,
        RestoreState::Failed(Reason::BackupDamaged),
    ] {
        for serving in [false, true] {
            states.push(Inside {
                restore,
                serving,
                login: serving,
                published: serving,
                migrations: if serving { WorkState::Done } else { WorkState::Pending },
                seed: if serving { WorkState::Done } else { WorkState::Pending },
                ..Inside::UNSEEN
            });
        }
    }
    states
}

#[test]
fn nothing_is_done_in_a_database_before_its_backup_is_restored_and_nothing_is_restored_into_one_in_use() {
    for inside in every_restore() {
        let facts = Facts {
            deleting: false,
            finalizer: true,
            revoked: false,
            restoring: false,
            expiry: TtlState::Later,
            database: DatabaseState::Usable(inside),
            power: Power::Running,
            idle: IdleState::No,
        };
        let step = plan(&facts);
        let restores = matches!(
            step,
            Step::AnnounceRestore
                | Step::StartRestore
                | Step::ConcludeRestore
                | Step::ClearRestore
                | Step::Wait(Wait::Restore | Wait::RestoreRoom | Wait::RestoreAgain)
                | Step::Stop(Stop::Restore(_))
        );
        assert_eq!(restores, !inside.serving, "{facts:?}: {step:?}");
        // A Job ends before the operator stops managing the database.
        let leaving = Facts {
            deleting: true,
            restoring: true,
            ..facts
        };
        assert_eq!(plan(&leaving), Step::EndRestore);
    }
}
