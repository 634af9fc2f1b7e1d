//! Checks again whether the history of a database that was up to date still is. A database
//! that was restored to an older state is migrated again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::found::InsideLook;
use super::wanted::WantedContents;
use super::{Pass, login, migrating};
use crate::api::names::request;
use crate::api::{CHECK_ANNOTATION, GoDuration, MigrationStatus};
use crate::content::MigrationSpec;
use crate::content::TenantContext;
use crate::controller::error::Error;
use crate::migrate;
use crate::text;

/// How often, when the spec does not say.
const INTERVAL: Duration = Duration::from_hours(24);

/// Whether a check is due, or somebody requests one.
pub fn is_due(pass: &Pass, tenant: &TenantContext<'_>, now: Timestamp) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    if let Some(asked) = asked(pass)
        && status.handled_check.as_ref() != Some(&asked)
    {
        return true;
    }
    let last = status
        .migrations
        .as_ref()
        .and_then(|migrations| migrations.checked_at.as_ref());
    last.is_some_and(|last| now.duration_since(last.0) > spread(interval(pass, tenant), pass.uid()))
}

/// The value of the annotation that asks for a check.
pub fn asked(pass: &Pass) -> Option<String> {
    request(&pass.object.metadata, CHECK_ANNOTATION)
}

fn interval(pass: &Pass, tenant: &TenantContext<'_>) -> SignedDuration {
    let wanted = migrating::spec(pass, tenant).and_then(|wanted| wanted.drift()?.interval);
    let interval = wanted.map_or(INTERVAL, GoDuration::as_std);
    SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX)
}

/// Up to a fifth longer, so that tenants that were created together are not checked together.
fn spread(interval: SignedDuration, uid: &str) -> SignedDuration {
    let mut hash = DefaultHasher::new();
    uid.hash(&mut hash);
    let part = i32::try_from(hash.finish() % 100).unwrap_or_default();
    interval.saturating_add(interval / 500 * part)
}

/// The result of a drift check.
pub struct Check {
    /// Nothing is to be done.
    pub whole: bool,
    /// Where the migrations stand.
    pub found: Option<InsideLook>,
    /// The message of a history that has lost migrations since the last look.
    pub lost: Option<String>,
}

impl Check {
    /// The result without a check: nothing is to be done.
    pub fn skipped() -> Self {
        Self {
            whole: true,
            found: None,
            lost: None,
        }
    }
}

/// Checks, with a session of its own, whether a database that was up to date still is.
pub async fn check(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    wanted: &WantedContents,
    now: Timestamp,
) -> Result<Check, Error> {
    let (Some(database), Some(source)) = (tenant.database, &wanted.source) else {
        return Ok(Check::skipped());
    };
    let options = migrating::options(pass, tenant);
    let mut session = login::look(pass, database).await?;
    let look = migrate::HistoryLook::take(&mut session, source, &options).await?;
    let ran = migrate::seeded(&mut session).await?.map(|seeded| seeded.digest);
    let seeded = wanted.rows.as_ref().is_none_or(|rows| rows.are_met_by(ran.as_deref()));
    let prepared = login::is_prepared(pass, database, tenant.class, &mut session).await?;
    let whole = look.status.is_done() && seeded && prepared;
    let found = migration_status(pass, tenant, (&mut session, now), look).await?;
    let lost = lost(pass, Some(&found));
    let unreadable = login::unreadable(pass, tenant, &mut session).await?;
    Ok(Check {
        whole,
        lost,
        found: Some(InsideLook::migrated(found, unreadable)).filter(|_| whole),
    })
}

/// The message of a history that has lost migrations since the last look, as after a restore of an older state.
pub fn lost(pass: &Pass, now: Option<&MigrationStatus>) -> Option<String> {
    let before = pass.object.migrations()?;
    let now = now.filter(|now| now.source == before.source && now.applied < before.applied)?;
    Some(format!(
        "the history holds {} of the {} migrations that were applied: the database was restored to an older state, or \
         somebody changed its history; what is missing is applied again",
        now.applied, before.applied
    ))
}

/// The migrations in the status after a look at the database.
pub async fn migration_status(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    (session, now): (&mut sqlx::PgConnection, Timestamp),
    look: migrate::HistoryLook<'_>,
) -> Result<MigrationStatus, Error> {
    let done = look.status.is_done();
    let missing = if done {
        look.missing_tables(session).await?
    } else {
        Vec::new()
    };
    let (source, status) = (look.source(), look.status);
    let mut divergence = status.divergence;
    if !missing.is_empty() {
        let told = format!("tables that applied migrations created are missing: {}", few(&missing));
        divergence = [divergence, told]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    let wanted = migrating::spec(pass, tenant);
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
        checked_at: done.then_some(Time(now)),
        fingerprint,
        failed: false,
        failure: None,
        available: None,
        plan: None,
    })
}

/// The first of them.
fn few(names: &[String]) -> String {
    const FEW: usize = 5;
    text::names(names, FEW, names.len())
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
