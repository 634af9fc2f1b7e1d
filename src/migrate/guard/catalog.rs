//! The part of the database's catalog that the guard needs: relations, whether they hold rows, the types of their
//! columns, and the code that statements can run. Rows are never read: a table counts as filled if it has pages.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::names::Name;
use super::types::Type;
use crate::migrate::error::{Error, Result};
use crate::migrate::session::default_path;
use crate::postgres::{self, OPERATOR_SCHEMA, ROWS, begin, each};

/// The relations of a database whose names were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The schema in which a new table is created.
    pub current: Option<String>,
    /// The relations that exist.
    pub relations: Vec<Relation>,
    /// No table that a migration could change holds a row.
    pub empty: bool,
    /// The role that runs the scripts.
    pub user: Option<String>,
    /// The functions that exist, apart from those of PostgreSQL and of extensions.
    pub routines: Vec<Routine>,
    /// The triggers of the relations.
    pub triggers: Vec<Trigger>,
    /// The rules of the relations: each table with `CREATE RULE`, or with a text that cannot be read if it is too long.
    pub rules: Vec<(Name, String)>,
    /// There are so many relations of these names that only those in the search path were read.
    pub partial: bool,
}

/// One function or procedure.
#[derive(Clone, Debug)]
pub struct Routine {
    pub name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read.
    pub definition: Option<String>,
}

/// One trigger.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub table: Name,
    /// The bits of `pg_trigger.tgtype`.
    pub events: i32,
    pub function: Name,
}

/// One relation.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    /// A name without a schema can mean it.
    pub visible: bool,
    /// It or one of its child tables has pages, or it is a view or foreign table, which shows rows of other tables.
    pub filled: bool,
    pub sort: Sort,
    /// It is the sequence of an identity column, or the column that owns it takes its default from it.
    pub owned: bool,
    /// It is a unique index.
    pub unique: bool,
    pub columns: BTreeMap<String, Column>,
    /// Its constraints, each with its `pg_constraint.contype`.
    pub constraints: BTreeMap<String, char>,
}

/// The kind of a relation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Table,
    Foreign,
    View,
    Matview,
    Sequence,
    Index,
}

impl Sort {
    /// The kind of a `pg_class.relkind`.
    fn of(relkind: &str) -> Self {
        match relkind {
            "f" => Self::Foreign,
            "v" => Self::View,
            "m" => Self::Matview,
            "S" => Self::Sequence,
            "i" | "I" => Self::Index,
            _ => Self::Table,
        }
    }
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub type_: Type,
    /// It is NOT NULL.
    pub required: bool,
}

const RELATIONS: &str = "\
WITH RECURSIVE named AS (
    SELECT c.oid, nspname, relname, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname = ANY($1) AND nspname <> 'information_schema' AND nspname !~ '^pg_' AND ($3 OR nspname = ANY($2))
), tree AS (
    SELECT oid AS root, oid FROM named
    UNION SELECT root, inhrelid FROM tree JOIN pg_inherits ON inhparent = tree.oid
)
SELECT nspname::text, relname::text, nspname = ANY($2),
    relkind IN ('f', 'v') OR EXISTS (SELECT FROM tree JOIN pg_class p ON p.oid = tree.oid
        WHERE root = named.oid AND p.relkind IN ('r', 'm') AND pg_relation_size(p.oid) > 0),
    attname::text, coalesce(e.typname, t.typname)::text, atttypmod, e.oid IS NOT NULL, attnotnull,
    relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = named.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND (d.deptype = 'i' OR d.deptype = 'a' AND EXISTS (
            SELECT FROM pg_attrdef f JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = f.oid
            WHERE adrelid = d.refobjid AND adnum = d.refobjsubid
                AND u.refclassid = 'pg_class'::regclass AND u.refobjid = named.oid))),
    relkind::text, EXISTS (SELECT FROM pg_index WHERE indexrelid = named.oid AND indisunique)
FROM named
LEFT JOIN pg_attribute a ON attrelid = named.oid AND attnum > 0 AND NOT attisdropped AND relkind NOT IN ('i', 'I')
LEFT JOIN pg_type t ON t.oid = atttypid
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LIMIT 50001";

const CONSTRAINTS: &str = "\
SELECT nspname::text, relname::text, conname::text, contype::text
FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE relname = ANY($1) AND nspname <> 'information_schema' AND nspname !~ '^pg_' AND ($3 OR nspname = ANY($2))
LIMIT 50001";

/// Whether no table holds rows that is in the login's search path or owned by it, and is neither of an extension nor
/// a migration history.
const EMPTY: &str = "\
SELECT NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'm') AND nspname <> $2 AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND (nspname = ANY($1) OR relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))
        AND relname NOT IN ('_prisma_migrations', '_sqlx_migrations') AND nspname <> 'supabase_migrations'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
        AND pg_relation_size(c.oid) > 0)";

/// Functions with these names. Of one that is long, or beyond 4 MB in all, only the name is read. The definition itself is
/// measured: the body of a function in SQL's standard style is not in `prosrc`.
const ROUTINES: &str = "\
SELECT schema, name, CASE WHEN pg_catalog.octet_length(text) < 200000
    AND pg_catalog.sum(pg_catalog.octet_length(text)) OVER (ORDER BY oid) < 4000000 THEN text END
FROM (SELECT p.oid, nspname::pg_catalog.text AS schema, proname::pg_catalog.text AS name,
    pg_catalog.pg_get_functiondef(p.oid) AS text
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
WHERE proname = ANY($1) AND prokind IN ('f', 'p') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND deptype = 'e')
ORDER BY p.oid LIMIT 2000) found ORDER BY oid";

