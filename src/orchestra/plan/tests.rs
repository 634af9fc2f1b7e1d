use super::*;
use crate::api::condition::Reason;

pub(super) fn every_state() -> Vec<Facts> {
    let mut databases = vec![
        DatabaseState::None(Supply::Awaited(Wait::Member)),
        DatabaseState::None(Supply::Blocked(Stop::Claim(Reason::ClassNotFound))),
        DatabaseState::Lost,
        DatabaseState::Queued,
        DatabaseState::Provisioning,
        DatabaseState::Stopped(Reason::ProviderFailed),
        DatabaseState::Leaving,
    ];
    for intent in [Intent::Open, Intent::Reserved, Intent::Written] {
        databases.push(DatabaseState::None(Supply::Provider(intent)));
        databases.push(DatabaseState::None(Supply::Member(intent)));
    }
    databases.extend(every_inside().into_iter().map(DatabaseState::Usable));
    let mut states = Vec::new();
    for database in databases {
        for bits in 0..16 {
            // While it lives, a restore is inside.
            if bits & 8 > 0 && bits & 1 == 0 {
                continue;
            }
            states.extend(
                [TtlState::Later, TtlState::Begin, TtlState::Warn, TtlState::Over].map(|expiry| Facts {
                    deleting: bits & 1 > 0,
                    finalizer: bits & 2 > 0,
                    revoked: bits & 4 > 0,
                    restoring: bits & 8 > 0,
                    expiry,
                    database,
                    power: Power::Running,
                    idle: IdleState::No,
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
pub(super) fn every_power_state() -> Vec<Facts> {
    let mut states = Vec::new();
    let is_left_out = |seen: &Facts| inside(seen).is_some_and(|inside| inside.overdue || inside.invalid);
    let others = every_state().into_iter().filter(|seen| !is_left_out(seen));
    for seen in others.filter(|seen| seen.expiry == TtlState::Later) {
        for power in POWERS {
            for idle in [
                IdleState::No,
                IdleState::Look,
                IdleState::Note,
                IdleState::Warn,
                IdleState::Sleep,
            ] {
                states.push(Facts { power, idle, ..seen });
            }
        }
    }
    states
}

fn every_inside() -> Vec<Inside> {
    let works = [
        WorkState::Due,
        WorkState::Pending,
        WorkState::AwaitsApproval,
        WorkState::Waiting(Wait::Rollout),
        WorkState::Running,
        WorkState::Done,
    ];
    let mut states = Vec::new();
    for migrations in works {
        for notice in [Notice::Told, Notice::Untold, Notice::Leftover] {
            for seed in works {
                for rotation in [
                    RotationState::Settled,
                    RotationState::Due,
                    RotationState::Pending,
                    RotationState::Ended,
                ] {
                    for bits in 0..64 {
                        states.push(Inside {
                            restore: RestoreState::Settled,
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

pub(super) fn inside(seen: &Facts) -> Option<Inside> {
    match seen.database {
        DatabaseState::Usable(inside) => Some(inside),
        _ => None,
    }
}

/// The state after a step that succeeded.
fn after(mut seen: Facts, step: Step) -> Facts {
    let claim = |intent| match seen.database {
        DatabaseState::None(Supply::Provider(_)) => DatabaseState::None(Supply::Provider(intent)),
        _ => DatabaseState::None(Supply::Member(intent)),
    };
    match step {
        Step::AddFinalizer => seen.finalizer = true,
        Step::Reserve => seen.database = claim(Intent::Reserved),
        Step::Intend => seen.database = claim(Intent::Written),
        Step::Create | Step::Wait(Wait::Creation) => seen.database = DatabaseState::Provisioning,
        Step::Take | Step::Wait(Wait::Database) => seen.database = DatabaseState::Usable(Inside::UNSEEN),
        Step::BeginTtl | Step::WarnOfExpiry => seen.expiry = TtlState::Later,
        Step::Expire => seen.deleting = true,
        Step::EndRestore => seen.restoring = false,
        Step::Revoke => seen.revoked = true,
        Step::Release => seen.database = DatabaseState::Leaving,
        Step::Forget => seen.finalizer = false,
        Step::Pause => seen.power = Power::Pausing,
        Step::Shut | Step::Wait(Wait::Pausing) | Step::GiveBack => seen.power = Power::Paused,
        Step::Resume => seen.power = Power::Running,
        Step::LookForUse | Step::NoteUse | Step::WarnIdle => seen.idle = IdleState::No,
        Step::FallAsleep => (seen.idle, seen.power) = (IdleState::No, Power::ToPause),
        Step::Rest | Step::Sleep | Step::Stop(_) => {}
        _ => {
            if let DatabaseState::Usable(inside) = &mut seen.database {
                after_inside(inside, step);
            }
        }
    }
    seen
}

fn after_inside(seen: &mut Inside, step: Step) {
    match step {
        Step::AnnounceRestore => seen.restore = RestoreState::Announced,
        Step::StartRestore | Step::Wait(Wait::RestoreRoom) => seen.restore = RestoreState::Runs,
        Step::Wait(Wait::Restore) => seen.restore = RestoreState::Ended,
        Step::Wait(Wait::RestoreAgain) => seen.restore = RestoreState::Due,
        Step::ConcludeRestore => seen.restore = RestoreState::Leftover,
        Step::ClearRestore => seen.restore = RestoreState::Settled,
        Step::PrepareLogin => {
            seen.login = true;
            // The Secret has the former login still.
            seen.published &= seen.rotation != RotationState::Pending;
        }
        Step::BeginRotation => (seen.rotation, seen.login) = (RotationState::Pending, false),
        Step::RevokeFormer => seen.overdue = false,
        Step::EndRotation | Step::DropFormer => seen.rotation = RotationState::Settled,
        Step::TakeTurn => seen.migrations = WorkState::Pending,
        Step::Migrate => seen.migrations = WorkState::Running,
        Step::Wait(Wait::Migrations) => seen.migrations = WorkState::Done,
        Step::TellPlan | Step::ClearPlan => seen.notice = Notice::Told,
        Step::Seed => seen.seed = WorkState::Running,
        Step::Wait(Wait::Seed) => seen.seed = WorkState::Done,
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
            DatabaseState::None(Supply::Provider(intent) | Supply::Member(intent)) => Some(intent),
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
        let Some(inside) =
            inside(&seen).filter(|inside| inside.migrations == WorkState::AwaitsApproval && inside.login)
        else {
            continue;
        };
        if seen.deleting || !seen.finalizer || seen.expiry != TtlState::Later {
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
        let living = seen.finalizer && !seen.deleting && seen.expiry == TtlState::Later;
        let Some(inside) = inside(&seen).filter(|_| living) else {
            continue;
        };
        let lost = inside.serving && !inside.published && inside.login;
        let busy = inside.migrations == WorkState::Running
            || (inside.migrations, inside.seed) == (WorkState::Done, WorkState::Running);
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
                (RotationState::Settled, false),
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
                inside.login && inside.migrations == WorkState::Done && inside.seed == WorkState::Done,
                "{seen:?}"
            );
        }
    }
}

#[test]
fn nothing_is_migrated_without_a_turn() {
    for seen in every_state() {
        let due = inside(&seen).is_some_and(|inside| inside.migrations == WorkState::Due);
        assert!(!due || plan(&seen) != Step::Migrate, "{seen:?}");
    }
}

#[test]
fn a_lost_database_is_never_replaced() {
    for seen in every_state() {
        if matches!(seen.database, DatabaseState::Lost | DatabaseState::Leaving) {
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
        let running = Facts {
            power: Power::Running,
            idle: IdleState::No,
            ..seen
        };
        let step = plan(&running);
        if let Power::Refused(stop) = seen.power
            && seen.idle == IdleState::No
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
        let over = seen.expiry == TtlState::Over && seen.finalizer && !seen.deleting;
        assert_eq!(plan(&seen) == Step::Expire, over, "{seen:?}");
        if seen.expiry != TtlState::Later && seen.database == DatabaseState::Provisioning {
            for power in POWERS {
                assert_eq!(plan(&Facts { power, ..seen }), plan(&seen), "{seen:?} {power:?}");
            }
        }
    }
}
