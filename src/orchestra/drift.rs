//! Looking again at a database that was finished before: whether its history still says so. A database
//! that was restored to an older state is migrated again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::{Pass, login, migrating};
use crate::api::{CHECK_ANNOTATION, GoDuration, MigrationStatus};
use crate::content::MigrationSpec;
use crate::content::Rows;
use crate::controller::error::Error;
use crate::migrate::{self, Source, Status};

/// How often, when the spec does not say.
const INTERVAL: Duration = Duration::from_hours(24);

/// Whether it is time, or somebody asks for it.
pub fn is_due(pass: &Pass, now: Timestamp) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    if let Some(asked) = asked(pass)
        && status.handled_check.as_ref() != Some(asked)
    {
        return true;
    }
    let last = status
        .migrations
        .as_ref()
        .and_then(|migrations| migrations.checked_at.as_ref());
    last.is_some_and(|last| now.duration_since(last.0) > spread(interval(pass), pass.uid()))
}

/// What somebody who asks for a look has written.
pub fn asked(pass: &Pass) -> Option<&String> {
    pass.object.annotations().get(CHECK_ANNOTATION)
}

fn interval(pass: &Pass) -> SignedDuration {
    let wanted = migrating::wanted(pass).and_then(|wanted| wanted.drift()?.interval);
    let interval = wanted.map_or(INTERVAL, GoDuration::as_std);
    SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX)
}

/// Up to a fifth longer, so that tenants that were made together are not looked at together.
fn spread(interval: SignedDuration, uid: &str) -> SignedDuration {
    let mut hash = DefaultHasher::new();
    uid.hash(&mut hash);
    let part = i32::try_from(hash.finish() % 100).unwrap_or_default();
    interval.saturating_add(interval / 500 * part)
}

/// Looks at a database that counts as finished. Returns whether it still is.
pub async fn look(pass: &mut Pass, source: Option<&Source>, rows: &Rows) -> Result<bool, Error> {
    let (Some(database), Some(source)) = (pass.database.clone(), source) else {
        return Ok(true);
    };
    let options = migrating::options(pass);
    let mut session = login::open(pass, &database).await?;
    let status = migrate::pending(&mut session, source, &options).await?;
    let before = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.migrations.as_ref());
    let lost = before.is_some_and(|before| usize::try_from(before.applied).is_ok_and(|before| before > status.applied));
    if lost {
        pass.restored = Some(format!(
            "the history holds {} of the {} migrations that were applied: the database was restored to an older state, \
             or somebody changed its history; what is missing is applied again",
            status.applied,
            before.map_or(0, |before| before.applied)
        ));
    }
    let ran = migrate::seeded(&mut session).await?.map(|seeded| seeded.digest);
    if !status.is_done() || !rows.are_met_by(ran.as_deref()) {
        return Ok(false);
    }
    pass.migrations = Some(migration_status(pass, &mut session, source, status).await?);
    Ok(true)
}

/// What the status says of the migrations after a look at the database.
pub async fn migration_status(
    pass: &Pass,
    session: &mut sqlx::PgConnection,
    source: &Source,
    status: Status,
) -> Result<MigrationStatus, Error> {
    let done = status.is_done();
    let mut divergence = status.divergence;
    let missing = if done {
        migrate::missing_tables(session, source).await?
    } else {
        Vec::new()
    };
    if !missing.is_empty() {
        let told = format!("tables that the history claims are not there: {}", few(&missing));
        divergence = [divergence, told]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    let wanted = migrating::wanted(pass);
    let fingerprint = match wanted.as_ref().and_then(MigrationSpec::drift) {
        Some(drift) if drift.fingerprint && done => Some(migrate::fingerprint(session).await?),
        _ => None,
    };
    Ok(MigrationStatus {
        source: source.digest(),
        revision: source.revision().map(ToString::to_string),
        format: source.format(),
        current: status.current,
        applied: i32::try_from(status.applied).unwrap_or(i32::MAX),
        pending: i32::try_from(status.pending).unwrap_or(i32::MAX),
        divergence: Some(divergence).filter(|what| !what.is_empty()),
        checked_at: done.then(|| Time(Timestamp::now())),
        fingerprint,
        failed: false,
        available: None,
        plan: None,
    })
}

/// The first of them.
fn few(names: &[String]) -> String {
    const FEW: usize = 5;
    let first = names
        .iter()
        .take(FEW)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(FEW) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread() {
        let day = SignedDuration::from_hours(24);
        let spans: Vec<_> = ["a", "b", "c", "d"].iter().map(|uid| spread(day, uid)).collect();
        assert!(spans.iter().all(|span| *span >= day && *span <= day * 6 / 5));
        assert!(spans.iter().any(|span| *span != spans[0]));
    }
}
