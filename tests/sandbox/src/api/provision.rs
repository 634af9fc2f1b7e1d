//! A project's database and roles on the server.

use sqlx::PgConnection;

use super::world::Project;
use crate::postgres::{create_database, run_formatted};

/// Creates the owner role and the project's database, closed to everyone else.
pub(super) async fn create(admin: &mut PgConnection, reference: &str, password: &str) -> sqlx::Result<()> {
    let (database, owner) = (Project::database(reference), Project::owner(reference));
    create_database(admin, &database, &owner, password).await?;
    run_formatted(admin, "REVOKE CONNECT ON DATABASE %I FROM PUBLIC", &[&database]).await
}

/// Sets the owner's password.
pub(super) async fn set_password(admin: &mut PgConnection, reference: &str, password: &str) -> sqlx::Result<()> {
    let owner = Project::owner(reference);
    run_formatted(admin, "ALTER ROLE %I PASSWORD %L", &[&owner, password]).await
}

/// Ends every session in the project's database.
pub(super) async fn end_sessions(admin: &mut PgConnection, reference: &str) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(Project::database(reference))
        .execute(admin)
        .await?;
    Ok(())
}

/// Drops the project's database, and its roles: on the real platform they go with the server.
pub(super) async fn delete(admin: &mut PgConnection, reference: &str) -> sqlx::Result<()> {
    let (database, owner) = (Project::database(reference), Project::owner(reference));
    let mut roles = roles_in(admin, &database).await?;
    run_formatted(admin, "DROP DATABASE %I WITH (FORCE)", &[&database]).await?;
    roles.push(owner);
    for role in roles {
        match run_formatted(admin, "DROP ROLE IF EXISTS %I", &[&role]).await {
            // The role owns or may do something elsewhere, so it was not the project's alone.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("2BP01") => {}
            other => other?,
        }
    }
    Ok(())
}

/// The roles that own something in the database or were given a right on it or in it, other than
/// superusers, built-in roles and owners of projects.
async fn roles_in(admin: &mut PgConnection, database: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT role.rolname::text
         FROM pg_shdepend AS link
         JOIN pg_database AS base ON base.datname = $1
         JOIN pg_roles AS role ON role.oid = link.refobjid
         WHERE link.refclassid = 'pg_authid'::regclass
           AND (link.dbid = base.oid
                OR (link.classid = 'pg_database'::regclass AND link.objid = base.oid))
           AND NOT role.rolsuper
           AND role.rolname !~ '^(pg|owner)_'",
    )
    .bind(database)
    .fetch_all(admin)
    .await
}
