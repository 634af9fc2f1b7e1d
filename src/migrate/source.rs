//! Migrations as the user wrote them, checked before any database is touched.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::lexer::{self, Kind, LexError};
use crate::api::condition::Reason;
use crate::controller::error::Class;

/// The most migrations of one source.
pub const MAX_MIGRATIONS: usize = 10_000;
/// The most bytes of one script: 64 MiB.
pub const MAX_SCRIPT_BYTES: usize = 64 << 20;
/// The most bytes of a migration's name, as in Prisma's table.
pub const MAX_NAME_BYTES: usize = 255;

/// How a script is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In one transaction together with its row in the history. The rule.
    Atomic,
    /// As one message outside of a transaction: one statement that PostgreSQL keeps out of
    /// transactions, or a script with its own BEGIN and COMMIT.
    Whole,
}

/// One migration.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Name, the directory's name in a Prisma project.
    pub name: String,
    /// The script, byte for byte.
    pub script: String,
    /// Lower-case hexadecimal SHA-256 of the script's bytes, as Prisma records it.
    pub checksum: String,
    /// How it is run.
    pub mode: Mode,
    /// The script has its own BEGIN or COMMIT: after a failure a part may be committed.
    pub own_transactions: bool,
}

/// Migrations in the order in which they are applied: that of the bytes of their names.
#[derive(Clone, Debug, Default)]
pub struct Source {
    migrations: Vec<Migration>,
}

/// Why a source cannot be used. Only a changed source helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The text of a script.
    #[error("{file}:{line}:{column}: {what}")]
    Text {
        /// Key of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// A file as a whole.
    #[error("{file}: {what}")]
    File {
        /// Key of the file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Too many files.
    #[error("more than {MAX_MIGRATIONS} migrations")]
    TooMany,
}

impl SourceError {
    /// Always [`Class::Invalid`].
    pub fn class(&self) -> Class {
        Class::Invalid
    }

    /// Always [`Reason::SourceInvalid`].
    pub fn reason(&self) -> Reason {
        Reason::SourceInvalid
    }

    fn file(file: &str, what: impl Into<String>) -> Self {
        Self::File {
            file: file.to_owned(),
            what: what.into(),
        }
    }

    fn text(file: &str, script: &str, at: usize, what: impl Into<String>) -> Self {
        let (line, column) = line_and_column(script, at);
        Self::Text {
            file: file.to_owned(),
            line,
            column,
            what: what.into(),
        }
    }
}

impl Source {
    /// Reads the migrations of a Prisma project from files, usually the keys of one or more
    /// `ConfigMap`s: a `<migration name>.sql` each, and perhaps `migration_lock.toml`. `*.md` is
    /// ignored.
    ///
    /// # Errors
    /// The first file that cannot be used, see [`SourceError`].
    pub fn prisma(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, SourceError> {
        let mut found = BTreeMap::new();
        for (file, bytes) in files {
            if file == "migration_lock.toml" {
                check_lock(&file, &bytes)?;
                continue;
            }
            if Path::new(&file)
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("md"))
            {
                continue;
            }
            let name = file
                .strip_suffix(".sql")
                .filter(|name| !name.is_empty())
                .ok_or_else(|| SourceError::file(&file, "a migration's key must be <migration name>.sql"))?;
            if name.len() > MAX_NAME_BYTES {
                return Err(SourceError::file(
                    &file,
                    format!("the name is longer than {MAX_NAME_BYTES} bytes"),
                ));
            }
            let migration = read(&file, name, bytes)?;
            if found.insert(name.to_owned(), migration).is_some() {
                return Err(SourceError::file(&file, "this migration is there twice"));
            }
            if found.len() > MAX_MIGRATIONS {
                return Err(SourceError::TooMany);
            }
        }
        Ok(Self {
            migrations: found.into_values().collect(),
        })
    }

    /// `sha256:` and 64 digits over all names and contents.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for migration in &self.migrations {
            hash.update(format!(
                "{}:{}{}",
                migration.name.len(),
                migration.name,
                migration.checksum
            ));
        }
        format!("sha256:{}", hex(&hash.finalize()))
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

fn read(file: &str, name: &str, bytes: Vec<u8>) -> Result<Migration, SourceError> {
    let checksum = hex(&Sha256::digest(&bytes));
    let script = text(file, bytes)?;
    let pieces = lexer::split(&script).map_err(|LexError { at, what }| SourceError::text(file, &script, at, what))?;
    let own_transactions = pieces
        .iter()
        .any(|piece| matches!(piece.kind, Kind::Begin | Kind::End | Kind::Chain));
    let mode = plan(&pieces).map_err(|(at, what)| SourceError::text(file, &script, at, what))?;
    Ok(Migration {
        name: name.to_owned(),
        checksum,
        mode,
        own_transactions,
        script,
    })
}

/// The text rules that migrations and seeds share.
pub(super) fn text(file: &str, bytes: Vec<u8>) -> Result<String, SourceError> {
    if bytes.len() > MAX_SCRIPT_BYTES {
        return Err(SourceError::file(file, "the script is larger than 64 MiB"));
    }
    let script = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        SourceError::text(file, &text, good, "the text is not UTF-8")
    })?;
    if script.starts_with('\u{feff}') {
        return Err(SourceError::text(
            file,
            &script,
            0,
            "the file begins with a byte order mark; save it without",
        ));
    }
    if let Some(at) = script.find('\0') {
        return Err(SourceError::text(file, &script, at, "a NUL character"));
    }
    Ok(script)
}

