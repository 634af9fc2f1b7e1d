//! The record of a restore inside its target, which distinguishes a half-restored database from one in use: it is written
//! while the database is empty, before anything is restored.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::error::Result;
use super::records::check;
use super::sql::{OPERATOR_SCHEMA, ask, begin, end, literal, literals, run};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS stagesub.restore (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    orchestra_uid text NOT NULL,
    manifest_digest text NOT NULL,
    roles text[] NOT NULL,
    extensions text[] NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);";

/// A restore that was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreRecord {
    /// UID of the Orchestra that it is for.
    pub uid: String,
    /// SHA-256 of the backup's manifest.
    pub digest: String,
    /// Roles that the restore makes.
    pub roles: Vec<String>,
    /// Extensions that existed before it.
    pub extensions: Vec<String>,
    /// The restore is complete.
    pub is_finished: bool,
}

/// The record, if there is one.
///
/// # Errors
/// [`super::Error::Untrusted`] when something else than the operator's table has its name, and the others of
/// [`super::Error`].
pub async fn read(session: &mut PgConnection) -> Result<Option<RestoreRecord>> {
    begin(session).await?;
    let found = find(session).await;
    end(session, found).await
}

async fn find(session: &mut PgConnection) -> Result<Option<RestoreRecord>> {
    if !check(session, OPERATOR_SCHEMA, "restore").await? {
        return Ok(None);
    }
    let query = "SELECT left(orchestra_uid::text, 64), left(manifest_digest::text, 64), roles::text[], extensions::text[], \
                 finished_at IS NOT NULL FROM stagesub.restore LIMIT 1";
    let [rows] = ask(session, [query.to_owned()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(RestoreRecord {
        uid: row.try_get(0)?,
        digest: row.try_get(1)?,
        roles: row.try_get(2)?,
        extensions: row.try_get(3)?,
        is_finished: row.try_get(4)?,
    }))
}

/// Writes the record of a restore that is about to begin in an empty database that has its Orchestra's claim record.
///
/// # Errors
/// As [`read`].
pub async fn write(session: &mut PgConnection, record: &RestoreRecord) -> Result<()> {
    begin(session).await?;
    let written = insert(session, record).await;
    end(session, written).await
}

async fn insert(session: &mut PgConnection, record: &RestoreRecord) -> Result<()> {
    if !check(session, OPERATOR_SCHEMA, "restore").await? {
        run(session, TABLE.into()).await?;
        check(session, OPERATOR_SCHEMA, "restore").await?;
    }
    let insert = format!(
        "INSERT INTO stagesub.restore (orchestra_uid, manifest_digest, roles, extensions) VALUES ({}, {}, {}, {})",
        literal(&record.uid),
        literal(&record.digest),
        literals(&record.roles),
        literals(&record.extensions)
    );
    run(session, insert).await
}

/// Writes that the restore is complete: from then on nothing in the database is ever dropped for it.
///
/// # Errors
/// As [`read`].
pub async fn finish(session: &mut PgConnection) -> Result<()> {
    begin(session).await?;
    let written = async {
        check(session, OPERATOR_SCHEMA, "restore").await?;
        run(
            session,
            "UPDATE stagesub.restore SET finished_at = pg_catalog.now()".into(),
        )
        .await
    };
    let written = written.await;
    end(session, written).await
}
