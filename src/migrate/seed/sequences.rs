//! Sequences that give numbers next that their tables hold already: rows that bring their own ids do not move them.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::migrate::error::{Error, Result};
use crate::postgres::{all, begin, quote};

/// Columns that are looked at.
const MOST: i64 = 500;

/// The longest that the look may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest that the look at one column may take: where no index begins with it, the whole table is read.
const ONE: &str = "SET LOCAL statement_timeout = '3s'";

/// A column with a sequence of its own that is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceBehind {
    /// Schema and table.
    table: String,
    /// The column.
    column: String,
    /// The next value of the sequence.
    next: i64,
    /// The highest number in the table.
    highest: i64,
}

impl std::fmt::Display for SequenceBehind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            table,
            column,
            next,
            highest,
        } = self;
        write!(f, "{column} of {table} (next {next}, highest {highest})")
    }
}

/// Integer columns of the owner's tables whose numbers a sequence gives, their own one or that of their default, and in which
/// a number that is there already is refused, or is found at once: those of a unique index, and the first ones of others.
const COLUMNS: &str = "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname::pg_catalog.text, \
         pg_catalog.format('%I.%I', sn.nspname, s.relname), q.seqincrement \
     FROM (SELECT objid AS sequence, refobjid AS relation, refobjsubid AS number FROM pg_catalog.pg_depend \
             WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND refclassid = classid AND deptype IN ('a', 'i') \
         UNION SELECT d.refobjid, v.adrelid, v.adnum FROM pg_catalog.pg_depend d \
             JOIN pg_catalog.pg_attrdef v ON v.oid = d.objid \
             WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass \
                 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) AS d \
     JOIN pg_catalog.pg_class s ON s.oid = d.sequence AND s.relkind = 'S' \
     JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace \
     JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0 AND NOT q.seqcycle \
     JOIN pg_catalog.pg_class c ON c.oid = d.relation AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.number AND a.atttypid IN (20, 21, 23) \
     JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisvalid \
         AND (i.indisunique AND a.attnum = ANY (i.indkey) OR i.indkey[0] = a.attnum AND i.indpred IS NULL) \
     WHERE NOT c.relispartition AND pg_catalog.pg_get_userbyid(c.relowner) = current_user \
     ORDER BY 1, 2 LIMIT $1";

/// The columns whose sequence is behind. Writes nothing. What cannot be read, or takes too long, is left out.
pub async fn sequences_behind(conn: &mut PgConnection) -> Result<Vec<SequenceBehind>> {
    begin(conn).await?;
    let began = Instant::now();
    let looked = async {
        sqlx::raw_sql(ONE).execute(&mut *conn).await?;
        let columns: Vec<(String, String, String, i64)> =
            all(conn, "columns with a sequence", sqlx::query(COLUMNS).bind(MOST)).await?;
        let mut behind = Vec::new();
        for column in columns {
            if began.elapsed() > LIMIT {
                break;
            }
            sqlx::raw_sql("SAVEPOINT look").execute(&mut *conn).await?;
            match look(conn, column).await {
                Ok(found) => behind.extend(found),
                Err(sqlx::Error::Database(_)) => {
                    sqlx::raw_sql("ROLLBACK TO look").execute(&mut *conn).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok::<_, Error>(behind)
    };
    let found = looked.await;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok(found.unwrap_or_default())
}

async fn look(
    conn: &mut PgConnection,
    (table, column, sequence, step): (String, String, String, i64),
) -> sqlx::Result<Option<SequenceBehind>> {
    let query = format!(
        "SELECT s.last_value, s.is_called, m.highest FROM {sequence} s, \
             (SELECT pg_catalog.max({})::pg_catalog.int8 AS highest FROM {table}) m",
        quote(&column)
    );
    let row = sqlx::query(AssertSqlSafe(query))
        .persistent(false)
        .fetch_one(conn)
        .await?;
    let (last, called): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
    let next = if called { last.saturating_add(step) } else { last };
    let highest: Option<i64> = row.try_get(2)?;
    Ok(highest
        .filter(|highest| *highest >= next)
        .map(|highest| SequenceBehind {
            table,
            column,
            next,
            highest,
        }))
}
