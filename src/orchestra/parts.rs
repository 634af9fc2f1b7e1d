//! The conditions of what is inside a database: login, migrations, history and seed.

use super::observe::Observed;
use super::plan::{DatabaseState, Inside, Power, WorkState};
use super::{Pass, failure, former, migrating, reach};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::controller::conditions::Conditions;
use crate::rollout::NoTurn;

/// The conditions of the parts inside the database.
pub fn parts(pass: &Pass, observed: &Observed, conditions: &mut Conditions<'_>, reason: Reason) {
    let runs = matches!(observed.facts.power, Power::Running | Power::Refused(_));
    let Some(inside) = usable(&observed.facts.database).filter(|_| runs) else {
        return unseen(observed, conditions, runs);
    };
    let proven = pass.published.is_some() || observed.inside.secret.right.is_some() || pass.object.is_settled();
    let database = observed.database.as_ref();
    let (why, told) = match former::told(&pass.object, database, proven) {
        told if inside.published => (Reason::Ready, told),
        _ => (
            reason,
            "the connection Secret is published when the database is migrated and seeded",
        ),
    };
    match &observed.inside.invalid {
        Some(wrong) => conditions.set(Is::CredentialsReady, false, Reason::ConnectionInvalid, wrong),
        None => conditions.set(Is::CredentialsReady, inside.published, why, told),
    }
    let (migrates, seeds) = asked(pass, observed);
    let kept = observed.inside.wanted.kept;
    for (part, work, asked) in [
        (Is::Migrated, inside.migrations, migrates),
        (Is::Seeded, inside.seed, seeds),
    ] {
        match (asked, work) {
            _ if observed.inside.wanted.is_without_template() => conditions.keep_stale(part, Reason::Pending),
            (false, _) => conditions.set(part, true, Reason::NotRequested, "nothing is asked for"),
            (true, WorkState::Done) => {
                let (why, told) = done(kept.filter(|_| part == Is::Migrated));
                conditions.set(part, true, why, told);
            }
            (true, _) => match failure::uncured(&pass.object, observed).filter(|_| part == Is::Migrated) {
                Some((reason, failure)) => conditions.set(part, false, reason, &failure.message),
                None => conditions.set(part, false, reason, "not applied yet"),
            },
        }
    }
    let old = pass.object.migrations();
    if let Some(migrations) = observed.inside.migrations().or(old) {
        match &migrations.divergence {
            None => {
                let told = "the history and the source agree";
                conditions.set(Is::HistoryAgrees, true, Reason::Ready, told);
            }
            Some(what) => conditions.set(Is::HistoryAgrees, false, Reason::HistoryDiverged, what),
        }
    }
    reach::condition(observed, conditions);
}

/// The parts of a database that cannot be looked at now. They are as they were, also for a spec that has changed since.
fn unseen(observed: &Observed, conditions: &mut Conditions<'_>, runs: bool) {
    let lost = matches!(
        observed.facts.database,
        DatabaseState::Lost | DatabaseState::Stopped(Reason::DatabaseLost)
    );
    for part in [Is::CredentialsReady, Is::Migrated, Is::Seeded] {
        if lost {
            conditions.keep_last_seen(part);
        } else {
            conditions.keep_stale(part, Reason::Pending);
        }
    }
    if !runs {
        conditions.keep_shown_stale(Is::HistoryAgrees);
        conditions.keep_shown_stale(Is::TablesReadable);
    }
}

/// Whether migrations, and a seed, are asked for.
pub fn asked(pass: &Pass, observed: &Observed) -> (bool, bool) {
    let tenant = observed.tenant(&pass.object);
    let seeds = pass.object.spec.seed.is_some() || tenant.template_seed().is_some();
    (migrating::spec(pass, &tenant).is_some(), seeds)
}

/// The message of an Orchestra that has all that it asks for, which names only what it asks for. `all` is the one of an
/// Orchestra with migrations and a seed.
pub fn handed_over<'a>(pass: &Pass, observed: &Observed, all: &'a str) -> &'a str {
    match asked(pass, observed) {
        (true, true) => all,
        (true, false) => "the database is migrated, and the connection Secret is published",
        (false, true) => "the database is seeded, and the connection Secret is published",
        (false, false) => "the connection Secret is published",
    }
}

fn usable(database: &DatabaseState) -> Option<&Inside> {
    match database {
        DatabaseState::Usable(inside) => Some(inside),
        _ => None,
    }
}

/// Reason and message of a part whose work is done.
fn done(kept: Option<NoTurn>) -> (Reason, &'static str) {
    match kept {
        None => (Reason::Ready, "everything is applied"),
        Some(NoTurn::Pinned) => (Reason::Pinned, "what is applied is kept, as spec.pinMigrations says"),
        Some(NoTurn::Waits | NoTurn::Queued) => (
            Reason::RolloutPending,
            "all migrations of the previous source are applied; waiting for the class's rollout",
        ),
    }
}
