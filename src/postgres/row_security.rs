//! Tables that a tenant's login cannot read or write because of row level security.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::grants::TenantRights;
use super::groups::APP_GROUP;
use super::sql::{first, literal, look, quote};
use super::ungranted::meant;
use crate::api::RowSecurity;
use crate::text;

/// Tables that are named: what helps must fit into the message as well.
const NAMED: i64 = 3;

/// The first version in which a role with BYPASSRLS may give it.
const GIVES_BYPASS: i32 = 160_000;

/// An expression that is `false` or NULL, as the catalog holds it. Reading it from there takes no lock on the table.
const FALSE: &str = r"^\{CONST :consttype 16 .*:constvalue (<>|\d+ \[( 0)+ \])\}$";

/// Two integers that are compared, as in `1 = 0`.
const COMPARED: &str = r"^\{OPEXPR :opno 96 .*:args \(\{CONST [^{}]*:constvalue (\d+ \[[^]]*\])\} \{CONST [^{}]*:constvalue (\d+ \[[^]]*\])\}\)";

/// What row level security keeps a login from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RowSecurityLimits {
    /// The role that passes all policies and that the login is, or becomes by `SET ROLE`.
    bypasses: Option<String>,
    /// The first of the tables that it cannot read, by their quoted names.
    tables: Vec<String>,
    /// How many there are.
    total: usize,
    /// Permissive policies for SELECT apply to the login on the first of them.
    has_policy: bool,
    /// Whose the first of them is, when it is not the database owner's.
    unread_owner: Option<String>,
    /// A restrictive policy that hides all rows of the first of them, by its quoted name.
    closing: Option<String>,
    /// The first of the tables that it reads and cannot write, with the commands.
    unwritten: Vec<String>,
    /// How many there are.
    unwritten_total: usize,
    /// Whose the first of them is, when it is not the database owner's.
    unwritten_owner: Option<String>,
    /// The database's owner.
    owner: String,
    /// The login is a member of the group that policies can name.
    is_in_group: bool,
    /// The server's version, as `server_version_num`.
    version: i32,
}

