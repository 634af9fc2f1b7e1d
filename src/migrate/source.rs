//! The user's migrations, checked before the operator connects to a database.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256, Sha384};

use super::content::{Content, MemoryPermit};
use super::format::{self, FileUse, MigrationName};
use super::mode::{self, LastCommit, Mode};
use super::script_text;
use super::source_error::{MAX_MIGRATIONS, SourceError};
use crate::api::MigrationFormat;

/// The maximum length of a migration's name in bytes, as in Prisma's table.
pub const MAX_NAME_BYTES: usize = 255;

/// The identity of a migration in the history. It is unique within a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MigrationId {
    /// Prisma's name, or the Supabase CLI's version.
    Text(String),
    /// The version of sqlx.
    Number(i64),
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// One migration.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The name in messages: Prisma's folder, or the file's name without its extension.
    pub name: String,
    /// The identity in the history.
    pub identity: MigrationId,
    /// The rest of the name, as the histories of the Supabase CLI and of sqlx record it.
    pub title: String,
    /// The script, byte for byte.
    pub script: Arc<String>,
    /// Hexadecimal digest of the script's bytes: SHA-384 for sqlx, else SHA-256.
    pub checksum: String,
    /// How it is run.
    pub mode: Mode,
    /// The script has its own BEGIN or COMMIT, code that commits, or a statement that leaves parts: after a failure, a part of
    /// it can be committed.
    pub own_transactions: bool,
    /// Whether PostgreSQL runs the script inside a transaction depends on the database.
    pub unsure: bool,
    /// The COMMIT that the script ends with.
    pub last_commit: Option<LastCommit>,
}

impl Migration {
    /// Whether a name in the spec means this migration: its name or its version.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.identity.to_string() == name
    }
}

/// Migrations of one format, in the order in which its tool applies them.
#[derive(Clone, Debug, Default)]
pub struct Source {
    format: MigrationFormat,
    revision: Option<String>,
    migrations: Vec<Migration>,
    permit: MemoryPermit,
}

impl Source {
    /// Reads migrations from files, given as paths and contents. Prisma's migrations are `<name>/migration.sql`
    /// or, as keys of a `ConfigMap`, `<name>.sql`, optionally with a `migration_lock.toml`; those of the Supabase
    /// CLI and of sqlx are recognized by their names. Without a format, it is detected from the files. A path that
    /// ends with `/` is an empty folder.
    ///
    /// # Errors
    /// The first file that cannot be used, see [`SourceError`].
    pub fn read(
        format: Option<MigrationFormat>,
        files: Vec<(String, impl Into<Content>)>,
    ) -> Result<Self, SourceError> {
        let files: Vec<_> = files
            .into_iter()
            .map(|(file, content)| (file, content.into()))
            .collect();
        Self::of(format, files)
    }

    fn of(format: Option<MigrationFormat>, files: Vec<(String, Content)>) -> Result<Self, SourceError> {
        let format = match format {
            Some(format) => format,
            None => format::detect(&files)?,
        };
        if format == MigrationFormat::Prisma {
            format::check_folders(&files)?;
        }
        let first = files.iter().map(|(file, _)| file).min().cloned();
        let mut found = BTreeMap::new();
        for (file, content) in files {
            if format == MigrationFormat::Prisma && file == format::LOCK_FILE {
                check_lock(&file, content.as_bytes())?;
            }
            if format == MigrationFormat::Sqlx && file == format::SQLX_SETTINGS {
                check_settings(&file, content.as_bytes())?;
            }
            let name = match format::file_use(format, &file) {
                FileUse::Ignored if format == MigrationFormat::Supabase => {
                    match format::later_init(&file, first.as_deref()) {
                        Some(name) => name,
                        None => continue,
                    }
                }
                FileUse::Ignored => continue,
                FileUse::Refused(what) => return Err(SourceError::file(&file, what)),
                FileUse::Migration(name) => name,
            };
            let migration = read(&file, format, name, &content)?;
            if let Some(twice) = found.insert(migration.identity.clone(), migration) {
                let what = format!(
                    "this migration is in the source twice: {} is also {}; rename or remove one",
                    twice.identity, twice.name
                );
                return Err(SourceError::file(&file, what));
            }
            if found.len() > MAX_MIGRATIONS {
                return Err(SourceError::TooMany);
            }
        }
        Ok(Self {
            format,
            revision: None,
            permit: MemoryPermit::default(),
            migrations: found.into_values().collect(),
        })
    }

    /// Refuses settings of sqlx in folders above the scripts, as [`Source::read`] refuses those beside them.
    ///
    /// # Errors
    /// The first file with a setting that the operator does not follow.
    pub fn check_settings(&self, above: &[(String, Content)]) -> Result<(), SourceError> {
        if self.format != MigrationFormat::Sqlx {
            return Ok(());
        }
        let mut above = above.iter();
        above.try_for_each(|(file, content)| check_settings(file, content.as_bytes()))
    }