const TRIGGERS: &str = "\
SELECT n.nspname::pg_catalog.text, relname::pg_catalog.text, tgtype::pg_catalog.int4, f.nspname::pg_catalog.text,
    proname::pg_catalog.text
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
JOIN pg_catalog.pg_proc p ON p.oid = tgfoid JOIN pg_catalog.pg_namespace f ON f.oid = pronamespace
WHERE relname = ANY($1) AND NOT tgisinternal AND tgenabled IN ('O', 'A') ORDER BY t.oid LIMIT 2000";

const RULES: &str = "\
SELECT schema, name, CASE WHEN pg_catalog.octet_length(text) < 200000
    AND pg_catalog.sum(pg_catalog.octet_length(text)) OVER (ORDER BY oid) < 4000000 THEN text ELSE 'too long' END
FROM (SELECT r.oid, nspname::pg_catalog.text AS schema, relname::pg_catalog.text AS name,
    pg_catalog.pg_get_ruledef(r.oid) AS text
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relname = ANY($1) AND rulename <> '_RETURN' AND ev_enabled IN ('O', 'A') AND nspname !~ '^pg_'
ORDER BY r.oid LIMIT 200) found ORDER BY oid";

/// The most columns, or constraints, of the relations.
const COLUMNS: usize = 50_000;

fn name(row: &PgRow, schema: usize) -> sqlx::Result<Name> {
    Ok(Name {
        schema: Some(row.try_get(schema)?),
        name: row.try_get(schema + 1)?,
    })
}

impl Catalog {
    /// Reads the relations and functions with these names. Writes nothing.
    pub async fn read(conn: &mut PgConnection, names: &BTreeSet<String>, functions: &BTreeSet<String>) -> Result<Self> {
        let path = default_path(conn).await?;
        begin(conn).await?;
        let catalog = async {
            let mut catalog = Self::look(conn, names, path).await?;
            catalog.look_at_code(conn, names, functions).await?;
            Ok(catalog)
        };
        let catalog = catalog.await;
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        catalog
    }

    async fn look_at_code(
        &mut self,
        conn: &mut PgConnection,
        names: &BTreeSet<String>,
        functions: &BTreeSet<String>,
    ) -> Result<()> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = sqlx::query(TRIGGERS).bind(names.clone());
        each(conn, "triggers", ROWS, found, |row| {
            self.triggers.push(Trigger {
                table: name(row, 0)?,
                events: row.try_get(2)?,
                function: name(row, 3)?,
            });
            Ok(())
        })
        .await?;
        each(conn, "rules", ROWS, sqlx::query(RULES).bind(names), |row| {
            self.rules.push((name(row, 0)?, row.try_get(2)?));
            Ok(())
        })
        .await?;
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        each(conn, "functions", ROWS, sqlx::query(ROUTINES).bind(functions), |row| {
            self.routines.push(Routine {
                name: name(row, 0)?,
                definition: row.try_get(2)?,
            });
            Ok(())
        })
        .await?;
        self.user = Some(
            sqlx::query_scalar("SELECT current_user::pg_catalog.text")
                .fetch_one(conn)
                .await?,
        );
        Ok(())
    }

    async fn look(conn: &mut PgConnection, names: &BTreeSet<String>, path: Vec<String>) -> Result<Self> {
        let empty = sqlx::query_scalar(EMPTY).bind(&path).bind(OPERATOR_SCHEMA);
        let empty = empty.fetch_one(&mut *conn).await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (relations, partial) = match relations(conn, &names, &path, true).await {
            Err(Error::Database(postgres::Error::TooMany { .. })) => {
                (relations(conn, &names, &path, false).await?, true)
            }
            relations => (relations?, false),
        };
        Ok(Self {
            current: path.into_iter().next(),
            relations: relations.into_values().collect(),
            empty,
            partial,
            ..Self::default()
        })
    }
}

/// The relations of these names, by schema and name: all, or those in the search path.
async fn relations(
    conn: &mut PgConnection,
    names: &[&str],
    path: &[String],
    all: bool,
) -> Result<BTreeMap<(String, String), Relation>> {
    let mut relations = BTreeMap::new();
    let found = sqlx::query(RELATIONS).bind(names).bind(path).bind(all);
    each(
        conn,
        "columns in tables that the pending scripts name",
        COLUMNS,
        found,
        |row| {
            let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let relation = relations.entry((schema, name));
            let relation = relation.or_insert_with_key(|(schema, name)| Relation {
                schema: schema.clone(),
                name: name.clone(),
                ..Relation::default()
            });
            (relation.visible, relation.filled) = (row.try_get(2)?, row.try_get(3)?);
            relation.owned = row.try_get(9)?;
            relation.sort = Sort::of(row.try_get(10)?);
            relation.unique = row.try_get(11)?;
            if let Some(column) = row.try_get::<Option<String>, _>(4)? {
                let type_ = Type::of_catalog(row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
                let required = row.try_get(8)?;
                relation.columns.insert(column, Column { type_, required });
            }
            Ok(())
        },
    )
    .await?;
    let found = sqlx::query(CONSTRAINTS).bind(names).bind(path).bind(all);
    each(
        conn,
        "constraints of tables that the pending scripts name",
        COLUMNS,
        found,
        |row| {
            if let Some(relation) = relations.get_mut(&(row.try_get(0)?, row.try_get(1)?)) {
                let kind: String = row.try_get(3)?;
                let kind = kind.chars().next().unwrap_or_default();
                relation.constraints.insert(row.try_get(2)?, kind);
            }
            Ok(())
        },
    )
    .await?;
    Ok(relations)
}
