//! The Orchestras of a class as a rollout sees them: read from what they say of themselves, and from
//! what this process has done since.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::plan::{Limits, State, Tenant};
use super::revisions::Revisions;
use super::turns::{Outcome, Turns};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{MigrationStatus, Orchestra, OrchestraClass, selector};
use crate::content::template_of;
use crate::controller::conditions::find;
use crate::controller::error::Error;
use crate::credentials::servers;

/// An Orchestra of a rollout.
pub struct Member {
    /// What is decided by.
    pub tenant: Tenant,
    /// Its object.
    pub object: ObjectRef<Orchestra>,
    /// Digest of the source that it has.
    pub revision: Option<String>,
    /// Its last migration.
    pub migration: Option<String>,
}

/// What a class asks of its rollouts.
pub struct Rules {
    pub limits: Limits,
    canary: Option<Selector>,
}

impl Rules {
    /// Reads them.
    ///
    /// # Errors
    /// When the canaries' selector is not valid: then nothing is begun with.
    pub fn of(class: &OrchestraClass, turns: &Turns) -> Result<Self, Error> {
        let rollout = &class.spec.rollout;
        let canary = rollout.canary.as_ref().map(|canary| selector(class, &canary.selector));
        Ok(Self {
            limits: Limits {
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
            format!("rollout.canary.selector of class {name} is not valid: {wrong}. Nothing is rolled out"),
        )
    })
}

/// Whether an Orchestra is in use, with the class's migrations: then a new source comes to it by a
/// rollout. Any other begins with the source that is there.
pub fn is_member(orchestra: &Orchestra) -> bool {
    let published = orchestra
        .status
        .as_ref()
        .is_some_and(|status| status.secret_ref.is_some());
    published && !has_own(orchestra) && orchestra.metadata.deletion_timestamp.is_none()
}

/// Whether an Orchestra has a source of its own.
pub fn has_own(orchestra: &Orchestra) -> bool {
    let own = orchestra.spec.migrations.as_ref();
    own.is_some_and(|own| own.source.is_some())
}

/// Whether the class has migrations for an Orchestra, be they right or wrong.
fn asks_for_any(orchestra: &Orchestra, class: &OrchestraClass) -> bool {
    let own = class.spec.migrations.as_ref().is_some_and(|own| own.source.is_some());
    own || orchestra.spec.source.is_some() || template_of(orchestra, class).is_some()
}

/// The Orchestras of a class; `asker` as it is, whatever the watch tells of it.
pub fn members(
    ctx: &Context,
    class: &OrchestraClass,
    rules: &Rules,
    turns: &super::turns::State,
    (revisions, asker): (&Revisions, Option<&Orchestra>),
) -> Vec<Member> {
    let name = class.name_any();
    let belongs = |orchestra: &Orchestra| {
        is_member(orchestra)
            && orchestra
                .status
                .as_ref()
                .is_some_and(|status| status.class_name.as_ref() == Some(&name))
            && asks_for_any(orchestra, class)
    };
    let all = ctx.core.stores.orchestras.state_filter(belongs);
    all.iter()
        .map(|watched| {
            let asking = asker.filter(|asker| asker.metadata.uid == watched.metadata.uid);
            let orchestra = asking.unwrap_or(watched);
            member(ctx, orchestra, rules, turns, revisions.wanted(orchestra, class))
        })
        .collect()
}

fn member(
    ctx: &Context,
    orchestra: &Orchestra,
    rules: &Rules,
    turns: &super::turns::State,
    wanted: Option<&str>,
) -> Member {
    let uid = orchestra.uid().unwrap_or_default();
    let migrations = orchestra.status.as_ref().and_then(|status| status.migrations.as_ref());
    let canary = rules.canary.as_ref();
    // Whose source cannot be used waits for it.
    let revision = wanted.unwrap_or_default();
    Member {
        tenant: Tenant {
            name: format!("{}/{}", orchestra.namespace().unwrap_or_default(), orchestra.name_any()),
            created: orchestra.creation_timestamp().map_or(Timestamp::MAX, |at| at.0),
            state: state(migrations, turns.outcome(&uid, revision), revision),
            canary: canary.is_some_and(|canary| canary.matches(orchestra.labels())),
            pinned: orchestra.spec.pin_migrations,
            engaged: turns.is_engaged(&uid) || is_stranger(orchestra, turns),
            able: wanted.is_some() && is_able(orchestra),
            server: servers::of(&ctx.credentials, orchestra),
            uid,
        },
        object: ObjectRef::from_obj(orchestra),
        revision: migrations.map(|is| is.source.clone()),
        migration: migrations.and_then(|is| is.current.clone()),
    }
}

/// What this process did last is newer than any status.
fn state(migrations: Option<&MigrationStatus>, outcome: Option<Outcome>, revision: &str) -> State {
    let Some(migrations) = migrations else {
        return match outcome {
            Some(Outcome::Applied) => State::Updated,
            Some(Outcome::Failed) => State::Failed,
            Some(Outcome::Held) => State::Held,
            Some(Outcome::Cut) | None => State::Pending,
        };
    };
    let this = migrations.source == revision;
    match outcome {
        Some(Outcome::Applied) => State::Updated,
        _ if this && migrations.pending == 0 && !migrations.failed => State::Updated,
        Some(Outcome::Failed) => State::Failed,
        _ if this && migrations.failed => State::Failed,
        // A status of this source says itself whether it still waits.
        Some(Outcome::Held) if !this => State::Held,
        _ if this && migrations.plan.is_some() => State::Held,
        _ if migrations.pending > 0 || migrations.failed => State::Broken,
        _ => State::Pending,
    }
}

/// How it stands to the source, as far as is known without asking its database.
pub fn standing(orchestra: &Orchestra, turns: &super::turns::State, revision: &str) -> State {
    let migrations = orchestra.status.as_ref().and_then(|status| status.migrations.as_ref());
    let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
    state(migrations, turns.outcome(uid, revision), revision)
}

/// Whether an earlier process began with it, and its migration may still be under way.
pub fn is_stranger(orchestra: &Orchestra, turns: &super::turns::State) -> bool {
    let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
    let Some(status) = orchestra.status.as_ref().filter(|_| !turns.knows(uid)) else {
        return false;
    };
    let begun = [Reason::Migrating.as_str(), Reason::Updating.as_str()];
    status.migrations.as_ref().is_some_and(|is| is.pending > 0)
        && find(&status.conditions, ConditionType::Reconciling).is_some_and(|is| begun.contains(&is.reason.as_str()))
}

/// Migrations of earlier processes that may still be under way on a server.
pub fn strangers(ctx: &Context, turns: &super::turns::State, server: &str, asker: &Orchestra) -> usize {
    let counts = |orchestra: &Orchestra| {
        orchestra.metadata.uid != asker.metadata.uid
            && is_stranger(orchestra, turns)
            && servers::of(&ctx.credentials, orchestra).as_deref() == Some(server)
    };
    ctx.core.stores.orchestras.state_filter(counts).len()
}

/// Whether nothing but its migrations is wrong with it. Who is in other trouble asks by itself when
/// that is over.
fn is_able(orchestra: &Orchestra) -> bool {
    let ours = [
        Reason::RolloutPending,
        Reason::ApprovalPending,
        Reason::Queued,
        Reason::Updating,
        Reason::Migrating,
        Reason::MigrationFailed,
        Reason::MigrationUnfinished,
        Reason::HistoryDiverged,
    ];
    let conditions = orchestra
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let trouble = find(conditions, ConditionType::Stalled).or_else(|| find(conditions, ConditionType::Reconciling));
    trouble.is_none_or(|is| ours.iter().any(|reason| reason.as_str() == is.reason))
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
    fn what_this_process_did_goes_before_what_a_status_says() {
        use Outcome::{Applied, Cut, Failed, Held};
        for (source, pending, failed, outcome, is) in [
            ("new", 0, false, None, State::Updated),
            ("old", 0, false, None, State::Pending),
            ("old", 0, false, Some(Cut), State::Pending),
            ("old", 0, false, Some(Applied), State::Updated),
            ("old", 0, false, Some(Failed), State::Failed),
            ("old", 2, true, None, State::Broken),
            ("new", 2, false, None, State::Broken),
            ("new", 2, false, Some(Applied), State::Updated),
            ("new", 2, true, None, State::Failed),
            ("new", 2, true, Some(Cut), State::Failed),
            ("new", 0, true, None, State::Failed),
            // The status does not say yet that it waits, and then it does not any more.
            ("old", 0, false, Some(Held), State::Held),
            ("new", 2, false, Some(Held), State::Broken),
        ] {
            let status = migrations(source, pending, failed);
            assert_eq!(state(Some(&status), outcome, "new"), is, "{status:?} {outcome:?}");
        }
        let waits = |source: &str, failed| MigrationStatus {
            plan: Some(MigrationPlan::default()),
            ..migrations(source, 1, failed)
        };
        for (source, failed, outcome, is) in [
            ("new", false, None, State::Held),
            ("new", false, Some(Held), State::Held),
            ("new", false, Some(Cut), State::Held),
            ("new", true, Some(Held), State::Failed),
            ("old", false, None, State::Broken),
        ] {
            assert_eq!(
                state(Some(&waits(source, failed)), outcome, "new"),
                is,
                "{source} {failed}"
            );
        }
        assert_eq!(state(None, Some(Held), "new"), State::Held);
        assert_eq!(state(None, None, "new"), State::Pending);
        assert_eq!(state(None, Some(Failed), "new"), State::Failed);
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
        let stranger = |orchestra: &Orchestra| turns.look(|turns| is_stranger(orchestra, turns));
        for (reason, pending, is) in [
            ("Updating", 1, true),
            ("Migrating", 1, true),
            ("Updating", 0, false),
            ("ApprovalPending", 1, false),
            ("RolloutPending", 1, false),
            ("DatabaseUnreachable", 1, false),
        ] {
            assert_eq!(stranger(&orchestra(reason, pending)), is, "{reason} {pending}");
        }
        let begun = orchestra("Updating", 1);
        let request = super::super::turns::Request {
            uid: "a".into(),
            object: Some(ObjectRef::from_obj(&begun)),
            server: "one:5432".into(),
            revision: "new".into(),
        };
        drop(turns.ask(request, |_| Some(0)));
        assert!(!stranger(&begun));
    }

    #[test]
    fn who_is_in_other_trouble_is_left_alone() {
        for (reason, able) in [
            ("RolloutPending", true),
            ("MigrationFailed", true),
            ("LoginFailed", false),
        ] {
            assert_eq!(is_able(&orchestra(reason, 0)), able, "{reason}");
        }
        assert!(is_member(&orchestra("", 0)));
    }
}
