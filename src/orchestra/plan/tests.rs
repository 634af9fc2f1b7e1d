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
            // While the Orchestra is not being deleted, a restore is an inside fact.
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
    let is_left_out = |facts: &Facts| inside(facts).is_some_and(|inside| inside.overdue || inside.invalid);
    let others = every_state().into_iter().filter(|facts| !is_left_out(facts));
    for facts in others.filter(|facts| facts.expiry == TtlState::Later) {
        for power in POWERS {
            for idle in [
                IdleState::No,
                IdleState::Look,
                IdleState::Note,
                IdleState::Warn,
                IdleState::Sleep,
            ] {
                states.push(Facts { power, idle, ..facts });
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

pub(super) fn inside(facts: &Facts) -> Option<Inside> {
    match facts.database {
        DatabaseState::Usable(inside) => Some(inside),
        _ => None,
    }
}

/// The state after a step that succeeded.
fn after(mut facts: Facts, step: Step) -> Facts {
    let claim = |intent| match facts.database {
        DatabaseState::None(Supply::Provider(_)) => DatabaseState::None(Supply::Provider(intent)),
        _ => DatabaseState::None(Supply::Member(intent)),
    };
    match step {
        Step::AddFinalizer => facts.finalizer = true,
        Step::Reserve => facts.database = claim(Intent::Reserved),
        Step::Intend => facts.database = claim(Intent::Written),
        Step::Create | Step::Wait(Wait::Creation) => facts.database = DatabaseState::Provisioning,
        Step::Take | Step::Wait(Wait::Database) => facts.database = DatabaseState::Usable(Inside::UNSEEN),
        Step::BeginTtl | Step::WarnOfExpiry => facts.expiry = TtlState::Later,
        Step::Expire => facts.deleting = true,
        Step::EndRestore => facts.restoring = false,
        Step::Revoke => facts.revoked = true,
        Step::Release => facts.database = DatabaseState::Leaving,
        Step::Forget => facts.finalizer = false,
        Step::Pause => facts.power = Power::Pausing,
        Step::Shut | Step::Wait(Wait::Pausing) | Step::GiveBack => facts.power = Power::Paused,
        Step::Resume => facts.power = Power::Running,
        Step::LookForUse | Step::NoteUse | Step::WarnIdle => facts.idle = IdleState::No,
        Step::FallAsleep => (facts.idle, facts.power) = (IdleState::No, Power::ToPause),
        Step::Rest | Step::Sleep | Step::Stop(_) => {}
        _ => {
            if let DatabaseState::Usable(inside) = &mut facts.database {
                after_inside(inside, step);
            }
        }
    }
    facts
}

fn after_inside(inside: &mut Inside, step: Step) {
    match step {
        Step::AnnounceRestore => inside.restore = RestoreState::Announced,
        Step::StartRestore | Step::Wait(Wait::RestoreRoom) => inside.restore = RestoreState::Runs,
        Step::Wait(Wait::Restore) => inside.restore = RestoreState::Ended,
        Step::Wait(Wait::RestoreAgain) => inside.restore = RestoreState::Due,
        Step::ConcludeRestore => inside.restore = RestoreState::Leftover,
        Step::ClearRestore => inside.restore = RestoreState::Settled,
        Step::PrepareLogin => {
            inside.login = true;
            // The Secret still has the former login.
            inside.published &= inside.rotation != RotationState::Pending;
        }
        Step::BeginRotation => (inside.rotation, inside.login) = (RotationState::Pending, false),
        Step::RevokeFormer => inside.overdue = false,
        Step::EndRotation | Step::DropFormer => inside.rotation = RotationState::Settled,
        Step::TakeTurn => inside.migrations = WorkState::Pending,
        Step::Migrate => inside.migrations = WorkState::Running,
        Step::Wait(Wait::Migrations) => inside.migrations = WorkState::Done,
        Step::TellPlan | Step::ClearPlan => inside.notice = Notice::Told,
        Step::Seed => inside.seed = WorkState::Running,
        Step::Wait(Wait::Seed) => inside.seed = WorkState::Done,
        Step::Publish => inside.published = true,
        Step::RemoveSecret => inside.leftover = false,
        _ => {}
    }
}

#[test]
fn every_life_settles_and_claims_at_most_once() {
    for start in every_power_state().into_iter().chain(every_state()) {
        let mut facts = start;
        let mut claims = 0;
        for _ in 0..30 {
            let step = plan(&facts);
            claims += usize::from(matches!(step, Step::Create | Step::Take));
            facts = after(facts, step);
        }
        let last = plan(&facts);
        assert!(
            matches!(last, Step::Rest | Step::Sleep | Step::Wait(_) | Step::Stop(_)),
            "{start:?} never settles: {last:?}"
        );
        assert!(claims <= 1, "{start:?} claims {claims} times");
    }
}

#[test]
fn nothing_is_claimed_before_it_is_written_down() {
    for facts in every_state() {
        let step = plan(&facts);
        let intent = match facts.database {
            DatabaseState::None(Supply::Provider(intent) | Supply::Member(intent)) => Some(intent),
            _ => None,
        };
        if matches!(step, Step::Create | Step::Take) {
            assert!(intent == Some(Intent::Written) && facts.finalizer, "{facts:?}");
        }
        if step == Step::Intend {
            assert_eq!(intent, Some(Intent::Reserved), "{facts:?}");
        }
    }
}

#[test]
fn what_waits_for_approval_is_not_applied_and_keeps_serving() {
    for facts in every_state() {
        let Some(inside) =
            inside(&facts).filter(|inside| inside.migrations == WorkState::AwaitsApproval && inside.login)
        else {
            continue;
        };
        if facts.deleting || !facts.finalizer || facts.expiry != TtlState::Later {
            continue;
        }
        let step = plan(&facts);
        assert!(!matches!(step, Step::Migrate | Step::Seed | Step::Rest), "{facts:?}");
        if matches!(step, Step::Wait(_)) {
            assert_eq!(step, Step::Wait(Wait::Approval));
            assert!(
                inside.notice == Notice::Told && (inside.published || !inside.serving),
                "{facts:?}"
            );
        }
    }
}

#[test]
fn who_uses_its_database_has_its_secret_back_first() {
    for facts in every_state() {
        let living = facts.finalizer && !facts.deleting && facts.expiry == TtlState::Later;
        let Some(inside) = inside(&facts).filter(|_| living) else {
            continue;
        };
        let lost = inside.serving && !inside.published && inside.login;
        let busy = inside.migrations == WorkState::Running
            || (inside.migrations, inside.seed) == (WorkState::Done, WorkState::Running);
        if lost && !busy && !inside.overdue {
            assert_eq!(plan(&facts), Step::Publish, "{facts:?}");
        }
    }
}

#[test]
fn a_rotation_ends_only_when_the_secret_has_the_new_login() {
    for facts in every_state() {
        let Some(inside) = inside(&facts) else { continue };
        let step = plan(&facts);
        let rotates = matches!(step, Step::BeginRotation | Step::EndRotation);
        if rotates {
            assert!(inside.serving && inside.published, "{facts:?}");
        }
        if step == Step::EndRotation {
            assert!(inside.login, "{facts:?}");
        }
        if step == Step::Rest && !facts.deleting && inside.serving {
            assert_eq!(
                (inside.rotation, inside.overdue),
                (RotationState::Settled, false),
                "{facts:?}"
            );
        }
    }
}

#[test]
fn nothing_is_published_before_it_is_migrated_and_seeded() {
    for facts in every_state() {
        let found = inside(&facts);
        if found.is_some_and(|inside| inside.serving) && plan(&facts) == Step::Publish {
            continue;
        }
        if matches!(plan(&facts), Step::Publish) || (plan(&facts) == Step::Rest && !facts.deleting) {
            let inside = found.unwrap_or_else(|| panic!("{facts:?}"));
            assert!(
                inside.login && inside.migrations == WorkState::Done && inside.seed == WorkState::Done,
                "{facts:?}"
            );
        }
    }
}

#[test]
fn nothing_is_migrated_without_a_turn() {
    for facts in every_state() {
        let due = inside(&facts).is_some_and(|inside| inside.migrations == WorkState::Due);
        assert!(!due || plan(&facts) != Step::Migrate, "{facts:?}");
    }
}

#[test]
fn a_lost_database_is_never_replaced() {
    for facts in every_state() {
        if matches!(facts.database, DatabaseState::Lost | DatabaseState::Leaving) {
            assert!(!matches!(plan(&facts), Step::Create | Step::Take), "{facts:?}");
        }
    }
}

#[test]
fn nothing_is_claimed_or_changed_while_deleting() {
    for facts in every_power_state().into_iter().filter(|facts| facts.deleting) {
        assert!(
            matches!(
                plan(&facts),
                Step::Rest | Step::EndRestore | Step::Revoke | Step::Release | Step::Forget
            ),
            "{facts:?}"
        );
    }
}

#[test]
fn nothing_is_done_in_a_database_that_is_paused() {
    use Power::{Paused, Pausing, ToGiveBack, ToPause, ToShut};
    for facts in every_power_state() {
        let pauses = matches!(facts.power, ToPause | Pausing | ToShut | Paused | ToGiveBack);
        if pauses && !facts.deleting && facts.finalizer {
            let step = plan(&facts);
            let waits = matches!(
                step,
                Step::Pause | Step::Wait(Wait::Pausing) | Step::Shut | Step::Sleep | Step::GiveBack
            );
            assert!(waits, "{facts:?}: {step:?}");
        }
    }
}

#[test]
fn what_cannot_be_paused_lives_on_and_only_what_rests_falls_asleep() {
    for facts in every_power_state() {
        let running = Facts {
            power: Power::Running,
            idle: IdleState::No,
            ..facts
        };
        let step = plan(&running);
        if let Power::Refused(stop) = facts.power
            && facts.idle == IdleState::No
        {
            let expected = if step == Step::Rest && !facts.deleting {
                Step::Stop(stop)
            } else {
                step
            };
            assert_eq!(plan(&facts), expected, "{facts:?}");
        }
        if plan(&facts) == Step::FallAsleep {
            assert_eq!(
                (step, facts.deleting, facts.power),
                (Step::Rest, false, Power::Running),
                "{facts:?}"
            );
        }
    }
}

#[test]
fn a_usable_database_is_revoked_before_it_is_released() {
    for facts in every_state() {
        if plan(&facts) == Step::Release && inside(&facts).is_some() {
            assert!(facts.revoked, "{facts:?}");
        }
    }
}

#[test]
fn only_what_is_over_expires_and_whatever_it_waits_for() {
    for facts in every_state() {
        let over = facts.expiry == TtlState::Over && facts.finalizer && !facts.deleting;
        assert_eq!(plan(&facts) == Step::Expire, over, "{facts:?}");
        if facts.expiry != TtlState::Later && facts.database == DatabaseState::Provisioning {
            for power in POWERS {
                assert_eq!(plan(&Facts { power, ..facts }), plan(&facts), "{facts:?} {power:?}");
            }
        }
    }
}
