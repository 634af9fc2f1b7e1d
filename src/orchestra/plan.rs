//! The whole life of an Orchestra on one page: what was seen → the one next step.
//!
//! ```text
//! AddFinalizer → Intend → Create | Take → AwaitDatabase → PrepareLogin → Migrate → Seed → Publish → Rest
//! approval:      TellPlan → Wait … → Migrate → ClearPlan
//! deleted:       Release → AwaitRelease → Forget
//! ```

use crate::api::condition::Reason;

/// The database of this Orchestra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// None is claimed: looked up by our UID, not read from a status.
    None(Supply),
    /// One was claimed, and its OrchestraDatabase is gone.
    Lost,
    /// Claimed, and its creation waits for its turn.
    Queued,
    /// Claimed and on its way.
    Provisioning,
    /// Claimed, and a person must act before it is usable.
    Stopped(Reason),
    /// Claimed and usable.
    Usable,
    /// The claim is let go, and the database is being destroyed.
    Leaving,
}

/// How a claim could be met now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// The provider can create a database.
    Provider,
    /// A database of a pool waits for a claim.
    Member,
    /// Nothing now; it goes on by itself.
    Awaited(Reason),
    /// Nothing until a person acts.
    Blocked(Reason),
}

/// A part of the work inside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Not done.
    Pending,
    /// Not done, and waiting for a person's approval.
    Held,
    /// Not done, and not its turn.
    Waiting(Reason),
    /// Being done in the background.
    Running,
    /// Done, or not asked for.
    Done,
}

/// Where the plan of migrations that wait is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// As it should be.
    Told,
    /// Not written down, or another plan is.
    Untold,
    /// A plan is written down, and none waits.
    Leftover,
}

/// Everything that the next step depends on. What comes later is looked at only when it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "facts, each of which is either so or not")]
pub struct Seen {
    /// The resource is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// The very claim that could be made now is written down.
    pub intended: bool,
    /// Its database.
    pub database: Database,
    /// The tenant's login role works.
    pub login: bool,
    /// The migrations.
    pub migrations: Work,
    /// Where the plan is written down.
    pub notice: Notice,
    /// The seed.
    pub seed: Work,
    /// The connection Secret holds what it should; of one in use, while other work waits, that nobody
    /// else has touched it.
    pub published: bool,
    /// The tenant uses its database: it has its Secret, whatever waits.
    pub serving: bool,
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on.
    AddFinalizer,
    /// Write down which database is about to be claimed, by compare-and-swap: of two operators only
    /// one goes on.
    Intend,
    /// Ask for a new database from the provider.
    Create,
    /// Take a database of a pool, by compare-and-swap.
    Take,
    /// Wait until the database is usable.
    AwaitDatabase,
    /// Make the tenant's login role.
    PrepareLogin,
    /// Apply the pending migrations.
    Migrate,
    /// Write down the plan of migrations that wait for approval.
    TellPlan,
    /// Take the plan away.
    ClearPlan,
    /// Apply the seed.
    Seed,
    /// Write the connection Secret.
    Publish,
    /// Nothing to do.
    Rest,
    /// Let the claim go.
    Release,
    /// Wait until the database is destroyed.
    AwaitRelease,
    /// Take our finalizer off.
    Forget,
    /// Go on when something else has changed.
    Wait(Reason),
    /// A person must act.
    Stop(Reason),
}

