//! The part of the database's catalog that the guard needs: relations, whether they hold rows, the types of their
//! columns, and the code that statements can run. Rows are never read: a table counts as filled if it has pages.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::catalog_code::{CatalogCode, OPEN, SHARED};
use super::types::Type;
use crate::migrate::error::{Error, Result};
use crate::migrate::session::default_path;
use crate::postgres::{self, OPERATOR_SCHEMA, begin, each};

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
    /// The code that statements can run.
    pub code: CatalogCode,
}

/// One relation.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    /// A name without a schema can refer to it.
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
    /// Who reads it.
    pub readers: Readers,
}

/// Who reads a relation.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Everybody has the right to read it.
    pub open: bool,
    /// A role may read it that is neither its owner nor a login of the tenant.
    pub shared: bool,
    /// It has row level security, and no policy that lets everybody read every row.
    pub walled: bool,
    /// Everybody reads every row, so another relation that shows them exposes nothing new.
    pub bare: bool,
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
    SELECT c.oid, nspname, relname, relkind, is_table AND OPEN AS open, is_table AND SHARED AS shared, relrowsecurity
        AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polpermissive AND polcmd IN ('r', '*')
            AND pg_get_expr(polqual, polrelid) = 'true' AND EXISTS (SELECT FROM unnest(polroles) u LEFT JOIN pg_roles g
                ON g.oid = u WHERE u = 0 OR rolname = 'anon')) AS walled,
        is_table AND NOT relrowsecurity AND relkind <> 'v' AND (has_table_privilege('public'::name, c.oid, 'SELECT')
            AND has_schema_privilege('public'::name, n.oid, 'USAGE') OR EXISTS (SELECT FROM pg_roles g WHERE rolname = 'anon'
            AND has_table_privilege(g.oid, c.oid, 'SELECT') AND has_schema_privilege(g.oid, n.oid, 'USAGE'))) AS bare
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
        LATERAL (SELECT relkind IN ('r', 'p', 'v', 'm', 'f') AS is_table) kind
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
    relkind::text, EXISTS (SELECT FROM pg_index WHERE indexrelid = named.oid AND indisunique), open, shared, walled, bare
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

/// Whether no table holds rows, of those that are in the login's search path or owned by it, without tables of extensions
/// and migration histories.
const EMPTY: &str = "\
SELECT NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'm') AND nspname <> $2 AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND (nspname = ANY($1) OR relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))
        AND relname NOT IN ('_prisma_migrations', '_sqlx_migrations') AND nspname <> 'supabase_migrations'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
        AND pg_relation_size(c.oid) > 0)";

/// The most columns, or constraints, of the relations.
const COLUMNS: usize = 50_000;

impl Catalog {
    /// Reads the relations and functions with these names, and the users of those that are replaced. Writes nothing.
    pub async fn read(
        conn: &mut PgConnection,
        names: &BTreeSet<String>,
        functions: &BTreeSet<String>,
        replaced: &BTreeSet<String>,
    ) -> Result<Self> {
        let path = default_path(conn).await?;
        begin(conn).await?;
        let catalog = async {
            let mut catalog = Self::look(conn, names, path).await?;
            catalog.code.read(conn, names, functions, replaced).await?;
            let user = sqlx::query_scalar("SELECT current_user::pg_catalog.text");
            catalog.user = Some(user.fetch_one(&mut *conn).await?);
            Ok(catalog)
        };
        let catalog = catalog.await;
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        catalog
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
        let mut catalog = Self {
            current: path.into_iter().next(),
            relations: relations.into_values().collect(),
            empty,
            ..Self::default()
        };
        if partial {
            catalog
                .code
                .cut
                .push("so many tables have the names in the scripts that only those in the search path were looked at");
        }
        Ok(catalog)
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
    let text = RELATIONS.replace("OPEN", OPEN).replace("SHARED", SHARED);
    let found = sqlx::query(AssertSqlSafe(text)).bind(names).bind(path).bind(all);
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
            relation.readers = Readers {
                open: row.try_get(12)?,
                shared: row.try_get(13)?,
                walled: row.try_get(14)?,
                bare: row.try_get(15)?,
            };
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
