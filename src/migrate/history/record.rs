//! A database's history, as read from its table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::api::MigrationFormat as Format;
use crate::migrate::error::{Error, Result};
use crate::migrate::failure::RecordSpoiled;
use crate::migrate::session::ACCESS;
use crate::migrate::source::{Migration, MigrationId};
use crate::migrate::source_error::MAX_MIGRATIONS;
use crate::migrate::unfinished::Unfinished;
use crate::postgres::{self, SoundRecords, quote};

/// The most characters of a text that is read from a history: the owner of the table may write 1 GiB into each. It
/// is more than any tool writes into an identity or a checksum, so that a longer one never equals a right one.
pub(super) const MAX_TEXT: usize = 1_024;

/// The most rows of a history: ten times as many as a source may have migrations, because attempts that were rolled
/// back stay in it.
const MAX_ROWS: usize = 10 * MAX_MIGRATIONS;

/// The most bytes of what is read of a history. 10,000 migrations have some 2 MiB.
const MAX_HISTORY: usize = 16 << 20;

/// The most unfinished rows. A tool stops at the first one.
const MAX_UNFINISHED: usize = 20;

/// A summary of a history: a plan is made for one head, and is void for another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of applied migrations.
    pub count: usize,
    /// The last applied migration.
    pub last: Option<String>,
    /// Digest of all applied migrations and the checksums in the history: 64 hexadecimal digits.
    pub digest: String,
}

/// The history of one database.
#[derive(Clone)]
pub struct History {
    pub(super) format: Format,
    /// Schema of the table.
    pub(super) schema: String,
    /// The table exists.
    pub(super) present: bool,
    /// Its oid, once it was prepared.
    pub(super) oid: u32,
    /// The applied migrations, each with its script's checksum if the tool records one.
    pub(super) applied: BTreeMap<MigrationId, Option<String>>,
    /// Rows that are neither finished nor rolled back.
    pub(super) unfinished: Vec<Unfinished>,
    /// Names of migrations of which a row was resolved by `migrations.resolve`.
    pub(super) resolved: BTreeSet<String>,
    /// For migrations that are continued, the number of statements that are already committed.
    pub(super) resume: BTreeMap<String, usize>,
    /// Schema and name of a table that is not a history, if there is any where the tool looks for one.
    pub(super) tables: Option<(String, String)>,
    /// When there is no history where the tool looks for it: the schema of one elsewhere, and a migration
    /// of the source that it records as applied.
    pub(super) elsewhere: Option<(String, String)>,
    /// When there is no history of this format: why the one of another format stops it, if there is any.
    pub(super) other: Option<String>,
    /// Plain strings have escapes by default in the sessions of the login.
    pub(super) escapes: bool,
    /// The tables that scripts must leave as they are, once the history was prepared.
    pub(super) sound: SoundRecords,
}

/// How much of a history was read.
#[derive(Default)]
pub(super) struct ReadRecord {
    rows: usize,
    bytes: usize,
}

/// The row of a migration that is being applied.
pub struct HistoryRow {
    /// Prisma's id of the row.
    pub(super) id: String,
}

impl History {
    /// The table's qualified and quoted name.
    pub fn table(&self) -> String {
        format!("{}.{}", quote(&self.schema), table_of(self.format))
    }

