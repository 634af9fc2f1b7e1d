//! The role of a future tenant, in a database that waits for its claim on a server of its own. It has a
//! tenant's rights and no login: a claim gives it the tenant's name and a password, which takes a few milliseconds, where
//! granting takes ten times as long.
//!
//! The role's comment is a digest of the rights that were granted, and of the catalog as it was after that. A claim grants
//! everything again unless both are still the same. No script runs while the role exists: it is dropped before, and created
//! again afterwards.

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::generations::{OWNER_CHANGES, TENANT_LIKE};
use super::grants::TenantRights;
use super::groups::{APP_GROUP, DATA_API_ROLES};
use super::role_changes::TenantRole;
use super::roles::{TenantRoles, drop_made_roles, ensure_tenant_roles};
use super::sql::{FIRST_OWN, begin, end, first, literal, literals, look, quote, run};
use super::wall::Sharing;

/// Creates the spare role again, on a server that is not shared with other databases. A crash leaves no spare role, or one
/// that a claim does not trust.
///
/// # Errors
/// As [`ensure_tenant_roles`].
pub async fn make_spare(conn: &mut PgConnection, spare: &str, rights: &TenantRights) -> Result<()> {
    drop_spare(conn, spare).await?;
    let shut = TenantRoles {
        base: spare,
        logins: &[],
        unknown: &[],
    };
    if let Some(locked) = ensure_tenant_roles(conn, shut, rights, Sharing::Own).await? {
        return Err(locked);
    }
    let [rows] = look(conn, [catalog(spare)]).await?;
    let digest = digest(rights, first(&rows)?)?;
    begin(conn).await?;
    let comment = format!("COMMENT ON ROLE {} IS {}", quote(spare), literal(&digest));
    let done = run(conn, comment).await;
    end(conn, done).await
}

/// Drops the spare role, before a script runs. A missing one is not an error.
///
/// # Errors
/// As [`drop_made_roles`].
pub async fn drop_spare(conn: &mut PgConnection, spare: &str) -> Result<()> {
    drop_made_roles(conn, &[spare.to_owned()]).await
}

