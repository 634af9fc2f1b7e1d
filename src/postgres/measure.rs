//! Size, connections and the oldest transaction of a database, as its tenant's login sees them.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::sql;

/// The measurements: only numbers, no text of the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Bytes on disk (`pg_database_size`).
    pub bytes: i64,
    /// Sessions of the login, of the database and of the server, each with the limit that applies to it, if any.
    pub connections: [(i64, Option<i64>); 3],
    /// How long the oldest open transaction of the login has lasted, in seconds; zero without one. Transactions of other
    /// roles are hidden from a tenant.
    pub oldest_transaction: f64,
}

/// To whom the numbers of connections belong, in the order of [`Measured::connections`].
pub const SCOPES: [&str; 3] = ["login", "database", "server"];

/// Reserved connections are not available to a tenant; `reserved_connections` exists since PostgreSQL 16.
const QUESTION: &str = "
SELECT pg_database_size(d.oid),
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid), r.rolconnlimit::int8,
       (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid), d.datconnlimit::int8,
       (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
       current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
           - coalesce(current_setting('reserved_connections', true)::int8, 0),
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8
                 FROM pg_stat_activity WHERE usesysid = r.oid AND pid <> pg_backend_pid()), 0)
FROM pg_database d, pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user";

/// The statement at the end of a measurement. A pooler's session shows it as its last one, and a look for use does not
/// take it for one.
pub(super) const MEASURED: &str = "COMMIT /* orchestra-operator */";

/// Measures the database of a session. A pooler of either mode may be in between.
///
/// # Errors
/// Those of the statements.
pub async fn measure(conn: &mut PgConnection) -> Result<Measured> {
    sql::begin(conn).await?;
    let asked = async {
        let row = sqlx::raw_sql(QUESTION).fetch_one(&mut *conn).await?;
        let limit = |column: usize| -> Result<Option<i64>> {
            let limit: i64 = row.try_get(column)?;
            Ok(Some(limit).filter(|limit| *limit >= 0))
        };
        let oldest: f64 = row.try_get(7)?;
        Ok(Measured {
            bytes: row.try_get(0)?,
            connections: [
                (row.try_get(1)?, limit(2)?),
                (row.try_get(3)?, limit(4)?),
                (row.try_get(5)?, limit(6)?),
            ],
            oldest_transaction: if oldest.is_finite() { oldest.max(0.0) } else { 0.0 },
        })
    };
    let asked: Result<Measured> = asked.await;
    match asked {
        Ok(measured) => sql::run(conn, MEASURED.to_owned()).await.map(|()| measured),
        failed => sql::end(conn, failed).await,
    }
}
