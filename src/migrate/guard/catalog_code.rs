//! The part of the catalog that shows which code statements run, and what uses the code that a script replaces.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};
use sqlx::{Postgres, Row, postgres::PgArguments, query::Query};

use super::names::Name;
use crate::migrate::error::Result;
use crate::postgres::{ROWS, each};

/// One function or procedure.
#[derive(Clone, Debug)]
pub struct CatalogRoutine {
    pub name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read, or of an extension and in another language than SQL and
    /// PL/pgSQL.
    pub definition: Option<String>,
    /// The extension that it belongs to.
    pub extension: Option<String>,
    /// It is declared VOLATILE.
    pub acts: bool,
    /// The role `anon` of the Data API may execute it, by a grant of its own.
    pub anon: bool,
}

/// One trigger.
#[derive(Clone, Debug)]
pub struct CatalogTrigger {
    /// The table whose change fires it: its own, or one whose change reaches its own.
    pub table: Name,
    /// The bits of `pg_trigger.tgtype`.
    pub events: i32,
    /// Its function, or one that its WHEN calls.
    pub function: Name,
}

/// What uses a function or view, directly or through other functions and views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A policy.
    Policy,
    /// A view that everybody may read.
    Open,
    /// A view that others than the tenant's own logins may read.
    Shared,
    /// A default, constraint or trigger of a table with row level security.
    Table,
    /// Something that runs it without naming it in a statement: a default, a constraint, an index, a view, a policy, an
    /// operator.
    Runs,
    /// A trigger.
    Trigger,
}

impl Use {
    fn of(word: &str) -> Self {
        match word {
            "policy" => Self::Policy,
            "open" => Self::Open,
            "shared" => Self::Shared,
            "table" => Self::Table,
            "trigger" => Self::Trigger,
            _ => Self::Runs,
        }
    }
}

/// The most functions, triggers and names of replaced code; more of them are a finding.
pub const MOST: usize = 2000;
/// The most rules.
const RULES_MOST: usize = 200;
/// The most names of functions and views that are replaced.
const REPLACED: usize = 500;

/// Functions with these names. Of one that is long, or beyond 4 MB in all, only the name is read, and so of an extension's one in
/// another language than SQL and PL/pgSQL. The definition itself is measured: the body of a function in SQL's standard style
/// is not in `prosrc`.
const ROUTINES: &str = "\
SELECT schema, name, CASE WHEN pg_catalog.octet_length(text) < 200000
    AND pg_catalog.sum(pg_catalog.octet_length(text)) OVER (ORDER BY oid) < 4000000 THEN text END, extension, acts, anon
FROM (SELECT p.oid, nspname::pg_catalog.text AS schema, proname::pg_catalog.text AS name,
    extname::pg_catalog.text AS extension, provolatile = 'v' AS acts,
    EXISTS (SELECT FROM pg_catalog.aclexplode(proacl) a JOIN pg_catalog.pg_roles g ON g.oid = a.grantee
        WHERE g.rolname = 'anon') AS anon,
    CASE WHEN extname IS NULL OR lanname IN ('sql', 'plpgsql') THEN pg_catalog.pg_get_functiondef(p.oid) END AS text
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
JOIN pg_catalog.pg_language l ON l.oid = prolang
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE proname = ANY($1) AND prokind IN ('f', 'p') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
ORDER BY p.oid LIMIT 2001) found ORDER BY oid";

/// The names among these that functions of PostgreSQL have, and aggregates and window functions of any schema.
const BUILTIN: &str = "\
SELECT DISTINCT proname::pg_catalog.text FROM pg_catalog.pg_proc p
WHERE proname = ANY($1) AND (pronamespace = 'pg_catalog'::pg_catalog.regnamespace OR prokind IN ('a', 'w')) LIMIT 2001";

/// The relations of these names, each with those that a change of its rows reaches: its children and partitions, what a
/// view reads, and the tables whose foreign keys cascade. `events`: the bits of the changes that reach it.
const REACHED: &str = "\
WITH RECURSIVE reached AS (
    SELECT c.oid AS root, c.oid, false AS hops, false AS cascaded, 60 AS events
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname = ANY($1) AND nspname <> 'information_schema' AND nspname !~ '^pg_'
    UNION
    SELECT r.root, next.oid, true, r.cascaded OR next.key,
        CASE WHEN next.key AND NOT r.cascaded THEN r.events & next.mask ELSE r.events END
    FROM reached r, LATERAL (
        SELECT inhrelid AS oid, false AS key, 0 AS mask FROM pg_inherits WHERE inhparent = r.oid
        UNION ALL SELECT conrelid, true, 32 | CASE WHEN confdeltype IN ('c', 'n', 'd') THEN 8 ELSE 0 END
            | CASE WHEN confupdtype IN ('c', 'n', 'd') THEN 16 ELSE 0 END
            FROM pg_constraint WHERE contype = 'f' AND confrelid = r.oid
        UNION ALL SELECT d.refobjid, false, 0 FROM pg_rewrite w JOIN pg_depend d
            ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
            WHERE w.ev_class = r.oid AND rulename = '_RETURN' AND d.refobjid <> r.oid
    ) next
)";

