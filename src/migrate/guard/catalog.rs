//! The part of the database's catalog that the guard needs: relations, whether they hold rows, the types of their
//! columns, and the code that statements can run. Rows are never read: a table counts as filled if it has pages.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::catalog_code::{CatalogCode, OPEN, SHARED};
use super::ties::Tie;
use super::types::Type;
use crate::migrate::error::{Error, Result};
use crate::migrate::session::default_path;
use crate::postgres::{self, OPERATOR_SCHEMA, PROVIDER_SCHEMAS, begin, each};

/// The relations of a database whose names were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The schema in which a new table is created.
    pub current: Option<String>,
    /// Other schemas of the search path come before PostgreSQL's own.
    pub shadowed: bool,
    /// The relations that exist.
    pub relations: Vec<Relation>,
    /// No table that a migration could change holds a row.
    pub empty: bool,
    /// The database has another encoding than UTF-8, so that its server may read other names than the parser.
    pub recoded: bool,
    /// The role that runs the scripts.
    pub user: Option<String>,
    /// The code that statements can run.
    pub code: CatalogCode,
}

/// One relation.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// The relations above it, each by schema and name, also through others.
    pub above: Vec<(String, String, Tie)>,
    /// Foreign keys let rows of a table that holds some go or change with rows that are deleted from it.
    pub deletes: bool,
    /// Foreign keys let rows of a table that holds some change with rows that are updated in it.
    pub updates: bool,
}

/// Who reads a relation.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// A function that belongs to no extension and is not PostgreSQL's own converts its values to text.
    pub cast: bool,
    /// A sequence that was there before goes with it, by a statement of the scripts.
    pub owns: bool,
}

/// The relations of these names, a row for each column. The last field: a function may convert the column's values to text, which is
/// not PostgreSQL's own (whose casts have OIDs below `FirstNormalObjectId`) and belongs to no extension. The values of a domain are
/// converted as those of the type below it, so for a domain every such cast counts.
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
), keyed AS (
    SELECT oid AS root, oid, '' AS act FROM named
    UNION
    SELECT root, next.oid, CASE WHEN keyed.act = '' THEN next.act ELSE keyed.act END
    FROM keyed, LATERAL (
        SELECT inhrelid AS oid, '' AS act FROM pg_inherits WHERE inhparent = keyed.oid
        UNION ALL SELECT conrelid, 'deletes' FROM pg_constraint
            WHERE contype = 'f' AND confrelid = keyed.oid AND confdeltype IN ('c', 'n', 'd')
        UNION ALL SELECT conrelid, 'updates' FROM pg_constraint
            WHERE contype = 'f' AND confrelid = keyed.oid AND confupdtype IN ('c', 'n', 'd')
    ) next
), stakes AS (
    SELECT DISTINCT root, act FROM keyed JOIN pg_class p ON p.oid = keyed.oid
    WHERE act <> '' AND (p.relkind = 'f' OR p.relkind IN ('r', 'm') AND pg_relation_size(p.oid) > 0)
)
SELECT nspname::text, relname::text, nspname = ANY($2),
    relkind IN ('f', 'v') OR EXISTS (SELECT FROM tree JOIN pg_class p ON p.oid = tree.oid
        WHERE root = named.oid AND (p.relkind = 'f' OR p.relkind IN ('r', 'm') AND pg_relation_size(p.oid) > 0)),
    attname::text, coalesce(e.typname, t.typname)::text, atttypmod, e.oid IS NOT NULL, attnotnull,
    relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = named.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND (d.deptype = 'i' OR d.deptype = 'a' AND EXISTS (
            SELECT FROM pg_attrdef f JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = f.oid
            WHERE adrelid = d.refobjid AND adnum = d.refobjsubid
                AND u.refclassid = 'pg_class'::regclass AND u.refobjid = named.oid))),
    relkind::text, EXISTS (SELECT FROM pg_index WHERE indexrelid = named.oid AND indisunique), open, shared, walled, bare,
    EXISTS (SELECT FROM stakes WHERE root = named.oid AND act = 'deletes'),
    EXISTS (SELECT FROM stakes WHERE root = named.oid AND act = 'updates'),
    (SELECT nspname::text FROM pg_namespace WHERE oid = coalesce(e.typnamespace, t.typnamespace)),
    EXISTS (SELECT FROM pg_cast k WHERE k.oid >= 16384 AND castmethod <> 'i' AND (castsource = t.oid OR t.typtype = 'd')
        AND casttarget IN ('text'::regtype, 'varchar'::regtype) AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_cast'::regclass AND d.objid = k.oid AND d.deptype = 'e'))
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

/// The relations of these names, each with those of these names that are above it: whose rows its rows are, or to which its
/// foreign keys refer that act on it. `key`: the last one on the way up is a foreign key.
const ABOVE: &str = "\
WITH RECURSIVE named AS (
    SELECT c.oid, nspname::text AS schema, relname::text AS name, relispartition AS part FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname = ANY($1) AND relkind IN ('r', 'p', 'f') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND ($3 OR nspname = ANY($2))
), up AS (
    SELECT oid AS root, oid, false AS key, false AS deletes, false AS updates FROM named
    UNION
    SELECT root, next.oid, up.key OR next.key, CASE WHEN next.key THEN next.deletes ELSE up.deletes END,
        CASE WHEN next.key THEN next.updates ELSE up.updates END
    FROM up, LATERAL (
        SELECT inhparent AS oid, false AS key, false AS deletes, false AS updates FROM pg_inherits WHERE inhrelid = up.oid
        UNION ALL SELECT confrelid, true, confdeltype IN ('c', 'n', 'd'), confupdtype IN ('c', 'n', 'd') FROM pg_constraint
            WHERE contype = 'f' AND conrelid = up.oid AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
    ) next
)
SELECT below.schema, below.name, above.schema, above.name, key, deletes, updates, below.part
FROM up JOIN named below ON below.oid = root JOIN named above ON above.oid = up.oid WHERE root <> up.oid LIMIT 50001";

