//! The databases of a server that every role may connect to, beside those of tenants: `postgres`, `template1`, and what a
//! provider has for its own administration.

use std::time::Duration;

use sqlx::PgConnection;

use super::facts::{MOST, Open};
use crate::postgres::bounded::column;
use crate::postgres::connect::{APPLICATION, connect};
use crate::postgres::error::Result;
use crate::postgres::login::Login;
use crate::postgres::sql::{first, look};

/// Databases that are looked into.
const LOOKED_INTO: usize = 4;

/// The longest look into one of them.
const LIMIT: Duration = Duration::from_secs(4);

/// The databases of a server that every role may connect to, whichever of them the session is in.
///
/// # Errors
/// See [`crate::postgres::Error`].
pub async fn open_databases(conn: &mut PgConnection) -> Result<Vec<Open>> {
    open(conn).await
}

pub(super) async fn open(conn: &mut PgConnection) -> Result<Vec<Open>> {
    let open = sqlx::query(
        "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE d.datallowconn AND EXISTS (SELECT FROM \
             pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a \
             WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT') \
         ORDER BY d.datname NOT IN ('postgres', 'template1'), 1 LIMIT $1",
    );
    let found = column(conn, "databases", open.bind(MOST)).await?;
    let open = found.into_iter().map(|database| Open {
        database,
        creates: false,
    });
    Ok(open.collect())
}

/// Looks into the first of these databases, whether every role may create objects in their schemas `public` as well. One that
/// cannot be looked into is told of by its name alone.
pub async fn look_inside(login: &Login, open: &mut [Open]) {
    for open in open.iter_mut().take(LOOKED_INTO) {
        let login = Login {
            database: open.database.clone(),
            ..login.clone()
        };
        let looked = tokio::time::timeout(LIMIT, creates(&login)).await;
        open.creates = matches!(looked, Ok(Ok(true)));
    }
}

async fn creates(login: &Login) -> Result<bool> {
    let mut session = connect(login, APPLICATION).await?;
    let query = "SELECT EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'public' AND grantee = 0 \
         AND privilege_type = 'CREATE')";
    let [rows] = look(&mut session, [query.to_owned()]).await?;
    Ok(sqlx::Row::try_get(first(&rows)?, 0)?)
}
