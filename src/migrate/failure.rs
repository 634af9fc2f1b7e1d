//! Where and why a script or the rows of a table failed.

use std::fmt;

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::aside::in_place;
use super::lexer::{self, StatementKind};
use super::redact::{self, Origin};
use super::source_error::line_and_column;
use crate::{postgres, text};

/// The most bytes of each text of the server that are kept: a script may raise any text, and a failure is remembered for
/// hours.
pub(super) const KEPT: usize = 2 << 10;

/// Where and why a script failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFailure {
    /// Name of the migration, or key of the seed's file.
    pub name: String,
    /// PostgreSQL's error code.
    pub sqlstate: String,
    /// PostgreSQL's message. As its detail and hint, it can hold values of rows; `Display` leaves them out.
    pub message: String,
    /// PostgreSQL's detail.
    pub detail: Option<String>,
    /// PostgreSQL's hint.
    pub hint: Option<String>,
    /// Line in the script, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The session that held the lock, if the script failed while it waited for one.
    pub blocked_by: Option<String>,
    /// What the script committed before may be in the database, and no row of the history records it: a further run would
    /// begin with the first statement.
    pub keeps_parts: bool,
    /// Where the statement stands that was refused, which says what of the texts `Display` shows.
    pub(super) origin: Origin,
}

impl ScriptFailure {
    /// The failure of a script that was sent from the byte `from` on, after `completed` successful statements.
    /// The count locates the statement if the server reports no position, as with a violated constraint.
    pub(super) fn new(name: &str, script: &str, from: usize, completed: usize, error: &PgDatabaseError) -> Self {
        in_place(script.len(), || Self::placed(name, script, from, completed, error))
    }

    fn placed(name: &str, script: &str, from: usize, completed: usize, error: &PgDatabaseError) -> Self {
        let mut pieces = lexer::split(script).unwrap_or_default();
        pieces.retain(|piece| piece.span.end > from);
        let at = match error.position() {
            Some(PgErrorPosition::Original(position)) => {
                let mut sent = script[from..].char_indices();
                sent.nth(position.saturating_sub(1)).map(|(at, _)| from + at)
            }
            _ => None,
        };
        let piece = match at {
            Some(at) => pieces.iter().find(|piece| piece.span.contains(&at)),
            None => pieces
                .iter()
                .filter(|piece| piece.kind != StatementKind::Empty)
                .nth(completed),
        };
        let at = at.or(piece.map(|piece| piece.start)).unwrap_or(0);
        let (line, column) = line_and_column(script, at);
        let (code, origin) = (error.code(), Origin::of(script, error));
        Self {
            name: name.to_owned(),
            sqlstate: code.to_owned(),
            message: kept(error.message(), |text| Some(redact::message(code, text, origin))).unwrap_or_default(),
            detail: error
                .detail()
                .and_then(|detail| kept(detail, |text| redact::detail(code, text, origin))),
            hint: error.hint().map(|hint| text::kept(hint, KEPT)),
            line,
            column,
            blocked_by: None,
            keeps_parts: false,
            origin,
        }
    }
}

/// The kept part of a text of the server. It is redacted before it is cut, since a value may be cut in the middle.
fn kept(text: &str, redacted: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    if text.len() <= KEPT {
        return Some(text.to_owned());
    }
    redacted(text).map(|redacted| text::kept(&redacted, KEPT))
}

impl ScriptFailure {
    /// The script has changed something and then made its transaction read-only, which was found at the byte `at`.
    pub(super) fn read_only(name: &str, script: &str, at: usize) -> Self {
        let message = "the script makes its transaction read-only after it has changed something, so that its record \
            cannot be committed together with the changes; this transaction is rolled back";
        let hint = "remove SET TRANSACTION READ ONLY, or move what only reads to a migration of its own";
        Self::found(
            name,
            (script, at),
            READ_ONLY_TRANSACTION,
            message.to_owned(),
            hint.to_owned(),
        )
    }

    /// The statement at the byte `at` should have built an index, whose name in SQL is given, and PostgreSQL has skipped it
    /// (`IF NOT EXISTS`), because an invalid index has that name.
    pub(super) fn invalid_index(name: &str, script: &str, at: usize, index: &str) -> Self {
        let message = format!(
            "the statement has built nothing, because an invalid index {index} is there, which an earlier build has left"
        );
        let hint = format!("drop that index, and try again: DROP INDEX CONCURRENTLY {index}");
        Self::found(name, (script, at), WRONG_STATE, message, hint)
    }

    /// What the operator itself has found at the byte `at` of the script.
    fn found(name: &str, (script, at): (&str, usize), sqlstate: &str, message: String, hint: String) -> Self {
        let (line, column) = line_and_column(script, at);
        Self {
            name: name.to_owned(),
            sqlstate: sqlstate.to_owned(),
            message,
            detail: None,
            hint: Some(hint),
            line,
            column,
            blocked_by: None,
            keeps_parts: false,
            origin: Origin::Script,
        }
    }

