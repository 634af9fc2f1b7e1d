//! A new password of the owner of a database that the operator has made on a server.

use secrecy::SecretString;
use sqlx::PgConnection;

use super::error::Result;
use super::identity::{DatabaseIdentity, identity};
use super::made::{owner, verifier};
use super::sql::{begin, end, quote, run};

/// How a change of an owner's password ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordEnd {
    /// The role has the password.
    Set,
    /// Nothing was changed, for this reason.
    Kept(String),
}

/// Sets the password of the role that owns the database of an entry, in a session of the login that has made both. The server
/// gets only a SCRAM-SHA-256 verifier of it. The role must be on the recorded server and have the record of this entry.
///
/// # Errors
/// See [`super::Error`]; [`super::Error::Refused`] with `42501` when the login may not change the role.
pub async fn set_owner_password(
    conn: &mut PgConnection,
    (role, record): (&str, &str),
    made: &DatabaseIdentity,
    password: &SecretString,
) -> Result<PasswordEnd> {
    if identity(conn).await?.server() != made.server() {
        return Ok(PasswordEnd::Kept(format!(
            "the database {role} was made on another server ({}) than the pool's, so the password of its owner is not changed: \
             put the server's URL back",
            made.server()
        )));
    }
    let found = owner(conn, role).await?;
    if !found.is_some_and(|found| found.starts_with(record)) {
        return Ok(PasswordEnd::Kept(format!(
            "the server has no role {role} with the record of this entry, so the password of the database's owner is not \
             changed: an admin of the server finds out whose role it is"
        )));
    }
    begin(conn).await?;
    let change = format!("ALTER ROLE {} PASSWORD '{}'", quote(role), verifier(password));
    let changed = run(conn, change).await;
    end(conn, changed).await?;
    Ok(PasswordEnd::Set)
}
