//! Databases that the operator creates on a server, each with an owner of its own, and drops again.
//!
//! The owner's role carries a record of what it was made for. Its own scripts cannot change it: only a role that may
//! administer the role can change its comment. A database is dropped only when its owner has the right record, and its oid
//! is the one that was recorded at its creation.
//!
//! Each step may be interrupted and repeated.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::custodian;
use super::error::{Error, Result};
use super::groups::{self, APP_GROUP};
use super::identity::{DatabaseIdentity, identity, identity_of};
use super::objections::{self, CONFINED, TAKES_NO_WRITES};
use super::sql::{IS_READ_ONLY, begin, end, literal, quote, run};

/// The login that makes databases, as the server describes it.
#[allow(clippy::struct_excessive_bools, reason = "each is an attribute of a role")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    /// Its role.
    pub role: String,
    /// It is a superuser.
    pub superuser: bool,
    /// It has CREATEDB.
    pub createdb: bool,
    /// It has CREATEROLE.
    pub createrole: bool,
    /// It has BYPASSRLS.
    pub bypassrls: bool,
    /// Major version of the server.
    pub version: u32,
    /// The server accepts no writes.
    pub read_only: bool,
}

/// An entry that is to be created: a database, and the role that owns it and has its name.
#[derive(Clone, Copy, Debug)]
pub struct OwnedDatabase<'a> {
    /// Name of the database and of its owner.
    pub name: &'a str,
    /// The owner's password; the server gets only a SCRAM-SHA-256 verifier of it.
    pub password: &'a SecretString,
    /// The record of its purpose.
    pub record: &'a str,
}

/// What follows the record in the comment of an owner whose database is complete, before the database's identity.
const COMPLETED: &str = ", database ";

/// How the removal of an entry ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalEnd {
    /// Neither the database nor its owner exists.
    Done,
    /// Nothing was dropped, for this reason.
    Kept(String),
}

impl Maker {
    /// Why the login cannot make databases for tenants, with the statement that corrects that. `legacy`: a server before
    /// PostgreSQL 16 is accepted.
    pub fn objection(&self, legacy: bool) -> Option<String> {
        if self.read_only {
            return Some(TAKES_NO_WRITES.into());
        }
        if self.version < CONFINED && !legacy {
            return Some(objections::legacy(self.version, "server.allowLegacyServers"));
        }
        let lacks = [(self.createdb, "CREATEDB"), (self.createrole, "CREATEROLE")];
        let lacks: Vec<_> = lacks.iter().filter(|(has, _)| !has).map(|(_, name)| *name).collect();
        if self.superuser || lacks.is_empty() {
            return None;
        }
        Some(format!(
            "its login {role} lacks {}: an admin of the server runs ALTER ROLE {} {}",
            lacks.join(" and "),
            quote(&self.role),
            lacks.join(" "),
            role = self.role,
        ))
    }

    /// Only a role that has the attribute can give it, and before version 16 only a superuser can.
    fn gives_bypass(&self) -> bool {
        self.superuser || self.bypassrls && self.version >= CONFINED
    }

    /// A role that is not a superuser transfers, closes and drops a database only as a member of its owner.
    pub(super) fn join(&self, owner: &str) -> Option<String> {
        let options = if self.version >= CONFINED {
            " WITH INHERIT TRUE, SET TRUE"
        } else {
            ""
        };
        (!self.superuser).then(|| format!("GRANT {} TO CURRENT_USER{options}", quote(owner)))
    }
}

/// Reads what the session's login may do.
///
/// # Errors
/// See [`Error`].
pub async fn maker(conn: &mut PgConnection) -> Result<Maker> {
    begin(conn).await?;
    let query = format!(
        "SELECT rolname::text, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, \
             current_setting('server_version_num')::int / 10000, {IS_READ_ONLY} FROM pg_roles WHERE rolname = current_user"
    );
    let read = async {
        let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut *conn).await?;
        let version: i32 = row.try_get(5)?;
        Ok(Maker {
            role: row.try_get(0)?,
            superuser: row.try_get(1)?,
            createdb: row.try_get(2)?,
            createrole: row.try_get(3)?,
            bypassrls: row.try_get(4)?,
            version: u32::try_from(version).unwrap_or_default(),
            read_only: row.try_get(6)?,
        })
    };
    let read = read.await;
    end(conn, read).await
}

/// Creates an entry, or its missing parts: the role, the database, closed to PUBLIC before anybody may connect. Returns
/// the identity of the database.
///
/// # Errors
/// See [`Error`]; [`Error::Refused`] with `42710` or `42P04` when somebody else's role or database has the name.
pub async fn make(conn: &mut PgConnection, maker: &Maker, entry: &OwnedDatabase<'_>) -> Result<DatabaseIdentity> {
    begin(conn).await?;
    let made = role(conn, maker, entry).await;
    end(conn, made).await?;
    begin(conn).await?;
    let given = groups::give(conn, entry.name).await;
    end(conn, given).await?;
    database(conn, maker, entry).await
}

