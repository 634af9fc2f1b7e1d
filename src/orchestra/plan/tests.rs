use super::*;
use crate::api::condition::Reason;

pub(super) fn every_state() -> Vec<Seen> {
    let mut databases = vec![
        Database::None(Supply::Awaited(Wait::Member)),
        Database::None(Supply::Blocked(Stop::Claim(Reason::ClassNotFound))),
        Database::Lost,
        Database::Queued,
        Database::Provisioning,
        Database::Stopped(Reason::ProviderFailed),
        Database::Leaving,
    ];
    for intent in [Intent::Open, Intent::Reserved, Intent::Written] {
        databases.push(Database::None(Supply::Provider(intent)));
        databases.push(Database::None(Supply::Member(intent)));
    }
    databases.extend(every_inside().into_iter().map(Database::Usable));
    let mut states = Vec::new();
    for database in databases {
        for bits in 0..16 {
            // While it lives, a restore is inside.
            if bits & 8 > 0 && bits & 1 == 0 {
                continue;
            }
            states.extend(
                [Expiry::Later, Expiry::Begin, Expiry::Warn, Expiry::Over].map(|expiry| Seen {
                    deleting: bits & 1 > 0,
                    finalizer: bits & 2 > 0,
                    revoked: bits & 4 > 0,
                    restoring: bits & 8 > 0,
                    expiry,
                    database,
                    power: Power::Running,
                    idle: Idle::No,
                }),
            );
        }
    }
    states
}

const POWERS: [Power; 8] = [
    Power::Running,
    Power::ToPause,
    Power::Pausing,
    Power::ToShut,
    Power::Paused,
    Power::ToGiveBack,
    Power::Refused(Stop::PauseForbidden),
    Power::ToResume,
];

/// Every state of a pause, while nothing of a ttl is due. No link beside those of a former login and of a wrong connection
/// depends on these two, so that they are left out here.
pub(super) fn every_power_state() -> Vec<Seen> {
    let mut states = Vec::new();
    let is_left_out = |seen: &Seen| inside(seen).is_some_and(|inside| inside.overdue || inside.invalid);
    let others = every_state().into_iter().filter(|seen| !is_left_out(seen));
    for seen in others.filter(|seen| seen.expiry == Expiry::Later) {
        for power in POWERS {
            for idle in [Idle::No, Idle::Look, Idle::Note, Idle::Warn, Idle::Sleep] {
                states.push(Seen { power, idle, ..seen });
            }
        }
    }
    states
}

fn every_inside() -> Vec<Inside> {
    let works = [
        Work::Due,
        Work::Pending,
        Work::AwaitsApproval,
        Work::Waiting(Wait::Rollout),
        Work::Running,
        Work::Done,
    ];
    let mut states = Vec::new();
    for migrations in works {
        for notice in [Notice::Told, Notice::Untold, Notice::Leftover] {
            for seed in works {
                for rotation in [Rotation::Settled, Rotation::Due, Rotation::Pending, Rotation::Ended] {
                    for bits in 0..64 {
                        states.push(Inside {
                            restore: Restore::Settled,
                            login: bits & 1 > 0,
                            migrations,
                            notice,
                            seed,
                            published: bits & 2 > 0,
                            serving: bits & 4 > 0,
                            leftover: bits & 8 > 0,
                            rotation,
                            overdue: bits & 16 > 0,
                            invalid: bits & 32 > 0,
                        });
                    }
                }
            }
        }
    }
    states.extend(super::restore_tests::every_restore());
    states
}

pub(super) fn inside(seen: &Seen) -> Option<Inside> {
    match seen.database {
        Database::Usable(inside) => Some(inside),
        _ => None,
    }
}

