//! The way of an owner into its own database, which a script can close: it runs as the owner, and may take CONNECT from it or
//! limit the connections of the database. The tenant's logins go on then, and the owner cannot enter to revoke them. From
//! another database of the server, the owner shuts them and opens its database again.

use secrecy::SecretString;
use sqlx::{PgConnection, Row as _};

use super::connect::{APPLICATION, connect};
use super::error::{Error, Result};
use super::identity::identity_of;
use super::login::Login;
use super::shut::shut_tenant_logins;
use super::sql::{begin, end, first, literal, look, quote, run};

/// Databases of a server that may admit the owner.
const OTHERS: [&str; 2] = ["postgres", "template1"];

/// Sessions that the operator needs: its own, and one for the check for a pooler.
const NEEDED: u32 = 2;

/// Whether the error of a connection may come from what a script can do to the owner of its database: it lacks CONNECT
/// (42501), the connections of the database are limited (53300), or it accepts none (55000).
pub fn is_closed(error: &Error) -> bool {
    match error {
        Error::Refused { sqlstate, .. } => ["42501", "53300", "55000"].contains(&sqlstate.as_str()),
        Error::NoSecondSession(_) => true,
        _ => false,
    }
}

/// Opens a database to its owner again, which was refused with this error, and shuts the logins of the tenants with these first
/// roles. `second`: another password that the owner may have. `expected`: the identity of the database, if it is known.
///
/// # Errors
/// The error that is given, with the statements that an admin runs, when no other database of the server admits the owner; as it is
/// when the server's database is another one. See [`Error`].
pub async fn reopen(
    (login, second): (&Login, Option<&SecretString>),
    roles: &[String],
    expected: Option<&str>,
    error: Error,
) -> Result<()> {
    let Some(mut conn) = elsewhere(login, second).await else {
        return Err(with_cure(error, login));
    };
    let found = identity_of(&mut conn, &login.database).await?;
    if expected.is_some_and(|expected| expected != found.digest()) {
        return Err(error);
    }
    for role in roles {
        // This is repeated inside the database, and fails there where it must.
        if let Err(error) = shut_tenant_logins(&mut conn, role).await {
            tracing::warn!(%error, role, "a tenant's logins cannot be shut from another database");
        }
    }
    open(&mut conn, &login.database).await
}

/// A session of the owner in another database of the server.
async fn elsewhere(login: &Login, second: Option<&SecretString>) -> Option<PgConnection> {
    let second = second.map(|password| login.as_user(login.user.clone(), password.clone()));
    for login in [Some(login.clone()), second].into_iter().flatten() {
        for database in OTHERS {
            let login = Login {
                database: database.to_owned(),
                ..login.clone()
            };
            match connect(&login, APPLICATION).await {
                Ok(conn) => return Some(conn),
                Err(error) => tracing::debug!(%error, database, "the database does not admit the owner of another one"),
            }
        }
    }
    None
}

/// Undoes what keeps the owner out. It may have CONNECT through a tenant's role alone, which is dropped afterwards. A limit of
/// connections stays where it leaves room.
async fn open(conn: &mut PgConnection, database: &str) -> Result<()> {
    let facts = format!(
        "SELECT d.datallowconn, d.datconnlimit >= 0 \
             AND d.datconnlimit < {NEEDED} + (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid) \
         FROM pg_database d WHERE d.datname::text = {}",
        literal(database)
    );
    let [rows] = look(conn, [facts]).await?;
    let row = first(&rows)?;
    let (accepts, is_full): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let name = quote(database);
    let mut statements = format!("GRANT CONNECT ON DATABASE {name} TO CURRENT_USER");
    if !accepts {
        statements = format!("{statements}; ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    }
    if is_full {
        statements = format!("{statements}; ALTER DATABASE {name} CONNECTION LIMIT -1");
    }
    begin(conn).await?;
    let done = run(conn, statements).await;
    end(conn, done).await
}

/// The error with what an admin runs.
fn with_cure(error: Error, login: &Login) -> Error {
    let (database, owner) = (quote(&login.database), quote(&login.user));
    let cure = format!(
        "; no other database of the server admits the owner, who could open this one again: as a superuser, in another database, \
         GRANT CONNECT ON DATABASE {database} TO {owner}; ALTER DATABASE {database} ALLOW_CONNECTIONS true CONNECTION LIMIT -1"
    );
    match error {
        Error::Refused { sqlstate, message } => Error::Refused {
            sqlstate,
            message: message + &cure,
        },
        Error::NoSecondSession(message) => Error::NoSecondSession(message + &cure),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_script_may_have_closed_is_told_with_what_an_admin_runs() {
        let login = Login::parse(&"postgresql://owner:hush@127.0.0.1/o%22ne".to_owned().into()).unwrap();
        for sqlstate in ["42501", "53300", "55000"] {
            let error = Error::refused(sqlstate, "no");
            assert!(is_closed(&error), "{sqlstate}");
            let told = with_cure(error, &login).to_string();
            let cure = "GRANT CONNECT ON DATABASE \"o\"\"ne\" TO \"owner\"; \
                        ALTER DATABASE \"o\"\"ne\" ALLOW_CONNECTIONS true CONNECTION LIMIT -1";
            assert!(told.contains(cure) && !told.contains("hush"), "{told}");
        }
        for error in [Error::refused("3D000", "no"), Error::Unreachable("no".into())] {
            assert!(!is_closed(&error), "{error}");
        }
    }
}
