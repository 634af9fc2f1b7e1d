//! Reads and writes the history in the table of the tool whose format the migrations have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::sqlx::postgres::PgQueryResult;
use ::sqlx::{AssertSqlSafe, PgConnection};

use super::record::{History, HistoryRow, MAX_TEXT, columns_of, schema_of, table_of};
use super::{prisma, sqlx, supabase};
use crate::api::MigrationFormat as Format;
use crate::migrate::error::{Error, Result};
use crate::migrate::failure::ScriptFailure;
use crate::migrate::options::TimeLimits;
use crate::migrate::session::{default_path, escapes_by_default, ours};
use crate::migrate::source::{Migration, MigrationId, Source};
use crate::migrate::unfinished::{self, NextStatement};
use crate::postgres::{self, SoundRecords, begin, check_record, column, protect_records_inside, quote};

impl History {
    /// Reads the history in the format of the source. Writes nothing.
    ///
    /// # Errors
    /// [`postgres::Error::Untrusted`](crate::postgres::Error::Untrusted) when the table is another login's, or
    /// somebody has made a trigger or rule on it.
    pub async fn read(conn: &mut PgConnection, source: &Source) -> Result<Self> {
        let path = default_path(conn).await?;
        begin(conn).await?;
        let history = Self::look(conn, source, &path).await;
        ::sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        history
    }

