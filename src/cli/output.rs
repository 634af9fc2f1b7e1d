//! Output formats: a table for people, JSON, YAML and CSV for programs.

use std::io::Write as _;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::text;

/// Output format of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// A header line and one line for each row (RFC 4180).
    Csv,
}

/// Output format of a command that describes one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TextFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// The text of a cell; none when it is not known.
pub type Cell = Option<String>;

/// Formats rows as aligned columns. An unknown cell is `-`. The columns named in `right` are aligned right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>, right: &[&str]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase().replace('_', " ")));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())));
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if right.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Formats a value as one JSON document.
///
/// # Errors
/// When the value cannot be represented in JSON.
pub fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

/// Formats a value as one YAML document.
///
/// # Errors
/// When the value cannot be represented in YAML.
pub fn yaml(value: &(impl Serialize + ?Sized)) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(&value)?.trim_end().to_owned())
}

/// Formats rows as CSV with a header line. An unknown cell is empty.
pub fn csv(header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(
            row.into_iter()
                .map(|cell| cell.map(|cell| text::cell(&cell).into_owned()).unwrap_or_default()),
        )?;
    }
    let bytes = writer.into_inner().context("the rows could not be written")?;
    Ok(String::from_utf8(bytes)?.trim_end().to_owned())
}

/// Prints a line, or several. Texts of the cluster or the provider may come from anybody, so control characters that a
/// terminal would execute are not printed. A reader that closes the pipe early, such as `head`, is not an error.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{}", text::lines(line)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// Bytes in the largest binary unit that gives a number of at least two.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut left, mut unit) = (bytes.max(0), 0);
    while left >= 2048 && unit + 1 < UNITS.len() {
        left /= 1024;
        unit += 1;
    }
    format!("{left} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cells<const N: usize>(row: [Option<&str>; N]) -> Vec<Cell> {
        row.map(|cell| cell.map(Into::into)).into()
    }

    #[test]
    fn a_table_is_aligned_and_shows_what_is_not_known() {
        let rows = [cells([Some("one"), Some("9.81")]), cells([Some("a longer name"), None])];
        let shown = table(&["name", "monthly"], rows, &["monthly"]);
        assert_eq!(
            shown,
            "NAME           MONTHLY\none               9.81\na longer name        -"
        );
    }

    #[test]
    fn a_size_has_its_largest_unit() {
        let sizes = [0, 2047, 2048, 7_000_000, 5 << 30, i64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "2047 B", "2 KiB", "6 MiB", "5 GiB", "8388607 TiB"]);
    }

    #[test]
    fn csv_quotes_what_it_must_and_carries_no_formula() {
        let rows = [cells([Some("a, \"b\""), Some("=1+1"), None])];
        assert_eq!(csv(&["x", "y", "z"], rows).unwrap(), "x,y,z\n\"a, \"\"b\"\"\",'=1+1,");
    }
}
