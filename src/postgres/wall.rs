//! The isolation of one database of a server: who may connect, and who is connected.

use sqlx::{PgConnection, Row as _};

use super::bounded::column;
use super::error::{Error, Result};
use super::sql::{ask, begin, end, first, quote, run};

/// Whether the server holds other tenants' databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It may have other tenants' databases: this one is closed to roles without CONNECT granted by name.
    Shared,
    /// The server is this tenant's own.
    Own,
}

/// Closes the current database to every role that is not its owner or named: PUBLIC loses its rights on it and CREATE in
/// the user's schemas, and sessions of roles that may no longer connect are ended. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when PUBLIC keeps a right because the user does not own the database
/// (PostgreSQL itself only warns), or when the user may not end a session of another role.
pub async fn isolate(conn: &mut PgConnection) -> Result<()> {
    let database = current_database(conn).await?;
    begin(conn).await?;
    let closed = async {
        close_database(conn, &database).await?;
        close_schemas(conn).await
    };
    let closed = closed.await;
    end(conn, closed).await?;
    // After the commit: until then, a disconnected role could connect again.
    begin(conn).await?;
    let ended = end_foreign_sessions(conn).await;
    end(conn, ended).await
}

/// The current database's name.
pub(super) async fn current_database(conn: &mut PgConnection) -> Result<String> {
    let [rows] = ask(
        conn,
        ["SELECT pg_catalog.current_database()::pg_catalog.text".to_owned()],
    )
    .await?;
    Ok(first(&rows)?.try_get(0)?)
}

/// Takes all rights on the current database, of this name, from PUBLIC. With CREATE, whoever connects would make a schema
/// with the name of the owner, whose functions come before all others that a script calls.
pub(super) async fn close_database(conn: &mut PgConnection, database: &str) -> Result<()> {
    let database = quote(database);
    let [_, _, open] = ask(
        conn,
        [
            format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO CURRENT_USER"),
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            OPEN.to_owned(),
        ],
    )
    .await?;
    if open.is_empty() {
        return Ok(());
    }
    // What others have granted goes with their right to grant.
    let passed_on = column(conn, "rights to grant on the database", sqlx::query(PASSED_ON)).await?;
    for revoke in passed_on {
        run(conn, revoke).await?;
    }
    let [open] = ask(conn, [OPEN.to_owned()]).await?;
    if open.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        "42501",
        "the login does not own the database, so it cannot close it to other tenants",
    ))
}

/// What PUBLIC may do with the database.
const OPEN: &str = "SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
    WHERE d.datname = current_database() AND a.grantee = 0";

/// Statements that end the right of others to grant what the owner has granted them on the database.
pub(super) const PASSED_ON: &str = "SELECT DISTINCT format('REVOKE GRANT OPTION FOR ALL ON DATABASE %I FROM %I CASCADE', \
        datname, rolname) FROM pg_database d, aclexplode(datacl) a JOIN pg_roles r ON r.oid = a.grantee \
    WHERE datname = current_database() AND is_grantable AND grantee <> datdba AND pg_has_role(current_user, datdba, 'USAGE')";

/// Takes CREATE in the user's schemas from PUBLIC: a session of another role that has not ended yet would make functions there.
async fn close_schemas(conn: &mut PgConnection) -> Result<()> {
    let open = sqlx::query(
        "SELECT format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC CASCADE', nspname) FROM pg_namespace \
         WHERE pg_has_role(current_user, nspowner, 'USAGE') \
             AND EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0 AND privilege_type = 'CREATE')",
    );
    for revoke in column(conn, "schemas in which everybody creates", open).await? {
        run(conn, revoke).await?;
    }
    Ok(())
}

/// Ends the sessions of roles that may not connect to the database: they came before it was closed.
pub(super) async fn end_foreign_sessions(conn: &mut PgConnection) -> Result<()> {
    let found = foreign_sessions(conn).await?;
    if found.is_empty() {
        return Ok(());
    }
    for (process, _) in found {
        // Waits for its end. A refusal is reported below.
        run(conn, "SAVEPOINT ending".into()).await?;
        let ended = sqlx::query("SELECT pg_terminate_backend($1, 5000)")
            .bind(process)
            .execute(&mut *conn)
            .await;
        match ended {
            Ok(_) => run(conn, "RELEASE ending".into()).await?,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                run(conn, "ROLLBACK TO ending".into()).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    match foreign_sessions(conn).await?.first() {
        None => Ok(()),
        Some((process, role)) => Err(Error::refused(
            "55006",
            &format!(
                "a session of the role {role} is still open in the database, from before the database was closed to \
                 others, and this login may not end it; as a superuser: SELECT pg_catalog.pg_terminate_backend({process})"
            ),
        )),
    }
}

/// Process and role of each session in this database whose role may not connect to it. The server hides the kind of another
/// role's session from some roles.
async fn foreign_sessions(conn: &mut PgConnection) -> Result<Vec<(i32, String)>> {
    // Otherwise a transaction sees the sessions as they were at its first query.
    let [_, rows] = ask(
        conn,
        [
            "SELECT pg_stat_clear_snapshot()".to_owned(),
            "SELECT pid, coalesce(usename::text, '(dropped)') FROM pg_stat_activity a \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender') \
                 AND NOT has_database_privilege(a.usesysid, a.datid, 'CONNECT')"
                .to_owned(),
        ],
    )
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
