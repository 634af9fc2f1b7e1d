//! The tenant's own login role, and the walls between databases on one server.

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Error, OPERATOR_SCHEMA, Result};

/// A tenant's login role. The name is unique on the server, at most 63 bytes.
#[derive(Clone, Debug)]
pub struct TenantRole {
    /// Role name.
    pub name: String,
    /// The password; the server gets only a SCRAM-SHA-256 verifier of it.
    pub password: SecretString,
}

/// Whether the server holds other tenants' databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It may: the database is closed to roles that are not named.
    Shared,
    /// The server is this tenant's own.
    Own,
}

/// Makes the role exist with this password and with rights on everything that the owner (the
/// connection's user) has in this database and will create later: tables, sequences, routines,
/// types and schemas. One transaction, so that a crash leaves all or nothing; safe to repeat.
/// The owner may be a superuser or, as on hosted Supabase, a role with CREATEROLE.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right, or when a role of that name has attributes
/// that a tenant's role never has.
pub async fn ensure_tenant_role(conn: &mut PgConnection, role: &TenantRole, server: Sharing) -> Result<()> {
    let name = checked(&role.name)?;
    // The verifier, not the password: statements may reach the server's log.
    let verifier = postgres_protocol::password::scram_sha_256(role.password.expose_secret().as_bytes());
    begin(conn).await?;
    if exists(conn, &role.name).await? {
        run(conn, format!("ALTER ROLE {name} LOGIN PASSWORD '{verifier}'")).await?;
    } else {
        run(
            conn,
            format!(
                "CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION \
                 NOBYPASSRLS INHERIT PASSWORD '{verifier}'"
            ),
        )
        .await?;
    }
    refuse_mighty(conn, &role.name).await?;
    join(conn, &role.name).await?;
    let database = current_database(conn).await?;
    if server == Sharing::Shared {
        close_to_public(conn, &database).await?;
    }
    run(
        conn,
        format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {name}"),
    )
    .await?;
    grant(conn, &role.name).await?;
    for what in [
        "ALL ON TABLES",
        "ALL ON SEQUENCES",
        "EXECUTE ON ROUTINES",
        "USAGE ON TYPES",
        "USAGE, CREATE ON SCHEMAS",
    ] {
        run(conn, format!("ALTER DEFAULT PRIVILEGES GRANT {what} TO {name}")).await?;
    }
    run(conn, "COMMIT".to_owned()).await
}

/// Grants the role its rights on everything that exists now. Default privileges cover what the
/// owner creates; this covers what came about in another way. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right.
pub async fn grant_existing(conn: &mut PgConnection, role: &str) -> Result<()> {
    checked(role)?;
    begin(conn).await?;
    grant(conn, role).await?;
    run(conn, "COMMIT".to_owned()).await
}

/// Closes the current database to every role that is not its owner or named: PUBLIC loses CONNECT
/// and TEMPORARY. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when PUBLIC can still connect because the user does not own the database
/// (PostgreSQL itself only warns).
pub async fn isolate(conn: &mut PgConnection) -> Result<()> {
    begin(conn).await?;
    let database = current_database(conn).await?;
    close_to_public(conn, &database).await?;
    run(conn, "COMMIT".to_owned()).await
}

/// Removes the role and its rights from this database. Its sessions end. What it owns passes to
/// the connection's user: no data goes. A role that is not there is fine.
///
/// # Errors
/// [`Error::Refused`] when the role still has rights in another database (2BP01).
pub async fn drop_tenant_role(conn: &mut PgConnection, role: &str) -> Result<()> {
    let name = checked(role)?;
    if !exists(conn, role).await? {
        return Ok(());
    }
    refuse_mighty(conn, role).await?;
    join(conn, role).await?;
    // Outside the transaction, so that no new session comes while the old ones end; each is waited
    // for, because it drops its temporary tables as it goes.
    run(conn, format!("ALTER ROLE {name} NOLOGIN")).await?;
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1")
        .bind(role)
        .execute(&mut *conn)
        .await?;
    begin(conn).await?;
    run(conn, format!("REASSIGN OWNED BY {name} TO CURRENT_USER")).await?;
    run(conn, format!("DROP OWNED BY {name}")).await?;
    run(conn, format!("DROP ROLE {name}")).await?;
    run(conn, "COMMIT".to_owned()).await
}

/// A quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn checked(name: &str) -> Result<String> {
    match name {
        "" => Err(Error::InvalidRole("it is empty")),
        _ if name.len() > 63 => Err(Error::InvalidRole("it is longer than 63 bytes")),
        _ if name.contains('\0') => Err(Error::InvalidRole("it holds a NUL")),
        _ if name.starts_with("pg_") => Err(Error::InvalidRole("pg_ is PostgreSQL's own")),
        _ => Ok(quote(name)),
    }
}