    /// Whether PostgreSQL refused to run the statement inside a transaction, or to end one inside it.
    pub(super) fn needs_no_transaction(&self) -> bool {
        const ACTIVE_TRANSACTION: &str = "25001";
        const INVALID_TERMINATION: &str = "2D000";
        matches!(self.sqlstate.as_str(), ACTIVE_TRANSACTION | INVALID_TERMINATION)
    }
}

/// `read_only_sql_transaction`.
const READ_ONLY_TRANSACTION: &str = "25006";

/// `object_not_in_prerequisite_state`.
const WRONG_STATE: &str = "55000";

/// What to do about parts of a script that no row of the history records.
pub(super) const UNRECORDED: &str = "statements before it may be committed, and the history has no record of them: undo \
    their changes by hand, or make the rest of the changes by hand and add the migration to migrations.resolve as Applied, or \
    change the script so that it can run again from its beginning";

/// The text for statuses and events: it holds no statement and no values of rows.
impl fmt::Display for ScriptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            sqlstate,
            message,
            detail,
            hint,
            line,
            column,
            blocked_by,
            keeps_parts,
            origin,
        } = self;
        let origin = *origin;
        write!(
            f,
            "{name} failed at line {line}, column {column}: {} (SQLSTATE {sqlstate})",
            redact::message(sqlstate, message, origin)
        )?;
        let detail = detail.as_deref();
        if let Some(detail) = detail.and_then(|detail| redact::detail(sqlstate, detail, origin)) {
            write!(f, "; detail: {detail}")?;
        }
        if let Some(blocker) = blocked_by {
            write!(f, "; it waited for {blocker}")?;
        }
        let hint = hint.as_deref();
        if let Some(hint) = hint.and_then(|hint| redact::hint(sqlstate, hint, origin)) {
            write!(f, "; hint: {hint}")?;
        }
        if *keeps_parts {
            write!(f, "; {UNRECORDED}")?;
        }
        Ok(())
    }
}

/// Where and why the server refused rows of a table. It holds no value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFailure {
    /// Name of the file.
    pub file: String,
    /// Line of the file, from 1, if it is known. For a row of several lines, the first or the last of them.
    pub line: Option<usize>,
    /// Column, if the server reports it.
    pub column: Option<String>,
    /// PostgreSQL's error code.
    pub sqlstate: String,
    /// PostgreSQL's message without values.
    pub message: String,
    /// PostgreSQL's hint, unless a function of the database gave it.
    pub hint: Option<String>,
}

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.file)?;
        if let Some(line) = self.line {
            write!(f, " at line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {} (SQLSTATE {})", self.message, self.sqlstate)?;
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {}", hint.replace('\n', " "))?;
        }
        Ok(())
    }
}

/// A script's change to a table that records what was applied: the history, or one of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSpoiled {
    /// The migration; none for the seed.
    pub migration: Option<String>,
    /// What is wrong with the table now.
    pub what: String,
    /// How a person undoes it, if that is known.
    pub cure: Option<String>,
    /// The script's changes are committed, at least in part.
    pub kept: bool,
}

impl RecordSpoiled {
    /// The server refuses the operator's own write to a table that took it before the script: with a missing right or a
    /// policy, a constraint, another column or type, code that raises. None for other errors.
    pub(super) fn by(migration: Option<String>, table: &str, error: &postgres::Error) -> Option<Self> {
        let postgres::Error::Refused { sqlstate, message } = error else {
            return None;
        };
        let of_table = ["22", "23", "42", "0A", "55", "P0"];
        let is_of_table = of_table.iter().any(|class| sqlstate.starts_with(class)) && !postgres::is_transient(sqlstate);
        is_of_table.then(|| Self {
            migration,
            what: format!(
                "the operator can no longer write to table {table}: {} (SQLSTATE {sqlstate})",
                redact::message(sqlstate, message, Origin::Script)
            ),
            cure: None,
            kept: true,
        })
    }
}

impl fmt::Display for RecordSpoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = match &self.migration {
            Some(name) => format!("migration {name}"),
            None => "the seed".to_owned(),
        };
        let what = &self.what;
        write!(f, "{script} changes a table that records what was applied: {what}. ")?;
        if !self.kept {
            return write!(
                f,
                "It was rolled back: exclude that table in the script, for example where it loops over all tables"
            );
        }
        let cure = self
            .cure
            .as_deref()
            .map(|cure| format!(" ({cure})"))
            .unwrap_or_default();
        write!(
            f,
            "Its changes are in the database: undo the change to that table{cure}, exclude the table in the script, and add \
             the migration to migrations.resolve as Applied"
        )
    }
}
