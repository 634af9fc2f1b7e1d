//! Whose database a session has reached: the very one that is ordered, and no other tenant's.
//!
//! An order may be older than its pod: meanwhile the entry of a pool may lead elsewhere, and the database may have been reset
//! and given to another Orchestra.

use sqlx::PgConnection;

use super::error::{Error, Result};
use super::order::BackupOrder;
use super::outcome::OutcomeReason as Reason;
use crate::api::names::IDENTITY_ANNOTATION;
use crate::postgres::claim_record::{self, RecordHolder};
use crate::postgres::{self, DatabaseIdentity};

/// Checks the database of a new session.
///
/// # Errors
/// [`Reason::OtherDatabase`], [`Reason::OtherTenant`]; what the database says.
pub(super) async fn check(conn: &mut PgConnection, order: &BackupOrder) -> Result<()> {
    if order.identity.is_some() {
        identity(&postgres::identity(conn).await?, order)?;
    }
    holder(claim_record::holder(conn).await?.as_ref(), order)
}

/// As [`check`], as of the snapshot of the current transaction: what is dumped is what it shows.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_inside(conn: &mut PgConnection, order: &BackupOrder) -> Result<()> {
    if order.identity.is_some() {
        identity(&postgres::identity_inside(conn).await?, order)?;
    }
    holder(claim_record::holder_inside(conn).await?.as_ref(), order)
}

fn identity(found: &DatabaseIdentity, order: &BackupOrder) -> Result<()> {
    let digest = found.digest();
    if order.identity.as_ref().is_none_or(|ordered| *ordered == digest) {
        return Ok(());
    }
    let name = &order.subject.database_name;
    Err(Error::new(
        Reason::OtherDatabase,
        format!(
            "the pool's entry leads to another database than {name} was made from, or than its annotation \
             {IDENTITY_ANNOTATION} names: nothing was read there. An admin puts the entry's URL back, or, if the database was \
             moved with its data: kubectl annotate orchdb {name} {IDENTITY_ANNOTATION}={digest} --overwrite"
        ),
    ))
}

/// A database without a record is the Orchestra's whose resource says so: a script may have dropped the record.
fn holder(found: Option<&RecordHolder>, order: &BackupOrder) -> Result<()> {
    let subject = &order.subject;
    if found.is_none_or(|holder| holder.uid == subject.orchestra_uid) {
        return Ok(());
    }
    Err(Error::new(
        Reason::OtherTenant,
        format!(
            "the database carries the claim record of another Orchestra than {}/{} (UID {}), for which the backup was ordered: \
             nothing was read from it. Delete this OrchestraBackup; if the Orchestra uses the database all the same, an admin \
             looks who wrote stagesub.claim there",
            subject.namespace, subject.orchestra, subject.orchestra_uid
        ),
    ))
}
