//! Who keeps what the logins of a released tenant own (`createObjects: Allowed`): its custodian, a role that cannot log in, has
//! no rights on anything else and is a member of nothing. Code in an index, a constraint, a trigger or a rule of a table may run
//! as the table's owner without anybody's session, as when the server analyses the table: it must not be the database's owner
//! then, which may create roles. The database's owner is a member of the custodian, so that it reads and drops the objects. Who
//! takes the database back gets them.

use sqlx::{PgConnection, Row as _};

use super::bounded::column;
use super::error::{Error, Result};
use super::generations::{IS_OWN, OWNER_CHANGES, TENANT_LIKE};
use super::role_changes::end_sessions;
use super::sql::{ask, begin, end, first, literal, literals, look, permitted, quote, run};
use super::transfer::{NewOwner, transfer};
use super::{heir, members};

/// SQL over `pg_shdepend s` and the current database, `pg_database d`: whether the row says who owns an object there. Default
/// privileges are of no use without their role.
const OWNS: &str = "s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.dbid = d.oid \
    AND s.classid <> 'pg_default_acl'::regclass";

/// SQL over `pg_roles r`: whether the role has the name of a custodian: that of the tenant's first role, `_0`, the oid of the
/// database, and eight random digits, so that nobody makes the role before. No login has such a name, and
/// [`super::is_tenants`] is true of it.
const IS_CUSTODIAN: &str =
    "(r.rolname::text ~ '^orchestra_[0-9a-fA-F]{32}_0[0-9]+$' AND NOT r.rolcanlogin AND NOT r.rolsuper)";

/// The most custodians that are read at a time.
const TOGETHER: i64 = 100;

/// The longest name of a role.
const LONGEST: usize = 63;

/// Makes sure that there is a custodian, if one of these roles of the tenant owns an object in this database. `base`: the
/// tenant's first role. The transaction must be one of [`begin`].
///
/// # Errors
/// [`Error::Refused`] when a role of its name is not the owner's, or has rights of the owner.
pub(super) async fn appoint(conn: &mut PgConnection, base: &str, roles: &[&str]) -> Result<Option<String>> {
    let owned = format!(
        "SELECT d.oid::int8, EXISTS (SELECT FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid \
             WHERE {OWNS} AND r.rolname::text = ANY ({})) \
         FROM pg_database d WHERE d.datname = current_database()",
        literals(roles)
    );
    let [rows] = ask(conn, [owned]).await?;
    let row = first(&rows)?;
    let (database, owns): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !owns {
        return Ok(None);
    }
    let own = format!(
        "SELECT rolname::text FROM pg_roles r WHERE left(rolname::text, length({base})) = {base} \
             AND substr(rolname::text, length({base}) + 1) ~ '^_0{database}[0-9]{{8}}$' \
             AND {TENANT_LIKE} AND {IS_OWN} AND ({OWNER_CHANGES}) ORDER BY 1 LIMIT 1",
        base = literal(base)
    );
    let [found] = ask(conn, [own]).await?;
    let Some(row) = found.first() else {
        let name = format!("{base}_0{database}{:08}", rand::random_range(0..100_000_000));
        if name.len() > LONGEST {
            return Err(Error::InvalidRole("it is longer than 63 bytes"));
        }
        run(conn, format!("CREATE ROLE {}", quote(&name))).await?;
        join(conn, &name).await?;
        return Ok(Some(name));
    };
    // An earlier attempt has made it, or a script.
    let name: String = row.try_get(0)?;
    run(conn, format!("ALTER ROLE {} NOLOGIN", quote(&name))).await?;
    join(conn, &name).await?;
    end_sessions(conn, &name).await?;
    members::part(conn, &name).await?;
    leave_all(conn, &name).await?;
    Ok(Some(name))
}