    async fn look(conn: &mut PgConnection, source: &Source, path: &[String]) -> Result<Self> {
        let format = source.format();
        let contract = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'prisma_contract')";
        if ::sqlx::query_scalar(contract).fetch_one(&mut *conn).await? {
            return Err(Error::OtherTool(
                "it is managed by Prisma 8 (schema prisma_contract), which is not supported".into(),
            ));
        }
        let current = path.first().map_or(PUBLIC, String::as_str);
        let found = locate(conn, format, path).await?;
        let mut history = Self {
            format,
            present: found.is_some(),
            schema: found.unwrap_or_else(|| schema_of(format, current).to_owned()),
            oid: 0,
            applied: BTreeMap::new(),
            unfinished: Vec::new(),
            resolved: BTreeSet::new(),
            resume: BTreeMap::new(),
            tables: None,
            elsewhere: None,
            other: None,
            escapes: escapes_by_default(conn).await?,
            sound: SoundRecords::default(),
        };
        let mut schemas = vec![current];
        // Prisma looks there, whatever the search path begins with.
        if format == Format::Prisma && path.iter().any(|schema| schema == PUBLIC) {
            schemas.push(PUBLIC);
        }
        history.tables = tables(conn, &schemas).await?;
        if !history.present {
            history.other = other_format(conn, format, path).await?;
            history.elsewhere = elsewhere(conn, source).await?;
            return Ok(history);
        }
        match format {
            Format::Prisma => prisma::read(&mut history, conn).await?,
            Format::Supabase => supabase::read(&mut history, conn).await?,
            Format::Sqlx => sqlx::read(&mut history, conn).await?,
        }
        Ok(history)
    }

    /// Creates the table if it is missing. The lock must be held.
    pub async fn prepare(&mut self, conn: &mut PgConnection) -> Result<()> {
        begin(conn).await?;
        self.sound = match self.make_table(conn).await {
            Ok(sound) => sound,
            Err(error) => {
                ::sqlx::raw_sql("ROLLBACK").execute(conn).await?;
                return Err(error);
            }
        };
        ::sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
        self.present = true;
        let oid = "SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relname = $2";
        let oid = ::sqlx::query_scalar::<_, i64>(oid)
            .bind(&self.schema)
            .bind(table_of(self.format));
        self.oid = oid.fetch_one(conn).await?.try_into().unwrap_or_default();
        Ok(())
    }

    /// A table that default privileges would open to others is closed before it is seen.
    async fn make_table(&self, conn: &mut PgConnection) -> Result<SoundRecords> {
        match self.format {
            Format::Prisma => prisma::prepare(self, conn).await?,
            Format::Supabase => supabase::prepare(conn).await?,
            Format::Sqlx => sqlx::prepare(self, conn).await?,
        }
        protect_records_inside(conn).await?;
        let table = (self.schema.as_str(), table_of(self.format));
        Ok(SoundRecords::look(conn, Some(table)).await?)
    }

    /// Records a migration as applied at the end of its script's transaction, if the script has left the history complete.
    pub async fn add(&self, conn: &mut PgConnection, source: &Source, migration: &Migration) -> Result<()> {
        self.check_sound(conn, migration).await?;
        let added = self.insert(conn, migration).await;
        added.map_err(|error| self.blamed(migration, error))?;
        self.check_complete(conn, source, migration).await
    }

    /// Records a migration as applied.
    pub(super) async fn insert(&self, conn: &mut PgConnection, migration: &Migration) -> Result<HistoryRow> {
        let id = match self.format {
            Format::Prisma => prisma::insert(self, conn, migration).await?,
            Format::Supabase => supabase::insert(self, conn, migration).await.map(|()| String::new())?,
            Format::Sqlx => sqlx::insert(self, conn, migration).await.map(|()| String::new())?,
        };
        Ok(HistoryRow { id })
    }

    /// How the insertion of a migration's row ended. Tools that take no lock may have been faster.
    pub(super) fn inserted(
        &self,
        migration: &Migration,
        outcome: std::result::Result<PgQueryResult, ::sqlx::Error>,
    ) -> Result<()> {
        match outcome {
            Err(::sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Error::Overtaken {
                name: migration.name.clone(),
            }),
            outcome => {
                let outcome = outcome.map(|done| done.rows_affected() == 1);
                self.written(migration, outcome.map_err(Error::from))
            }
        }
    }

    /// Removes a version from the history, as `supabase migration repair --status reverted` does.
    pub(super) async fn remove(&self, conn: &mut PgConnection, version: &MigrationId) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} WHERE version::pg_catalog.text OPERATOR(pg_catalog.=) $1",
            self.table()
        );
        let remove = ::sqlx::query(AssertSqlSafe(sql)).bind(version.to_string());
        remove.execute(conn).await?;
        Ok(())
    }

    /// Records the start of a script that cannot share a transaction with its row, and the number of committed
    /// statements if it is run statement by statement. Only Prisma has such rows; the other tools record a migration
    /// when it is finished.
    pub async fn begin(
        &self,
        conn: &mut PgConnection,
        migration: &Migration,
        committed: Option<usize>,
    ) -> Result<Option<HistoryRow>> {
        match self.format {
            Format::Prisma => {
                let logs =
                    committed.map(|count| unfinished::committed(&migration.script, count, NextStatement::Unknown));
                let id = prisma::begin(self, conn, migration, logs).await?;
                Ok(Some(HistoryRow { id }))
            }
            Format::Supabase | Format::Sqlx => Ok(None),
        }
    }

    /// Records the number of committed statements, in the transaction of the last of them.
    pub async fn committed(
        &self,
        conn: &mut PgConnection,
        started: Option<&HistoryRow>,
        migration: &Migration,
        record: &str,
    ) -> Result<()> {
        let Some(row) = started else { return Ok(()) };
        let logged = self.written(migration, prisma::log(self, conn, &row.id, record).await);
        logged.map_err(|error| self.blamed(migration, error))
    }

    /// Records that the migration is finished, if its script has left the history complete. Inside a transaction, which
    /// must be rolled back after an error.
    pub async fn finish(
        &self,
        conn: &mut PgConnection,
        started: Option<&HistoryRow>,
        source: &Source,
        migration: &Migration,
    ) -> Result<()> {
        self.check_sound(conn, migration).await?;
        let finished = match started {
            Some(row) => self.written(migration, prisma::finish(self, conn, &row.id).await),
            None => self.insert(conn, migration).await.map(drop),
        };
        finished.map_err(|error| self.blamed(migration, error))?;
        if started.is_some() {
            self.check_takes_more(conn, migration).await?;
        }
        self.check_complete(conn, source, migration).await
    }

    /// Tries whether the table takes the row of a further migration: the row of this one was there before its script.
    async fn check_takes_more(&self, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
        const UNIQUE_VIOLATION: &str = "23505";
        ::sqlx::raw_sql("SAVEPOINT one_more").execute(&mut *conn).await?;
        match self.insert(conn, migration).await {
            Ok(_) => {}
            // Of this very name.
            Err(Error::Database(postgres::Error::Refused { sqlstate, .. })) if sqlstate == UNIQUE_VIOLATION => {}
            Err(error) => return Err(self.blamed(migration, error)),
        }
        let undo = "ROLLBACK TO SAVEPOINT one_more; RELEASE SAVEPOINT one_more";
        ::sqlx::raw_sql(undo).execute(conn).await?;
        Ok(())
    }

    /// As [`Self::finish`], in a transaction of its own, which the end of the session rolls back after an error.
    pub async fn finish_alone(
        &self,
        conn: &mut PgConnection,
        started: Option<&HistoryRow>,
        source: &Source,
        migration: &Migration,
    ) -> Result<()> {
        ::sqlx::raw_sql("BEGIN READ WRITE").execute(&mut *conn).await?;
        self.finish(conn, started, source, migration).await?;
        ::sqlx::raw_sql("COMMIT").execute(conn).await?;
        Ok(())
    }

    /// Takes back the record of a start: nothing of the script is kept.
    pub async fn withdraw(&self, conn: &mut PgConnection, started: &HistoryRow) -> Result<()> {
        prisma::roll_back(self, conn, &started.id, false).await
    }

    /// Records the failure of a script and what of it is kept, if the tool does so.
    pub async fn fail(
        &self,
        conn: &mut PgConnection,
        started: Option<&HistoryRow>,
        migration: &Migration,
        failure: &ScriptFailure,
        kept: &str,
    ) -> Result<()> {
        match started {
            Some(row) => self.written(migration, prisma::fail(self, conn, &row.id, failure, kept).await),
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

/// The schema in which the tool finds its table, if it exists. Prisma names it without a schema, so that it is found anywhere
/// on the search path; sqlx looks for it in the first schema, where it would create it.
async fn locate(conn: &mut PgConnection, format: Format, path: &[String]) -> Result<Option<String>> {
    let first = path.first().map_or(PUBLIC, String::as_str);
    let mut schemas = vec![schema_of(format, first)];
    if format == Format::Prisma {
        schemas.extend(path.iter().skip(1).map(String::as_str));
    }
    for schema in schemas {
        if check_record(conn, schema, table_of(format)).await? {
            return Ok(Some(schema.to_owned()));
        }
    }
    Ok(None)
}

/// The history of another tool in a database where this format has none, and what to do about it: the format is probably
/// wrong.
async fn other_format(conn: &mut PgConnection, format: Format, path: &[String]) -> Result<Option<String>> {
    for other in [Format::Prisma, Format::Supabase, Format::Sqlx] {
        // A table that another login has made is no evidence, and is not read.
        let found = locate(conn, other, path).await.ok().flatten();
        let Some(schema) = found.filter(|_| other != format) else {
            continue;
        };
        let table = table_of(other);
        let rows = format!("SELECT EXISTS (SELECT FROM {}.{table})", quote(&schema));
        if ::sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut *conn).await? {
            let name = other.as_str();
            return Ok(Some(format!(
                "another tool keeps its history in {schema}.{table}; if the scripts are for that tool, set migrations.format: \
                 {name}, or set migrations.baseline to the last migration whose changes the database already holds"
            )));
        }
    }
    Ok(None)
}

/// The schema of a history where the tool does not look for it, and a migration of the source that it records as applied.
async fn elsewhere(conn: &mut PgConnection, source: &Source) -> Result<Option<(String, String)>> {
    let format = source.format();
    if format == Format::Supabase {
        return Ok(None);
    }
    let (identity, applied) = columns_of(format);
    let migrations = source.migrations().iter();
    let known: Vec<_> = migrations.map(|migration| migration.identity.to_string()).collect();
    let histories = ::sqlx::query(
        "SELECT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relname = $1 AND relkind = 'r' AND nspname !~ '^pg_' ORDER BY c.oid LIMIT 10",
    )
    .bind(table_of(format));
    let schemas = column(conn, "histories", histories).await?;
    for schema in schemas {
        // A table that another login has made is no evidence, and is not read.
        if !matches!(check_record(conn, &schema, table_of(format)).await, Ok(true)) {
            continue;
        }
        // The database may hold any number of rows and any length: what is asked for is sent, and only it is sent back.
        let sql = format!(
            "SELECT name FROM (SELECT pg_catalog.left({identity}::pg_catalog.text, {MAX_TEXT}) AS name FROM {}.{} \
                 WHERE {applied}) applied WHERE name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) LIMIT 1",
            quote(&schema),
            table_of(format)
        );
        let found = ::sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).bind(&known);
        if let Some(identity) = found.fetch_optional(&mut *conn).await? {
            return Ok(Some((schema, identity)));
        }
    }
    Ok(None)
}

/// The schema of every new database.
const PUBLIC: &str = "public";

/// One table of the schemas that is not a history. Like Prisma, it leaves out the table of `PostGIS`.
async fn tables(conn: &mut PgConnection, schemas: &[&str]) -> Result<Option<(String, String)>> {
    let table = ::sqlx::query_as(
        "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = ANY ($1) AND relkind = 'r' \
             AND relname NOT IN ('spatial_ref_sys', '_prisma_migrations', '_sqlx_migrations') \
         ORDER BY nspname <> $2, relname LIMIT 1",
    );
    let table = table.bind(schemas).bind(schemas.first().copied());
    Ok(table.fetch_optional(conn).await?)
}
