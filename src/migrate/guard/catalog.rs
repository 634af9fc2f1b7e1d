//! The part of the database's catalog that the guard needs: relations, whether they hold rows, and the types of
//! their columns. Rows are never read: a table counts as filled if it has pages.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row};

use super::types::Type;
use crate::migrate::error::Result;
use crate::migrate::session::default_path;
use crate::postgres::{OPERATOR_SCHEMA, begin};

/// The relations of a database whose names were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The schema in which a new table is created.
    pub current: Option<String>,
    /// The relations that exist.
    pub relations: Vec<Relation>,
    /// No table that a migration could change holds a row.
    pub empty: bool,
}

/// One relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    /// A name without a schema can mean it.
    pub visible: bool,
    /// It or one of its child tables has pages, or it is a view or foreign table, which shows rows of other tables.
    pub filled: bool,
    pub columns: BTreeMap<String, Column>,
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
    WHERE relname = ANY($1) AND nspname <> 'information_schema' AND nspname !~ '^pg_'
), tree AS (
    SELECT oid AS root, oid FROM named
    UNION SELECT root, inhrelid FROM tree JOIN pg_inherits ON inhparent = tree.oid
)
SELECT nspname::text, relname::text, nspname = ANY($2),
    relkind IN ('f', 'v') OR EXISTS (SELECT FROM tree JOIN pg_class p ON p.oid = tree.oid
        WHERE root = named.oid AND p.relkind IN ('r', 'm') AND pg_relation_size(p.oid) > 0),
    attname::text, coalesce(e.typname, t.typname)::text, atttypmod, e.oid IS NOT NULL, attnotnull
FROM named
LEFT JOIN pg_attribute a ON attrelid = named.oid AND attnum > 0 AND NOT attisdropped AND relkind <> 'i'
LEFT JOIN pg_type t ON t.oid = atttypid
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'";

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

impl Catalog {
    /// Reads the relations with these names. Writes nothing.
    pub async fn read(conn: &mut PgConnection, names: &BTreeSet<String>) -> Result<Self> {
        let path = default_path(conn).await?;
        begin(conn).await?;
        let catalog = Self::look(conn, names, path).await;
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        catalog
    }

    async fn look(conn: &mut PgConnection, names: &BTreeSet<String>, path: Vec<String>) -> Result<Self> {
        let empty = sqlx::query_scalar(EMPTY).bind(&path).bind(OPERATOR_SCHEMA);
        let empty = empty.fetch_one(&mut *conn).await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = sqlx::query(RELATIONS).bind(names).bind(&path).fetch_all(conn).await?;
        let mut relations = BTreeMap::new();
        for row in rows {
            let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let relation = relations.entry((schema, name));
            let relation = relation.or_insert_with_key(|(schema, name)| Relation {
                schema: schema.clone(),
                name: name.clone(),
                ..Relation::default()
            });
            (relation.visible, relation.filled) = (row.try_get(2)?, row.try_get(3)?);
            if let Some(column) = row.try_get::<Option<String>, _>(4)? {
                let type_ = Type::of_catalog(row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
                let required = row.try_get(8)?;
                relation.columns.insert(column, Column { type_, required });
            }
        }
        Ok(Self {
            current: path.into_iter().next(),
            relations: relations.into_values().collect(),
            empty,
        })
    }
}