/// Makes the owner a member, which has the rights of the custodian.
async fn join(conn: &mut PgConnection, custodian: &str) -> Result<()> {
    let joined = format!(
        "SELECT current_setting('server_version_num')::int >= 160000, pg_has_role(current_user, oid, 'USAGE') FROM pg_roles \
         WHERE rolname::text = {}",
        literal(custodian)
    );
    let [rows] = ask(conn, [joined]).await?;
    let row = first(&rows)?;
    let (has_options, is_member): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let grant = format!("GRANT {} TO CURRENT_USER", quote(custodian));
    if has_options {
        // A script may have taken an option away.
        return run(conn, format!("{grant} WITH INHERIT TRUE, SET TRUE")).await;
    }
    if is_member { Ok(()) } else { run(conn, grant).await }
}

/// Ends the memberships of the custodian in other roles. One that a neighbour has granted has no rights in this database.
async fn leave_all(conn: &mut PgConnection, custodian: &str) -> Result<()> {
    let memberships = sqlx::query(
        "SELECT DISTINCT format('REVOKE %I FROM %I CASCADE', pg_get_userbyid(roleid), pg_get_userbyid(member)) \
         FROM pg_auth_members WHERE pg_get_userbyid(member)::text = $1",
    );
    for revoke in column(conn, "memberships of a role", memberships.bind(custodian)).await? {
        permitted(conn, revoke, &["42501"]).await?;
    }
    let reaches = format!(
        "SELECT NOT m.rolsuper AND pg_has_role(r.oid, m.oid, 'MEMBER') FROM pg_roles r, pg_roles m \
         WHERE r.rolname::text = {} AND m.rolname = current_user",
        literal(custodian)
    );
    let [rows] = ask(conn, [reaches]).await?;
    if first(&rows)?.try_get(0)? {
        return Err(taken(custodian));
    }
    Ok(())
}

fn taken(name: &str) -> Error {
    Error::refused(
        "42710",
        &format!(
            "the role {name}, which is to keep what the tenant's logins own, exists already and is another's, or has rights \
             that it must not have: as a superuser, see who made it, and ALTER ROLE {name} RENAME TO another name"
        ),
    )
}

/// Gives a tenant's first role what custodians keep in this database: those of tenants that had it before, whose data this
/// one has taken back. Safe to repeat: very many objects are reassigned in steps.
///
/// # Errors
/// [`Error::Refused`] when the owner may not reassign them.
pub async fn take_kept(conn: &mut PgConnection, base: &str) -> Result<()> {
    let custodians = format!(
        "SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_database d ON d.datname = current_database() \
             JOIN pg_roles r ON r.oid = s.refobjid WHERE {OWNS} AND {IS_CUSTODIAN} ORDER BY 1 LIMIT {TOGETHER}"
    );
    let [rows] = look(conn, [custodians]).await?;
    for row in rows {
        let custodian: String = row.try_get(0)?;
        transfer(conn, &custodian, NewOwner::Heir(base)).await?;
        begin(conn).await?;
        let left = leave_to(conn, &custodian, base).await;
        end(conn, left).await?;
    }
    Ok(())
}

async fn leave_to(conn: &mut PgConnection, custodian: &str, base: &str) -> Result<()> {
    heir::leave(conn, custodian, base).await?;
    heir::drop_role(conn, custodian).await
}

/// Drops the custodians that the owner of a database has made, which is dropped already. What something else keeps stays.
pub(super) async fn drop_of(conn: &mut PgConnection, owner: &str) -> Result<()> {
    let custodians = format!(
        "SELECT DISTINCT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
             JOIN pg_roles o ON o.oid = m.member \
         WHERE o.rolname::text = {} AND {IS_CUSTODIAN} ORDER BY 1 LIMIT {TOGETHER}",
        literal(owner)
    );
    let [rows] = look(conn, [custodians]).await?;
    for row in rows {
        let custodian: String = row.try_get(0)?;
        begin(conn).await?;
        let dropped = permitted(conn, format!("DROP ROLE {}", quote(&custodian)), &["2BP01", "42501"]).await;
        end(conn, dropped).await?;
    }
    Ok(())
}
