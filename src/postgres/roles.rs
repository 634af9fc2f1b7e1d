//! A tenant's login roles, and the walls between databases on one server: reads the facts, has
//! [`super::role_plan`] decide, and carries out the changes.

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{Error, Result};
use super::role_plan::{Change, RoleFacts, ServerFacts, Sharing, TenantLogins, grants, plan};
use super::sql::{OPERATOR_SCHEMA, begin, end, quote, run};

/// A tenant's login role. The name is unique on the server, at most 63 bytes.
#[derive(Clone, Debug)]
pub struct TenantRole {
    /// Role name.
    pub name: String,
    /// The password; the server gets only a SCRAM-SHA-256 verifier of it.
    pub password: SecretString,
}

/// What a tenant's role may do with the objects of its database.
const FUTURE_RIGHTS: [&str; 5] = [
    "ALL ON TABLES",
    "ALL ON SEQUENCES",
    "EXECUTE ON ROUTINES",
    "USAGE ON TYPES",
    "USAGE, CREATE ON SCHEMAS",
];

/// The schemas that are the tenant's: `public` and those that the owner owns.
const SCHEMAS: &str = "nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> $1 \
    AND (nspname = 'public' OR nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))";

/// Makes the role exist with this password and with rights on everything that the owner (the
/// connection's user) has in this database and will create later: tables, sequences, routines,
/// types and schemas. One transaction, so that a crash leaves all or nothing; safe to repeat.
/// The owner may be a superuser or, as on hosted Supabase, a role with CREATEROLE.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right, or when a role of that name has attributes
/// that a tenant's role never has.
pub async fn ensure_tenant_role(conn: &mut PgConnection, role: &TenantRole, server: Sharing) -> Result<()> {
    ensure_tenant_logins(conn, std::slice::from_ref(role), &[], server).await
}

/// As [`ensure_tenant_role`], for all login roles of a tenant while its password is being rotated: the roles
/// that are kept reach what each of them creates, and the retired ones are dropped as by [`drop_tenant_role`].
///
/// # Errors
/// As [`ensure_tenant_role`] and [`drop_tenant_role`].
pub async fn ensure_tenant_logins(
    conn: &mut PgConnection,
    kept: &[TenantRole],
    retired: &[&str],
    server: Sharing,
) -> Result<()> {
    change(conn, kept, retired, Some(server)).await
}

/// Grants the role its rights on everything that exists now. Default privileges cover what the
/// owner creates; this covers what came about in another way. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right.
pub async fn grant_existing(conn: &mut PgConnection, role: &str) -> Result<()> {
    check(role)?;
    begin(conn).await?;
    let granted = async {
        let facts = observe(conn, &[]).await?;
        for change in grants(role, &facts) {
            carry_out(conn, change, &[]).await?;
        }
        Ok(())
    };
    let granted = granted.await;
    end(conn, granted).await
}

/// Closes the current database to every role that is not its owner or named: PUBLIC loses CONNECT
/// and TEMPORARY. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when PUBLIC can still connect because the user does not own the database
/// (PostgreSQL itself only warns).
pub async fn isolate(conn: &mut PgConnection) -> Result<()> {
    begin(conn).await?;
    let closed = close_database(conn).await;
    end(conn, closed).await
}

/// Removes the role and its rights from this database. Its sessions end. What it owns passes to
/// the connection's user: no data goes. A role that is not there is fine.
///
/// # Errors
/// [`Error::Refused`] when the role still has rights in another database (2BP01).
pub async fn drop_tenant_role(conn: &mut PgConnection, role: &str) -> Result<()> {
    change(conn, &[], &[role], None).await
}

async fn change(conn: &mut PgConnection, kept: &[TenantRole], retired: &[&str], server: Option<Sharing>) -> Result<()> {
    let names: Vec<_> = kept.iter().map(|role| role.name.as_str()).collect();
    let all: Vec<_> = names.iter().chain(retired).copied().collect();
    all.iter().try_for_each(|name| check(name))?;
    let logins = TenantLogins { kept: &names, retired };
    begin(conn).await?;
    let observed = observe(conn, &all).await;
    let planned = end(conn, observed)
        .await
        .and_then(|facts| plan(logins, server, &facts))?;
    for change in planned.before {
        in_transaction(conn, &[change], kept).await?;
    }
    in_transaction(conn, &planned.together, kept).await
}

