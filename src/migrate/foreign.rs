//! Layouts of migration tools whose history the operator does not support. Some of them look like those of supported tools:
//! mistaken for one of them, the scripts would be applied in another order, or including their down migrations.

use super::content::Content;
use super::source_error::SourceError;

/// A layout, and what to do about it.
struct Layout {
    tool: &'static str,
    cure: &'static str,
}

/// Scripts that can be applied as they are, when somebody says how.
const PLAIN: &str = "to have them applied and recorded as another tool does, set migrations.format; Prisma and Supabase take \
    them in the order of their names";

/// Scripts that undo themselves.
const BOTH_WAYS: &str = "such a script also contains the down migration and would undo itself: put the up statements into \
                         scripts of their own, and set migrations.format";

const DRIZZLE: Layout = Layout {
    tool: "Drizzle",
    cure: PLAIN,
};
const FLYWAY: Layout = Layout {
    tool: "Flyway",
    cure: PLAIN,
};

/// The line that a script of these tools has at its beginning (their manuals: goose "SQL migrations", sql-migrate "Writing
/// migrations", dbmate "Creating migrations", node-pg-migrate "SQL migrations", Liquibase "Formatted SQL").
const MARKS: [(&str, Layout); 5] = [
    ("-- +goose up", both_ways("goose")),
    ("-- +migrate up", both_ways("sql-migrate")),
    ("-- migrate:up", both_ways("dbmate")),
    ("-- up migration", both_ways("node-pg-migrate")),
    (
        "--liquibase formatted sql",
        Layout {
            tool: "Liquibase",
            cure: PLAIN,
        },
    ),
];

const fn both_ways(tool: &'static str) -> Layout {
    Layout { tool, cure: BOTH_WAYS }
}

/// How much of a script is looked at for [`MARKS`].
const BEGINNING: usize = 4 << 10;

/// Refuses files of a tool that the operator does not know, when nobody has said which format they are to have.
///
/// # Errors
/// [`SourceError::File`], which names the tool.
pub(super) fn check(files: &[(String, Content)]) -> Result<(), SourceError> {
    for (file, content) in files {
        if let Some(Layout { tool, cure }) = layout(files, file, content) {
            let what = format!("it is a {tool} migration, and the operator does not support {tool}'s history: {cure}");
            return Err(SourceError::file(file, what));
        }
    }
    Ok(())
}

fn layout(files: &[(String, Content)], file: &str, content: &Content) -> Option<Layout> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    if name == "_journal.json" {
        return Some(DRIZZLE);
    }
    if name == "snapshot.json" {
        let script = format!("{folder}/migration.sql");
        return files.iter().any(|(file, _)| *file == script).then_some(DRIZZLE);
    }
    if !name.to_ascii_lowercase().ends_with(".sql") {
        return None;
    }
    if is_flyway(name) {
        return Some(FLYWAY);
    }
    let beginning = content.as_bytes().get(..BEGINNING).unwrap_or(content.as_bytes());
    let beginning = String::from_utf8_lossy(beginning).to_ascii_lowercase();
    let mut lines = beginning.lines().map(str::trim);
    lines.find_map(|line| {
        MARKS
            .into_iter()
            .find(|(mark, _)| line.starts_with(mark))
            .map(|(_, layout)| layout)
    })
}

/// `V2.1__name.sql`, `U2__name.sql`, `B2__name.sql` or `R__name.sql` (Flyway's manual, "Migrations").
fn is_flyway(name: &str) -> bool {
    let Some((version, _)) = name.split_once("__") else {
        return false;
    };
    match version.split_at_checked(1) {
        Some(("V" | "U" | "B", number)) => {
            number.starts_with(|c: char| c.is_ascii_digit())
                && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_'))
        }
        Some(("R", number)) => number.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &[(&str, &str)]) -> Option<String> {
        let files = files
            .iter()
            .map(|(file, text)| ((*file).to_owned(), Content::from(text.as_bytes().to_vec())));
        let files: Vec<_> = files.collect();
        check(&files).err().map(|error| error.to_string())
    }

    #[test]
    fn a_layout_of_another_tool_is_named() {
        for (files, file, tool) in [
            (
                &[
                    ("20260101000000_a/migration.sql", ""),
                    ("20260101000000_a/snapshot.json", "{}"),
                ][..],
                "20260101000000_a/snapshot.json",
                "Drizzle",
            ),
            (
                &[
                    ("0000_a.sql", ""),
                    ("meta/_journal.json", "{}"),
                    ("meta/0000_snapshot.json", "{}"),
                ],
                "meta/_journal.json",
                "Drizzle",
            ),
            (&[("V1__a.sql", "")], "V1__a.sql", "Flyway"),
            (&[("a.sql", ""), ("R__views.sql", "")], "R__views.sql", "Flyway"),
            (&[("db/V1_2.3__a b.SQL", "")], "db/V1_2.3__a b.SQL", "Flyway"),
            (&[("U10__a.sql", "")], "U10__a.sql", "Flyway"),
            (
                &[("00001_a.sql", "-- x\n-- +goose Up\nSELECT 1;\n-- +goose Down\n")],
                "00001_a.sql",
                "goose",
            ),
            (&[("1_a.sql", "-- migrate:up\r\nSELECT 1;")], "1_a.sql", "dbmate"),
            (&[("1_a.sql", "-- Up Migration\n")], "1_a.sql", "node-pg-migrate"),
            (&[("1-a.sql", "-- +migrate Up")], "1-a.sql", "sql-migrate"),
            (&[("a.sql", "--liquibase formatted sql\n")], "a.sql", "Liquibase"),
        ] {
            let told = refused(files).unwrap_or_default();
            assert!(
                told.starts_with(&format!("{file}: it is a {tool} migration,")) && told.contains("migrations.format"),
                "{told}"
            );
        }
    }

    #[test]
    fn files_that_only_resemble_another_tools_are_accepted() {
        for files in [
            &[
                ("V1_a.sql", ""),
                ("Views__all.sql", ""),
                ("R1__a.sql", ""),
                ("v1__a.sql", ""),
            ][..],
            &[("20260101000000_a__b.sql", "SELECT '-- +goose Up'; -- migrate:up")],
            &[("a/migration.sql", ""), ("b/snapshot.json", ""), ("snapshot.json", "")],
            &[("V1__a.md", "-- migrate:up")],
        ] {
            assert_eq!(refused(files), None, "{files:?}");
        }
    }
}
