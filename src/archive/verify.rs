//! A drill: a restore whose result is compared with the backup's snapshot.

use std::time::Instant;

use secrecy::SecretString;

use super::compare;
use super::dump::{Environment, facts_of};
use super::error::Result;
use super::order::VerifyOrder;
use super::outcome::{DrillFacts, Outcome, OutcomeReason};
use super::purpose::RestorePurpose;
use super::restore::{into_target, read};
use crate::text;

/// Restores a backup and compares the restored database with what was recorded in the backup's snapshot.
///
/// # Errors
/// Why it is not restored. Differences are an outcome, not an error.
pub async fn verify(context: &Environment, order: &VerifyOrder, identity: Option<SecretString>) -> Result<Outcome> {
    let began = Instant::now();
    let (manifest, bytes) = read(context, Some(&order.manifest_digest), order.encrypted_only).await?;
    into_target(context, &manifest, identity, &RestorePurpose::Drill).await?;
    let restore_seconds = began.elapsed().as_secs().max(1);
    context.progress.stage("compare", None);
    let work = compare::restored(&context.login, &manifest, &order.assertions);
    let found = tokio::select! {
        found = work => found?,
        error = context.stop.raised() => return Err(error),
    };
    let mut outcome = Outcome::done("the backup was restored, and equals the snapshot");
    if let Some(first) = found.first() {
        outcome.reason = OutcomeReason::Discrepancies;
        outcome.message = text::line(
            &format!(
                "the restored database differs from the backup's snapshot in {} places, the first: {first}; do not rely on this \
                 backup",
                found.len()
            ),
            text::MESSAGE - 1,
        );
    }
    outcome.drill = Some(DrillFacts {
        restore_seconds,
        snapshot_time: manifest.snapshot_time,
        bytes: manifest.objects.iter().map(|object| object.bytes).sum::<u64>() + bytes.len() as u64,
        discrepancy_count: found.len() as u64,
        discrepancies: found,
    });
    outcome.backup = Some(facts_of(&context.folder, &manifest, &bytes));
    Ok(outcome)
}