/// The functions of triggers, and those that their WHEN calls. An UPDATE that moves a row to another partition fires what
/// INSERT and DELETE fire there. The triggers that PostgreSQL makes for partitions are internal up to version 14. One that is disabled counts: the scripts may
/// enable it.
const TRIGGERS: &str = "\
SELECT DISTINCT n.nspname::text, c.relname::text,
    CASE WHEN cascaded THEN events WHEN hops AND tgtype::int4 & 12 <> 0 THEN tgtype::int4 & 60 | 16
        ELSE tgtype::int4 & 60 END,
    f.nspname::text, proname::text
FROM reached JOIN pg_trigger t ON tgrelid = reached.oid
JOIN pg_class c ON c.oid = root JOIN pg_namespace n ON n.oid = relnamespace,
LATERAL (SELECT tgfoid AS oid UNION SELECT refobjid FROM pg_depend
    WHERE classid = 'pg_trigger'::regclass AND objid = t.oid AND refclassid = 'pg_proc'::regclass) called
JOIN pg_proc p ON p.oid = called.oid JOIN pg_namespace f ON f.oid = pronamespace
WHERE (NOT tgisinternal OR tgparentid <> 0) AND f.nspname <> 'pg_catalog'
ORDER BY 1, 2, 3, 4, 5 LIMIT 2001";

/// Rules. Those of a relation that is reached act on every change that reaches it.
const RULES: &str = "\
SELECT schema, name, CASE WHEN octet_length(text) < 200000
    AND sum(octet_length(text)) OVER (ORDER BY oid) < 4000000 THEN text ELSE 'too long' END, hops
FROM (SELECT r.oid, nspname::text AS schema, c.relname::text AS name, hops, pg_get_ruledef(r.oid) AS text
FROM (SELECT root, oid, bool_and(hops) AS hops FROM reached GROUP BY root, oid) reached
JOIN pg_rewrite r ON ev_class = reached.oid
JOIN pg_class c ON c.oid = root JOIN pg_namespace n ON n.oid = relnamespace
WHERE rulename <> '_RETURN'
ORDER BY r.oid, 2, 3 LIMIT 201) found ORDER BY oid";

/// What uses the functions and views of these names. Code in functions is searched for their names, so that a name that a
/// function possibly refers to counts as well. `pg_depend` has the other uses.
const USES: &str = "\
WITH RECURSIVE code AS MATERIALIZED (
    SELECT p.oid, proname::text COLLATE \"C\" AS name, lower(left(prosrc, 200000)) COLLATE \"C\" AS text
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE prokind IN ('f', 'p') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    ORDER BY p.oid LIMIT 2000
), used AS (
    SELECT w COLLATE \"C\" AS origin, w COLLATE \"C\" AS name, 0::oid AS class, 0::oid AS oid FROM unnest($1::text[]) w
    UNION
    SELECT u.origin, next.name, next.class, next.oid FROM used u, LATERAL (
        SELECT name, 'pg_proc'::regclass::oid AS class, oid FROM code WHERE u.class = 0::oid AND name = u.name
        UNION ALL SELECT relname::text COLLATE \"C\", 'pg_class'::regclass::oid, c.oid
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE u.class = 0::oid AND relname::text = u.name AND relkind IN ('v', 'm')
                AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        UNION ALL SELECT name, 'pg_proc'::regclass::oid, oid FROM code
            WHERE strpos(text, lower(u.name)) > 0 AND (u.name !~ '^\\w+$' OR text ~ ('\\m' || lower(u.name) || '\\M'))
        UNION ALL SELECT proname::text COLLATE \"C\", 'pg_proc'::regclass::oid, p.oid FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
            WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = u.class AND d.refobjid = u.oid
        UNION ALL SELECT relname::text COLLATE \"C\", 'pg_class'::regclass::oid, c.oid FROM pg_depend d
            JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class c ON c.oid = ev_class
            WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = u.class AND d.refobjid = u.oid
    ) next
)
SELECT DISTINCT origin, word FROM (
    SELECT origin, CASE
            WHEN d.classid = 'pg_policy'::regclass AND deptype = 'n' THEN 'policy'
            WHEN d.classid = 'pg_trigger'::regclass THEN 'trigger'
            WHEN d.classid IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_rewrite'::regclass,
                'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_event_trigger'::regclass)
                AND used.class = 'pg_proc'::regclass THEN 'runs'
            WHEN d.classid = 'pg_class'::regclass AND used.class = 'pg_proc'::regclass THEN 'runs' END AS word
    FROM used JOIN pg_depend d ON d.refclassid = used.class AND d.refobjid = used.oid
    UNION ALL SELECT origin, 'runs' FROM used JOIN pg_depend d ON d.refclassid = used.class AND d.refobjid = used.oid
        WHERE used.class = 'pg_proc'::regclass AND d.classid = 'pg_policy'::regclass
    UNION ALL SELECT origin, 'runs' FROM used JOIN pg_proc p ON p.oid = used.oid
        WHERE used.class = 'pg_proc'::regclass AND prokind IN ('a', 'w')
    UNION ALL SELECT origin, CASE WHEN OPEN THEN 'open' WHEN SHARED THEN 'shared' END
        FROM used JOIN pg_class c ON c.oid = used.oid
        WHERE used.class = 'pg_class'::regclass AND relname::text <> origin AND relkind IN ('v', 'm')
    UNION ALL SELECT origin, 'table' FROM used JOIN pg_depend d ON d.refclassid = used.class AND d.refobjid = used.oid
        LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
        LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
        LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
        JOIN pg_class c ON c.oid = coalesce(adrelid, conrelid, tgrelid) WHERE relrowsecurity
) found WHERE word IS NOT NULL ORDER BY 1, 2 LIMIT 4001";

