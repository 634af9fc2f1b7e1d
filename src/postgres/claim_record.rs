//! The record of a claim inside the database itself. It prevents two Orchestras from using one database, whatever happens to
//! their resources, and also when two clusters have the same inventory.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::error::Result;
use super::records::check;
use super::sql::{OPERATOR_SCHEMA, ask, begin, end, literal, literals};

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS stagesub;
CREATE TABLE IF NOT EXISTS stagesub.claim (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    orchestra_uid text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);";

/// The owner of the claim that a database records.
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

/// Creates the table of the record, so that a claim finds it. An empty table means that nobody has claimed the database.
///
/// # Errors
/// As [`claim`].
pub async fn make_room(session: &mut PgConnection) -> Result<()> {
    begin(session).await?;
    let made = make_table(session).await;
    end(session, made).await
}

async fn make_table(session: &mut PgConnection) -> Result<()> {
    if !check(session, OPERATOR_SCHEMA, "claim").await? {
        sqlx::raw_sql(TABLE).execute(&mut *session).await?;
        check(session, OPERATOR_SCHEMA, "claim").await?;
    }
    Ok(())
}

/// Records the claim of an Orchestra, unless the database records one already. The table's primary key admits
/// one row, so of two Orchestras that claim at the same time one succeeds. A missing record is written again: the
/// OrchestraDatabase says who holds the claim, and the record informs others. Further rows, which are only possible if
/// somebody has changed the table, count as another claim. The record of one of the `former` Orchestras, whose database was
/// released, becomes that of the new one.
///
/// # Errors
/// [`super::Error::Untrusted`] when something else than the operator's table has its name, and the others of
/// [`super::Error`].
pub async fn claim(
    session: &mut PgConnection,
    (uid, namespace, name): (&str, &str, &str),
    former: &[String],
) -> Result<ClaimRecord> {
    begin(session).await?;
    let claimed = write(session, (uid, namespace, name), former).await;
    end(session, claimed).await
}

async fn write(
    session: &mut PgConnection,
    (uid, namespace, name): (&str, &str, &str),
    former: &[String],
) -> Result<ClaimRecord> {
    make_table(session).await?;
    let (uid, namespace, name) = (literal(uid), literal(namespace), literal(name));
    // Without a former Orchestra no row is taken over.
    let take_over = format!(
        "UPDATE stagesub.claim SET orchestra_uid = {uid}, namespace = {namespace}, name = {name}, \
             claimed_at = pg_catalog.now() WHERE orchestra_uid = ANY ({})",
        literals(former)
    );
    let insert = format!(
        "INSERT INTO stagesub.claim (orchestra_uid, namespace, name) VALUES ({uid}, {namespace}, {name}) \
         ON CONFLICT DO NOTHING"
    );
    let other = format!(
        "SELECT left(orchestra_uid::text, 64), left(namespace::text, 253), left(name::text, 253) FROM stagesub.claim \
             WHERE orchestra_uid <> {uid} LIMIT 1"
    );
    let [_, _, other] = ask(session, [take_over, insert, other]).await?;
    Ok(match other.first() {
        None => ClaimRecord::Ours,
        Some(row) => ClaimRecord::Other {
            uid: row.try_get(0)?,
            namespace: row.try_get(1)?,
            name: row.try_get(2)?,
        },
    })
}

/// Removes the record of these Orchestras, whose database the operator stops managing; that of another one stays.
///
/// # Errors
/// As [`claim`].
pub async fn remove(session: &mut PgConnection, uids: &[String]) -> Result<()> {
    begin(session).await?;
    let removed = delete(session, uids).await;
    end(session, removed).await
}

async fn delete(session: &mut PgConnection, uids: &[String]) -> Result<()> {
    if check(session, OPERATOR_SCHEMA, "claim").await? {
        let delete = sqlx::query("DELETE FROM stagesub.claim WHERE orchestra_uid = ANY ($1)");
        delete.bind(uids).execute(&mut *session).await?;
    }
    Ok(())
}

/// The Orchestra whose claim a database records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHolder {
    /// UID.
    pub uid: String,
    /// `namespace/name`.
    pub name: String,
}

/// The Orchestra whose claim the database records, if it records one: then it may hold that tenant's data.
///
/// # Errors
/// As [`claim`].
pub async fn holder(session: &mut PgConnection) -> Result<Option<RecordHolder>> {
    begin(session).await?;
    let found = holder_inside(session).await;
    end(session, found).await
}

/// As [`holder`], in the current transaction, of a session in which names mean PostgreSQL's own objects.
///
/// # Errors
/// As [`claim`].
pub async fn holder_inside(session: &mut PgConnection) -> Result<Option<RecordHolder>> {
    if !check(session, OPERATOR_SCHEMA, "claim").await? {
        return Ok(None);
    }
    let query = "SELECT left(orchestra_uid::text, 64), left(namespace::text, 253) || '/' || left(name::text, 253) \
                 FROM stagesub.claim LIMIT 1";
    let found = sqlx::query(query).fetch_optional(session).await?;
    let holder = |row: sqlx::postgres::PgRow| {
        Ok(RecordHolder {
            uid: row.try_get(0)?,
            name: row.try_get(1)?,
        })
    };
    found.map(holder).transpose()
}