/// Creates the database of an entry whose owner exists, or its missing parts.
pub(super) async fn database(
    conn: &mut PgConnection,
    maker: &Maker,
    entry: &OwnedDatabase<'_>,
) -> Result<DatabaseIdentity> {
    let name = quote(entry.name);
    if find(conn, entry.name).await?.is_none() {
        // PostgreSQL runs it only outside of transactions.
        let create = format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ALLOW_CONNECTIONS false");
        run(conn, create).await?;
    }
    match find(conn, entry.name).await? {
        Some(found) if found.owner == entry.name => {}
        _ => return Err(taken("42P04", "database", entry.name)),
    }
    let close = format!(
        "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC; ALTER DATABASE {name} ALLOW_CONNECTIONS true"
    );
    in_transaction(conn, close).await?;
    let identity = identity_of(conn, entry.name).await?;
    let record = literal(&format!("{}{COMPLETED}{}", entry.record, identity.record()));
    let leave = (!maker.superuser).then(|| format!("; REVOKE {name} FROM CURRENT_USER"));
    in_transaction(
        conn,
        format!("COMMENT ON ROLE {name} IS {record}{}", leave.unwrap_or_default()),
    )
    .await?;
    Ok(identity)
}

fn taken(sqlstate: &str, what: &str, name: &str) -> Error {
    let message =
        format!("{what} {name} exists on the server but was not made for this entry; the operator does not change it");
    Error::refused(sqlstate, &message)
}

/// The role that is to own the database. It can create its tenants' logins, and nothing outside of its database.
async fn role(conn: &mut PgConnection, maker: &Maker, entry: &OwnedDatabase<'_>) -> Result<()> {
    let verb = match owner(conn, entry.name).await? {
        None => "CREATE",
        Some(record) if record.starts_with(entry.record) && !has_members(conn, entry.name).await? => "ALTER",
        Some(_) => return Err(taken("42710", "role", entry.name)),
    };
    let (name, record) = (quote(entry.name), literal(entry.record));
    let verifier = verifier(entry.password);
    let mut make = format!("{verb} ROLE {name} LOGIN CREATEROLE PASSWORD '{verifier}'");
    // That of a role that exists may say that its database is complete.
    if verb == "CREATE" {
        make = format!("{make}; COMMENT ON ROLE {name} IS {record}");
    }
    run(conn, make).await?;
    as_owner(conn, maker, entry.name).await
}

/// What a role needs to own a database that this login makes, and the group of tenants' logins, which a database may name.
pub(super) async fn as_owner(conn: &mut PgConnection, maker: &Maker, role: &str) -> Result<()> {
    if let Some(join) = maker.join(role) {
        run(conn, join).await?;
    }
    if maker.gives_bypass() {
        run(conn, format!("ALTER ROLE {} BYPASSRLS", quote(role))).await?;
    }
    if owner(conn, APP_GROUP).await?.is_none() {
        groups::create(conn).await?;
    }
    Ok(())
}

/// The verifier of a password that the server stores.
pub(super) fn verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}

/// Whether a role other than this session's and superusers is a member of the role, as its creator is.
async fn has_members(conn: &mut PgConnection, role: &str) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles o ON o.oid = m.member \
        WHERE r.rolname::text = $1 AND o.rolname <> current_user AND NOT o.rolsuper)";
    Ok(sqlx::query_scalar(query).bind(role).fetch_one(conn).await?)
}

/// The record of a role that exists; empty when it has none.
pub(super) async fn owner(conn: &mut PgConnection, role: &str) -> Result<Option<String>> {
    let query = "SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname::text = $1";
    Ok(sqlx::query_scalar(query).bind(role).fetch_optional(conn).await?)
}

/// A database that exists.
pub(super) struct FoundDatabase {
    /// The role that owns it.
    pub(super) owner: String,
}

pub(super) async fn find(conn: &mut PgConnection, database: &str) -> Result<Option<FoundDatabase>> {
    let query = "SELECT pg_catalog.pg_get_userbyid(datdba)::text FROM pg_catalog.pg_database WHERE datname::text = $1";
    let owner = sqlx::query_scalar(query).bind(database).fetch_optional(conn).await?;
    Ok(owner.map(|owner| FoundDatabase { owner }))
}

/// Whether the server has a database of this name.
///
/// # Errors
/// See [`Error`].
pub async fn exists(conn: &mut PgConnection, database: &str) -> Result<bool> {
    Ok(find(conn, database).await?.is_some())
}

