use super::super::describe::{describe, is_at_rest, is_replacing};
use super::*;
use crate::api::condition::Reason;
use crate::controller::conditions::Standing;

const ORIGINS: [ProjectOrigin; 5] = [
    ProjectOrigin::Made,
    ProjectOrigin::Adopted {
        resets: true,
        proven: false,
    },
    ProjectOrigin::Adopted {
        resets: false,
        proven: false,
    },
    ProjectOrigin::Adopted {
        resets: false,
        proven: true,
    },
    ProjectOrigin::Adopted {
        resets: true,
        proven: true,
    },
];

#[allow(clippy::too_many_lines, reason = "the whole state space")]
fn every_state() -> Vec<Facts> {
    let projects = [
        ProjectLook::Absent,
        ProjectLook::Lost,
        ProjectLook::Many,
        ProjectLook::Unclear,
        ProjectLook::Unrecorded,
        ProjectLook::Waiting,
        ProjectLook::Active,
        ProjectLook::Stuck,
        ProjectLook::Discarded,
        ProjectLook::Discarding,
        ProjectLook::Replaced,
        ProjectLook::ToPause { asked: false },
        ProjectLook::ToPause { asked: true },
        ProjectLook::NotPaused,
        ProjectLook::Pausing,
        ProjectLook::Asleep,
        ProjectLook::Paused { asked: false },
        ProjectLook::Paused { asked: true },
        ProjectLook::Stopped(DatabaseStop::Failed),
        ProjectLook::Leaving,
    ];
    let issues = [Issued::Never, Issued::Now, Issued::Settling, Issued::Settled];
    let connections = [
        ConnectionState::Unread,
        ConnectionState::Unproven,
        ConnectionState::WrongPassword,
        ConnectionState::Proven,
        ConnectionState::LoginsLeft,
        ConnectionState::KeysDue,
        ConnectionState::PasswordDue,
        ConnectionState::PasswordPending,
        ConnectionState::KeysRotate(KeyWork::Due),
        ConnectionState::KeysRotate(KeyWork::Pending),
        ConnectionState::KeysRotate(KeyWork::Overdue),
    ];
    let outs = [
        None,
        Some((Reason::DatabaseUnreachable, true)),
        Some((Reason::InvalidEntry, false)),
    ];
    let mut backings = Vec::new();
    for reset in [Reset::Never, Reset::Wanted, Reset::Decided, Reset::Done] {
        for logins_left in [false, true] {
            let entry = |out| EntryFacts {
                out,
                reset,
                logins_left,
            };
            backings.extend(outs.map(|out| Backing::Static(entry(out))));
        }
    }
    for (password, origin) in [false, true]
        .into_iter()
        .flat_map(|it| ORIGINS.map(|origin| (it, origin)))
    {
        for project in projects {
            for issued in issues {
                for connection in connections {
                    backings.push(Backing::Hosted(Hosted {
                        origin,
                        password,
                        project,
                        issued,
                        connection,
                    }));
                }
            }
        }
    }
    let mut states = Vec::new();
    for deleting in [false, true] {
        for finalizer in [false, true] {
            for claim in [
                ClaimState::None,
                ClaimState::Held,
                ClaimState::Abandoned,
                ClaimState::Released,
            ] {
                for destroy in [false, true] {
                    for grace in [Grace::None, Grace::Unset, Grace::Void, Grace::Running, Grace::Over] {
                        states.extend(backings.iter().map(|backing| Facts {
                            deleting,
                            abandon: false,
                            finalizer,
                            claim,
                            destroy,
                            grace,
                            refused: false,
                            final_backup: FinalBackupState::NotWanted,
                            backing: *backing,
                        }));
                    }
                }
            }
        }
    }
    states
}

