//! What a database records of its migrations, in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::MigrationFormat as Format;
use crate::migrate::source::{Migration, MigrationId};
use crate::migrate::unfinished::Unfinished;
use crate::postgres::quote;

/// Where a history stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of applied migrations.
    pub count: usize,
    /// The last of them.
    pub last: Option<String>,
    /// Over all of them, with what the history keeps of their scripts: 64 hexadecimal digits.
    pub digest: String,
}

/// What the database records.
#[derive(Clone)]
pub struct History {
    pub(super) format: Format,
    /// Schema of the table.
    pub(super) schema: String,
    /// The table exists.
    pub(super) present: bool,
    /// What is known of the content of each applied migration: a checksum, as the tool keeps it.
    pub(super) applied: BTreeMap<MigrationId, Option<String>>,
    /// What began and neither ended nor was rolled back.
    pub(super) unfinished: Vec<Unfinished>,
    /// Names of which a row was resolved by a person's word.
    pub(super) resolved: BTreeSet<String>,
    /// How many statements of a migration are committed that is to be gone on with.
    pub(super) resume: BTreeMap<String, usize>,
    /// One of the tables that are there besides the history's own.
    pub(super) tables: Option<String>,
}

/// The row of a migration that is being applied.
pub struct Entry {
    /// Prisma's id of the row.
    pub(super) id: String,
}

impl History {
    /// The table, ready to be used in a statement.
    pub(super) fn table(&self) -> String {
        format!("{}.{}", quote(&self.schema), table_of(self.format))
    }

    /// The tool whose table it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the history records the migration as applied.
    pub fn has(&self, migration: &Migration) -> bool {
        self.applied.contains_key(&migration.identity)
    }

    /// Where it stands.
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

    /// How many statements of the migration are committed by an attempt before.
    pub fn statements_committed(&self, migration: &Migration) -> usize {
        self.resume.get(&migration.name).copied().unwrap_or(0)
    }

    /// Takes note of a migration that has just been applied.
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
