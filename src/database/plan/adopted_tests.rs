//! Projects that the operator did not create.

use super::*;

#[test]
fn nothing_is_bought_or_set_in_the_place_of_an_adopted_project() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        let ProjectOrigin::Adopted { resets, .. } = hosted.origin else {
            continue;
        };
        let step = plan(&facts);
        assert!(
            !matches!(step, Step::Announce | Step::Create | Step::Replace | Step::Renew),
            "{facts:?}"
        );
        let held = facts.claim == ClaimState::Held;
        assert!(step != Step::ResetPassword || resets && held, "{facts:?}");
    }
}

#[test]
fn a_released_project_whose_status_was_lost_is_let_go_of_only_when_it_refuses_the_login() {
    let released = |project, connection| {
        plan(&Facts {
            deleting: false,
            abandon: false,
            finalizer: true,
            claim: ClaimState::Released,
            destroy: false,
            grace: Grace::None,
            refused: false,
            final_backup: FinalBackupState::NotWanted,
            backing: Backing::Hosted(Hosted {
                origin: ProjectOrigin::Adopted {
                    resets: true,
                    proven: false,
                },
                password: true,
                project,
                issued: Issued::Never,
                connection,
            }),
        })
    };
    for (project, connection, step) in [
        (ProjectLook::Unrecorded, ConnectionState::Unproven, Step::Record),
        (ProjectLook::Active, ConnectionState::Unproven, Step::Probe),
        (ProjectLook::Active, ConnectionState::Proven, Step::Rest),
        (ProjectLook::Active, ConnectionState::WrongPassword, Step::DeleteSelf),
        (ProjectLook::Active, ConnectionState::Unread, Step::DeleteSelf),
        (ProjectLook::Lost, ConnectionState::Unproven, Step::DeleteSelf),
    ] {
        assert_eq!(released(project, connection), step, "{project:?} {connection:?}");
    }
}