/// The facts after a successful step.
fn after(mut facts: Facts, step: Step) -> Facts {
    facts.final_backup = final_backup::after(facts.final_backup, step);
    let mut hosted = match facts.backing {
        Backing::Hosted(hosted) => hosted,
        Backing::Static(entry) => return after_of_entry(facts, entry, step),
    };
    match step {
        Step::AddFinalizer => facts.finalizer = true,
        Step::StorePassword => hosted.password = true,
        Step::Announce => hosted.issued = Issued::Now,
        Step::Create | Step::Record | Step::AwaitRestore => hosted.project = ProjectLook::Waiting,
        Step::AwaitOutcome | Step::TellRefusal => hosted.issued = Issued::Settled,
        Step::AwaitHealthy => hosted.project = ProjectLook::Active,
        Step::Connect | Step::ResetPassword => hosted.connection = ConnectionState::Unproven,
        Step::BeginPassword => hosted.connection = ConnectionState::PasswordPending,
        Step::RotateKeys(KeyWork::Due) => hosted.connection = ConnectionState::KeysRotate(KeyWork::Pending),
        Step::Probe | Step::ReadKeys | Step::ChangePassword | Step::RotateKeys(_) | Step::RevokeLogins => {
            hosted.connection = ConnectionState::Proven;
        }
        Step::DeleteSelf => facts.deleting = true,
        Step::Schedule if facts.destroy => facts.grace = Grace::Running,
        Step::Schedule => facts.grace = Grace::None,
        Step::Replace => hosted.project = ProjectLook::Discarded,
        Step::Renew => (hosted.project, hosted.issued) = (ProjectLook::Absent, Issued::Never),
        Step::Pause => hosted.project = ProjectLook::ToPause { asked: true },
        Step::AwaitRequest => hosted.project = ProjectLook::Pausing,
        Step::AwaitPause => hosted.project = ProjectLook::Asleep,
        Step::Restore => hosted.project = ProjectLook::Paused { asked: true },
        Step::Destroy if hosted.project == ProjectLook::Discarded => hosted.project = ProjectLook::Discarding,
        Step::Destroy => hosted.project = ProjectLook::Leaving,
        Step::AwaitGone if hosted.project == ProjectLook::Discarding => hosted.project = ProjectLook::Replaced,
        Step::AwaitGone => hosted.project = ProjectLook::Absent,
        Step::Forget | Step::Abandon => facts.finalizer = false,
        Step::Rest
        | Step::Sleep
        | Step::RunOn
        | Step::Hold
        | Step::AwaitEntry { .. }
        | Step::MakeFinalBackup
        | Step::AwaitFinalBackup
        | Step::DecideReset
        | Step::Reset
        | Step::Stop(_) => {}
    }
    facts.backing = Backing::Hosted(hosted);
    facts
}

fn after_of_entry(mut facts: Facts, mut entry: EntryFacts, step: Step) -> Facts {
    facts.finalizer = step == Step::AddFinalizer || (facts.finalizer && step != Step::Forget);
    match step {
        Step::DecideReset => entry.reset = Reset::Decided,
        Step::Reset => entry.reset = Reset::Done,
        Step::RevokeLogins => entry.logins_left = false,
        Step::DeleteSelf => facts.deleting = true,
        Step::Schedule if facts.destroy => facts.grace = Grace::Running,
        Step::Schedule => facts.grace = Grace::None,
        _ => {}
    }
    facts.backing = Backing::Static(entry);
    facts
}

#[test]
fn every_life_settles_and_buys_at_most_once() {
    for start in every_state() {
        let mut facts = start;
        let mut created = 0;
        for _ in 0..14 {
            let step = plan(&facts);
            created += usize::from(step == Step::Create);
            facts = after(facts, step);
        }
        assert!(
            matches!(
                plan(&facts),
                Step::Rest | Step::RunOn | Step::Sleep | Step::Hold | Step::AwaitEntry { .. } | Step::Stop(_)
            ),
            "{start:?} never settles: {:?}",
            plan(&facts)
        );
        assert!(created <= 1, "{start:?} creates {created} times");
    }
}

#[test]
fn no_condition_contradicts_its_reason() {
    for facts in every_state() {
        let step = plan(&facts);
        for replaces in [false, is_replacing(step, true)] {
            let said = describe(step, facts.claim, replaces);
            let fulfilled = said.reason.is_fulfilled();
            assert!(said.ready || !fulfilled, "{step:?} {facts:?}");
            assert!(said.standing == Standing::Settled || !fulfilled, "{step:?} {facts:?}");
            // A database that is not Ready continues by itself, waits for a person, or is paused on purpose.
            let paused = said.reason == Reason::Paused;
            assert!(
                said.ready || said.standing != Standing::Settled || paused,
                "{step:?} {facts:?}"
            );
            assert!(said.ready || !is_at_rest(step) || replaces, "{step:?} {facts:?}");
        }
    }
}

