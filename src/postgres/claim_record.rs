//! The record of a claim inside the database itself. It keeps two Orchestras from using one database, whatever
//! happens to their resources, and also when two clusters were given the same inventory.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::error::Result;

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS stagesub;
CREATE TABLE IF NOT EXISTS stagesub.claim (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    orchestra_uid text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);";

/// Whose claim a database records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRecord {
    /// That of the Orchestra that asked.
    Ours,
    /// That of another Orchestra: the database may hold its data.
    Other {
        /// UID of the other Orchestra.
        uid: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Records the claim of an Orchestra, unless the database records one already. The table's primary key admits
/// one row, so of two Orchestras that claim at the same time one wins.
///
/// # Errors
/// See [`super::Error`].
pub async fn claim(session: &mut PgConnection, uid: &str, namespace: &str, name: &str) -> Result<ClaimRecord> {
    let mut transaction = session.begin().await?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO stagesub.claim (orchestra_uid, namespace, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(uid)
    .bind(namespace)
    .bind(name)
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query("SELECT orchestra_uid, namespace, name FROM stagesub.claim")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let holder: String = row.try_get(0)?;
    if holder == uid {
        return Ok(ClaimRecord::Ours);
    }
    Ok(ClaimRecord::Other {
        uid: holder,
        namespace: row.try_get(1)?,
        name: row.try_get(2)?,
    })
}

/// `namespace/name` of the Orchestra whose claim the database records, if it records one: then it may hold that
/// tenant's data.
///
/// # Errors
/// See [`super::Error`].
pub async fn holder(session: &mut PgConnection) -> Result<Option<String>> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('stagesub.claim') IS NOT NULL")
        .fetch_one(&mut *session)
        .await?;
    if !there {
        return Ok(None);
    }
    let query = "SELECT namespace || '/' || name FROM stagesub.claim";
    Ok(sqlx::query_scalar(query).fetch_optional(session).await?)
}
