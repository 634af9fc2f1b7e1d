//! Identifies a database, whatever URL leads to it.

use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::Result;
use super::sql::{ask, first, literal, look};

/// One database of one server. Host name, pooler and user do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseIdentity {
    server: String,
    database: i64,
    certain: bool,
}

impl DatabaseIdentity {
    /// 32 hexadecimal digits, the same for every URL of this database; usable as the name of an object.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(format!("{}/{}", self.server, self.database))[..16])
    }

    /// Identifies only the server, by the same values.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The identity as one text that [`DatabaseIdentity::from_record`] reads.
    pub fn record(&self) -> String {
        format!("{}/{}", self.server, self.database)
    }

    /// Reads [`DatabaseIdentity::record`]; none when the text is no such record.
    pub fn from_record(record: &str) -> Option<Self> {
        let (server, database) = record.rsplit_once('/')?;
        Some(Self {
            server: server.to_owned(),
            database: database.parse().ok()?,
            certain: true,
        })
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
    read(conn, CURRENT, Whose::Own).await
}

/// As [`identity`], in the current transaction.
///
/// # Errors
/// See [`super::Error`].
pub async fn identity_inside(conn: &mut PgConnection) -> Result<DatabaseIdentity> {
    read(conn, CURRENT, Whose::Current).await
}

const CURRENT: &str = "pg_catalog.current_database()";

/// The transaction in which the queries run.
#[derive(Clone, Copy)]
enum Whose {
    /// A new one.
    Own,
    /// The current one of the session.
    Current,
}

/// Identifies another database of the server by its name. As [`identity`].
pub(super) async fn identity_of(conn: &mut PgConnection, database: &str) -> Result<DatabaseIdentity> {
    read(conn, &literal(database), Whose::Own).await
}

/// The identity of the database with the name that an SQL expression gives.
async fn read(conn: &mut PgConnection, name: &str, whose: Whose) -> Result<DatabaseIdentity> {
    let allowed = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    let [rows] = answer(conn, allowed.to_owned(), whose).await?;
    let certain = first(&rows)?.try_get(0)?;
    let server = if certain {
        "(SELECT system_identifier::text FROM pg_catalog.pg_control_system())"
    } else {
        "coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '') || ':' \
             || coalesce(pg_catalog.inet_server_port()::text, '')"
    };
    let query =
        format!("SELECT {server}, d.oid::bigint FROM pg_catalog.pg_database d WHERE d.datname::text = ({name})::text");
    let [rows] = answer(conn, query, whose).await?;
    let row = first(&rows)?;
    Ok(DatabaseIdentity {
        server: row.try_get(0)?,
        database: row.try_get(1)?,
        certain,
    })
}

async fn answer(conn: &mut PgConnection, query: String, whose: Whose) -> Result<[Vec<PgRow>; 1]> {
    match whose {
        Whose::Own => look(conn, [query]).await,
        Whose::Current => ask(conn, [query]).await,
    }
}
