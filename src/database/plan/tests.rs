use super::*;

fn every_state() -> Vec<Seen> {
    let projects = [
        Project::Absent,
        Project::Lost,
        Project::Many,
        Project::Unrecorded,
        Project::Waiting,
        Project::Active,
        Project::Stuck,
        Project::Discarded,
        Project::Discarding,
        Project::Replaced,
        Project::Paused { asked: false },
        Project::Paused { asked: true },
        Project::Stopped(Reason::ProviderFailed),
        Project::Leaving,
    ];
    let issues = [Issued::Never, Issued::Now, Issued::Settling, Issued::Settled];
    let connections = [
        Connection::Unread,
        Connection::Unproven,
        Connection::WrongPassword,
        Connection::Proven,
    ];
    let mut kinds = vec![Kind::Static];
    for password in [false, true] {
        for project in projects {
            for issued in issues {
                for connection in connections {
                    kinds.push(Kind::Hosted(Hosted {
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
            for claim in [Claim::None, Claim::Held, Claim::Abandoned, Claim::Released] {
                for destroy in [false, true] {
                    for kind in &kinds {
                        states.push(Seen {
                            deleting,
                            finalizer,
                            claim,
                            destroy,
                            kind: *kind,
                        });
                    }
                }
            }
        }
    }
    states
}

/// What the world looks like after a step that went well.
fn after(mut seen: Seen, step: Step) -> Seen {
    let Kind::Hosted(mut hosted) = seen.kind else {
        seen.finalizer = step == Step::AddFinalizer || (seen.finalizer && step != Step::Forget);
        return seen;
    };
    match step {
        Step::AddFinalizer => seen.finalizer = true,
        Step::StorePassword => hosted.password = true,
        Step::Announce => hosted.issued = Issued::Now,
        Step::Create | Step::Record | Step::AwaitRestore => hosted.project = Project::Waiting,
        Step::AwaitOutcome => hosted.issued = Issued::Settled,
        Step::AwaitHealthy => hosted.project = Project::Active,
        Step::Connect | Step::ResetPassword => hosted.connection = Connection::Unproven,
        Step::Probe => hosted.connection = Connection::Proven,
        Step::DeleteSelf => seen.deleting = true,
        Step::Replace => hosted.project = Project::Discarded,
        Step::Renew => (hosted.project, hosted.issued) = (Project::Absent, Issued::Never),
        Step::Restore => hosted.project = Project::Paused { asked: true },
        Step::Destroy if hosted.project == Project::Discarded => hosted.project = Project::Discarding,
        Step::Destroy => hosted.project = Project::Leaving,
        Step::AwaitGone if hosted.project == Project::Discarding => hosted.project = Project::Replaced,
        Step::AwaitGone => hosted.project = Project::Absent,
        Step::Forget => seen.finalizer = false,
        Step::Rest | Step::Hold | Step::Stop(_) => {}
    }
    seen.kind = Kind::Hosted(hosted);
    seen
}

#[test]
fn every_life_settles_and_buys_at_most_once() {
    for start in every_state() {
        let mut seen = start;
        let mut created = 0;
        for _ in 0..14 {
            let step = plan(&seen);
            created += usize::from(step == Step::Create);
            seen = after(seen, step);
        }
        assert!(
            matches!(plan(&seen), Step::Rest | Step::Hold | Step::Stop(_)),
            "{start:?} never settles: {:?}",
            plan(&seen)
        );
        assert!(created <= 1, "{start:?} creates {created} times");
    }
}

#[test]
fn nothing_is_bought_without_a_password_a_written_intent_and_an_empty_listing() {
    for seen in every_state() {
        if plan(&seen) == Step::Create {
            let Kind::Hosted(hosted) = seen.kind else {
                panic!("{seen:?}")
            };
            assert!(hosted.password && hosted.issued == Issued::Now && hosted.project == Project::Absent);
            assert!(seen.finalizer && !seen.deleting);
            assert!(!matches!(seen.claim, Claim::Released | Claim::Abandoned), "{seen:?}");
        }
    }
}

#[test]
fn nothing_is_destroyed_that_is_held_or_retained() {
    for seen in every_state() {
        let Kind::Hosted(hosted) = seen.kind else { continue };
        if plan(&seen) == Step::Destroy && hosted.project != Project::Discarded {
            assert!(seen.deleting && seen.destroy && seen.claim != Claim::Held, "{seen:?}");
        }
    }
}

#[test]
fn another_project_is_bought_only_when_the_replaced_one_is_gone() {
    let before = [
        Project::Stuck,
        Project::Discarded,
        Project::Discarding,
        Project::Replaced,
    ];
    for seen in every_state() {
        let Kind::Hosted(hosted) = seen.kind else { continue };
        if before.contains(&hosted.project) {
            assert!(!matches!(plan(&seen), Step::Create | Step::Announce), "{seen:?}");
        }
    }
}

#[test]
fn nothing_is_forgotten_while_an_outcome_is_unknown() {
    for seen in every_state() {
        let Kind::Hosted(hosted) = seen.kind else { continue };
        if plan(&seen) == Step::Forget && seen.destroy {
            assert!(
                hosted.issued != Issued::Settling || hosted.project != Project::Absent,
                "{seen:?}"
            );
        }
    }
}