/// Gives the spare role to a tenant, unless there is none or the tenant has a role. Returns whether nothing else is to be
/// done: the role then logs in, and has all of these rights. Otherwise the tenant's role is to be created as usual.
///
/// # Errors
/// See [`Error`]. A refusal of the server is not an error: the role is then created as usual.
pub async fn take_spare(
    conn: &mut PgConnection,
    spare: &str,
    role: &TenantRole,
    rights: &TenantRights,
) -> Result<bool> {
    let roles = format!(
        "SELECT rolname::text = {}, {TENANT_LIKE} AND NOT rolcanlogin AND ({OWNER_CHANGES}), shobj_description(oid, 'pg_authid') \
         FROM pg_roles WHERE rolname::text = ANY ({})",
        literal(&role.name),
        literals(&[spare, &role.name])
    );
    let [roles, state] = look(conn, [roles, catalog(spare)]).await?;
    let roles = roles.iter().map(FoundRole::read).collect::<Result<Vec<_>>>()?;
    let whole = match Taking::of(&roles, &digest(rights, first(&state)?)?) {
        Taking::Nothing => return Ok(false),
        Taking::Name => false,
        Taking::All => true,
    };
    let (from, to) = (quote(spare), quote(&role.name));
    let login = if whole {
        format!("; ALTER ROLE {to} LOGIN PASSWORD '{}'", verifier(role))
    } else {
        String::new()
    };
    let taken = format!("ALTER ROLE {from} RENAME TO {to}; COMMENT ON ROLE {to} IS NULL{login}");
    begin(conn).await?;
    let done = run(conn, taken).await;
    match end(conn, done).await {
        Ok(()) => Ok(whole),
        Err(Error::Refused { sqlstate, message }) => {
            tracing::debug!(
                sqlstate,
                message,
                "the role that was made before the claim cannot be taken"
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The verifier of the password, and not the password: statements may reach the server's log.
fn verifier(role: &TenantRole) -> String {
    postgres_protocol::password::scram_sha_256(role.password.expose_secret().as_bytes())
}

/// One of the two roles, if it exists.
#[derive(Clone, Debug)]
struct FoundRole {
    /// It is the tenant's, and not the spare one.
    is_tenants: bool,
    /// It is a tenant's role that does not log in and that the owner may change.
    is_fit: bool,
    comment: Option<String>,
}

impl FoundRole {
    fn read(row: &PgRow) -> Result<Self> {
        Ok(Self {
            is_tenants: row.try_get(0)?,
            is_fit: row.try_get(1)?,
            comment: row.try_get(2)?,
        })
    }
}

/// What a claim uses of the spare role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    /// Nothing.
    Nothing,
    /// The role, whose rights are not proven.
    Name,
    /// The role with its rights.
    All,
}

impl Taking {
    fn of(roles: &[FoundRole], digest: &str) -> Self {
        match roles {
            [spare] if !spare.is_tenants && spare.is_fit => match &spare.comment {
                Some(comment) if comment == digest => Self::All,
                _ => Self::Name,
            },
            _ => Self::Nothing,
        }
    }
}

/// The digest of rights, as this version of the operator grants them, and of a catalog.
fn digest(rights: &TenantRights, catalog: &PgRow) -> Result<String> {
    let catalog: String = catalog.try_get(0)?;
    let all = format!("{} {rights:?} {catalog}", env!("CARGO_PKG_VERSION"));
    Ok(hex::encode(Sha256::digest(all)))
}

/// SQL: one text, which changes with everything on which the grants of a tenant's role depend, or that they change:
/// owners and rights of the database and of what is in it, default privileges, the roles and their settings and
/// memberships, triggers and extensions.
fn catalog(spare: &str) -> String {
    let groups = DATA_API_ROLES.iter().chain([&APP_GROUP]);
    let groups: Vec<_> = groups.copied().chain([spare]).collect();
    let groups = literals(&groups);
    format!(
        "WITH known AS (SELECT oid FROM pg_roles WHERE rolname = current_user OR rolname::text = ANY ({groups})), \
         line (text) AS ( \
             SELECT 'relation' || ROW(oid, relname, relnamespace, relkind, relowner, relacl)::text FROM pg_class \
                 WHERE oid >= {FIRST_OWN} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't' \
             UNION ALL SELECT 'column' || ROW(attrelid, attnum, attacl)::text FROM pg_attribute \
                 WHERE attrelid >= {FIRST_OWN} AND attacl IS NOT NULL \
             UNION ALL SELECT 'schema' || ROW(oid, nspname, nspowner, nspacl)::text FROM pg_namespace \
                 WHERE nspname !~ '^pg_(toast_)?temp_' \
             UNION ALL SELECT 'routine' || ROW(oid, proname, pronamespace, proowner, prosecdef, proacl)::text FROM pg_proc \
                 WHERE oid >= {FIRST_OWN} \
             UNION ALL SELECT 'trigger' || ROW(oid, tgname, tgrelid, tgfoid)::text FROM pg_trigger WHERE NOT tgisinternal \
             UNION ALL SELECT 'extension' || ROW(oid, extname, extowner, extnamespace)::text FROM pg_extension \
             UNION ALL SELECT 'default' || to_jsonb(d)::text FROM pg_default_acl d \
             UNION ALL SELECT 'database' || ROW(oid, datname, datdba, datacl)::text FROM pg_database \
                 WHERE datname = current_database() \
             UNION ALL SELECT 'role' || to_jsonb(r)::text FROM pg_roles r WHERE oid IN (SELECT oid FROM known) \
             UNION ALL SELECT 'setting' || to_jsonb(s)::text FROM pg_db_role_setting s \
                 WHERE setrole = 0 OR setrole IN (SELECT oid FROM known) \
             UNION ALL SELECT 'member' || to_jsonb(m)::text FROM pg_auth_members m \
                 WHERE member IN (SELECT oid FROM known) \
                     OR roleid = (SELECT oid FROM pg_roles WHERE rolname::text = {spare}) \
             UNION ALL SELECT 'version' || current_setting('server_version_num')) \
         SELECT count(*) || ' ' || sum(hashtextextended(text, 0)::numeric) FROM line",
        spare = literal(spare),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_takes_what_it_can_believe() {
        let spare = |is_fit, comment: Option<&str>| FoundRole {
            is_tenants: false,
            is_fit,
            comment: comment.map(Into::into),
        };
        let tenants = FoundRole {
            is_tenants: true,
            ..spare(true, Some("a"))
        };
        for (roles, taken) in [
            (vec![], Taking::Nothing),
            (vec![spare(true, Some("a"))], Taking::All),
            (vec![spare(true, Some("b"))], Taking::Name),
            (vec![spare(true, None)], Taking::Name),
            // Not a tenant's role, or another tenant's.
            (vec![spare(false, Some("a"))], Taking::Nothing),
            // An earlier attempt has taken it.
            (vec![tenants.clone()], Taking::Nothing),
            (vec![spare(true, Some("a")), tenants], Taking::Nothing),
        ] {
            assert_eq!(Taking::of(&roles, "a"), taken, "{roles:?}");
        }
    }
}
