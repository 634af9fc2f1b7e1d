//! Identifies a database, whatever URL leads to it.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::error::{Error, Result};

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
        let hash = Sha256::digest(format!("{}/{}", self.server, self.database));
        hash.iter()
            .take(16)
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
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
/// See [`Error`].
pub async fn identity(conn: &mut PgConnection) -> Result<DatabaseIdentity> {
    let database = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())";
    let sure = format!("SELECT system_identifier::text, {database} FROM pg_control_system()");
    let (row, certain) = match sqlx::query(sqlx::AssertSqlSafe(sure)).fetch_one(&mut *conn).await {
        Ok(row) => (row, true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
            let address = format!(
                "SELECT coalesce(host(inet_server_addr()), '') || ':' || coalesce(inet_server_port()::text, ''), {database}"
            );
            (sqlx::query(sqlx::AssertSqlSafe(address)).fetch_one(conn).await?, false)
        }
        Err(error) => return Err(Error::from(error)),
    };
    Ok(DatabaseIdentity {
        server: row.try_get(0)?,
        database: row.try_get(1)?,
        certain,
    })
}
