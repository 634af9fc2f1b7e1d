//! Whether a file's name is that of a script, or of a script that somebody copied, disabled or packed.

use std::path::Path;

/// Endings of scripts. Only `.sql` is applied.
const SCRIPTS: [&str; 4] = ["sql", "psql", "pgsql", "ddl"];

/// Words that people, editors and archivers append to the name of a file that they copy, disable or pack. Numbers count as well.
const AFTER: [&str; 42] = [
    "7z", "backup", "bak", "bck", "br", "bz2", "copy", "deleted", "disabled", "draft", "gz", "ignore", "ignored", "lz",
    "lz4", "lzma", "new", "off", "old", "orig", "part", "rar", "rej", "removed", "sav", "save", "saved", "skip",
    "skipped", "swo", "swp", "tar", "temp", "tgz", "tmp", "txt", "unused", "wip", "xz", "z", "zip", "zst",
];

/// Whether a file's name is that of a script, or of a former script: `a.sql`, `a.SQL`, `a.sql.bak`, `a.sql~`. A database file of
/// `SQLite` and source code that contains queries (`a.sqlite`, `a.sql.go`) are no scripts.
pub fn is_script(path: &str) -> bool {
    SCRIPTS.iter().any(|ending| is_or_was(path, ending))
}

/// Whether a file's name has this ending in upper or lower case, or had it before one of the words of [`AFTER`] was appended.
pub fn is_or_was(path: &str, ending: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let ending = format!(".{ending}");
    let mut after = name.match_indices(&ending).map(|(at, _)| &name[at + ending.len()..]);
    after.any(is_set_aside)
}

/// Whether the rest of a name after its ending is empty or consists of words of [`AFTER`] and numbers: `.bak`, `~`, `.old.gz`,
/// `_copy2`, ` (1)`.
fn is_set_aside(rest: &str) -> bool {
    let begins_anew = !rest.starts_with(|char: char| char.is_alphanumeric());
    let mut words = rest.split(|char: char| !char.is_alphanumeric());
    begins_anew
        && words.all(|word| {
            let plain = word.trim_end_matches(|char: char| char.is_ascii_digit());
            plain.is_empty() || [word, plain].iter().any(|word| AFTER.contains(word))
        })
}

/// Whether a file's name has this extension, in upper or lower case.
pub(super) fn has_extension(file: &str, extension: &str) -> bool {
    let found = Path::new(file).extension();
    found.is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_was_set_aside_is_told_from_other_files() {
        for name in [
            "a.sql",
            "a.SQL",
            "db/a.psql",
            "a.pgsql",
            "a.ddl",
            "a.sql.bak",
            "a.sql.BAK2",
            "a.sql~",
            "a.sql.~1~",
            "a.sql.old",
            "a.sql.orig",
            "a.sql.txt",
            "a.sql.gz",
            "a.sql.tar.gz",
            "a.sql.7z",
            "a.sql.lz4",
            "a.sql.20260101",
            "a.sql_old",
            "a.sql - Copy (2)",
            "a.psql.bak",
            "a.sql.sql",
            "a.sqlite.sql",
        ] {
            assert!(is_script(name), "{name}");
        }
        for name in [
            "prisma/dev.sqlite",
            "data/app.sqlite3",
            "app.sqlite-journal",
            "internal/db/query.sql.go",
            "queries.sql.ts",
            "queries.sql.d.ts",
            "q.sql.py",
            "q.sql.snap",
            "a.sqlx",
            "a.sqlproj",
            "a.sql.md",
            "sql",
            "a.sql/readme",
        ] {
            assert!(!is_script(name), "{name}");
        }
        assert!(is_or_was("part.csv~", "csv") && is_or_was("20_part.CSV.txt", "csv"));
        assert!(!is_or_was("rows.csv.ts", "csv") && !is_or_was("a.csvx", "csv"));
    }
}
