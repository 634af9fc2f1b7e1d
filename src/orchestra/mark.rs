//! The mark of the claim, inside the database itself: whatever happens to the resources, no two
//! Orchestras, not even of two clusters that were given one inventory, use one database.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::Pass;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::postgres;

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS stagesub;
CREATE TABLE IF NOT EXISTS stagesub.claim (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    orchestra_uid text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);";

/// Puts our mark on the database, or finds it there. The primary key lets one Orchestra win.
pub async fn claim(session: &mut PgConnection, pass: &Pass) -> Result<(), Error> {
    let row = mark(session, pass).await.map_err(postgres::Error::from)?;
    let (uid, namespace, name): (String, String, String) = row;
    if uid == pass.uid() {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::ClaimConflict,
        format!(
            "the database carries the mark of Orchestra {namespace}/{name} ({uid}) and may hold its data: nothing was \
             changed. If that data may go, drop the database's contents and its schema stagesub"
        ),
    ))
}

async fn mark(session: &mut PgConnection, pass: &Pass) -> Result<(String, String, String), sqlx::Error> {
    let mut transaction = session.begin().await?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO stagesub.claim (orchestra_uid, namespace, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(pass.uid())
    .bind(pass.namespace())
    .bind(pass.name())
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query("SELECT orchestra_uid, namespace, name FROM stagesub.claim")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// Whether a database carries anybody's mark: it may hold a tenant's data, and is not handed out.
pub async fn holder(session: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('stagesub.claim') IS NOT NULL")
        .fetch_one(&mut *session)
        .await?;
    if !there {
        return Ok(None);
    }
    let query = "SELECT namespace || '/' || name FROM stagesub.claim";
    sqlx::query_scalar(query).fetch_optional(session).await
}
