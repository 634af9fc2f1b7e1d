//! A failed `CREATE INDEX CONCURRENTLY` leaves an invalid index, whose name blocks the next attempt. The
//! operator drops the index that its own attempt left.

use pg_query::NodeEnum;
use pg_query::ParserOptions;
use pg_query::protobuf::IndexStmt;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::Result;
use super::failure::ScriptFailure;
use super::guard::names::Name;
use super::parse;
use super::session::{default_path, lock_timeout, set_lock_timeout};
use crate::postgres::{all, quote};

/// The index that a `CREATE INDEX CONCURRENTLY` builds, by PostgreSQL's grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexBuild {
    /// Its name. Its schema is that of its table.
    pub name: String,
    table: Name,
    is_unique: bool,
    is_partial: bool,
    /// For each key the column, empty for an expression.
    keys: Vec<String>,
    /// Number of columns that it includes without being keys.
    included: usize,
}

/// The result of an interrupted build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Built {
    /// The index exists and is valid.
    Yes,
    /// It is not there.
    No,
    /// The index of this oid exists and is invalid, and nobody is building it.
    Invalid(i64),
    /// The database does not show which table the script means, whether the index is that of the script, or whether
    /// another session is building it.
    Unknown,
}

impl IndexBuild {
    /// None if the text is anything else, or PostgreSQL chooses the name: an index with a generated name blocks no
    /// later attempt.
    pub fn of(statement: &str) -> Option<Self> {
        const WORD: &[u8] = b"concurrently";
        let mut words = statement.as_bytes().windows(WORD.len());
        if !words.any(|word| word.eq_ignore_ascii_case(WORD)) {
            return None;
        }
        match parse::tree(statement, ParserOptions::DEFAULT)?.as_slice() {
            [NodeEnum::IndexStmt(it)] if it.concurrent && !it.idxname.is_empty() => Self::read(it),
            _ => None,
        }
    }

    fn read(it: &IndexStmt) -> Option<Self> {
        let keys = it.index_params.iter().map(|key| match &key.node {
            Some(NodeEnum::IndexElem(key)) => key.name.clone(),
            _ => String::new(),
        });
        Some(Self {
            name: it.idxname.clone(),
            table: Name::from(it.relation.as_ref()?),
            is_unique: it.unique,
            is_partial: it.where_clause.is_some(),
            keys: keys.collect(),
            included: it.index_including_params.len(),
        })
    }

    /// The result of the build. `is_first`: no statement of the script ran before it, so that a table without a schema
    /// is the one that the `search_path` of the database and the login finds.
    pub async fn outcome(&self, conn: &mut PgConnection, is_first: bool) -> Result<Built> {
        let table = match (&self.table.schema, is_first) {
            (Some(_), _) => self.table_in(conn, &[]).await?,
            (None, true) => {
                let path = default_path(conn).await?;
                self.table_in(conn, &path).await?
            }
            (None, false) => match self.tables_anywhere(conn).await?.as_slice() {
                [] => None,
                [only] => Some(*only),
                _ => return Ok(Built::Unknown),
            },
        };
        let Some(table) = table else {
            return Ok(Built::No);
        };
        let Some(index) = self.on(conn, table).await? else {
            return Ok(Built::No);
        };
        Ok(match index {
            Index { is_valid: true, .. } if self.is(&index) => Built::Yes,
            Index {
                is_valid: false, oid, ..
            } if !is_being_built(conn, table).await? => Built::Invalid(oid),
            Index { .. } => Built::Unknown,
        })
    }

    fn is(&self, index: &Index) -> bool {
        index.is_unique == self.is_unique
            && index.is_partial == self.is_partial
            && index.keys == self.keys
            && usize::try_from(index.included).is_ok_and(|included| included == self.included)
    }

