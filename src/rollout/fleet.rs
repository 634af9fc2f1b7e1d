//! The Orchestras of a class that take part in its rollouts, with the facts that the decision needs: read from
//! their statuses, and from the work of this process since then.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::plan::{Participant, RolloutLimits, UpdateState};
use super::revisions::Revisions;
use super::turns::{Ledger, Load, TurnOutcome, Turns};
use crate::api::condition::Reason;
use crate::api::{MigrationStatus, Orchestra, OrchestraClass, selector};
use crate::content::template_of;
use crate::controller::error::Error;
use crate::credentials::servers;

/// A participant of a rollout, with its object and the migrations that it has.
pub struct Enrolled {
    /// The facts that the decision needs.
    pub participant: Participant,
    /// Its object.
    pub object: ObjectRef<Orchestra>,
    /// Digest of the source that it has.
    pub revision: Option<String>,
    /// Its last migration.
    pub migration: Option<String>,
}

/// The rollout settings of a class.
pub struct RolloutRules {
    pub limits: RolloutLimits,
    canary: Option<Selector>,
}

impl RolloutRules {
    /// Reads them.
    ///
    /// # Errors
    /// When the selector of the canaries is not valid: then no migration is started.
    pub fn of(class: &OrchestraClass, turns: &Turns) -> Result<Self, Error> {
        let rollout = &class.spec.rollout;
        let canary = rollout.canary.as_ref().map(|canary| selector(class, &canary.selector));
        Ok(Self {
            limits: RolloutLimits {
                concurrent: usize::try_from(rollout.max_concurrent).unwrap_or(1),
                failures: usize::try_from(rollout.max_failures).unwrap_or_default(),
                per_server: turns.per_server(),
                paused: rollout.paused,
            },
            canary: canary.transpose()?,
        })
    }
}

fn selector(class: &OrchestraClass, selector: &LabelSelector) -> Result<Selector, Error> {
    selector::parse(selector).map_err(|wrong| {
        let name = class.name_any();
        Error::blocked(
            Reason::SelectorInvalid,
            format!("rollout.canary.selector of class {name} is not valid: {wrong}. No Orchestra is migrated until it is corrected"),
        )
    })
}

/// Whether an Orchestra is in use with the class's migrations: then a rollout brings it a new source. Any other
/// Orchestra starts with the source that the class has now.
pub fn takes_part(orchestra: &Orchestra) -> bool {
    orchestra.is_published() && !orchestra.has_own_migrations() && orchestra.metadata.deletion_timestamp.is_none()
}

/// Whether the class has migrations for an Orchestra, valid or not.
fn asks_for_any(orchestra: &Orchestra, class: &OrchestraClass) -> bool {
    let own = class.spec.migrations.as_ref().is_some_and(|own| own.source.is_some());
    own || orchestra.spec.source.is_some() || template_of(orchestra, class).is_some()
}

/// The Orchestras of a class that take part in its rollouts. `asker` is used as it is, because the watch may
/// have an older version of it.
pub fn enrolled(
    ctx: &Context,
    class: &OrchestraClass,
    rules: &RolloutRules,
    ledger: &Ledger,
    (revisions, asker): (&Revisions, Option<&Orchestra>),
) -> Vec<Enrolled> {
    let name = class.name_any();
    let belongs = |orchestra: &Orchestra| {
        // A paused one is skipped, and catches up when it runs again.
        takes_part(orchestra)
            && !orchestra.is_asleep()
            && orchestra.decided_class() == Some(&name)
            && asks_for_any(orchestra, class)
    };
    let all = ctx.core.stores.orchestras.state_filter(belongs);
    all.iter()
        .map(|watched| {
            let asking = asker.filter(|asker| asker.metadata.uid == watched.metadata.uid);
            let orchestra = asking.unwrap_or(watched);
            enroll(ctx, orchestra, rules, ledger, revisions.wanted(orchestra, class))
        })
        .collect()
}

fn enroll(
    ctx: &Context,
    orchestra: &Orchestra,
    rules: &RolloutRules,
    ledger: &Ledger,
    wanted: Option<&str>,
) -> Enrolled {
    let uid = orchestra.uid().unwrap_or_default();
    let migrations = orchestra.migrations();
    let canary = rules.canary.as_ref();
    // An Orchestra whose source cannot be used waits for it.
    let revision = wanted.unwrap_or_default();
    Enrolled {
        participant: Participant {
            name: format!("{}/{}", orchestra.namespace().unwrap_or_default(), orchestra.name_any()),
            created: orchestra.creation_timestamp().map_or(Timestamp::MAX, |at| at.0),
            standing: update_state_of(migrations, ledger.outcome(&uid, revision), revision),
            canary: canary.is_some_and(|canary| canary.matches(orchestra.labels())),
            pinned: orchestra.spec.pin_migrations,
            engaged: ledger.is_engaged(&uid) || is_inherited(orchestra, ledger),
            able: wanted.is_some() && orchestra.is_settled_but_for_migrations(),
            server: servers::of(&ctx.credentials, orchestra),
            uid,
        },
        object: ObjectRef::from_obj(orchestra),
        revision: migrations.map(|is| is.source.clone()),
        migration: migrations.and_then(|is| is.current.clone()),
    }
}