/// Whether the code has so many uses that they cannot all be read.
const MANY_FUNCTIONS: &str = "\
SELECT count(*) > 2000 FROM (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE prokind IN ('f', 'p') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    LIMIT 2001) found";

/// SQL over `pg_class c`: whether everybody may read a column of it: every login, or callers of the Data API without a
/// login.
pub const OPEN: &str = "\
(has_any_column_privilege('public'::name, c.oid, 'SELECT') OR EXISTS (SELECT FROM pg_roles anon
    WHERE anon.rolname = 'anon' AND has_any_column_privilege(anon.oid, c.oid, 'SELECT')))";

/// SQL over `pg_class c`: whether a role may read it that is neither its owner nor a login or group of tenants.
pub const SHARED: &str = "\
EXISTS (SELECT FROM aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
        AND g.rolname !~ '^orchestra_([0-9a-f]{32}(_[0-9]+)?|app)$')";

/// Where the login's new tables and views can be read by everybody: a schema, or none for all of them.
const OPEN_DEFAULTS: &str = "\
SELECT DISTINCT nspname::text FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace, aclexplode(defaclacl) a
LEFT JOIN pg_roles g ON g.oid = a.grantee
WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = current_user AND a.privilege_type = 'SELECT'
    AND (a.grantee = 0 OR g.rolname = 'anon') ORDER BY 1 LIMIT 2001";

/// Whether the role of the Data API may execute the login's new functions by its own name.
const ANON_EXECUTES: &str = "\
SELECT EXISTS (SELECT FROM pg_default_acl, aclexplode(defaclacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE defaclobjtype = 'f' AND pg_get_userbyid(defaclrole) = current_user AND g.rolname = 'anon')";

type CatalogStatement<'q> = Query<'q, Postgres, PgArguments>;