    /// A query after a script in its transaction, which holds the ROW SHARE lock on the table that was taken before the
    /// script: whether it is still the same transaction, whether the table is where it was, whether nothing can be
    /// written, and whether something was. It has only characters that every setting reads alike.
    pub fn look_after_script(&self) -> String {
        format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid() \
                 AND locktype = 'relation' AND relation = {oid} AND mode = 'RowShareLock' AND granted), \
             EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
                 WHERE c.oid = {oid} AND relname = '{table}' \
                     AND nspname = pg_catalog.convert_from(pg_catalog.decode('{schema}', 'hex'), 'UTF8')), \
             {ACCESS}",
            oid = self.oid,
            table = table_of(self.format),
            schema = hex::encode(&self.schema),
        )
    }

    /// The migration took the table or its row away.
    pub fn lost(&self, migration: &Migration) -> Error {
        Error::HistoryGone {
            name: migration.name.clone(),
            table: format!("{}.{}", self.schema, table_of(self.format)),
            kept: true,
        }
    }

    /// Refuses a script that has changed one of the tables that record what was applied: the next look would not believe
    /// it. In the transaction that is to hold the migration's row.
    pub(super) async fn check_sound(&self, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
        match self.sound.flaw(conn).await? {
            None => Ok(()),
            Some(flaw) => Err(Error::RecordSpoiled(Box::new(RecordSpoiled {
                migration: Some(migration.name.clone()),
                what: flaw.what,
                cure: Some(flaw.cure),
                kept: true,
            }))),
        }
    }

    /// An error of a write after a script: what the server refuses then is due to what the script has done to the table.
    pub(super) fn blamed(&self, migration: &Migration, error: Error) -> Error {
        let Error::Database(refused) = &error else {
            return error;
        };
        let table = format!("{}.{}", self.schema, table_of(self.format));
        match RecordSpoiled::by(Some(migration.name.clone()), &table, refused) {
            Some(spoiled) => Error::RecordSpoiled(Box::new(spoiled)),
            None => error,
        }
    }

    /// Whether a row was written; an error if it or its table is gone.
    pub(super) fn written(&self, migration: &Migration, outcome: Result<bool>) -> Result<()> {
        const UNDEFINED_TABLE: &str = "42P01";
        const INVALID_SCHEMA: &str = "3F000";
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.lost(migration)),
            Err(Error::Database(postgres::Error::Refused { sqlstate, .. }))
                if matches!(sqlstate.as_str(), UNDEFINED_TABLE | INVALID_SCHEMA) =>
            {
                Err(self.lost(migration))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a history with more rows than any tool writes, or with longer texts.
    pub(super) fn check_size(&self, read: &mut ReadRecord, row: &PgRow) -> Result<()> {
        read.rows += 1;
        read.bytes += postgres::row_bytes(row);
        if read.rows <= MAX_ROWS && read.bytes <= MAX_HISTORY && self.unfinished.len() <= MAX_UNFINISHED {
            return Ok(());
        }
        Err(Error::OtherTool(format!(
            "its history {}.{} has more than {MAX_ROWS} rows, {MAX_UNFINISHED} unfinished ones or {} MiB of names and \
             checksums, which no tool writes: remove what no tool wrote",
            self.schema,
            table_of(self.format),
            MAX_HISTORY >> 20
        )))
    }

    /// The format of the tool whose table it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the history records the migration as applied.
    pub fn has(&self, migration: &Migration) -> bool {
        self.applied.contains_key(&migration.identity)
    }

    /// The history's summary.
    pub fn head(&self) -> Head {
        let mut hash = Sha256::new();
        for (identity, content) in &self.applied {
            let (identity, content) = (identity.to_string(), content.as_deref().unwrap_or_default());
            hash.update(format!("{}:{identity}{}:{content}", identity.len(), content.len()));
        }
        Head {
            count: self.applied.len(),
            last: self.applied.keys().last().map(ToString::to_string),
            digest: hex::encode(hash.finalize()),
        }
    }

    /// Number of statements of the migration that an earlier attempt committed.
    pub fn statements_committed(&self, migration: &Migration) -> usize {
        self.resume.get(&migration.name).copied().unwrap_or(0)
    }

    /// Adds a migration that was just applied; writes nothing to the database.
    pub fn note_applied(&mut self, migration: &Migration) {
        self.applied.insert(migration.identity.clone(), None);
    }
}

/// The schema that the tool keeps its table in.
pub(super) fn schema_of(format: Format, current: &str) -> &str {
    match format {
        Format::Prisma | Format::Sqlx => current,
        Format::Supabase => "supabase_migrations",
    }
}

/// The column that identifies a migration in the table of a format, and the condition of an applied one.
pub(super) fn columns_of(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Prisma => ("migration_name", "finished_at IS NOT NULL AND rolled_back_at IS NULL"),
        Format::Supabase => ("version", "true"),
        Format::Sqlx => ("version", "success"),
    }
}

pub(super) fn table_of(format: Format) -> &'static str {
    match format {
        Format::Prisma => "_prisma_migrations",
        Format::Supabase => "schema_migrations",
        Format::Sqlx => "_sqlx_migrations",
    }
}