/// The last outcome of this process is newer than the status.
fn update_state_of(migrations: Option<&MigrationStatus>, outcome: Option<TurnOutcome>, revision: &str) -> UpdateState {
    let Some(migrations) = migrations else {
        return match outcome {
            Some(TurnOutcome::Applied) => UpdateState::Updated,
            Some(TurnOutcome::Failed) => UpdateState::Failed,
            Some(TurnOutcome::AwaitsApproval) => UpdateState::AwaitsApproval,
            Some(TurnOutcome::Cut) | None => UpdateState::Pending,
        };
    };
    let this = migrations.source == revision;
    match outcome {
        Some(TurnOutcome::Applied) => UpdateState::Updated,
        _ if this && migrations.pending == 0 && !migrations.failed => UpdateState::Updated,
        Some(TurnOutcome::Failed) => UpdateState::Failed,
        _ if this && migrations.failed => UpdateState::Failed,
        // A status of this source says itself whether it still waits.
        Some(TurnOutcome::AwaitsApproval) if !this => UpdateState::AwaitsApproval,
        _ if this && migrations.plan.is_some() => UpdateState::AwaitsApproval,
        _ if migrations.pending > 0 || migrations.failed => UpdateState::Broken,
        _ => UpdateState::Pending,
    }
}

/// How far an Orchestra is with a source, as known without a query to its database.
pub fn update_state(orchestra: &Orchestra, ledger: &Ledger, revision: &str) -> UpdateState {
    let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
    update_state_of(orchestra.migrations(), ledger.outcome(uid, revision), revision)
}

/// Whether an earlier process started its migration, which may still be running.
pub fn is_inherited(orchestra: &Orchestra, ledger: &Ledger) -> bool {
    let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
    !ledger.knows(uid) && orchestra.may_be_migrating()
}