/// The rows of a query, [`MOST`] at most, and whether there are more.
pub async fn some(
    conn: &mut PgConnection,
    (what, most): (&'static str, usize),
    query: CatalogStatement<'_>,
    mut take: impl FnMut(&PgRow) -> sqlx::Result<()> + Send,
) -> Result<bool> {
    let mut count = 0;
    each(conn, what, ROWS, query, |row| {
        count += 1;
        if count > most { Ok(()) } else { take(row) }
    })
    .await?;
    Ok(count > most)
}

/// A schema's name, and the name after it.
fn name(row: &PgRow, schema: usize) -> sqlx::Result<Name> {
    Ok(Name {
        schema: Some(row.try_get(schema)?),
        name: row.try_get(schema + 1)?,
    })
}

/// The code of a database that was read.
#[derive(Clone, Debug, Default)]
pub struct CatalogCode {
    /// The functions that exist, apart from those of PostgreSQL.
    pub routines: Vec<CatalogRoutine>,
    /// The names among those that are called which functions of PostgreSQL have.
    pub builtin: BTreeSet<String>,
    /// The triggers of the relations.
    pub triggers: Vec<CatalogTrigger>,
    /// The rules of the relations: each table with `CREATE RULE`, or with a text that cannot be read if it is too long.
    pub rules: Vec<(Name, String)>,
    /// The rules of relations that a change of these tables reaches.
    pub reached_rules: Vec<(Name, String)>,
    /// What uses the functions and views that the scripts replace, by their names.
    pub uses: Vec<(String, Use)>,
    /// The schemas in which everybody may read new tables by default; none means all.
    pub open_defaults: Vec<Option<String>>,
    /// Schemas whose relations or functions everybody may use as soon as everybody may use the schema.
    pub shut_schemas: BTreeSet<String>,
    /// Schemas with `SECURITY DEFINER` functions that not everybody may execute.
    pub shut_functions: BTreeSet<String>,
    /// The role of the Data API without a login may execute new functions by default, whatever PUBLIC may.
    pub anon_executes: bool,
    /// What was not read because there is too much of it.
    pub cut: Vec<&'static str>,
}

impl CatalogCode {
    /// Reads the code of relations and functions with these names, and what uses those that are replaced.
    pub async fn read(
        &mut self,
        conn: &mut PgConnection,
        relations: &BTreeSet<String>,
        functions: &BTreeSet<String>,
        replaced: &BTreeSet<String>,
    ) -> Result<()> {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        self.look_at_triggers(conn, list(relations)).await?;
        self.look_at_rules(conn, list(relations)).await?;
        let query = sqlx::query(ROUTINES).bind(list(functions));
        let cut = some(conn, ("functions", MOST), query, |row| {
            self.routines.push(CatalogRoutine {
                name: name(row, 0)?,
                definition: row.try_get(2)?,
                extension: row.try_get(3)?,
                acts: row.try_get(4)?,
                anon: row.try_get(5)?,
            });
            Ok(())
        });
        if cut.await? {
            self.cut("so many functions have the names in the scripts that not all were looked at");
        }
        let query = sqlx::query(BUILTIN).bind(list(functions));
        some(conn, ("names of functions", MOST), query, |row| {
            self.builtin.insert(row.try_get(0)?);
            Ok(())
        })
        .await?;
        self.look_at_uses(conn, list(replaced)).await?;
        let query = sqlx::query(OPEN_DEFAULTS);
        some(conn, ("default privileges", MOST), query, |row| {
            self.open_defaults.push(row.try_get(0)?);
            Ok(())
        })
        .await?;
        self.anon_executes = sqlx::query_scalar(ANON_EXECUTES).fetch_one(&mut *conn).await?;
        self.look_at_shut(conn).await
    }

    async fn look_at_triggers(&mut self, conn: &mut PgConnection, relations: Vec<String>) -> Result<()> {
        let query = sqlx::query(AssertSqlSafe(format!("{REACHED} {TRIGGERS}"))).bind(relations);
        let cut = some(conn, ("triggers", MOST), query, |row| {
            self.triggers.push(CatalogTrigger {
                table: name(row, 0)?,
                events: row.try_get(2)?,
                function: name(row, 3)?,
            });
            Ok(())
        });
        if cut.await? {
            self.cut("so many triggers are on the tables in the scripts that not all were looked at");
        }
        Ok(())
    }

    async fn look_at_rules(&mut self, conn: &mut PgConnection, relations: Vec<String>) -> Result<()> {
        let query = sqlx::query(AssertSqlSafe(format!("{REACHED} {RULES}"))).bind(relations);
        let cut = some(conn, ("rules", RULES_MOST), query, |row| {
            let rule = (name(row, 0)?, row.try_get(2)?);
            if row.try_get(3)? {
                self.reached_rules.push(rule);
            } else {
                self.rules.push(rule);
            }
            Ok(())
        });
        if cut.await? {
            self.cut("so many rules are on the tables in the scripts that not all were looked at");
        }
        Ok(())
    }

    async fn look_at_uses(&mut self, conn: &mut PgConnection, mut replaced: Vec<String>) -> Result<()> {
        if replaced.is_empty() {
            return Ok(());
        }
        let mut cut = replaced.len() > REPLACED;
        replaced.truncate(REPLACED);
        let query = USES.replace("OPEN", OPEN).replace("SHARED", SHARED);
        let query = sqlx::query(AssertSqlSafe(query)).bind(replaced);
        cut |= some(conn, ("uses of functions", 2 * MOST), query, |row| {
            self.uses.push((row.try_get(0)?, Use::of(row.try_get(1)?)));
            Ok(())
        })
        .await?;
        cut |= sqlx::query_scalar::<_, bool>(MANY_FUNCTIONS).fetch_one(conn).await?;
        if cut {
            self.cut("the database or the scripts have too many functions to look at what uses each of them");
        }
        Ok(())
    }

    pub(super) fn cut(&mut self, what: &'static str) {
        self.cut.push(what);
    }
}