    /// The oid of the table, in its own schema or the first schema of the path that has a relation of this name.
    async fn table_in(&self, conn: &mut PgConnection, path: &[String]) -> Result<Option<i64>> {
        let own = self.table.schema.as_ref().map(std::slice::from_ref);
        Ok(sqlx::query_scalar(
            "SELECT c.oid::pg_catalog.int8 FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS p (schema, place) \
             JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) p.schema \
             JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid \
             WHERE c.relname OPERATOR(pg_catalog.=) $2 ORDER BY p.place LIMIT 1",
        )
        .persistent(false)
        .bind(own.unwrap_or(path))
        .bind(&self.table.name)
        .fetch_optional(conn)
        .await?)
    }

    /// The oids of the tables and materialized views of this name, two at most.
    async fn tables_anywhere(&self, conn: &mut PgConnection) -> Result<Vec<i64>> {
        let named = sqlx::query(
            "SELECT oid::pg_catalog.int8 FROM pg_catalog.pg_class WHERE relname OPERATOR(pg_catalog.=) $1 \
             AND relkind IN ('r', 'm', 'p') LIMIT 2",
        )
        .persistent(false)
        .bind(self.table.name.clone());
        let found: Vec<(i64,)> = all(conn, "tables of one name", named).await?;
        Ok(found.into_iter().map(|(oid,)| oid).collect())
    }

    /// The index of this name on a table.
    async fn on(&self, conn: &mut PgConnection, table: i64) -> Result<Option<Index>> {
        let row = sqlx::query(
            "SELECT i.indexrelid::pg_catalog.int8, i.indisvalid, i.indisunique, i.indpred IS NOT NULL, \
                 (i.indnatts OPERATOR(pg_catalog.-) i.indnkeyatts)::pg_catalog.int8, \
                 ARRAY(SELECT coalesce(a.attname::pg_catalog.text, '') \
                     FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (number, place) \
                     LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid \
                         AND a.attnum OPERATOR(pg_catalog.=) k.number \
                     WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts ORDER BY k.place) \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
             WHERE i.indrelid::pg_catalog.int8 OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2",
        )
        .persistent(false)
        .bind(table)
        .bind(&self.name)
        .fetch_optional(conn)
        .await?;
        row.map(|row| {
            Ok(Index {
                oid: row.try_get(0)?,
                is_valid: row.try_get(1)?,
                is_unique: row.try_get(2)?,
                is_partial: row.try_get(3)?,
                included: row.try_get(4)?,
                keys: row.try_get(5)?,
            })
        })
        .transpose()
    }
}

/// An index as it is in the database.
struct Index {
    oid: i64,
    is_valid: bool,
    is_unique: bool,
    is_partial: bool,
    included: i64,
    keys: Vec<String>,
}

/// The table of an index that a statement is about to build, and the invalid index of its name that is on it before.
pub(super) struct Leftovers {
    build: IndexBuild,
    table: i64,
    before: Option<i64>,
}

impl Leftovers {
    /// Before a statement of a script runs, with the names of the script's `search_path`. None if it builds no index
    /// concurrently.
    pub async fn before(conn: &mut PgConnection, statement: &str) -> Result<Option<Self>> {
        let Some(build) = IndexBuild::of(statement) else {
            return Ok(None);
        };
        let path = sqlx::raw_sql("SELECT pg_catalog.current_schemas(false)::pg_catalog.text[]");
        let path: Vec<String> = path.fetch_one(&mut *conn).await?.try_get(0)?;
        let Some(table) = build.table_in(conn, &path).await? else {
            return Ok(None);
        };
        let before = build.on(conn, table).await?.map(|index| index.oid);
        Ok(Some(Self { build, table, before }))
    }

    /// After the statement of a script has succeeded, which begins at the byte `at`: its failure if an invalid index has the
    /// name of its own.
    pub async fn flaw(
        &self,
        conn: &mut PgConnection,
        (name, script, at): (&str, &str, usize),
    ) -> Result<Option<ScriptFailure>> {
        let index = self.build.on(conn, self.table).await?;
        let invalid = index.filter(|index| !index.is_valid);
        Ok(invalid.map(|_| ScriptFailure::invalid_index(name, script, at, &self.index())))
    }

