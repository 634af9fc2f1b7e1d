//! Tables that a tenant's login cannot read because nobody has granted it.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::groups::APP_GROUP;
use super::records::IS_RECORD;
use super::sql::{OPERATOR_SCHEMA, first, literal, look, quote};
use crate::text;

/// Tables that are named: the statement must fit into the message as well.
const NAMED: i64 = 3;

/// SQL over `pg_namespace n` and the role `login`: the schemas whose tables the login is meant to read: `public`, those of the database's owner, and those of the
/// owner's other roles on which the login was given USAGE. A schema of another role is that role's own affair: the
/// platform's schemas of a hosted project are such, and so is one that is kept private.
pub(super) fn meant() -> String {
    format!(
        "nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> '{OPERATOR_SCHEMA}' \
         AND (nspname = 'public' OR nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) \
             OR pg_has_role(current_user, nspowner, 'MEMBER') AND has_schema_privilege(login.oid, n.oid, 'USAGE'))"
    )
}

/// The tables that a login has no right to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct UngrantedTables {
    /// The first of them, by their quoted names.
    tables: Vec<String>,
    /// How many there are.
    total: usize,
    /// Who owns the first.
    owner: String,
    /// It is the database's owner.
    is_own: bool,
    /// The schema of the first, by its quoted name, when the login may not use it.
    schema: Option<String>,
    /// The login is a member of the group that grants can name.
    is_in_group: bool,
}

/// What to tell people of tables, views and foreign tables that the tenant's login has no right to read, in the schemas
/// that are the tenant's; none when it may read them all. A table of which it may read a column counts as readable, and a
/// partition as its table. The records of the operator and of migration tools, and what belongs to an extension, do not
/// count. Only catalogs are read.
///
/// # Errors
/// See [`Error`].
pub async fn ungranted(conn: &mut PgConnection, role: &str) -> Result<Option<String>> {
    let found = observe(conn, role).await?;
    Ok((found.total > 0).then(|| found.message(role)))
}

async fn observe(conn: &mut PgConnection, role: &str) -> Result<UngrantedTables> {
    let query = format!(
        "WITH login AS (SELECT oid FROM pg_roles WHERE rolname::text = {role}), \
         closed AS (SELECT format('%I.%I', nspname, relname) AS name, quote_ident(nspname) AS schema, \
                 pg_get_userbyid(relowner)::text AS owner, NOT has_schema_privilege(login.oid, n.oid, 'USAGE') AS shut \
             FROM login, pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition AND {meant} AND NOT {IS_RECORD} \
             AND NOT (has_schema_privilege(login.oid, n.oid, 'USAGE') \
                 AND has_any_column_privilege(login.oid, c.oid, 'SELECT')) \
             AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')), \
         first AS (SELECT * FROM closed ORDER BY name LIMIT 1) \
         SELECT ARRAY(SELECT name FROM closed ORDER BY 1 LIMIT {NAMED}), (SELECT count(*) FROM closed), \
             coalesce((SELECT owner FROM first), ''), coalesce((SELECT owner = current_user FROM first), false), \
             (SELECT schema FROM first WHERE shut), \
             EXISTS (SELECT FROM login, pg_roles g WHERE g.rolname::text = '{APP_GROUP}' AND pg_has_role(login.oid, g.oid, 'USAGE'))",
        role = literal(role),
        meant = meant()
    );
    let [rows] = look(conn, [query]).await?;
    let row = first(&rows)?;
    let total: i64 = row.try_get(1)?;
    Ok(UngrantedTables {
        tables: row.try_get(0)?,
        total: usize::try_from(total).unwrap_or_default(),
        owner: row.try_get(2)?,
        is_own: row.try_get(3)?,
        schema: row.try_get(4)?,
        is_in_group: row.try_get(5)?,
    })
}

impl UngrantedTables {
    fn message(&self, role: &str) -> String {
        let Self { tables, total, .. } = self;
        let first = tables.first().map(String::as_str).unwrap_or_default();
        let to = if self.is_in_group {
            APP_GROUP.to_owned()
        } else {
            quote(role)
        };
        let owner = quote(&self.owner);
        let (who, how) = if self.is_own {
            ("it was revoked", "by a migration".to_owned())
        } else {
            (
                "another role owns the first",
                format!("as {owner} or a superuser, or by a migration after SET ROLE {owner}"),
            )
        };
        let schema = self.schema.as_ref();
        let schema = schema.map_or_else(String::new, |schema| {
            format!("GRANT USAGE ON SCHEMA {schema} TO {to}; ")
        });
        format!(
            "the tenant's login has no right to read {}: {who}. Grant it {how}: {schema}GRANT SELECT, INSERT, UPDATE, \
             DELETE ON TABLE {first} TO {to}. A table that is to stay private belongs into a schema of another role, on \
             which the login has no USAGE",
            text::names(tables, tables.len(), *total),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_statement_that_helps() {
        let mut found = UngrantedTables {
            tables: vec!["public.\"Player\"".into(), "public.score".into()],
            total: 5,
            owner: "app".into(),
            is_in_group: true,
            ..UngrantedTables::default()
        };
        let said = found.message("orchestra_1");
        for part in [
            "no right to read public.\"Player\", public.score and 3 more: another role owns the first",
            "after SET ROLE \"app\": GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.\"Player\" TO orchestra_app.",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        (found.is_own, found.is_in_group, found.schema) = (true, false, Some("sales".into()));
        let said = found.message("orchestra_1");
        for part in [
            "it was revoked. Grant it by a migration: GRANT USAGE ON SCHEMA sales TO \"orchestra_1\"; GRANT SELECT",
            "ON TABLE public.\"Player\" TO \"orchestra_1\".",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