/// What to tell people when the tenant's login has rights on tables and reads no row of them, because row level
/// security is on and no policy lets it, or when it passes policies that are to apply to it; else none. Only catalogs
/// are read.
///
/// # Errors
/// See [`Error`].
pub async fn unreadable(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<Option<String>> {
    let found = observe(conn, role).await?;
    Ok(match &found.bypasses {
        Some(passing) if rights.row_security == RowSecurity::Enforce => Some(unenforced(role, passing)),
        _ => (found.total > 0).then(|| found.message(role, rights.row_security)),
    })
}

/// What to tell people of tables that the tenant's login reads and has the right to write, while no policy lets it; none
/// when there is no such table. Only catalogs are read.
///
/// # Errors
/// See [`Error`].
pub async fn unwritable(conn: &mut PgConnection, role: &str) -> Result<Option<String>> {
    let found = observe(conn, role).await?;
    Ok((found.unwritten_total > 0).then(|| found.unwritten()))
}

/// Whether an expression of a policy can be seen to be true for no row.
fn is_false(expression: &str) -> String {
    format!(
        "coalesce({expression}::text ~ {}, false) \
         OR coalesce((SELECT m[1] <> m[2] FROM regexp_match({expression}::text, {}) AS m), false)",
        literal(FALSE),
        literal(COMPARED)
    )
}

/// The tables with row level security that the login is subject to, the policies that apply to it, and the commands
/// that it has the right to and that no policy lets it use.
fn blocked(role: &str) -> String {
    format!(
        "login AS (SELECT oid, rolbypassrls, rolbypassrls OR rolsuper AS passes FROM pg_roles WHERE rolname::text = {role}), \
         walled AS (SELECT c.oid, format('%I.%I', nspname, relname) AS name, \
                 CASE WHEN NOT pg_has_role(current_user, relowner, 'USAGE') THEN pg_get_userbyid(relowner)::text END AS owner \
             FROM login, pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE NOT passes AND relkind IN ('r', 'p') AND NOT relispartition AND relrowsecurity AND {meant} \
             AND (relforcerowsecurity OR NOT pg_has_role(login.oid, relowner, 'USAGE')) \
             AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')), \
         policy AS (SELECT polrelid, polname, polpermissive, polcmd::text AS polcmd, {hides} AS hides, {refuses} AS refuses \
             FROM login, pg_policy WHERE polrelid IN (SELECT oid FROM walled) \
             AND EXISTS (SELECT FROM unnest(polroles) AS named WHERE named = 0 OR pg_has_role(login.oid, named, 'USAGE'))), \
         applied AS (SELECT polrelid, polname, polpermissive, cmd, \
                 CASE cmd WHEN 'a' THEN refuses WHEN 'w' THEN hides OR refuses ELSE hides END AS shut \
             FROM policy, unnest(ARRAY['r', 'a', 'w', 'd']) AS cmd WHERE polcmd IN (cmd, '*')), \
         blocked AS (SELECT w.oid, name, owner, cmd, place, word FROM login, walled w, \
                 (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE')) AS c (place, cmd, word) \
             WHERE has_table_privilege(login.oid, w.oid, word) AND ( \
                 NOT EXISTS (SELECT FROM applied a WHERE polrelid = w.oid AND a.cmd = c.cmd AND polpermissive AND NOT shut) \
                 OR EXISTS (SELECT FROM applied a WHERE polrelid = w.oid AND a.cmd = c.cmd AND NOT polpermissive AND shut)))",
        role = literal(role),
        meant = meant(),
        hides = is_false("polqual"),
        refuses = is_false("coalesce(polwithcheck, polqual)"),
    )
}

async fn observe(conn: &mut PgConnection, role: &str) -> Result<RowSecurityLimits> {
    let query = format!(
        "WITH {}, unread AS (SELECT oid, name, owner FROM blocked WHERE cmd = 'r'), \
         first AS (SELECT oid, owner FROM unread ORDER BY name LIMIT 1), \
         unwritten AS (SELECT format('%s (%s)', name, string_agg(word, ', ' ORDER BY place)) AS name, owner FROM blocked \
             WHERE oid NOT IN (SELECT oid FROM unread) GROUP BY oid, name, owner), \
         of_first AS (SELECT polname, polpermissive, shut FROM applied JOIN first ON polrelid = oid WHERE cmd = 'r') \
         SELECT ARRAY(SELECT name FROM unread ORDER BY 1 LIMIT {NAMED}), (SELECT count(*) FROM unread), current_user::text, \
             EXISTS (SELECT FROM login, pg_roles g WHERE g.rolname::text = '{APP_GROUP}' AND pg_has_role(login.oid, g.oid, 'USAGE')), \
             current_setting('server_version_num')::int, \
             (SELECT b.rolname::text FROM login, pg_roles b WHERE b.rolbypassrls AND pg_has_role(login.oid, b.oid, \
                 CASE WHEN current_setting('server_version_num')::int >= {GIVES_BYPASS} THEN 'SET' ELSE 'MEMBER' END) \
                 ORDER BY b.oid <> login.oid, b.rolname LIMIT 1), \
             EXISTS (SELECT FROM of_first WHERE polpermissive), \
             (SELECT quote_ident(min(polname::text)) FROM of_first WHERE shut AND NOT polpermissive), \
             ARRAY(SELECT name FROM unwritten ORDER BY 1 LIMIT {NAMED}), (SELECT count(*) FROM unwritten), \
             (SELECT owner FROM first), (SELECT owner FROM unwritten ORDER BY name LIMIT 1)",
        blocked(role)
    );
    let [rows] = look(conn, [query]).await?;
    let row = first(&rows)?;
    let count = |column: usize| -> Result<usize> {
        let count: i64 = row.try_get(column)?;
        Ok(usize::try_from(count).unwrap_or_default())
    };
    Ok(RowSecurityLimits {
        tables: row.try_get(0)?,
        total: count(1)?,
        owner: row.try_get(2)?,
        is_in_group: row.try_get(3)?,
        version: row.try_get(4)?,
        bypasses: row.try_get(5)?,
        has_policy: row.try_get(6)?,
        closing: row.try_get(7)?,
        unwritten: row.try_get(8)?,
        unwritten_total: count(9)?,
        unread_owner: row.try_get(10)?,
        unwritten_owner: row.try_get(11)?,
    })
}

/// A login to which policies are to apply, and that has kept BYPASSRLS or becomes a role that has it: a role of another
/// owner of the server, whose scripts may make any login a member of their roles.
fn unenforced(role: &str, passing: &str) -> String {
    let how = if role == passing {
        "it has BYPASSRLS, and the server does not let the operator take it".to_owned()
    } else {
        format!(
            "it becomes the role {0} by SET ROLE {0}, which has BYPASSRLS",
            quote(passing)
        )
    };
    format!(
        "policies of row level security do not apply to the tenant's login, although connection.rowSecurity is Enforce: \
         {how}. Take it as a superuser: ALTER ROLE {} NOBYPASSRLS",
        quote(passing)
    )
}

impl RowSecurityLimits {
    fn message(&self, role: &str, wanted: RowSecurity) -> String {
        let Self {
            tables, total, owner, ..
        } = self;
        let first = tables.first().map(String::as_str).unwrap_or_default();
        let why = match (&self.closing, self.has_policy) {
            (Some(closing), _) => {
                format!(
                    "the restrictive policy {closing} hides every row: change it, or DROP POLICY {closing} ON {first}"
                )
            }
            (None, true) => "the policies for SELECT that apply to the login let no row through".to_owned(),
            (None, false) => "no policy for SELECT applies to the login".to_owned(),
        };
        let way = match wanted {
            RowSecurity::Enforce => "or set connection.rowSecurity: Bypass".to_owned(),
            RowSecurity::Bypass if self.version >= GIVES_BYPASS => format!(
                "or have the operator let the login pass all policies, as a superuser: ALTER ROLE {} BYPASSRLS",
                quote(owner)
            ),
            RowSecurity::Bypass => format!(
                "or let the login pass all policies, as a superuser and again after each rotation: ALTER ROLE {} BYPASSRLS",
                quote(role)
            ),
        };
        format!(
            "the tenant's login reads no row of {}: row level security is on, and {why}. {}; {way}",
            text::names(tables, tables.len(), *total),
            self.policy(first, self.unread_owner.as_deref()),
        )
    }

    fn unwritten(&self) -> String {
        let tables = &self.unwritten;
        let first = tables.first().map(String::as_str).unwrap_or_default();
        let first = first.rsplit_once(" (").map_or(first, |(name, _)| name);
        format!(
            "the tenant's login reads and does not write {}: row level security is on, and no policy lets the login use \
             these commands. That is right for reference data. Else: {}",
            text::names(tables, tables.len(), self.unwritten_total),
            self.policy(first, self.unwritten_owner.as_deref()),
        )
    }

    /// How a migration lets the login in.
    fn policy(&self, table: &str, owner: Option<&str>) -> String {
        let who = owner.map_or_else(
            || "in a migration".to_owned(),
            |owner| {
                format!(
                    "as {0} or a superuser, or in a migration after SET ROLE {0}",
                    quote(owner)
                )
            },
        );
        let group = if self.is_in_group {
            String::new()
        } else {
            format!(
                "; the login is no member of {APP_GROUP}, which an admin of the server changes: GRANT {APP_GROUP} TO {} \
                 WITH ADMIN OPTION",
                quote(&self.owner)
            )
        };
        format!(
            "A policy can name it {who}: CREATE POLICY … ON {table} TO {APP_GROUP} USING (true) WITH CHECK \
             (true){group}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_helps_on_this_server() {
        let mut found = RowSecurityLimits {
            tables: vec!["public.player".into()],
            total: 3,
            owner: "one_owner".into(),
            is_in_group: true,
            version: 150_018,
            ..RowSecurityLimits::default()
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
        found.unread_owner = Some("app".into());
        let said = found.message("orchestra_1", RowSecurity::Bypass);
        assert!(
            said.contains("in a migration after SET ROLE \"app\": CREATE POLICY"),
            "{said}"
        );
        found.unread_owner = None;
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
        found.has_policy = true;
        let said = found.message("orchestra_1", RowSecurity::Enforce);
        assert!(said.contains("let no row through. A policy can"), "{said}");
        found.closing = Some("\"No one\"".into());
        let said = found.message("orchestra_1", RowSecurity::Enforce);
        assert!(
            said.contains("DROP POLICY \"No one\" ON public.player. A policy"),
            "{said}"
        );
        found.unwritten = vec!["public.\"a (b)\" (INSERT, UPDATE)".into()];
        found.unwritten_total = 1;
        let said = found.unwritten();
        assert!(said.contains("ON public.\"a (b)\" TO orchestra_app"), "{said}");
    }
}