    /// Sets the revision that the source was read from.
    #[must_use]
    pub fn with_revision(self, revision: Option<String>) -> Self {
        Self { revision, ..self }
    }

    /// Holds the memory of the source until it is dropped.
    #[must_use]
    pub fn with_permit(self, permit: MemoryPermit) -> Self {
        Self { permit, ..self }
    }

    /// Whether it is one of the large sources, of which few are in memory at a time.
    pub fn is_large(&self) -> bool {
        self.permit.is_large()
    }

    /// Digest of the OCI manifest that the source was read from.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The format of the migrations.
    pub fn format(&self) -> MigrationFormat {
        self.format
    }

    /// Digest of all names and contents: `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        if self.format != MigrationFormat::Prisma {
            hash.update(self.format.as_str());
        }
        for migration in &self.migrations {
            hash.update(format!(
                "{}:{}{}",
                migration.name.len(),
                migration.name,
                migration.checksum
            ));
        }
        format!("sha256:{}", hex::encode(hash.finalize()))
    }

    /// The bytes of all scripts.
    pub(super) fn bytes(&self) -> usize {
        self.migrations.iter().map(|migration| migration.script.len()).sum()
    }

    /// Number of migrations.
    pub fn len(&self) -> usize {
        self.migrations.len()
    }

    /// Whether there is no migration.
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty()
    }

    /// Name of the last migration.
    pub fn last(&self) -> Option<&str> {
        self.migrations.last().map(|migration| migration.name.as_str())
    }

    /// The migrations in order.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }
}

fn read(file: &str, format: MigrationFormat, name: MigrationName, content: &Content) -> Result<Migration, SourceError> {
    let checksum = match format {
        MigrationFormat::Sqlx => hex::encode(Sha384::digest(content.as_bytes())),
        MigrationFormat::Prisma | MigrationFormat::Supabase => hex::encode(Sha256::digest(content.as_bytes())),
    };
    let (identity, title) = match name {
        MigrationName::Prisma(name) => (MigrationId::Text(name), String::new()),
        MigrationName::Supabase { version, name } => (MigrationId::Text(version), name),
        MigrationName::Sqlx { version, description } => (MigrationId::Number(version), description),
    };
    let name = match &identity {
        MigrationId::Text(name) if format == MigrationFormat::Prisma => name.clone(),
        _ => file.strip_suffix(".sql").unwrap_or(file).to_owned(),
    };
    if name.len() > MAX_NAME_BYTES {
        let what = format!("the name is longer than {MAX_NAME_BYTES} bytes; shorten it");
        return Err(SourceError::file(file, what));
    }
    let script = script_text::decode(file, content)?;
    let mut execution = mode::execution(file, &script, format)?;
    if format == MigrationFormat::Sqlx && script.starts_with(format::NO_TRANSACTION) {
        execution.mode = Mode::Whole;
    }
    Ok(Migration {
        name,
        identity,
        title,
        checksum,
        mode: execution.mode,
        own_transactions: execution.own_transactions,
        unsure: execution.unsure,
        last_commit: execution.last_commit,
        script,
    })
}

/// Prisma's own check (P3019): the first line that begins with `provider` must name postgresql.
fn check_lock(file: &str, bytes: &[u8]) -> Result<(), SourceError> {
    let content = String::from_utf8_lossy(bytes);
    let provider = content
        .lines()
        .find_map(|line| line.strip_prefix("provider"))
        .map(|rest| rest.trim_start_matches([' ', '=']).trim().trim_matches('"'));
    match provider {
        Some("postgresql") => Ok(()),
        Some(other) => Err(SourceError::file(
            file,
            format!("the migrations are for `{other}`, not for `postgresql` (Prisma's P3019)"),
        )),
        None => Err(SourceError::file(
            file,
            "it names no provider; add provider = \"postgresql\" (Prisma's P3019)",
        )),
    }
}

/// The settings of sqlx by which it keeps another history than the operator, records other checksums, or makes schemas before
/// the first script (sqlx-core, `config/migrate.rs`).
const OF_HISTORY: [&str; 3] = ["table-name", "ignored-chars", "create-schemas"];

/// Refuses settings of sqlx that the operator does not follow.
fn check_settings(file: &str, bytes: &[u8]) -> Result<(), SourceError> {
    let content = String::from_utf8_lossy(bytes);
    let mut lines = content.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.find_map(|line| OF_HISTORY.into_iter().find(|setting| line.contains(*setting)));
    match found {
        None => Ok(()),
        Some(setting) => {
            let what = format!(
                "it sets {setting}, which sqlx follows and the operator does not, so that their histories would differ: remove the \
                 setting, or the file if sqlx does not use it"
            );
            Err(SourceError::file(file, what))
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