/// The recorded identity of the entry's database, if the server has the database and its creation was completed: then somebody
/// may have used it, whatever is recorded elsewhere. The comment of the owner says so, which neither the owner nor a tenant can
/// change.
///
/// # Errors
/// See [`Error`].
pub async fn completed(conn: &mut PgConnection, (name, record): (&str, &str)) -> Result<Option<DatabaseIdentity>> {
    let comment = owner(conn, name).await?;
    let identity = comment.as_deref().and_then(|comment| {
        let rest = comment.strip_prefix(record)?;
        DatabaseIdentity::from_record(rest.strip_prefix(COMPLETED)?)
    });
    Ok(if exists(conn, name).await? { identity } else { None })
}

/// Drops the database of an entry, then what its tenants have left on the server, and its owner. `made`: its recorded identity; none when the entry was never complete,
/// so its login was never published.
///
/// The caller has checked that nobody claimed a complete database.
///
/// # Errors
/// See [`Error`]; [`Error::Refused`] with `55006` while somebody is connected to the database.
pub async fn unmake(
    conn: &mut PgConnection,
    maker: &Maker,
    (name, record): (&str, &str),
    made: Option<&DatabaseIdentity>,
) -> Result<RemovalEnd> {
    if let Some(made) = made
        && identity(conn).await?.server() != made.server()
    {
        return Ok(RemovalEnd::Kept(format!(
            "the database {name} was made on another server ({}) than the pool's, so nothing is dropped. Put the server's URL \
             back; or an admin drops the database and its owner where they are, and deletes the entry's Secret",
            made.server()
        )));
    }
    let (role, database) = (owner(conn, name).await?, find(conn, name).await?);
    let foreign = || {
        format!(
            "the role {name} on the server has another record than this entry, so neither the role nor its database is \
             dropped. An admin looks at both, drops them or not, and deletes the entry's Secret"
        )
    };
    if role.as_ref().is_some_and(|found| !found.starts_with(record)) {
        return Ok(RemovalEnd::Kept(foreign()));
    }
    if let Some(found) = database {
        if role.is_none() || found.owner != name {
            return Ok(RemovalEnd::Kept(foreign()));
        }
        if let Some(made) = made
            && identity_of(conn, name).await?.digest() != made.digest()
        {
            return Ok(RemovalEnd::Kept(format!(
                "the database {name} on the server is another one than the entry's ({}), so it is not dropped. An admin \
                 looks at it, drops it or not, and deletes the entry's Secret",
                made.record()
            )));
        }
        if let Some(join) = maker.join(name) {
            run(conn, join).await?;
        }
        run(conn, format!("DROP DATABASE {}", quote(name))).await?;
    }
    if role.is_some() {
        custodian::drop_of(conn, name).await?;
        run(conn, format!("DROP ROLE {}", quote(name))).await?;
    }
    Ok(RemovalEnd::Done)
}

async fn in_transaction(conn: &mut PgConnection, sql: String) -> Result<()> {
    begin(conn).await?;
    let done = run(conn, sql).await;
    end(conn, done).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn right() -> Maker {
        Maker {
            role: "maker".into(),
            createdb: true,
            createrole: true,
            version: 16,
            ..Maker::default()
        }
    }

    #[test]
    fn what_the_login_lacks_is_told_with_the_statement_that_cures_it() {
        type Case = (fn(&mut Maker), &'static str);
        assert_eq!(right().objection(false), None);
        let told = |change: fn(&mut Maker)| {
            let mut maker = right();
            change(&mut maker);
            maker.objection(false)
        };
        let cases: [Case; 4] = [
            (
                |it| it.createdb = false,
                "lacks CREATEDB: an admin of the server runs ALTER ROLE \"maker\" CREATEDB",
            ),
            (
                |it| (it.createdb, it.createrole) = (false, false),
                "ALTER ROLE \"maker\" CREATEDB CREATEROLE",
            ),
            (|it| it.version = 15, "server.allowLegacyServers"),
            (|it| it.read_only = true, "the URL of the primary"),
        ];
        for (change, says) in cases {
            let said = told(change).unwrap();
            assert!(said.contains(says), "{said}");
        }
        assert_eq!(told(|it| (it.superuser, it.createdb) = (true, false)), None);
        let old = Maker { version: 15, ..right() };
        assert_eq!(old.objection(true), None);
    }

    #[test]
    fn an_identity_is_read_back_from_its_record() {
        let record = "7311111111111111111/16401";
        let identity = DatabaseIdentity::from_record(record).unwrap();
        assert_eq!(identity.record(), record);
        assert_eq!(DatabaseIdentity::from_record("7311111111111111111"), None);
        assert_eq!(DatabaseIdentity::from_record("a/b"), None);
    }
}