async fn run(conn: &mut PgConnection, sql: String) -> Result<()> {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = Error::from(error);
            // Leaves the session usable; the first error is the one to report.
            let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
            Err(error)
        }
    }
}

/// Begins a transaction in which names mean what they say: with the tenant's schemas in the
/// `search_path`, a function or operator of the tenant's could run as the owner.
pub(crate) async fn begin(conn: &mut PgConnection) -> Result<()> {
    run(
        conn,
        "BEGIN; SET LOCAL search_path = ''; SET LOCAL lock_timeout = '10s'".into(),
    )
    .await
}

async fn exists(conn: &mut PgConnection, role: &str) -> Result<bool> {
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(role)
            .fetch_one(conn)
            .await?,
    )
}

async fn refuse_mighty(conn: &mut PgConnection, role: &str) -> Result<()> {
    let mighty: bool = sqlx::query_scalar(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls \
             OR rolname = current_user FROM pg_roles WHERE rolname = $1",
    )
    .bind(role)
    .fetch_one(&mut *conn)
    .await?;
    if !mighty {
        return Ok(());
    }
    let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
    Err(Error::refused(
        "42501",
        "a role of the tenant's name exists and is not a tenant's role",
    ))
}

/// An owner that is not a superuser joins the tenant's role: it then may change, and at the end
/// take over, what the tenant creates.
async fn join(conn: &mut PgConnection, role: &str) -> Result<()> {
    let has: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, $1::name, 'USAGE')")
        .bind(role)
        .fetch_one(&mut *conn)
        .await?;
    if has {
        return Ok(());
    }
    run(conn, format!("GRANT {} TO CURRENT_USER", quote(role))).await
}

async fn current_database(conn: &mut PgConnection) -> Result<String> {
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(conn)
        .await?;
    Ok(quote(&name))
}

async fn close_to_public(conn: &mut PgConnection, database: &str) -> Result<()> {
    run(
        conn,
        format!(
            "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO CURRENT_USER; \
             REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC"
        ),
    )
    .await?;
    let open: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_database d, \
             aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
         WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'CONNECT')",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !open {
        return Ok(());
    }
    let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
    Err(Error::refused(
        "42501",
        "the login does not own the database, so it cannot close it to other tenants",
    ))
}

/// The schemas that are the tenant's: `public` and those that the owner owns.
const SCHEMAS: &str = "nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> $1 \
    AND (nspname = 'public' OR nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))";

/// Takes back what default privileges gave the role in the operator's schema.
async fn keep_out(conn: &mut PgConnection, role: &str) -> Result<()> {
    let own: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1 AND pg_has_role(current_user, nspowner, 'USAGE'))",
    )
    .bind(OPERATOR_SCHEMA)
    .fetch_one(&mut *conn)
    .await?;
    if !own {
        return Ok(());
    }
    let role = quote(role);
    let sql = format!(
        "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {role}; \
         REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {role}"
    );
    run(conn, sql).await
}

/// Grants on what the owner may grant; what belongs to an extension keeps the extension's rights.
async fn grant(conn: &mut PgConnection, role: &str) -> Result<()> {
    let own = |class: &str, owner: &str| {
        format!(
            "{SCHEMAS} AND pg_has_role(current_user, {owner}, 'USAGE') AND NOT EXISTS (SELECT \
             FROM pg_depend WHERE classid = '{class}'::regclass AND objid = o.oid AND deptype = 'e')"
        )
    };
    let relation = |kinds: &str| {
        format!(
            "SELECT string_agg(format('%I.%I', nspname, relname), ', ') FROM pg_class o \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ({kinds}) AND {}",
            own("pg_class", "relowner")
        )
    };
    let routines = format!(
        "SELECT string_agg(o.oid::regprocedure::text, ', ') FROM pg_proc o \
         JOIN pg_namespace n ON n.oid = pronamespace WHERE {}",
        own("pg_proc", "proowner")
    );
    let schemas = format!("SELECT string_agg(quote_ident(nspname), ', ') FROM pg_namespace WHERE {SCHEMAS}");
    for (right, query) in [
        ("USAGE, CREATE ON SCHEMA", schemas),
        ("ALL ON TABLE", relation("'r', 'p', 'v', 'm', 'f'")),
        ("ALL ON SEQUENCE", relation("'S'")),
        ("EXECUTE ON ROUTINE", routines),
    ] {
        let objects: Option<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(OPERATOR_SCHEMA)
            .fetch_one(&mut *conn)
            .await?;
        if let Some(objects) = objects {
            run(conn, format!("GRANT {right} {objects} TO {}", quote(role))).await?;
        }
    }
    keep_out(conn, role).await
}
