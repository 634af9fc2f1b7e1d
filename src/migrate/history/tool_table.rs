//! Reads and writes the history in the table of the tool whose format the migrations have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::sqlx::{AssertSqlSafe, PgConnection};

use super::record::{Entry, History, schema_of, table_of};
use super::{prisma, sqlx, supabase};
use crate::api::MigrationFormat as Format;
use crate::migrate::error::{Error, Result};
use crate::migrate::failure::ScriptFailure;
use crate::migrate::options::TimeLimits;
use crate::migrate::session::{default_path, ours};
use crate::migrate::source::Migration;
use crate::migrate::unfinished::{self, NOTHING_KEPT};
use crate::postgres::{begin, check_record, protect_records_inside, quote};

impl History {
    /// Reads the history. Writes nothing.
    ///
    /// # Errors
    /// [`postgres::Error::Untrusted`](crate::postgres::Error::Untrusted) when the table is another login's, or
    /// somebody has made a trigger or rule on it.
    pub async fn read(conn: &mut PgConnection, format: Format) -> Result<Self> {
        let path = default_path(conn).await?;
        let current = path.into_iter().next().unwrap_or_else(|| "public".to_owned());
        begin(conn).await?;
        let history = Self::look(conn, format, current).await;
        ::sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        history
    }

    async fn look(conn: &mut PgConnection, format: Format, current: String) -> Result<Self> {
        let contract = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'prisma_contract')";
        if ::sqlx::query_scalar(contract).fetch_one(&mut *conn).await? {
            return Err(Error::OtherTool(
                "it is managed by Prisma 8 (schema prisma_contract), which is not supported".into(),
            ));
        }
        let mut history = Self {
            format,
            schema: schema_of(format, &current).to_owned(),
            present: false,
            applied: BTreeMap::new(),
            unfinished: Vec::new(),
            resolved: BTreeSet::new(),
            resume: BTreeMap::new(),
            tables: None,
        };
        history.present = check_record(conn, &history.schema, table_of(format)).await?;
        history.tables = tables(conn, &current).await?;
        if !history.present {
            history.check_other_formats(conn, &current).await?;
            return Ok(history);
        }
        match format {
            Format::Prisma => prisma::read(&mut history, conn).await?,
            Format::Supabase => supabase::read(&mut history, conn).await?,
            Format::Sqlx => sqlx::read(&mut history, conn).await?,
        }
        Ok(history)
    }

    /// Fails if another tool has a history in the database and this format has none: the format is probably wrong.
    async fn check_other_formats(&self, conn: &mut PgConnection, current: &str) -> Result<()> {
        for other in [Format::Prisma, Format::Supabase, Format::Sqlx] {
            let (schema, table) = (schema_of(other, current), table_of(other));
            // What another login has made says nothing, and is not read.
            let trusted = other != self.format && matches!(check_record(conn, schema, table).await, Ok(true));
            if !trusted {
                continue;
            }
            let rows = format!("SELECT EXISTS (SELECT FROM {}.{table})", quote(schema));
            if ::sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut *conn).await? {
                let name = other.as_str();
                return Err(Error::OtherTool(format!(
                    "another tool keeps its history in {schema}.{table}; if the scripts are for that tool, set migrations.format: \
                     {name}"
                )));
            }
        }
        Ok(())
    }

    /// Creates the table if it is missing. The lock must be held.
    pub async fn prepare(&mut self, conn: &mut PgConnection) -> Result<()> {
        begin(conn).await?;
        if let Err(error) = self.make_table(conn).await {
            ::sqlx::raw_sql("ROLLBACK").execute(conn).await?;
            return Err(error);
        }
        ::sqlx::raw_sql("COMMIT").execute(conn).await?;
        self.present = true;
        Ok(())
    }

    /// A table that default privileges would open to others is closed before it is seen.
    async fn make_table(&self, conn: &mut PgConnection) -> Result<()> {
        match self.format {
            Format::Prisma => prisma::prepare(self, conn).await?,
            Format::Supabase => supabase::prepare(conn).await?,
            Format::Sqlx => sqlx::prepare(self, conn).await?,
        }
        Ok(protect_records_inside(conn).await?)
    }

    /// Records a migration as applied, in its script's transaction or after it.
    pub async fn insert(&self, conn: &mut PgConnection, migration: &Migration) -> Result<Entry> {
        let id = match self.format {
            Format::Prisma => prisma::insert(self, conn, migration).await?,
            Format::Supabase => supabase::insert(self, conn, migration).await?,
            Format::Sqlx => sqlx::insert(self, conn, migration).await?,
        };
        Ok(Entry { id })
    }

    /// Records the start of a script that cannot share a transaction with its row, and the number of committed
    /// statements if it is run statement by statement. Only Prisma has such rows; the other tools record a migration
    /// when it is finished.
    pub async fn begin(
        &self,
        conn: &mut PgConnection,
        migration: &Migration,
        committed: Option<usize>,
    ) -> Result<Option<Entry>> {
        match self.format {
            Format::Prisma => {
                let logs = committed.map(|count| unfinished::committed(&migration.script, count, false));
                let id = prisma::begin(self, conn, migration, logs).await?;
                Ok(Some(Entry { id }))
            }
            Format::Supabase | Format::Sqlx => Ok(None),
        }
    }

    /// Records the number of committed statements, in the transaction of the last of them.
    pub async fn committed(&self, conn: &mut PgConnection, started: Option<&Entry>, record: &str) -> Result<()> {
        match started {
            Some(entry) => prisma::log(self, conn, &entry.id, record).await,
            None => Ok(()),
        }
    }

    /// Records that the migration is finished.
    pub async fn finish(
        &self,
        conn: &mut PgConnection,
        started: Option<Entry>,
        migration: &Migration,
    ) -> Result<Entry> {
        match started {
            Some(entry) => {
                prisma::finish(self, conn, &entry.id).await?;
                Ok(entry)
            }
            None => self.insert(conn, migration).await,
        }
    }

    /// Records the failure if the tool does so, and the number of committed statements if the script was run
    /// statement by statement.
    pub async fn fail(
        &self,
        conn: &mut PgConnection,
        started: Option<Entry>,
        migration: &Migration,
        failure: &ScriptFailure,
        committed: Option<usize>,
    ) -> Result<()> {
        let kept = match committed {
            Some(count) => Some(unfinished::committed(&migration.script, count, true)),
            None if migration.own_transactions => None,
            None => Some(NOTHING_KEPT.to_owned()),
        };
        match started {
            Some(entry) => prisma::fail(self, conn, &entry.id, failure, kept).await,
            None => Ok(()),
        }
    }

    /// Records the script's duration if the tool does so, after the script's transaction.
    pub async fn took(&self, conn: &mut PgConnection, migration: &Migration, took: Duration) -> Result<()> {
        match self.format {
            Format::Sqlx => {
                ours(conn, TimeLimits::default()).await?;
                sqlx::took(self, conn, migration, took).await
            }
            Format::Prisma | Format::Supabase => Ok(()),
        }
    }
}

/// One table of the schema that is not a history. Like Prisma, it leaves out the table of `PostGIS`.
async fn tables(conn: &mut PgConnection, schema: &str) -> Result<Option<String>> {
    let table = ::sqlx::query_scalar(
        "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = $1 AND relkind = 'r' \
             AND relname NOT IN ('spatial_ref_sys', '_prisma_migrations', '_sqlx_migrations') ORDER BY 1 LIMIT 1",
    );
    Ok(table.bind(schema).fetch_optional(conn).await?)
}