/// The state after a step that succeeded.
fn after(mut seen: Seen, step: Step) -> Seen {
    let claim = |intent| match seen.database {
        Database::None(Supply::Provider(_)) => Database::None(Supply::Provider(intent)),
        _ => Database::None(Supply::Member(intent)),
    };
    match step {
        Step::AddFinalizer => seen.finalizer = true,
        Step::Reserve => seen.database = claim(Intent::Reserved),
        Step::Intend => seen.database = claim(Intent::Written),
        Step::Create | Step::Wait(Wait::Creation) => seen.database = Database::Provisioning,
        Step::Take | Step::Wait(Wait::Database) => seen.database = Database::Usable(Inside::UNSEEN),
        Step::BeginTtl | Step::WarnOfExpiry => seen.expiry = Expiry::Later,
        Step::Expire => seen.deleting = true,
        Step::EndRestore => seen.restoring = false,
        Step::Revoke => seen.revoked = true,
        Step::Release => seen.database = Database::Leaving,
        Step::Forget => seen.finalizer = false,
        Step::Pause => seen.power = Power::Pausing,
        Step::Shut | Step::Wait(Wait::Pausing) | Step::GiveBack => seen.power = Power::Paused,
        Step::Resume => seen.power = Power::Running,
        Step::LookForUse | Step::NoteUse | Step::WarnIdle => seen.idle = Idle::No,
        Step::FallAsleep => (seen.idle, seen.power) = (Idle::No, Power::ToPause),
        Step::Rest | Step::Sleep | Step::Stop(_) => {}
        _ => {
            if let Database::Usable(inside) = &mut seen.database {
                after_inside(inside, step);
            }
        }
    }
    seen
}

fn after_inside(seen: &mut Inside, step: Step) {
    match step {
        Step::AnnounceRestore => seen.restore = Restore::Announced,
        Step::StartRestore | Step::Wait(Wait::RestoreRoom) => seen.restore = Restore::Runs,
        Step::Wait(Wait::Restore) => seen.restore = Restore::Ended,
        Step::Wait(Wait::RestoreAgain) => seen.restore = Restore::Due,
        Step::ConcludeRestore => seen.restore = Restore::Leftover,
        Step::ClearRestore => seen.restore = Restore::Settled,
        Step::PrepareLogin => {
            seen.login = true;
            // The Secret has the former login still.
            seen.published &= seen.rotation != Rotation::Pending;
        }
        Step::BeginRotation => (seen.rotation, seen.login) = (Rotation::Pending, false),
        Step::RevokeFormer => seen.overdue = false,
        Step::EndRotation | Step::DropFormer => seen.rotation = Rotation::Settled,
        Step::TakeTurn => seen.migrations = Work::Pending,
        Step::Migrate => seen.migrations = Work::Running,
        Step::Wait(Wait::Migrations) => seen.migrations = Work::Done,
        Step::TellPlan | Step::ClearPlan => seen.notice = Notice::Told,
        Step::Seed => seen.seed = Work::Running,
        Step::Wait(Wait::Seed) => seen.seed = Work::Done,
        Step::Publish => seen.published = true,
        Step::RemoveSecret => seen.leftover = false,
        _ => {}
    }
}

#[test]
fn every_life_settles_and_claims_at_most_once() {
    for start in every_power_state().into_iter().chain(every_state()) {
        let mut seen = start;
        let mut claims = 0;
        for _ in 0..30 {
            let step = plan(&seen);
            claims += usize::from(matches!(step, Step::Create | Step::Take));
            seen = after(seen, step);
        }
        let last = plan(&seen);
        assert!(
            matches!(last, Step::Rest | Step::Sleep | Step::Wait(_) | Step::Stop(_)),
            "{start:?} never settles: {last:?}"
        );
        assert!(claims <= 1, "{start:?} claims {claims} times");
    }
}

#[test]
fn nothing_is_claimed_before_it_is_written_down() {
    for seen in every_state() {
        let step = plan(&seen);
        let intent = match seen.database {
            Database::None(Supply::Provider(intent) | Supply::Member(intent)) => Some(intent),
            _ => None,
        };
        if matches!(step, Step::Create | Step::Take) {
            assert!(intent == Some(Intent::Written) && seen.finalizer, "{seen:?}");
        }
        if step == Step::Intend {
            assert_eq!(intent, Some(Intent::Reserved), "{seen:?}");
        }
    }
}

#[test]
fn what_waits_for_approval_is_not_applied_and_keeps_serving() {
    for seen in every_state() {
        let Some(inside) = inside(&seen).filter(|inside| inside.migrations == Work::AwaitsApproval && inside.login)
        else {
            continue;
        };
        if seen.deleting || !seen.finalizer || seen.expiry != Expiry::Later {
            continue;
        }
        let step = plan(&seen);
        assert!(!matches!(step, Step::Migrate | Step::Seed | Step::Rest), "{seen:?}");
        if matches!(step, Step::Wait(_)) {
            assert_eq!(step, Step::Wait(Wait::Approval));
            assert!(
                inside.notice == Notice::Told && (inside.published || !inside.serving),
                "{seen:?}"
            );
        }
    }
}