    /// Drops the invalid index that the statement left. Its failure comes first: it tells of an index that stays.
    pub async fn drop_after(self, conn: &mut PgConnection, failure: &mut ScriptFailure) {
        let stays = self.drop(conn).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the invalid index that a failed statement left cannot be dropped");
            true
        });
        if stays && failure.hint.is_none() {
            failure.hint = Some(format!(
                "an invalid index of this name is there: unless another session builds it, drop it: DROP INDEX CONCURRENTLY {}",
                self.index()
            ));
        }
    }

    /// The name of the index in SQL.
    fn index(&self) -> String {
        let schema = self.build.table.schema.as_ref();
        let schema = schema.map(|schema| format!("{}.", quote(schema)));
        format!("{}{}", schema.unwrap_or_default(), quote(&self.build.name))
    }

    /// Drops the invalid index, unless it was there before or another session may be building it. Returns whether it stays.
    async fn drop(&self, conn: &mut PgConnection) -> Result<bool> {
        let index = self.build.on(conn, self.table).await?;
        let Some(index) = index.filter(|index| !index.is_valid) else {
            return Ok(false);
        };
        if self.before == Some(index.oid) || is_being_built(conn, self.table).await? {
            return Ok(true);
        }
        drop_index(conn, index.oid).await?;
        Ok(false)
    }
}

/// Whether another session may be building an index on a table: it holds the lock of `CREATE INDEX CONCURRENTLY`.
/// Everybody sees the locks and users of all sessions; autovacuum, which takes the same lock, has no user.
async fn is_being_built(conn: &mut PgConnection, table: i64) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l \
             JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid \
             JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) l.database \
             WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() \
                 AND l.relation::pg_catalog.int8 OPERATOR(pg_catalog.=) $1 \
                 AND l.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock' AND l.granted \
                 AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND a.usesysid IS NOT NULL)",
    )
    .persistent(false)
    .bind(table)
    .fetch_one(conn)
    .await?)
}

/// How long to wait for each of the sessions that use an index which is dropped. None of them waits for the drop, but the
/// migration's failure is told after it.
const WAIT: &str = "5min";

/// Drops the index of an oid, if it is still there and not valid.
pub(super) async fn drop_index(conn: &mut PgConnection, oid: i64) -> Result<()> {
    let name: Option<String> = sqlx::query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid \
         WHERE c.oid::pg_catalog.int8 OPERATOR(pg_catalog.=) $1 AND NOT i.indisvalid",
    )
    .persistent(false)
    .bind(oid)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(name) = name {
        let before = lock_timeout(conn).await?;
        set_lock_timeout(conn, WAIT).await?;
        let sql = format!("DROP INDEX CONCURRENTLY {name}");
        let dropped = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await;
        set_lock_timeout(conn, &before).await?;
        dropped?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::IndexBuild;

    #[test]
    fn the_index_of_a_statement_is_known_by_its_table() {
        for (sql, index) in [
            (
                "-- x\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS My_i ON T (a)",
                Some(("my_i", None, "t", true)),
            ),
            (
                "create index concurrently \"My \"\"i\" on only \"S\".\"T\" using hash (a) WHERE a > 1",
                Some(("My \"i", Some("S"), "T", false)),
            ),
            ("CREATE INDEX CONCURRENTLY ON t (a)", None),
            ("CREATE INDEX i ON t (a)", None),
            ("CREATE INDEX concurrently_made ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", None),
            (
                "CREATE INDEX CONCURRENTLY i ON t (a); CREATE INDEX CONCURRENTLY j ON t (a)",
                None,
            ),
            ("", None),
        ] {
            let found = IndexBuild::of(sql);
            let found = found.as_ref().map(|it| {
                let table = &it.table;
                (
                    it.name.as_str(),
                    table.schema.as_deref(),
                    table.name.as_str(),
                    it.is_unique,
                )
            });
            assert_eq!(found, index, "{sql}");
        }
    }
}
