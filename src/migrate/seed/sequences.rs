//! Sequences whose next number is already in their table: rows with their own ids do not advance them.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::migrate::error::{Error, Result};
use crate::postgres::{self, all, begin, quote};

/// Columns that are looked at.
const MOST: i64 = 500;

/// Columns that are looked at with one statement, of which one that cannot be read fails all.
const AT_ONCE: usize = 50;

/// Table, column and sequence by their quoted names, except the column's, and the sequence's step.
type Numbered = (String, String, String, i64);

/// The longest that the look may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest that one statement may take: without an index on the column, the whole table is read.
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

/// Integer columns of the owner's tables whose numbers a sequence gives, their own one or that of their default, and in
/// which an existing number is refused or can be found quickly: those of a unique index, and the first columns of other
/// indexes.
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

/// The columns whose sequence is behind. Writes nothing. Tables that cannot be read, or take too long, are left out.
pub async fn sequences_behind(conn: &mut PgConnection) -> Result<Vec<SequenceBehind>> {
    begin(conn).await?;
    let began = Instant::now();
    let looked = async {
        sqlx::raw_sql(ONE).execute(&mut *conn).await?;
        let columns: Vec<Numbered> = all(conn, "columns with a sequence", sqlx::query(COLUMNS).bind(MOST)).await?;
        let mut behind = Vec::new();
        for columns in columns.chunks(AT_ONCE) {
            if began.elapsed() > LIMIT {
                break;
            }
            if let Some(found) = look(conn, columns).await? {
                behind.extend(found);
                continue;
            }
            for column in columns.iter().take_while(|_| began.elapsed() <= LIMIT) {
                behind.extend(look(conn, std::slice::from_ref(column)).await?.unwrap_or_default());
            }
        }
        Ok::<_, Error>(behind)
    };
    let found = looked.await;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok(found.unwrap_or_default())
}

/// Looks at some columns with one statement; none when the server refuses it, or it takes too long.
async fn look(conn: &mut PgConnection, columns: &[Numbered]) -> Result<Option<Vec<SequenceBehind>>> {
    let each = columns
        .iter()
        .enumerate()
        .map(|(number, (table, column, sequence, _))| {
            format!(
                "SELECT {number}::pg_catalog.int8, s.last_value, s.is_called, m.highest FROM {sequence} s, \
                 (SELECT pg_catalog.max({})::pg_catalog.int8 AS highest FROM {table}) m",
                quote(column)
            )
        });
    let query = each.collect::<Vec<_>>().join(" UNION ALL ");
    sqlx::raw_sql("SAVEPOINT look").execute(&mut *conn).await?;
    let query = sqlx::query(AssertSqlSafe(query)).persistent(false);
    let rows: Vec<(i64, i64, bool, Option<i64>)> = match all(conn, "sequences", query).await {
        Ok(rows) => rows,
        Err(postgres::Error::Refused { .. }) => {
            sqlx::raw_sql("ROLLBACK TO look").execute(conn).await?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let found = rows.into_iter().filter_map(|(number, last, called, highest)| {
        let (table, column, _, step) = usize::try_from(number).ok().and_then(|number| columns.get(number))?;
        let next = if called { last.saturating_add(*step) } else { last };
        let highest = highest.filter(|highest| *highest >= next)?;
        Some(SequenceBehind {
            table: table.clone(),
            column: column.clone(),
            next,
            highest,
        })
    });
    Ok(Some(found.collect()))
}
