//! Tables of a seed: CSV files that are sent with `COPY`. The server reads them as its version does.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use super::csv_records::records;
use crate::migrate::aside::in_place;
use crate::migrate::content::Content;
use crate::migrate::error::Error;
use crate::migrate::failure::{KEPT, RowFailure};
use crate::migrate::redact::{self, Origin};
use crate::migrate::script_text;
use crate::migrate::source_error::SourceError;
use crate::postgres::{is_too_long, quote};
use crate::text;

/// Excel and other programs start CSV files with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The most bytes of the line that names the columns. PostgreSQL allows 1,600 columns with names of 63 bytes.
const MAX_HEADER_BYTES: usize = 128 << 10;

/// The most columns of a table, as in PostgreSQL.
const MAX_COLUMNS: usize = 1_600;

/// The first version that reads a line `\.` as data.
const ALL_IS_DATA: u32 = 180_000;

/// Bytes that are sent at a time, because the driver copies them.
const SENT_AT_ONCE: usize = 64 << 10;

/// A table of a seed.
#[derive(Clone, Debug)]
pub struct SeedTable {
    /// Name of its file.
    pub file: String,
    /// Schema, if the file names one, and table.
    name: Vec<String>,
    columns: Vec<String>,
    /// The file, which may begin with a byte order mark.
    file_text: Arc<String>,
}

impl SeedTable {
    /// Reads `<digits>_<table>.csv`, whose first line names the columns.
    ///
    /// # Errors
    /// Where and why the file cannot be used.
    pub fn read(file: &str, content: &Content) -> Result<Self, SourceError> {
        let file_text = script_text::decode_marked(file, content)?;
        let text = unmarked(&file_text);
        let name = name(file).ok_or_else(|| {
            SourceError::file(
                file,
                "the file name does not name a table: rename the file to <table>.csv or <schema>.<table>.csv, optionally \
                 with digits and _ in front for the order",
            )
        })?;
        let columns = header(text).map_err(|what| SourceError::text(file, text, 0, what))?;
        Ok(Self {
            file: file.to_owned(),
            name,
            columns,
            file_text,
        })
    }

    /// Sends the rows to the server.
    pub(super) async fn copy(&self, conn: &mut PgConnection) -> Result<(), Error> {
        if conn.server_version_num().is_none_or(|version| version < ALL_IS_DATA) {
            self.check_end()?;
        }
        let copied = async {
            let mut copy = conn.copy_in_raw(&self.statement()).await?;
            for part in unmarked(&self.file_text).as_bytes().chunks(SENT_AT_ONCE) {
                copy.send(part).await?;
            }
            copy.finish().await
        };
        copied.await.map(drop).map_err(|error| match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) if !is_too_long(answer) => Error::RowFailed(Box::new(self.failure(answer))),
                _ => error.into(),
            },
            _ => error.into(),
        })
    }

    /// Fails if rows follow a line that the server reads as the end of the data.
    fn check_end(&self) -> Result<(), SourceError> {
        let text = unmarked(&self.file_text);
        let end = records(text).find(|record| record.text == "\\.");
        match end.filter(|end| !text[end.end..].trim().is_empty()) {
            None => Ok(()),
            Some(end) => {
                let what = "a line of \\. alone, which this server (before PostgreSQL 18) reads as the end of the data, so \
                    that the rows behind it would be left out; write \"\\.\" in quotes if it is a value";
                Err(SourceError::text(&self.file, text, end.start, what))
            }
        }
    }

    /// SHA-256 of its text, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        in_place(self.file_text.len(), || {
            hex::encode(Sha256::digest(self.file_text.as_bytes()))
        })
    }

    fn statement(&self) -> String {
        let quoted = |names: &[String], between| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(between);
        format!(
            "COPY {} ({}) FROM STDIN WITH (FORMAT csv, HEADER true)",
            quoted(&self.name, "."),
            quoted(&self.columns, ", ")
        )
    }
}

fn unmarked(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Schema and table of a file.
fn name(file: &str) -> Option<Vec<String>> {
    let stem = file.rsplit('/').next()?.rsplit_once('.')?.0;
    let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
    let stem = match stem[digits..].strip_prefix('_') {
        Some(name) if digits > 0 => name,
        _ => stem,
    };
    let parts: Vec<_> = stem.split('.').map(ToOwned::to_owned).collect();
    (parts.len() <= 2 && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// The columns, from the first line.
fn header(text: &str) -> Result<Vec<String>, String> {
    let first = records(text).next().filter(|first| !first.text.is_empty());
    let first = first.ok_or("the first line must name the columns")?;
    let columns = if first.text.len() > MAX_HEADER_BYTES {
        Vec::new()
    } else {
        first.fields()
    };
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return Err(format!(
            "the first line must name the columns, at most {MAX_COLUMNS} in {} KiB",
            MAX_HEADER_BYTES >> 10
        ));
    }
    if let [only] = columns.as_slice()
        && only.contains([';', '\t'])
    {
        return Err("the columns must be separated by commas".to_owned());
    }
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(format!("column {} has no name", index + 1));
        }
        if columns[..index].contains(column) {
            return Err(format!("the column {column} appears twice"));
        }
    }
    Ok(columns)
}