#[test]
fn who_uses_its_database_has_its_secret_back_first() {
    for seen in every_state() {
        let living = seen.finalizer && !seen.deleting && seen.expiry == Expiry::Later;
        let Some(inside) = inside(&seen).filter(|_| living) else {
            continue;
        };
        let lost = inside.serving && !inside.published && inside.login;
        let busy =
            inside.migrations == Work::Running || (inside.migrations, inside.seed) == (Work::Done, Work::Running);
        if lost && !busy && !inside.overdue {
            assert_eq!(plan(&seen), Step::Publish, "{seen:?}");
        }
    }
}

#[test]
fn a_rotation_ends_only_when_the_secret_has_the_new_login() {
    for seen in every_state() {
        let Some(inside) = inside(&seen) else { continue };
        let step = plan(&seen);
        let rotates = matches!(step, Step::BeginRotation | Step::EndRotation);
        if rotates {
            assert!(inside.serving && inside.published, "{seen:?}");
        }
        if step == Step::EndRotation {
            assert!(inside.login, "{seen:?}");
        }
        if step == Step::Rest && !seen.deleting && inside.serving {
            assert_eq!(
                (inside.rotation, inside.overdue),
                (Rotation::Settled, false),
                "{seen:?}"
            );
        }
    }
}

#[test]
fn nothing_is_published_before_it_is_migrated_and_seeded() {
    for seen in every_state() {
        let found = inside(&seen);
        if found.is_some_and(|inside| inside.serving) && plan(&seen) == Step::Publish {
            continue;
        }
        if matches!(plan(&seen), Step::Publish) || (plan(&seen) == Step::Rest && !seen.deleting) {
            let inside = found.unwrap_or_else(|| panic!("{seen:?}"));
            assert!(
                inside.login && inside.migrations == Work::Done && inside.seed == Work::Done,
                "{seen:?}"
            );
        }
    }
}

#[test]
fn nothing_is_migrated_without_a_turn() {
    for seen in every_state() {
        let due = inside(&seen).is_some_and(|inside| inside.migrations == Work::Due);
        assert!(!due || plan(&seen) != Step::Migrate, "{seen:?}");
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
    for seen in every_power_state().into_iter().filter(|seen| seen.deleting) {
        assert!(
            matches!(
                plan(&seen),
                Step::Rest | Step::EndRestore | Step::Revoke | Step::Release | Step::Forget
            ),
            "{seen:?}"
        );
    }
}

#[test]
fn nothing_is_done_in_a_database_that_is_paused() {
    use Power::{Paused, Pausing, ToGiveBack, ToPause, ToShut};
    for seen in every_power_state() {
        let pauses = matches!(seen.power, ToPause | Pausing | ToShut | Paused | ToGiveBack);
        if pauses && !seen.deleting && seen.finalizer {
            let step = plan(&seen);
            let waits = matches!(
                step,
                Step::Pause | Step::Wait(Wait::Pausing) | Step::Shut | Step::Sleep | Step::GiveBack
            );
            assert!(waits, "{seen:?}: {step:?}");
        }
    }
}

#[test]
fn what_cannot_be_paused_lives_on_and_only_what_rests_falls_asleep() {
    for seen in every_power_state() {
        let running = Seen {
            power: Power::Running,
            idle: Idle::No,
            ..seen
        };
        let step = plan(&running);
        if let Power::Refused(stop) = seen.power
            && seen.idle == Idle::No
        {
            let expected = if step == Step::Rest && !seen.deleting {
                Step::Stop(stop)
            } else {
                step
            };
            assert_eq!(plan(&seen), expected, "{seen:?}");
        }
        if plan(&seen) == Step::FallAsleep {
            assert_eq!(
                (step, seen.deleting, seen.power),
                (Step::Rest, false, Power::Running),
                "{seen:?}"
            );
        }
    }
}

#[test]
fn a_usable_database_is_revoked_before_it_is_released() {
    for seen in every_state() {
        if plan(&seen) == Step::Release && inside(&seen).is_some() {
            assert!(seen.revoked, "{seen:?}");
        }
    }
}

#[test]
fn only_what_is_over_expires_and_whatever_it_waits_for() {
    for seen in every_state() {
        let over = seen.expiry == Expiry::Over && seen.finalizer && !seen.deleting;
        assert_eq!(plan(&seen) == Step::Expire, over, "{seen:?}");
        if seen.expiry != Expiry::Later && seen.database == Database::Provisioning {
            for power in POWERS {
                assert_eq!(plan(&Seen { power, ..seen }), plan(&seen), "{seen:?} {power:?}");
            }
        }
    }
}