/// The load of the server of an Orchestra that asks for a turn.
pub fn load(ctx: &Context, ledger: &Ledger, server: &str, asker: &Orchestra) -> Load {
    let orchestras = &ctx.core.stores.orchestras;
    let is_there = |orchestra: &Orchestra| servers::of(&ctx.credentials, orchestra).as_deref() == Some(server);
    let inherited = |orchestra: &Orchestra| {
        orchestra.metadata.uid != asker.metadata.uid && is_inherited(orchestra, ledger) && is_there(orchestra)
    };
    // A hosted project is a server of its own. All other databases may share this one.
    let is_hosted = |orchestra: &Orchestra| orchestra.status.as_ref().is_some_and(|status| status.project.is_some());
    let shares = |orchestra: &Orchestra| orchestra.namespace() != asker.namespace() && !is_hosted(orchestra);
    Load {
        inherited: orchestras.state_filter(inherited).len(),
        shared: orchestras.find(shares).is_some(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::api::MigrationPlan;

    fn migrations(source: &str, pending: i32, failed: bool) -> MigrationStatus {
        MigrationStatus {
            source: source.into(),
            pending,
            failed,
            ..MigrationStatus::default()
        }
    }

    #[test]
    fn a_tenant_whose_pause_is_refused_is_migrated_and_one_that_is_paused_is_not() {
        let tenant = |pausing: &str, since: Option<&str>, available: &str, stalled: &str| -> Orchestra {
            let condition = |type_: &str, status: &str, reason: &str| {
                json!({"type": type_, "status": status, "reason": reason, "message": "",
                       "lastTransitionTime": "2026-11-28T10:00:00Z"})
            };
            serde_json::from_value(json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": "one"},
                "spec": {"powerState": "Paused"},
                "status": {
                    "power": {"pausedBy": "Spec", "pausedSince": since},
                    "conditions": [
                        condition("Available", available, "Ready"),
                        condition("Reconciling", pausing, "Pausing"),
                        condition("Stalled", stalled, "QuotaExceeded"),
                    ],
                },
            }))
            .unwrap()
        };
        let since = Some("2026-11-28T10:00:00Z");
        for (pausing, since, available, stalled, asleep, able) in [
            ("False", since, "False", "False", true, true),
            ("True", None, "True", "False", true, true),
            ("False", None, "True", "True", false, true),
            ("False", None, "False", "True", false, false),
        ] {
            let tenant = tenant(pausing, since, available, stalled);
            assert_eq!(tenant.is_asleep(), asleep, "{pausing} {since:?}");
            if !asleep {
                assert_eq!(tenant.is_settled_but_for_migrations(), able, "{available}");
            }
        }
    }

    #[test]
    fn what_this_process_did_goes_before_what_a_status_says() {
        use TurnOutcome::{Applied, AwaitsApproval, Cut, Failed};
        for (source, pending, failed, outcome, is) in [
            ("new", 0, false, None, UpdateState::Updated),
            ("old", 0, false, None, UpdateState::Pending),
            ("old", 0, false, Some(Cut), UpdateState::Pending),
            ("old", 0, false, Some(Applied), UpdateState::Updated),
            ("old", 0, false, Some(Failed), UpdateState::Failed),
            ("old", 2, true, None, UpdateState::Broken),
            ("new", 2, false, None, UpdateState::Broken),
            ("new", 2, false, Some(Applied), UpdateState::Updated),
            ("new", 2, true, None, UpdateState::Failed),
            ("new", 2, true, Some(Cut), UpdateState::Failed),
            ("new", 0, true, None, UpdateState::Failed),
            // The status does not say yet that it waits, and later no longer says so.
            ("old", 0, false, Some(AwaitsApproval), UpdateState::AwaitsApproval),
            ("new", 2, false, Some(AwaitsApproval), UpdateState::Broken),
        ] {
            let status = migrations(source, pending, failed);
            assert_eq!(
                update_state_of(Some(&status), outcome, "new"),
                is,
                "{status:?} {outcome:?}"
            );
        }
        let waits = |source: &str, failed| MigrationStatus {
            plan: Some(MigrationPlan::default()),
            ..migrations(source, 1, failed)
        };
        for (source, failed, outcome, is) in [
            ("new", false, None, UpdateState::AwaitsApproval),
            ("new", false, Some(AwaitsApproval), UpdateState::AwaitsApproval),
            ("new", false, Some(Cut), UpdateState::AwaitsApproval),
            ("new", true, Some(AwaitsApproval), UpdateState::Failed),
            ("old", false, None, UpdateState::Broken),
        ] {
            assert_eq!(
                update_state_of(Some(&waits(source, failed)), outcome, "new"),
                is,
                "{source} {failed}"
            );
        }
        assert_eq!(
            update_state_of(None, Some(AwaitsApproval), "new"),
            UpdateState::AwaitsApproval
        );
        assert_eq!(update_state_of(None, None, "new"), UpdateState::Pending);
        assert_eq!(update_state_of(None, Some(Failed), "new"), UpdateState::Failed);
    }

    fn orchestra(reason: &str, pending: i32) -> Orchestra {
        let condition = json!({
            "type": "Reconciling", "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-05T09:00:00Z",
        });
        serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "tenants", "uid": "a"}, "spec": {},
            "status": {"conditions": [condition], "migrations": migrations("new", pending, false), "secretRef": {"name": "a"}},
        }))
        .unwrap()
    }

    #[test]
    fn what_an_earlier_process_began_counts_until_this_one_knows_better() {
        let (wake, _woken) = tokio::sync::mpsc::unbounded_channel();
        let turns = std::sync::Arc::new(Turns::new(1, wake));
        let inherited = |orchestra: &Orchestra| turns.look(|ledger| is_inherited(orchestra, ledger));
        for (reason, pending, is) in [
            ("Updating", 1, true),
            ("Migrating", 1, true),
            ("Updating", 0, false),
            ("ApprovalPending", 1, false),
            ("RolloutPending", 1, false),
            ("DatabaseUnreachable", 1, false),
        ] {
            assert_eq!(inherited(&orchestra(reason, pending)), is, "{reason} {pending}");
        }
        let begun = orchestra("Updating", 1);
        let request = super::super::turns::TurnRequest {
            uid: "a".into(),
            object: Some(ObjectRef::from_obj(&begun)),
            server: "one:5432".into(),
            revision: "new".into(),
        };
        drop(turns.ask(request, |_| Some(Load::default())));
        assert!(!inherited(&begun));
    }

    #[test]
    fn who_is_in_other_trouble_is_left_alone() {
        for (reason, able) in [
            ("RolloutPending", true),
            ("MigrationFailed", true),
            ("LoginFailed", false),
        ] {
            assert_eq!(orchestra(reason, 0).is_settled_but_for_migrations(), able, "{reason}");
        }
        assert!(takes_part(&orchestra("", 0)));
    }
}
