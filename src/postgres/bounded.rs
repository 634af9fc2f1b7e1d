//! Bounds the answers to the operator's own queries that are held in memory: the owner of a database decides how many roles,
//! rights and objects there are, and how long their names and texts are.

use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Execute, Executor as _, FromRow, PgConnection, Postgres, Row as _};

use super::error::{Error, Result};

/// The most rows of an answer.
pub(crate) const ROWS: usize = 20_000;

/// The most bytes of an answer for each row that it may have. A name has 63 at most.
const EACH: usize = 256;

/// The bytes of a row's values.
pub(crate) fn bytes(row: &PgRow) -> usize {
    let values = (0..row.len()).filter_map(|index| row.try_get_raw(index).ok());
    values.map(|value| value.as_bytes().map_or(0, <[u8]>::len)).sum()
}

/// The rows and bytes of an answer that were read.
#[derive(Default)]
pub(super) struct Count {
    rows: usize,
    bytes: usize,
}

impl Count {
    /// Counts one more row.
    ///
    /// # Errors
    /// [`Error::TooMany`] when there are more than `most` rows, or [`EACH`] bytes for each of so many.
    pub fn add(&mut self, row: &PgRow, what: &'static str, most: usize) -> Result<()> {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes(row));
        if self.rows > most || self.bytes > most.saturating_mul(EACH) {
            return Err(Error::TooMany { what, most });
        }
        Ok(())
    }
}

/// Processes the rows of an answer one after the other. `what` names them in the plural.
///
/// # Errors
/// As [`Count::add`].
pub(crate) async fn each<'q, Q>(
    conn: &mut PgConnection,
    what: &'static str,
    most: usize,
    query: Q,
    mut take: impl FnMut(&PgRow) -> sqlx::Result<()> + Send,
) -> Result<()>
where
    Q: Execute<'q, Postgres> + 'q,
{
    let mut rows = conn.fetch(query);
    let mut count = Count::default();
    while let Some(row) = rows.try_next().await? {
        count.add(&row, what, most)?;
        take(&row)?;
    }
    Ok(())
}

/// The rows of an answer, [`ROWS`] at most.
///
/// # Errors
/// As [`each`].
pub(crate) async fn all<'q, T, Q>(conn: &mut PgConnection, what: &'static str, query: Q) -> Result<Vec<T>>
where
    Q: Execute<'q, Postgres> + 'q,
    T: for<'r> FromRow<'r, PgRow> + Send,
{
    let mut found = Vec::new();
    each(conn, what, ROWS, query, |row| {
        found.push(T::from_row(row)?);
        Ok(())
    })
    .await?;
    Ok(found)
}

/// The values of an answer of one column, [`ROWS`] at most.
///
/// # Errors
/// As [`each`].
pub(crate) async fn column<'q, Q>(conn: &mut PgConnection, what: &'static str, query: Q) -> Result<Vec<String>>
where
    Q: Execute<'q, Postgres> + 'q,
{
    let found: Vec<(String,)> = all(conn, what, query).await?;
    Ok(found.into_iter().map(|(value,)| value).collect())
}
