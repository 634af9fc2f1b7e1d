//! Tables that a tenant's login cannot read because of row level security.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{Error, Result};
use super::grants::{SCHEMAS, TenantRights};
use super::groups::APP_GROUP;
use super::sql::{OPERATOR_SCHEMA, begin, end, quote};
use crate::api::RowSecurity;
use crate::text;

/// Tables that are named: what helps must fit into the message as well.
const NAMED: i64 = 3;

/// The first version in which a role with BYPASSRLS may give it.
const GIVES_BYPASS: i32 = 160_000;

/// What keeps a login from reading tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unreadable {
    /// The first of the tables, by their quoted names.
    tables: Vec<String>,
    /// How many there are.
    total: usize,
    /// The database's owner.
    owner: String,
    /// The login is a member of the group that policies can name.
    is_in_group: bool,
    /// The server's version, as `server_version_num`.
    version: i32,
}

/// What to tell people when the tenant's login has rights on tables and reads no row of them, because row level
/// security is on and no policy applies to the login; none when there is no such table. Only catalogs are read.
///
/// # Errors
/// See [`Error`].
pub async fn unreadable(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<Option<String>> {
    begin(conn).await?;
    let found = observe(conn, role).await;
    let found = end(conn, found).await?;
    Ok((found.total > 0).then(|| found.message(role, rights.row_security)))
}

async fn observe(conn: &mut PgConnection, role: &str) -> Result<Unreadable> {
    let query = format!(
        "WITH login AS (SELECT oid FROM pg_roles WHERE rolname::text = $2 AND NOT rolbypassrls AND NOT rolsuper), \
         unread AS (SELECT format('%I.%I', nspname, relname) AS name FROM login, pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p') AND relrowsecurity AND {SCHEMAS} \
             AND pg_has_role(current_user, relowner, 'USAGE') AND has_table_privilege(login.oid, c.oid, 'SELECT') \
             AND (relforcerowsecurity OR NOT pg_has_role(login.oid, relowner, 'USAGE')) \
             AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') \
             AND NOT EXISTS (SELECT FROM pg_policy, unnest(polroles) AS named WHERE polrelid = c.oid AND polpermissive \
                 AND polcmd IN ('r', '*') AND (named = 0 OR pg_has_role(login.oid, named, 'USAGE')))) \
         SELECT ARRAY(SELECT name FROM unread ORDER BY 1 LIMIT $3), (SELECT count(*) FROM unread), current_user::text, \
             EXISTS (SELECT FROM login, pg_roles g WHERE g.rolname::text = $4 AND pg_has_role(login.oid, g.oid, 'USAGE')), \
             current_setting('server_version_num')::int"
    );
    let row = sqlx::query(AssertSqlSafe(query))
        .bind(OPERATOR_SCHEMA)
        .bind(role)
        .bind(NAMED)
        .bind(APP_GROUP)
        .fetch_one(conn)
        .await
        .map_err(Error::from)?;
    let total: i64 = row.try_get(1)?;
    Ok(Unreadable {
        tables: row.try_get(0)?,
        total: usize::try_from(total).unwrap_or_default(),
        owner: row.try_get(2)?,
        is_in_group: row.try_get(3)?,
        version: row.try_get(4)?,
    })
}

impl Unreadable {
    fn message(&self, role: &str, wanted: RowSecurity) -> String {
        let Self {
            tables, total, owner, ..
        } = self;
        let first = tables.first().map(String::as_str).unwrap_or_default();
        let policy =
            format!("name it in a migration: CREATE POLICY … ON {first} TO {APP_GROUP} USING (true) WITH CHECK (true)");
        let group = if self.is_in_group {
            String::new()
        } else {
            format!(
                "; the login is no member of {APP_GROUP}, which an admin of the server changes: GRANT {APP_GROUP} TO {} \
                 WITH ADMIN OPTION",
                quote(owner)
            )
        };
        let way = match wanted {
            RowSecurity::Enforce => "or set connection.rowSecurity: Bypass".to_owned(),
            RowSecurity::Bypass if self.version >= GIVES_BYPASS => format!(
                "or have the operator let the login pass all policies, as a superuser: ALTER ROLE {} BYPASSRLS",
                quote(owner)
            ),
            RowSecurity::Bypass => format!(
                "or let the login pass all policies, as a superuser: ALTER ROLE {} BYPASSRLS",
                quote(role)
            ),
        };
        format!(
            "the tenant's login reads no row of {}: row level security is on, and no policy for SELECT applies to the \
             login. A policy can {policy}{group}; {way}",
            text::names(tables, tables.len(), *total)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_helps_on_this_server() {
        let mut found = Unreadable {
            tables: vec!["public.player".into()],
            total: 3,
            owner: "one_owner".into(),
            is_in_group: true,
            version: 150_018,
        };
        let said = found.message("orchestra_1", RowSecurity::Bypass);
        for part in [
            "no row of public.player and 2 more",
            "ON public.player TO orchestra_app",
            "ALTER ROLE \"orchestra_1\" BYPASSRLS",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("WITH ADMIN OPTION"), "{said}");
        (found.is_in_group, found.version) = (false, 170_000);
        let said = found.message("orchestra_1", RowSecurity::Bypass);
        for part in [
            "GRANT orchestra_app TO \"one_owner\" WITH ADMIN OPTION",
            "ALTER ROLE \"one_owner\" BYPASSRLS",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let said = found.message("orchestra_1", RowSecurity::Enforce);
        assert!(
            said.contains("rowSecurity: Bypass") && !said.contains("BYPASSRLS"),
            "{said}"
        );
    }
}