/// Whether the database holds nothing that scripts could lose: no large object, and no rows in the tables that are in the
/// login's search path or that it may write, apart from those of extensions and migration histories. Of a hosted project's own
/// schemas, the tables count that hold what people have put there.
const EMPTY: &str = "\
SELECT NOT EXISTS (SELECT FROM pg_largeobject_metadata) AND NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
        LATERAL (SELECT nspname::text = ANY($3) AND pg_get_userbyid(relowner) <> current_user AS managed) schema
    WHERE relkind IN ('r', 'm') AND nspname <> $2 AND nspname <> 'information_schema' AND nspname !~ '^pg_'
        AND relname NOT IN ('_prisma_migrations', '_sqlx_migrations') AND nspname <> 'supabase_migrations'
        AND CASE WHEN managed THEN nspname || '.' || relname = ANY($4)
            ELSE (nspname = ANY($1) OR pg_has_role(relowner, 'USAGE')
                    OR has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
                AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e') END
        AND pg_relation_size(c.oid) > 0)";

/// The tables of a hosted project's schemas that hold what people have put there: logins, files, secrets.
const OF_PEOPLE: [&str; 5] = [
    "auth.identities",
    "auth.users",
    "storage.buckets",
    "storage.objects",
    "vault.secrets",
];

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
            let recoded = sqlx::query_scalar("SELECT pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8'");
            catalog.recoded = recoded.fetch_one(&mut *conn).await?;
            Ok(catalog)
        };
        let catalog = catalog.await;
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        catalog
    }

    async fn look(conn: &mut PgConnection, names: &BTreeSet<String>, path: Vec<String>) -> Result<Self> {
        let empty = sqlx::query_scalar(EMPTY).bind(&path).bind(OPERATOR_SCHEMA);
        let empty = empty.bind(PROVIDER_SCHEMAS.as_slice()).bind(OF_PEOPLE.as_slice());
        let empty = empty.fetch_one(&mut *conn).await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (relations, partial) = match relations(conn, &names, &path, true).await {
            Err(Error::Database(postgres::Error::TooMany { .. })) => {
                (relations(conn, &names, &path, false).await?, true)
            }
            relations => (relations?, false),
        };
        let own = path.iter().position(|schema| schema == "pg_catalog");
        let mut catalog = Self {
            shadowed: own.is_some_and(|at| at > 0),
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

/// Relations by schema and name.
type Relations = BTreeMap<(String, String), Relation>;

/// The relations of these names: all, or those in the search path.
async fn relations(conn: &mut PgConnection, names: &[&str], path: &[String], all: bool) -> Result<Relations> {
    let mut relations = Relations::new();
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
            (relation.deletes, relation.updates) = (row.try_get(16)?, row.try_get(17)?);
            if let Some(column) = row.try_get::<Option<String>, _>(4)? {
                let type_ = Type::of_catalog(row.try_get(18)?, row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
                let facts = Column {
                    type_,
                    required: row.try_get(8)?,
                    cast: row.try_get(19)?,
                    owns: false,
                };
                relation.columns.insert(column, facts);
            }
            Ok(())
        },
    )
    .await?;
    let asked = (names, path, all);
    let constraints = (CONSTRAINTS, "constraints of tables that the pending scripts name");
    add(conn, constraints, asked, &mut relations, constraint).await?;
    let ties = (
        ABOVE,
        "parents and foreign keys of tables that the pending scripts name",
    );
    add(conn, ties, asked, &mut relations, tie).await?;
    Ok(relations)
}

/// Adds what a query says of each of the relations, whose schemas and names are its first two columns.
async fn add(
    conn: &mut PgConnection,
    (query, what): (&'static str, &'static str),
    (names, path, all): (&[&str], &[String], bool),
    relations: &mut Relations,
    read: fn(&mut Relation, &PgRow) -> sqlx::Result<()>,
) -> Result<()> {
    let found = sqlx::query(query).bind(names).bind(path).bind(all);
    each(conn, what, COLUMNS, found, |row| {
        match relations.get_mut(&(row.try_get(0)?, row.try_get(1)?)) {
            Some(relation) => read(relation, row),
            None => Ok(()),
        }
    })
    .await?;
    Ok(())
}

fn constraint(relation: &mut Relation, row: &PgRow) -> sqlx::Result<()> {
    let kind: String = row.try_get(3)?;
    let kind = kind.chars().next().unwrap_or_default();
    relation.constraints.insert(row.try_get(2)?, kind);
    Ok(())
}

/// What is above a relation.
fn tie(relation: &mut Relation, row: &PgRow) -> sqlx::Result<()> {
    let tie = match (row.try_get(4)?, row.try_get(7)?) {
        (true, _) => Tie::Key {
            deletes: row.try_get(5)?,
            updates: row.try_get(6)?,
        },
        (false, true) => Tie::Partition,
        (false, false) => Tie::Child,
    };
    relation.above.push((row.try_get(2)?, row.try_get(3)?, tie));
    Ok(())
}
