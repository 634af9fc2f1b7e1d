//! The whole life of an OrchestraDatabase on one page: what was seen → the one next step.
//!
//! ```text
//! hosted:  StorePassword → Announce → Create → AwaitHealthy → Connect → Probe → Rest
//!                            ▲   unknown outcome: AwaitOutcome │ wrong password: ResetPassword
//! gone:    Destroy → AwaitGone → Forget          static entry: Rest, and Forget when deleted
//! ```

use crate::api::condition::Reason;

/// What the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A hosted project, as far as it was looked up.
    Hosted(Hosted),
    /// An entry of a static pool.
    Static,
}

/// What is known of a hosted project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Whether the owner's password is stored.
    pub password: bool,
    /// What a listing that is newer than our last request shows under our marker.
    pub project: Project,
    /// Whether a request to create it was issued.
    pub issued: Issued,
    /// How far the connection is proven.
    pub connection: Connection,
}

/// What a fresh listing shows under our marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// No project.
    Absent,
    /// No project, although one was recorded, and the provider confirms that it is gone.
    Lost,
    /// More than one project.
    Many,
    /// The project is there and not recorded yet.
    Unrecorded,
    /// On its way to usable.
    Waiting,
    /// Usable by its status.
    Active,
    /// Stopped by the provider or a person.
    Stopped(Reason),
    /// Being deleted.
    Leaving,
}

/// Whether a request to create the project was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// Never, or the last one was refused for certain.
    Never,
    /// The intent was written in this pass, and the request has not been sent.
    Now,
    /// Its outcome is unknown, and a project may still show.
    Settling,
    /// Its outcome is unknown, and no project showed in the settling time.
    Settled,
}

/// How far the connection is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Services, pooler and keys have not been read yet.
    Unread,
    /// The address is known; no login has succeeded yet.
    Unproven,
    /// The last login was refused for a wrong password.
    WrongPassword,
    /// A login succeeded.
    Proven,
}

/// Who holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody, ever.
    None,
    /// An Orchestra.
    Held,
    /// An Orchestra held it and let it go.
    Released,
}

/// Everything that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The resource is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// Who holds it.
    pub claim: Claim,
    /// The reclaim policy is Delete.
    pub destroy: bool,
    /// What it is.
    pub kind: Kind,
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on.
    AddFinalizer,
    /// Generate the owner's password and store it.
    StorePassword,
    /// Write down that a request to create the project is about to be sent.
    Announce,
    /// Send it.
    Create,
    /// Wait until the outcome of a request is known.
    AwaitOutcome,
    /// Write down which project it is.
    Record,
    /// Wait until the provider says that the project is healthy.
    AwaitHealthy,
    /// Read services, pooler and keys, and store them.
    Connect,
    /// Log in.
    Probe,
    /// Set the password that we know.
    ResetPassword,
    /// Nothing to do.
    Rest,
    /// Delete this resource, and with it the project.
    DeleteSelf,
    /// Refuse to go while an Orchestra holds the claim.
    Hold,
    /// Destroy the project.
    Destroy,
    /// Wait until the provider no longer lists it.
    AwaitGone,
    /// Take our finalizer off.
    Forget,
    /// A person must act.
    Stop(Reason),
}

/// The next step for what was seen.
pub fn plan(seen: &Seen) -> Step {
    if seen.deleting {
        return plan_deletion(*seen);
    }
    match (seen.finalizer, seen.kind) {
        (false, _) => Step::AddFinalizer,
        (true, Kind::Static) => Step::Rest,
        // A claim that was let go before anything was bought: there is nothing to keep.
        (true, Kind::Hosted(hosted)) if seen.claim == Claim::Released => match (hosted.project, hosted.issued) {
            (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
            (Project::Absent, _) => Step::DeleteSelf,
            (Project::Unrecorded, _) => Step::Record,
            _ if seen.destroy => Step::DeleteSelf,
            // What is kept stays usable, with a password that we know.
            _ => plan_hosted(hosted),
        },
        (true, Kind::Hosted(hosted)) => plan_hosted(hosted),
    }
}

fn plan_hosted(seen: Hosted) -> Step {
    match (seen.project, seen.issued) {
        (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
        (Project::Stopped(reason), _) => Step::Stop(reason),
        (Project::Lost | Project::Leaving, _) => Step::Stop(Reason::DatabaseLost),
        (Project::Unrecorded, _) => Step::Record,
        // A project without a password that we know is never left so, and none is bought so.
        (_, _) if !seen.password => Step::StorePassword,
        (Project::Absent, Issued::Never | Issued::Settled) => Step::Announce,
        (Project::Absent, Issued::Now) => Step::Create,
        (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
        (Project::Waiting, _) => Step::AwaitHealthy,
        (Project::Active, _) => match seen.connection {
            Connection::Unread => Step::Connect,
            Connection::Unproven => Step::Probe,
            Connection::WrongPassword => Step::ResetPassword,
            Connection::Proven => Step::Rest,
        },
    }
}

fn plan_deletion(seen: Seen) -> Step {
    match (seen.finalizer, seen.claim, seen.kind) {
        (false, _, _) => Step::Rest,
        (true, Claim::Held, _) => Step::Hold,
        (true, _, Kind::Static) => Step::Forget,
        (true, _, Kind::Hosted(_)) if !seen.destroy && seen.claim == Claim::None => Step::Forget,
        (true, _, Kind::Hosted(hosted)) => match (hosted.project, hosted.issued) {
            (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
            (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
            (Project::Absent | Project::Lost, _) => Step::Forget,
            _ if !seen.destroy => Step::Forget,
            (Project::Leaving, _) => Step::AwaitGone,
            _ => Step::Destroy,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_state() -> Vec<Seen> {
        let projects = [
            Project::Absent,
            Project::Lost,
            Project::Many,
            Project::Unrecorded,
            Project::Waiting,
            Project::Active,
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
                for claim in [Claim::None, Claim::Held, Claim::Released] {
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
            Step::Create | Step::Record => hosted.project = Project::Waiting,
            Step::AwaitOutcome => hosted.issued = Issued::Settled,
            Step::AwaitHealthy => hosted.project = Project::Active,
            Step::Connect | Step::ResetPassword => hosted.connection = Connection::Unproven,
            Step::Probe => hosted.connection = Connection::Proven,
            Step::DeleteSelf => seen.deleting = true,
            Step::Destroy => hosted.project = Project::Leaving,
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
                assert!(seen.finalizer && !seen.deleting && seen.claim != Claim::Released);
            }
        }
    }

    #[test]
    fn nothing_is_destroyed_that_is_held_or_retained() {
        for seen in every_state() {
            if plan(&seen) == Step::Destroy {
                assert!(seen.deleting && seen.destroy && seen.claim != Claim::Held, "{seen:?}");
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
}
