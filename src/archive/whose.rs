//! Checks that a session has reached the database of the order, and not another tenant's.
//!
//! The order may be older than its pod: meanwhile the entry of a pool may lead to another database, or the database may have
//! been reset and claimed by another Orchestra.

use sqlx::PgConnection;

use super::error::{Error, Result};
use super::order::{BackupOrder, RestoreTarget};
use super::outcome::OutcomeReason;
use crate::api::names::IDENTITY_ANNOTATION;
use crate::postgres::claim_record::{self, RecordHolder};
use crate::postgres::{self, DatabaseIdentity};

/// Checks the database of a new session.
///
/// # Errors
/// [`OutcomeReason::OtherDatabase`], [`OutcomeReason::OtherTenant`]; the error of the database.
pub(super) async fn check(conn: &mut PgConnection, order: &BackupOrder) -> Result<()> {
    if let Some(expected) = &order.identity {
        identity(
            &postgres::identity(conn).await?,
            (expected, &order.subject.database_name),
        )?;
    }
    holder(claim_record::holder(conn).await?.as_ref(), order)
}

/// As [`check`], within the snapshot of the current transaction, which is what is dumped.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_inside(conn: &mut PgConnection, order: &BackupOrder) -> Result<()> {
    if let Some(expected) = &order.identity {
        identity(
            &postgres::identity_inside(conn).await?,
            (expected, &order.subject.database_name),
        )?;
    }
    holder(claim_record::holder_inside(conn).await?.as_ref(), order)
}

/// Checks the target of a restore. Its claim record, which scripts can write, is checked separately.
///
/// # Errors
/// [`OutcomeReason::OtherDatabase`]; the error of the database.
pub(super) async fn check_target(conn: &mut PgConnection, target: &RestoreTarget) -> Result<()> {
    identity(
        &postgres::identity(conn).await?,
        (&target.identity, &target.database_name),
    )
}

fn identity(found: &DatabaseIdentity, (expected, name): (&str, &str)) -> Result<()> {
    let digest = found.digest();
    if expected == digest {
        return Ok(());
    }
    Err(Error::new(
        OutcomeReason::OtherDatabase,
        format!(
            "the pool's entry leads to another database than the one of {name}, or than its annotation {IDENTITY_ANNOTATION} \
             names: nothing was read or written there. An admin must restore the entry's URL, or, if the database was moved with its data: \
             kubectl annotate orchdb {name} {IDENTITY_ANNOTATION}={digest} --overwrite"
        ),
    ))
}

/// A database without a claim record passes: a script may have dropped the record.
fn holder(found: Option<&RecordHolder>, order: &BackupOrder) -> Result<()> {
    let subject = &order.subject;
    if found.is_none_or(|holder| holder.uid == subject.orchestra_uid) {
        return Ok(());
    }
    Err(Error::new(
        OutcomeReason::OtherTenant,
        format!(
            "the database carries the claim record of another Orchestra than {}/{} (UID {}), for which the backup was ordered: \
             nothing was read from it. Delete this OrchestraBackup; if the Orchestra uses this database, an admin must find out \
             who wrote stagesub.claim there",
            subject.namespace, subject.orchestra, subject.orchestra_uid
        ),
    ))
}
