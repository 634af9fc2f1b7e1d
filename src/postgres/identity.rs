//! Identifies a database, whatever URL leads to it.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::error::Result;
use super::sql::{first, look};

/// One database of one server. Host name, pooler and user do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseIdentity {
    server: String,
    database: i64,
    certain: bool,
}

impl DatabaseIdentity {
    /// 32 hexadecimal digits, the same for every URL of this database; fit for the name of an object.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(format!("{}/{}", self.server, self.database))[..16])
    }

    /// Identifies the server alone, by what this identity is made of.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether the identity is made of the server's system identifier. If the server refuses to tell it, the identity
    /// is made of the server's own address and port, and two URLs of one database may have two identities.
    pub fn is_certain(&self) -> bool {
        self.certain
    }
}

/// Identifies the current database by `pg_control_system().system_identifier`, which `initdb` makes, and its oid.
///
/// # Errors
/// See [`super::Error`].
pub async fn identity(conn: &mut PgConnection) -> Result<DatabaseIdentity> {
    let allowed = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    let [rows] = look(conn, [allowed.to_owned()]).await?;
    let certain = first(&rows)?.try_get(0)?;
    let query = if certain {
        "SELECT s.system_identifier::text, d.oid::bigint FROM pg_catalog.pg_control_system() s, pg_catalog.pg_database d \
         WHERE d.datname = pg_catalog.current_database()"
    } else {
        "SELECT coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '') || ':' \
             || coalesce(pg_catalog.inet_server_port()::text, ''), d.oid::bigint \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
    };
    let [rows] = look(conn, [query.to_owned()]).await?;
    let row = first(&rows)?;
    Ok(DatabaseIdentity {
        server: row.try_get(0)?,
        database: row.try_get(1)?,
        certain,
    })
}