impl SeedTable {
    fn failure(&self, error: &PgDatabaseError) -> RowFailure {
        let context = error.r#where().unwrap_or_default();
        let inside = self.is_inside(context, error.file().unwrap_or_default());
        let (mut line, mut column) = self.place(context);
        if line.is_none() {
            (line, column) = self.with_key(error.detail().unwrap_or_default());
        }
        // The server refused the statement before it read a row.
        if line.is_none() && error.code().starts_with("42") {
            line = Some(1);
        }
        RowFailure {
            file: self.file.clone(),
            line,
            column: column.or(error.column().map(|column| text::kept(column, KEPT))),
            sqlstate: error.code().to_owned(),
            message: text::kept(&without_values(error.code(), inside, error.message()), KEPT),
            // That of a function of the tenant's can consist of values.
            hint: error.hint().filter(|_| !inside).map(|hint| text::kept(hint, KEPT)),
        }
    }

    /// Line and column from `COPY <table>, line <n>, column <name>: "<value>"`, in any language of the server.
    fn place(&self, context: &str) -> (Option<usize>, Option<String>) {
        let Some(place) = context.lines().find_map(|line| line.strip_prefix(&self.context())) else {
            return (None, None);
        };
        let place = place.trim_start_matches(|char: char| !char.is_ascii_digit());
        let digits = place.bytes().take_while(u8::is_ascii_digit).count();
        let (line, rest) = place.split_at(digits);
        let rest = rest.strip_prefix(", ").and_then(|rest| rest.split_once(' '));
        let column = rest.and_then(|(_, rest)| {
            let is = |column: &&String| {
                rest.strip_prefix(column.as_str())
                    .is_some_and(|rest| rest.starts_with(':'))
            };
            self.columns.iter().find(is).cloned()
        });
        (line.parse().ok(), column)
    }

    /// Line and column of the row with the key in `Key (<columns>)=(<values>)`. The server checks foreign keys after
    /// the last row, and reports the key but no line.
    fn with_key(&self, detail: &str) -> (Option<usize>, Option<String>) {
        let key = detail.split_once('(').and_then(|(_, rest)| rest.split_once(")=("));
        let Some((names, values)) = key.and_then(|(names, rest)| Some((names, rest.rsplit_once(')')?.0))) else {
            return (None, None);
        };
        let indices: Option<Vec<_>> = names
            .split(", ")
            .map(|name| self.columns.iter().position(|column| column == name.trim_matches('"')))
            .collect();
        let Some(indices) = indices else {
            return (None, None);
        };
        let row = records(unmarked(&self.file_text)).skip(1).find(|row| {
            let fields = row.fields();
            let key: Vec<_> = indices.iter().filter_map(|index| fields.get(*index)).collect();
            key.len() == indices.len()
                && key.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ") == values
        });
        let line = row.map(|row| row.line);
        (line, (indices.len() == 1).then(|| names.trim_matches('"').to_owned()))
    }

    /// Whether the error comes from a function that was called for a row. `source` is the file of PostgreSQL's that reports
    /// it.
    fn is_inside(&self, context: &str, source: &str) -> bool {
        let is_json = ["jsonfuncs.c", "json.c"].iter().any(|file| source.ends_with(file));
        let is_row = |context: &str| context.starts_with(&self.context());
        // The server puts a line of its own before that of the row, or of a function: `JSON data, line 1: …`.
        let rest = context.split_once('\n').filter(|_| is_json);
        !context.is_empty() && !is_row(context) && rest.is_none_or(|(_, rest)| !is_row(rest))
    }

    fn context(&self) -> String {
        format!("COPY {}, ", self.name.last().map_or("", String::as_str))
    }
}

/// PostgreSQL's message without values of the row. A message of a trigger or function can consist of values alone, and
/// is replaced.
fn without_values(sqlstate: &str, inside: bool, message: &str) -> String {
    if inside {
        return "a trigger or a function refused the row".into();
    }
    redact::message(sqlstate, message, Origin::Script)
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
