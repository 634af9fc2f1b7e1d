//! Why a source of migrations or a seed cannot be used, and where in it the cause is.

use crate::api::condition::Reason;
use crate::error::ErrorClass;

/// The maximum number of migrations in one source.
pub const MAX_MIGRATIONS: usize = 10_000;

/// Why a source cannot be used. A retry does not help; the source must be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// An error at a position in a script.
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
    /// An error of a whole file.
    #[error("{file}: {what}")]
    File {
        /// Key of the file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Several tools would accept these files.
    #[error(
        "{file} and the others could be migrations of any of these formats: {readings}; set migrations.format to one of them"
    )]
    Ambiguous {
        /// One of the files.
        file: String,
        /// The formats.
        readings: String,
    },
    /// Too many migrations.
    #[error("the source holds more than {MAX_MIGRATIONS} migrations; merge old ones")]
    TooMany,
}

impl SourceError {
    /// Always [`ErrorClass::Invalid`].
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }

    /// Always [`Reason::SourceInvalid`].
    pub fn reason(&self) -> Reason {
        Reason::SourceInvalid
    }

    pub(super) fn file(file: &str, what: impl Into<String>) -> Self {
        Self::File {
            file: file.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn text(file: &str, script: &str, at: usize, what: impl Into<String>) -> Self {
        let (line, column) = line_and_column(script, at);
        Self::Text {
            file: file.to_owned(),
            line,
            column,
            what: what.into(),
        }
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(super) fn line_and_column(script: &str, at: usize) -> (usize, usize) {
    let before = &script[..at.min(script.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
