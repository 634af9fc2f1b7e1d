//! Who else is a member of a tenant's role. Whoever administers a role may set its password, and make others its members, who
//! have its rights. On a server of several tenants only the owner does either, beside superusers and whom these have made a
//! member.
//!
//! Since PostgreSQL 16 whoever creates a role administers it for good: only a superuser ends that. So a role that a
//! neighbour has made is never used.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::generations::{IS_OWN, ME, OWNER_CHANGES, numbered};
use super::sql::{ask, first, literal, permitted, quote};

/// The most memberships that are revoked at a time.
const TOGETHER: usize = 100;

/// How many times so many are revoked in a transaction: a script of the tenant's may have made any number.
const ROUNDS: usize = 10;

/// The most statements for a superuser in a message.
const NAMED: usize = 2;

/// SQL over a row of `pg_auth_members`: whether it makes somebody a member of a role who is neither the connection's user nor a
/// superuser, and whom no superuser has made a member without the right to make others.
fn is_foreign(row: &str) -> String {
    format!(
        "({row}.member <> {ME} AND NOT EXISTS (SELECT FROM pg_roles x WHERE x.oid = {row}.member AND x.rolsuper) \
         AND ({row}.admin_option OR NOT EXISTS (SELECT FROM pg_roles x WHERE x.oid = {row}.grantor AND x.rolsuper)))"
    )
}

/// SQL: the foreign memberships of a role, as rows of `pg_auth_members m`. The tenant's logins are members of its first role.
fn foreign(role: &str) -> String {
    let role = literal(role);
    format!(
        "pg_auth_members m WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname::text = {role}) AND {} \
         AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = m.member AND {} AND {IS_OWN} \
             AND NOT EXISTS (SELECT FROM pg_auth_members n WHERE n.roleid = r.oid AND {}))",
        is_foreign("m"),
        numbered(&role),
        is_foreign("n"),
    )
}

/// SQL: the statement that ends a membership, a row of `pg_auth_members m`. Since version 16, it names who has granted it.
fn revoke(role: &str) -> String {
    format!(
        "format('REVOKE %I FROM %I%s CASCADE', {}, pg_get_userbyid(m.member), \
             CASE WHEN {MODERN} THEN format(' GRANTED BY %I', pg_get_userbyid(m.grantor)) END)",
        literal(role)
    )
}

/// SQL: whether memberships have options and grantors.
const MODERN: &str = "current_setting('server_version_num')::int >= 160000";

/// Whether the role has members that [`part`] would end or refuse.
pub(super) async fn has_foreign(conn: &mut PgConnection, role: &str) -> Result<bool> {
    let query = format!("SELECT EXISTS (SELECT FROM {})", foreign(role));
    let [rows] = ask(conn, [query]).await?;
    Ok(first(&rows)?.try_get(0)?)
}

/// Ends the foreign memberships of a role. The transaction is that in which the role gets its password and its rights: since
/// version 16 a REVOKE waits for what the member that it concerns is granting, and ends that as well.
///
/// # Errors
/// [`Error::Refused`] when the owner may not change the role, or when a foreign membership is left.
pub(super) async fn part(conn: &mut PgConnection, role: &str) -> Result<()> {
    let ours = format!("(NOT {MODERN} OR pg_has_role(current_user, m.grantor, 'USAGE'))");
    let revocable = format!(
        "SELECT {} FROM {} AND {ours} LIMIT {TOGETHER}",
        revoke(role),
        foreign(role)
    );
    for _ in 0..ROUNDS {
        let [rows] = ask(conn, [revocable.clone()]).await?;
        let mut ended = 0;
        for row in &rows {
            ended += usize::from(permitted(conn, row.try_get(0)?, &["42501"]).await?);
        }
        if rows.len() < TOGETHER || ended == 0 {
            break;
        }
    }
    check(conn, role).await
}

async fn check(conn: &mut PgConnection, role: &str) -> Result<()> {
    // The membership of who has made the role comes first: others that it has granted go with it.
    let left = format!(
        "SELECT pg_get_userbyid(m.member)::text, {} FROM {} ORDER BY m.grantor <> 10, NOT m.admin_option, 1 LIMIT {NAMED}",
        revoke(role),
        foreign(role)
    );
    let owner = format!(
        "SELECT {OWNER_CHANGES}, current_user::text FROM pg_roles WHERE rolname::text = {}",
        literal(role)
    );
    let [left, owner] = ask(conn, [left, owner]).await?;
    let Some(row) = owner.first() else { return Ok(()) };
    if left.is_empty() && row.try_get(0)? {
        return Ok(());
    }
    let text = |row: &PgRow, column: usize| -> Result<String> { Ok(row.try_get(column)?) };
    let who = left.first().map(|row| text(row, 0)).transpose()?;
    let cures = left.iter().map(|row| text(row, 1)).collect::<Result<Vec<_>>>()?;
    Err(refusal(role, &text(row, 1)?, who.as_deref(), cures))
}

/// The refusal of a role that others reach, with what a superuser does: `cures`, and a grant to the owner.
fn refusal(role: &str, owner: &str, who: Option<&str>, mut cures: Vec<String>) -> Error {
    let (role, owner) = (quote(role), quote(owner));
    // As if the owner had made the role, so that it can leave it again. Only since version 16 is a role refused.
    cures.push(format!(
        "GRANT {role} TO {owner} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"
    ));
    let who = who.map_or_else(
        || format!("was made by another login of this server, and {owner} may not change it"),
        |who| {
            format!(
                "has the member {}, which could log in by it or lend it to others: another login of this server, which has \
                 made the role, as for a database that the tenant had before, or was granted it",
                quote(who)
            )
        },
    );
    Error::refused(
        "42501",
        &format!(
            "the tenant's login role {role} {who}; as a superuser: {}",
            cures.join("; ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_others_reach_is_refused_with_the_statements_that_cure_it() {
        let revoke = "REVOKE t FROM former GRANTED BY postgres CASCADE".to_owned();
        let said = refusal("t", "owner", Some("former"), vec![revoke]).to_string();
        let cure = "REVOKE t FROM former GRANTED BY postgres CASCADE; \
                    GRANT \"t\" TO \"owner\" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE (SQLSTATE 42501)";
        assert!(
            said.contains("\"t\" has the member \"former\"") && said.ends_with(cure),
            "{said}"
        );
        let said = refusal("t", "owner", None, Vec::new()).to_string();
        assert!(
            said.contains("\"owner\" may not change it; as a superuser: GRANT \"t\""),
            "{said}"
        );
    }
}