async fn in_transaction(conn: &mut PgConnection, changes: &[Change<'_>], roles: &[TenantRole]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    begin(conn).await?;
    let mut done = Ok(());
    for change in changes {
        done = carry_out(conn, *change, roles).await;
        if done.is_err() {
            break;
        }
    }
    end(conn, done).await
}

fn check(name: &str) -> Result<()> {
    match name {
        "" => Err(Error::InvalidRole("it is empty")),
        _ if name.len() > 63 => Err(Error::InvalidRole("it is longer than 63 bytes")),
        _ if name.contains('\0') => Err(Error::InvalidRole("it holds a NUL")),
        _ if name.starts_with("pg_") => Err(Error::InvalidRole("pg_ is PostgreSQL's own")),
        _ => Ok(()),
    }
}

/// Reads what the plan needs to know of the server and of these roles.
async fn observe(conn: &mut PgConnection, roles: &[&str]) -> Result<ServerFacts> {
    let owner = sqlx::query(
        "SELECT rolsuper, EXISTS (SELECT FROM pg_namespace WHERE nspname = $1 \
             AND pg_has_role(current_user, nspowner, 'USAGE')) FROM pg_roles WHERE rolname = current_user",
    )
    .bind(OPERATOR_SCHEMA)
    .fetch_one(&mut *conn)
    .await?;
    let found = sqlx::query(
        "SELECT rolname::text, NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls \
             OR rolname = current_user), pg_has_role(current_user, oid, 'USAGE') \
         FROM pg_roles WHERE rolname::text = ANY ($1)",
    )
    .bind(roles.iter().map(ToString::to_string).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let mut facts = ServerFacts {
        owner_is_superuser: owner.try_get(0)?,
        owns_operator_schema: owner.try_get(1)?,
        ..ServerFacts::default()
    };
    for row in found {
        let role = RoleFacts {
            is_tenant_like: row.try_get(1)?,
            owner_is_member: row.try_get(2)?,
        };
        facts.roles.insert(row.try_get(0)?, role);
    }
    Ok(facts)
}

async fn carry_out(conn: &mut PgConnection, change: Change<'_>, roles: &[TenantRole]) -> Result<()> {
    let sql = match change {
        Change::Create(role) => format!(
            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT PASSWORD '{}'",
            quote(role),
            verifier(role, roles)?
        ),
        Change::SetPassword(role) => {
            format!("ALTER ROLE {} LOGIN PASSWORD '{}'", quote(role), verifier(role, roles)?)
        }
        Change::JoinOwner(role) => format!("GRANT {} TO CURRENT_USER", quote(role)),
        Change::CloseDatabase => return close_database(conn).await,
        Change::GrantDatabase(role) => {
            let database = current_database(conn).await?;
            format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}", quote(role))
        }
        Change::GrantExisting(role) => return grant(conn, role).await,
        Change::HideOperatorSchema(role) => format!(
            "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {role}; \
             REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {role}",
            role = quote(role)
        ),
        Change::GrantFuture(role) => future_grants("", role),
        Change::GrantFutureOf { creator, role } => future_grants(&format!("FOR ROLE {}", quote(creator)), role),
        Change::ForbidLogin(role) => format!("ALTER ROLE {} NOLOGIN", quote(role)),
        Change::EndSessions(role) => return end_sessions(conn, role).await,
        Change::TakeOver(role) => format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}",
            role = quote(role)
        ),
        Change::Drop(role) => format!("DROP ROLE {}", quote(role)),
    };
    run(conn, sql).await
}

/// The verifier of a role's password, and not the password: statements may reach the server's log.
fn verifier(name: &str, roles: &[TenantRole]) -> Result<String> {
    let role = roles.iter().find(|role| role.name == name);
    let password = &role.ok_or(Error::InvalidRole("it has no password"))?.password;
    Ok(postgres_protocol::password::scram_sha_256(
        password.expose_secret().as_bytes(),
    ))
}

fn future_grants(creator: &str, role: &str) -> String {
    let grant = |what| format!("ALTER DEFAULT PRIVILEGES {creator} GRANT {what} TO {}", quote(role));
    FUTURE_RIGHTS.map(grant).join("; ")
}

/// Each session is waited for, because it drops its temporary tables as it ends.
async fn end_sessions(conn: &mut PgConnection, role: &str) -> Result<()> {
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1")
        .bind(role)
        .execute(conn)
        .await?;
    Ok(())
}

async fn current_database(conn: &mut PgConnection) -> Result<String> {
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(conn)
        .await?;
    Ok(quote(&name))
}

async fn close_database(conn: &mut PgConnection) -> Result<()> {
    let database = current_database(conn).await?;
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
    .fetch_one(conn)
    .await?;
    if !open {
        return Ok(());
    }
    Err(Error::refused(
        "42501",
        "the login does not own the database, so it cannot close it to other tenants",
    ))
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
    Ok(())
}