/// The next step for what was seen.
pub fn plan(seen: &Seen) -> Step {
    match (seen.deleting, seen.finalizer, seen.database) {
        (true, false, _) => Step::Rest,
        (true, true, Database::None(_) | Database::Lost) => Step::Forget,
        (true, true, Database::Leaving) => Step::AwaitRelease,
        (true, true, _) => Step::Release,
        (false, false, _) => Step::AddFinalizer,
        (false, true, Database::None(Supply::Provider | Supply::Member)) if !seen.intended => Step::Intend,
        (false, true, Database::None(Supply::Provider)) => Step::Create,
        (false, true, Database::None(Supply::Member)) => Step::Take,
        (false, true, Database::None(Supply::Awaited(reason))) => Step::Wait(reason),
        (false, true, Database::None(Supply::Blocked(reason)) | Database::Stopped(reason)) => Step::Stop(reason),
        (false, true, Database::Lost | Database::Leaving) => Step::Stop(Reason::DatabaseLost),
        (false, true, Database::Queued) => Step::Wait(Reason::Queued),
        (false, true, Database::Provisioning) => Step::AwaitDatabase,
        (false, true, Database::Usable) => match (seen.login, seen.migrations, seen.seed, seen.published) {
            (false, ..) => Step::PrepareLogin,
            (true, Work::Running, ..) => Step::Wait(Reason::Migrating),
            (true, Work::Done, Work::Running, _) => Step::Wait(Reason::Seeding),
            // Whoever uses its database has its Secret back before anything else.
            (true, _, _, false) if seen.serving => Step::Publish,
            (true, Work::Pending, ..) => Step::Migrate,
            (true, Work::Held, ..) if seen.notice != Notice::Told => Step::TellPlan,
            (true, Work::Held, ..) => Step::Wait(Reason::ApprovalPending),
            (true, Work::Waiting(_) | Work::Done, ..) if seen.notice == Notice::Leftover => Step::ClearPlan,
            (true, Work::Waiting(reason), ..) | (true, Work::Done, Work::Waiting(reason), _) => Step::Wait(reason),
            (true, Work::Done, Work::Pending | Work::Held, _) => Step::Seed,
            (true, Work::Done, Work::Done, false) => Step::Publish,
            (true, Work::Done, Work::Done, true) => Step::Rest,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_state() -> Vec<Seen> {
        let databases = [
            Database::None(Supply::Provider),
            Database::None(Supply::Member),
            Database::None(Supply::Awaited(Reason::PoolExhausted)),
            Database::None(Supply::Blocked(Reason::ClassNotFound)),
            Database::Lost,
            Database::Queued,
            Database::Provisioning,
            Database::Stopped(Reason::ProviderFailed),
            Database::Usable,
            Database::Leaving,
        ];
        let mut states = Vec::new();
        for deleting in [false, true] {
            for (finalizer, intended) in [(false, false), (true, false), (true, true)] {
                for database in databases {
                    let outside = Seen {
                        deleting,
                        finalizer,
                        intended,
                        database,
                        login: false,
                        migrations: Work::Pending,
                        notice: Notice::Told,
                        seed: Work::Pending,
                        published: false,
                        serving: false,
                    };
                    states.extend(every_inside(outside));
                }
            }
        }
        states
    }

    fn every_inside(outside: Seen) -> Vec<Seen> {
        let works = [
            Work::Pending,
            Work::Held,
            Work::Waiting(Reason::RolloutPending),
            Work::Running,
            Work::Done,
        ];
        let mut states = Vec::new();
        for migrations in works {
            for notice in [Notice::Told, Notice::Untold, Notice::Leftover] {
                for seed in works {
                    for bits in 0..8 {
                        states.push(Seen {
                            login: bits & 1 > 0,
                            migrations,
                            notice,
                            seed,
                            published: bits & 2 > 0,
                            serving: bits & 4 > 0,
                            ..outside
                        });
                    }
                }
            }
        }
        states
    }

    /// What the world looks like after a step that went well.
    fn after(mut seen: Seen, step: Step) -> Seen {
        match step {
            Step::AddFinalizer => seen.finalizer = true,
            Step::Intend => seen.intended = true,
            Step::Create | Step::Wait(Reason::Queued) => seen.database = Database::Provisioning,
            Step::Take | Step::AwaitDatabase => seen.database = Database::Usable,
            Step::PrepareLogin => seen.login = true,
            Step::Migrate => seen.migrations = Work::Running,
            Step::Wait(Reason::Migrating) => seen.migrations = Work::Done,
            Step::TellPlan | Step::ClearPlan => seen.notice = Notice::Told,
            Step::Seed => seen.seed = Work::Running,
            Step::Wait(Reason::Seeding) => seen.seed = Work::Done,
            Step::Publish => seen.published = true,
            Step::Release => seen.database = Database::Leaving,
            Step::AwaitRelease => seen.database = Database::None(Supply::Provider),
            Step::Forget => seen.finalizer = false,
            Step::Rest | Step::Wait(_) | Step::Stop(_) => {}
        }
        seen
    }

    #[test]
    fn every_life_settles_and_claims_at_most_once() {
        for start in every_state() {
            let mut seen = start;
            let mut claims = 0;
            for _ in 0..11 {
                let step = plan(&seen);
                claims += usize::from(matches!(step, Step::Create | Step::Take));
                seen = after(seen, step);
            }
            let last = plan(&seen);
            assert!(
                matches!(last, Step::Rest | Step::Wait(_) | Step::Stop(_)),
                "{start:?} never settles: {last:?}"
            );
            assert!(claims <= 1, "{start:?} claims {claims} times");
        }
    }

    #[test]
    fn nothing_is_claimed_before_it_is_written_down() {
        for seen in every_state() {
            if matches!(plan(&seen), Step::Create | Step::Take) {
                assert!(seen.intended && seen.finalizer, "{seen:?}");
            }
        }
    }

    #[test]
    fn what_waits_for_approval_is_not_applied_and_keeps_serving() {
        for seen in every_state() {
            let held = seen.migrations == Work::Held && seen.database == Database::Usable;
            if !held || seen.deleting || !seen.finalizer || !seen.login {
                continue;
            }
            let step = plan(&seen);
            assert!(!matches!(step, Step::Migrate | Step::Seed | Step::Rest), "{seen:?}");
            if matches!(step, Step::Wait(_)) {
                assert_eq!(step, Step::Wait(Reason::ApprovalPending));
                assert!(
                    seen.notice == Notice::Told && (seen.published || !seen.serving),
                    "{seen:?}"
                );
            }
        }
    }

    #[test]
    fn who_uses_its_database_has_its_secret_back_first() {
        for seen in every_state() {
            let lost = seen.serving && !seen.published && seen.login && seen.database == Database::Usable;
            let busy = seen.migrations == Work::Running || (seen.migrations, seen.seed) == (Work::Done, Work::Running);
            if lost && !busy && seen.finalizer && !seen.deleting {
                assert_eq!(plan(&seen), Step::Publish, "{seen:?}");
            }
        }
    }

    #[test]
    fn nothing_is_published_before_it_is_migrated_and_seeded() {
        for seen in every_state() {
            if seen.serving && plan(&seen) == Step::Publish {
                continue;
            }
            if matches!(plan(&seen), Step::Publish) || (plan(&seen) == Step::Rest && !seen.deleting) {
                assert!(
                    seen.login && seen.migrations == Work::Done && seen.seed == Work::Done,
                    "{seen:?}"
                );
                assert_eq!(seen.database, Database::Usable);
            }
        }
    }

    #[test]
    fn a_lost_database_is_never_replaced() {
        for seen in every_state() {
            if matches!(seen.database, Database::Lost | Database::Leaving) {
                assert!(!matches!(plan(&seen), Step::Create | Step::Take), "{seen:?}");
            }
        }
    }

    #[test]
    fn nothing_is_claimed_or_changed_while_deleting() {
        for seen in every_state().into_iter().filter(|seen| seen.deleting) {
            assert!(
                matches!(
                    plan(&seen),
                    Step::Rest | Step::Release | Step::AwaitRelease | Step::Forget
                ),
                "{seen:?}"
            );
        }
    }
}