#[test]
fn nothing_is_bought_without_a_password_a_written_intent_and_an_empty_listing() {
    for facts in every_state() {
        if plan(&facts) == Step::Create {
            let Backing::Hosted(hosted) = facts.backing else {
                panic!("{facts:?}")
            };
            assert!(hosted.password && hosted.issued == Issued::Now && hosted.project == ProjectLook::Absent);
            assert!(facts.finalizer && !facts.deleting);
            assert!(
                !matches!(facts.claim, ClaimState::Released | ClaimState::Abandoned),
                "{facts:?}"
            );
        }
    }
}

#[test]
fn nothing_is_destroyed_that_is_held_or_retained() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        if plan(&facts) == Step::Destroy && hosted.project != ProjectLook::Discarded {
            assert!(
                facts.deleting && facts.destroy && facts.claim != ClaimState::Held,
                "{facts:?}"
            );
        }
    }
}

#[test]
fn a_paused_project_is_neither_logged_in_to_nor_restored_and_can_be_destroyed() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        let pauses = matches!(
            hosted.project,
            ProjectLook::ToPause { .. } | ProjectLook::NotPaused | ProjectLook::Pausing | ProjectLook::Asleep
        );
        if !pauses || !facts.finalizer {
            continue;
        }
        let step = plan(&facts);
        assert!(
            !matches!(
                step,
                Step::Connect | Step::Probe | Step::ResetPassword | Step::Restore | Step::Create
            ),
            "{facts:?}"
        );
        if facts.deleting && facts.destroy && facts.claim != ClaimState::Held {
            assert_eq!(step, Step::Destroy, "{facts:?}");
        }
    }
}

#[test]
fn another_project_is_bought_only_when_the_replaced_one_is_gone() {
    let before = [
        ProjectLook::Stuck,
        ProjectLook::Discarded,
        ProjectLook::Discarding,
        ProjectLook::Replaced,
    ];
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        if before.contains(&hosted.project) {
            assert!(!matches!(plan(&facts), Step::Create | Step::Announce), "{facts:?}");
        }
    }
}

#[test]
fn nothing_is_forgotten_while_an_outcome_is_unknown() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        if plan(&facts) == Step::Forget && facts.destroy {
            assert!(
                hosted.issued != Issued::Settling || hosted.project != ProjectLook::Absent,
                "{facts:?}"
            );
        }
    }
}

#[test]
fn nothing_is_bought_or_given_up_while_a_project_may_be_there() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        if hosted.project == ProjectLook::Unclear {
            let step = plan(&facts);
            assert!(
                !matches!(step, Step::Create | Step::Announce | Step::Destroy),
                "{facts:?}"
            );
            assert!(step != Step::Forget || !facts.destroy, "{facts:?}");
        }
    }
}

#[test]
fn what_can_be_taken_back_is_not_destroyed() {
    for facts in every_state() {
        let Backing::Hosted(hosted) = facts.backing else {
            continue;
        };
        // An adopted project into which the operator never logged in stays at the provider.
        let nothing = hosted.never_let_in() || matches!(hosted.project, ProjectLook::Absent | ProjectLook::Lost);
        let kept = matches!(facts.grace, Grace::Unset | Grace::Void | Grace::Running) || !facts.destroy;
        if !facts.deleting && facts.claim == ClaimState::Released && kept && !nothing {
            assert_ne!(plan(&facts), Step::DeleteSelf, "{facts:?}");
        }
    }
}

#[test]
fn only_what_is_deleted_and_not_held_is_let_go_of_and_nothing_is_destroyed() {
    for mut facts in every_state() {
        facts.abandon = facts.deleting;
        let hosted = matches!(facts.backing, Backing::Hosted(_));
        let lets_go = facts.deleting && facts.finalizer && facts.claim != ClaimState::Held && hosted;
        assert_eq!(plan(&facts) == Step::Abandon, lets_go, "{facts:?}");
    }
}

#[path = "adopted_tests.rs"]
mod adopted;
#[path = "entry_tests.rs"]
mod entry;
#[path = "final_tests.rs"]
mod final_backup;
#[path = "refused_tests.rs"]
mod refused;