/// A seed's script: the text rules, and nothing that leaves the seed's one transaction.
pub(super) fn check_seed(file: &str, script: &str) -> Result<(), SourceError> {
    let script = text(file, script.as_bytes().to_vec())?;
    let pieces = lexer::split(&script).map_err(|LexError { at, what }| SourceError::text(file, &script, at, what))?;
    for piece in &pieces {
        let what = match piece.kind {
            Kind::Empty | Kind::Other => continue,
            Kind::CopyFromStdin => COPY.to_owned(),
            Kind::Outside(what) => format!("{what} cannot run inside a transaction, and a seed is one transaction"),
            _ => "a seed is one transaction and cannot begin or end one itself".to_owned(),
        };
        return Err(SourceError::text(file, &script, piece.start, what));
    }
    Ok(())
}

const COPY: &str = "COPY … FROM STDIN needs psql; write INSERT";

/// How a script can be run, or where and why it cannot.
fn plan(pieces: &[lexer::Piece]) -> Result<Mode, (usize, String)> {
    let (mut open, mut own, mut outside, mut count) = (None, false, None, 0);
    for piece in pieces.iter().filter(|piece| piece.kind != Kind::Empty) {
        count += 1;
        match piece.kind {
            Kind::Begin | Kind::Chain => (own, open) = (true, open.or(Some(piece.start))),
            Kind::End => (own, open) = (true, None),
            Kind::Outside(what) => outside = outside.or(Some((piece.start, what))),
            Kind::Prepare => {
                return Err((
                    piece.start,
                    "PREPARE TRANSACTION would leave the migration to another session".into(),
                ));
            }
            Kind::CopyFromStdin => return Err((piece.start, COPY.into())),
            Kind::Empty | Kind::Other => {}
        }
    }
    match (open, outside) {
        (Some(at), _) => Err((
            at,
            "this transaction is never committed, so nothing of it would be kept; add COMMIT, or leave BEGIN out"
                .into(),
        )),
        (None, Some((at, what))) if count > 1 => Err((
            at,
            format!(
                "{what} cannot run inside a transaction, and a script of several statements is one; put it into a migration of its own"
            ),
        )),
        (None, Some(_)) => Ok(Mode::Whole),
        (None, None) if own => Ok(Mode::Whole),
        (None, None) => Ok(Mode::Atomic),
    }
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
            "it names no provider; Prisma writes provider = \"postgresql\" (P3019)",
        )),
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(super) fn line_and_column(script: &str, at: usize) -> (usize, usize) {
    let before = &script[..at.min(script.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
