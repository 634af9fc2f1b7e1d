//! A database's history, as read from its table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::MigrationFormat as Format;
use crate::migrate::error::{Error, Result};
use crate::migrate::source::{Migration, MigrationId};
use crate::migrate::source_error::MAX_MIGRATIONS;
use crate::migrate::unfinished::Unfinished;
use crate::postgres::quote;

/// The most characters of a text that is read from a history: whoever owns the table may write 1 GiB into each. It
/// is more than any tool writes into an identity or a checksum, so that a longer one never equals a right one.
pub(super) const MAX_TEXT: usize = 1_024;

/// The most rows of a history: ten times as many as a source may have migrations, because attempts that were rolled
/// back stay in it.
pub(super) const MAX_ROWS: usize = 10 * MAX_MIGRATIONS;

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
    /// The applied migrations, each with its script's checksum if the tool records one.
    pub(super) applied: BTreeMap<MigrationId, Option<String>>,
    /// Rows that are neither finished nor rolled back.
    pub(super) unfinished: Vec<Unfinished>,
    /// Names of migrations of which a row was resolved by `migrations.resolve`.
    pub(super) resolved: BTreeSet<String>,
    /// For migrations that are continued, the number of statements that are already committed.
    pub(super) resume: BTreeMap<String, usize>,
    /// One of the schema's tables that is not a history, if there is any.
    pub(super) tables: Option<String>,
}

/// The row of a migration that is being applied.
pub struct Entry {
    /// Prisma's id of the row.
    pub(super) id: String,
}

impl History {
    /// The table's qualified and quoted name.
    pub(super) fn table(&self) -> String {
        format!("{}.{}", quote(&self.schema), table_of(self.format))
    }

    /// Refuses a history with more rows than any tool writes.
    pub(super) fn check_size(&self, rows: usize) -> Result<()> {
        if rows <= MAX_ROWS && self.unfinished.len() <= MAX_UNFINISHED {
            return Ok(());
        }
        Err(Error::OtherTool(format!(
            "its history {}.{} has more than {MAX_ROWS} rows or {MAX_UNFINISHED} unfinished ones, which no tool writes: \
             remove those that no tool wrote",
            self.schema,
            table_of(self.format)
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

pub(super) fn table_of(format: Format) -> &'static str {
    match format {
        Format::Prisma => "_prisma_migrations",
        Format::Supabase => "schema_migrations",
        Format::Sqlx => "_sqlx_migrations",
    }
}
