//! What a file is according to its name in the format of each tool, and which format a set of files has.

use std::collections::BTreeSet;

use super::content::Content;
use super::ending::{has_extension, is_script};
use super::foreign;
use super::source_error::SourceError;
use crate::api::MigrationFormat as Format;

/// `<timestamp>_init.sql` with an earlier timestamp is of an old `supabase init`; the CLI no longer applies it
/// (pkg/migration/list.go).
const LEGACY_INIT_BEFORE: &str = "20211209000000";

/// How a tool uses a file, according to its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileUse {
    /// A migration.
    Migration(MigrationName),
    /// The tool ignores the file.
    Ignored,
    /// The tool refuses the file, or would ignore one that looks like a migration.
    Refused(String),
}

/// The parts of a migration's name, as its tool splits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MigrationName {
    /// The folder's name.
    Prisma(String),
    /// `<version>_<name>`.
    Supabase { version: String, name: String },
    /// `<version>_<description>`.
    Sqlx { version: i64, description: String },
}

/// How the tool of a format uses a file.
pub(super) fn file_use(format: Format, file: &str) -> FileUse {
    match format {
        Format::Prisma => prisma(file),
        Format::Supabase => supabase(file),
        Format::Sqlx => sqlx(file),
    }
}

/// Whether a file's name begins as that of a migration: with a number and `_`.
pub fn is_numbered(path: &str) -> bool {
    numbered(path.rsplit('/').next().unwrap_or_default()).is_some()
}

/// Scripts with these names in the folder of a Prisma migration undo it. Prisma does not run them.
const REVERSE: [&str; 4] = ["down.sql", "revert.sql", "rollback.sql", "undo.sql"];

fn is_reverse(file: &str) -> bool {
    REVERSE.iter().any(|name| file.eq_ignore_ascii_case(name))
}

/// `<name>.sql`, or `<name>/migration.sql` as in a Prisma project. Prisma ignores other files in such a folder.
fn prisma(file: &str) -> FileUse {
    if let Some((folder, rest)) = file.split_once('/') {
        return if rest == SCRIPT {
            FileUse::Migration(MigrationName::Prisma(folder.into()))
        } else if is_script(rest) && !is_reverse(rest) {
            FileUse::Refused(format!(
                "Prisma runs only {SCRIPT} in a migration's folder: move the statements there, or remove the file"
            ))
        } else {
            FileUse::Ignored
        };
    }
    if file == LOCK_FILE || has_extension(file, "md") || file.starts_with('.') && !is_script(file) {
        return FileUse::Ignored;
    }
    match (without_folder(file), file.strip_suffix(".sql")) {
        (Some(what), _) => FileUse::Refused(what.into()),
        (None, Some(name)) if !name.is_empty() => FileUse::Migration(MigrationName::Prisma(name.into())),
        _ => FileUse::Refused("a migration's key must be <migration name>.sql".into()),
    }
}

/// Why a script of a Prisma migration's folder cannot be used without the folder.
fn without_folder(file: &str) -> Option<&'static str> {
    if file.eq_ignore_ascii_case(SCRIPT) {
        return Some(
            "the name of a Prisma migration is that of its folder, which is missing here: pack the folder (tar czf), or name \
             the key <folder>.sql",
        );
    }
    is_reverse(file).then_some(
        "by its name it undoes a migration, which Prisma does not do: remove it, and pack the migration's folder (tar czf), or \
         name the key of its migration.sql <folder>.sql",
    )
}

/// A file whose name is not that of a migration: refused if it could be meant as one.
fn other(file: &str, must: &str) -> FileUse {
    if is_script(file) || is_numbered(file) {
        FileUse::Refused(format!(
            "{must}; rename it, or remove it from the folder of the migrations"
        ))
    } else {
        FileUse::Ignored
    }
}

/// As the CLI reads a folder. Files that it would leave out are refused: files in subfolders, and other names.
fn supabase(file: &str) -> FileUse {
    if file.contains('/') {
        return other(
            file,
            "it is in a folder, where Supabase does not look for migrations: set path to the folder that holds them",
        );
    }
    let Some((version, name)) = file.strip_suffix(".sql").and_then(numbered) else {
        return other(
            file,
            "a migration of the Supabase CLI must be named <timestamp>_<name>.sql",
        );
    };
    if version.len() == LEGACY_INIT_BEFORE.len() && version < LEGACY_INIT_BEFORE && name == "init" {
        return FileUse::Ignored;
    }
    FileUse::Migration(MigrationName::Supabase {
        version: version.into(),
        name: name.into(),
    })
}

/// The name of a file that [`supabase`] leaves out as the script of an old `supabase init`. The CLI does so only with the
/// first file of the folder, and applies a later one.
pub(super) fn later_init(file: &str, first: Option<&str>) -> Option<MigrationName> {
    let (version, name) = file.strip_suffix(".sql").and_then(numbered)?;
    (first != Some(file) && name == "init" && !file.contains('/')).then(|| MigrationName::Supabase {
        version: version.into(),
        name: name.into(),
    })
}

/// As `sqlx::migrate` reads a folder: `<version>_<description>.sql`, `.up.sql` and `.down.sql`. Files that it would leave
/// out are refused: files in subfolders, and other names.
fn sqlx(file: &str) -> FileUse {
    const NAMED: &str = "a migration of sqlx must be named <number>_<description>.sql";
    if file.contains('/') {
        return other(
            file,
            "it is in a folder, where Sqlx does not look for migrations: set path to the folder that holds them",
        );
    }
    let Some((version, rest)) = file.strip_suffix(".sql").and_then(|stem| stem.split_once('_')) else {
        return other(file, NAMED);
    };
    let Ok(version) = version.parse::<i64>() else {
        return FileUse::Refused(NAMED.into());
    };
    if rest.strip_suffix(".down").is_some() {
        return FileUse::Ignored;
    }
    FileUse::Migration(MigrationName::Sqlx {
        version,
        description: rest.strip_suffix(".up").unwrap_or(rest).replace('_', " "),
    })
}

/// `<digits>_<rest>`.
fn numbered(stem: &str) -> Option<(&str, &str)> {
    let (number, rest) = stem.split_once('_')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some((number, rest))
}

/// The file in which Prisma records the provider, beside the migrations.
pub(super) const LOCK_FILE: &str = "migration_lock.toml";

/// The file of sqlx's settings (from 0.9 on), which sqlx reads beside `Cargo.toml`: usually a folder above the migrations.
pub(super) const SQLX_SETTINGS: &str = "sqlx.toml";

/// The name of the script in a Prisma migration's folder.
const SCRIPT: &str = "migration.sql";

/// Refuses folders that Prisma refuses or that it would not read as their author expects: each folder must hold
/// a `migration.sql` (P3015), and either all scripts are in folders of their own or none is.
pub(super) fn check_folders(files: &[(String, Content)]) -> Result<(), SourceError> {
    let names = || files.iter().map(|(file, _)| file.as_str());
    let folders: BTreeSet<_> = names()
        .filter_map(|file| file.split_once('/'))
        .map(|(folder, _)| folder)
        .collect();
    let scripts: BTreeSet<_> = names()
        .filter_map(|file| file.strip_suffix(SCRIPT)?.strip_suffix('/'))
        .collect();
    if let Some(folder) = folders.iter().find(|folder| !scripts.contains(*folder)) {
        return Err(SourceError::file(
            folder,
            "could not find the migration file at migration.sql (Prisma's P3015): restore it, delete the folder, or set \
             path to the folder of the migrations",
        ));
    }
    let loose = names().find(|file| !file.contains('/') && has_extension(file, "sql"));
    match loose {
        Some(loose) if !folders.is_empty() => Err(SourceError::file(
            loose,
            "the other migrations are in folders, where Prisma looks for them: move this one to <name>/migration.sql",
        )),
        _ => Ok(()),
    }
}

/// The first line of an sqlx script that runs outside of a transaction.
pub(super) const NO_TRANSACTION: &str = "-- no-transaction";

/// Detects the format by files that only one of the tools writes.
///
/// # Errors
/// [`SourceError::Ambiguous`] if several tools would accept the files, and files of a tool that is not known.
pub(super) fn detect(files: &[(String, Content)]) -> Result<Format, SourceError> {
    let names = || files.iter().map(|(file, _)| file.as_str());
    if names().any(|file| file == LOCK_FILE) {
        return Ok(Format::Prisma);
    }
    foreign::check(files)?;
    if names().any(|file| file.split_once('/').is_some_and(|(_, rest)| rest == SCRIPT)) {
        return Ok(Format::Prisma);
    }
    let scripts = || {
        files
            .iter()
            .filter(|(file, _)| has_extension(file, "sql") && !file.contains('/'))
    };
    let for_sqlx = |(file, script): &(String, Content)| {
        file.ends_with(".up.sql")
            || file.ends_with(".down.sql")
            || script.as_bytes().starts_with(NO_TRANSACTION.as_bytes())
    };
    if scripts().any(for_sqlx) {
        return Ok(Format::Sqlx);
    }
    let Some((example, _)) = scripts().next() else {
        return Ok(Format::Prisma);
    };
    let takes = |format: &Format| names().all(|file| !matches!(file_use(*format, file), FileUse::Refused(_)));
    let all_numbered = scripts().all(|(file, _)| matches!(sqlx(file), FileUse::Migration(_)));
    let readings: BTreeSet<&str> = [Format::Prisma, Format::Supabase, Format::Sqlx]
        .iter()
        .filter(|format| takes(format) && (**format == Format::Prisma || all_numbered))
        .map(|format| format.as_str())
        .collect();
    if readings.len() > 1 {
        return Err(SourceError::Ambiguous {
            file: example.clone(),
            readings: readings.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    Ok(Format::Prisma)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(files: &[&str]) -> Result<Format, SourceError> {
        let files = files
            .iter()
            .map(|file| ((*file).to_owned(), Content::from(b"SELECT 1".to_vec())));
        detect(&files.collect::<Vec<_>>())
    }

    #[test]
    fn a_format_is_known_by_what_only_its_tool_writes() {
        let numbered = "20260101000000_init.sql";
        for (files, format) in [
            (&["migration_lock.toml", numbered][..], Some(Format::Prisma)),
            (&["init.sql", "README.md"], Some(Format::Prisma)),
            (&["1_a.up.sql", "1_a.down.sql"], Some(Format::Sqlx)),
            (&[], Some(Format::Prisma)),
            (&["20260101000000_init/migration.sql"], Some(Format::Prisma)),
            (&["1_a.up.sql", "old/x.sql"], Some(Format::Sqlx)),
            (&[numbered], None),
            (&["1_a.sql", "2_b.sql"], None),
        ] {
            match (detected(files), format) {
                (Ok(found), Some(format)) => assert_eq!(found, format, "{files:?}"),
                (Err(SourceError::Ambiguous { readings, .. }), None) => {
                    assert_eq!(readings, "Prisma, Sqlx, Supabase", "{files:?}");
                }
                (found, _) => panic!("{files:?}: {found:?}"),
            }
        }
        let untied = ("1_a.sql".to_owned(), b"-- no-transaction\nVACUUM".to_vec().into());
        assert_eq!(detect(&[untied]), Ok(Format::Sqlx));
    }

    #[test]
    fn names_are_taken_apart_as_their_tools_do() {
        let supabase = |version: &str, name: &str| {
            FileUse::Migration(MigrationName::Supabase {
                version: version.into(),
                name: name.into(),
            })
        };
        let sqlx = |version, description: &str| {
            FileUse::Migration(MigrationName::Sqlx {
                version,
                description: description.into(),
            })
        };
        for (file, named_as) in [
            ("20260101000000_add_parts.sql", supabase("20260101000000", "add_parts")),
            ("1_.sql", supabase("1", "")),
            ("20200101000000_init.sql", FileUse::Ignored),
            ("20220101000000_init.sql", supabase("20220101000000", "init")),
            ("README.md", FileUse::Ignored),
            ("old/notes.md", FileUse::Ignored),
        ] {
            assert_eq!(file_use(Format::Supabase, file), named_as, "{file}");
        }
        for (file, named_as) in [
            ("001_add_some_parts.sql", sqlx(1, "add some parts")),
            ("20260101000000_a.up.sql", sqlx(20_260_101_000_000, "a")),
            ("20260101000000_a.down.sql", FileUse::Ignored),
            ("Cargo.toml", FileUse::Ignored),
            (".gitkeep", FileUse::Ignored),
        ] {
            assert_eq!(file_use(Format::Sqlx, file), named_as, "{file}");
        }
        assert!(matches!(file_use(Format::Sqlx, "abc_x.sql"), FileUse::Refused(_)));
        assert!(matches!(file_use(Format::Supabase, "init.sql"), FileUse::Refused(_)));
        assert!(matches!(file_use(Format::Prisma, "notes.txt"), FileUse::Refused(_)));
    }

    #[test]
    fn a_name_that_only_resembles_a_migrations_is_refused() {
        for (format, files) in [
            (
                Format::Prisma,
                &["1_a.SQL", "1_a/more.sql", "1_a/old/migration.sql", "1_a/MIGRATION.SQL"][..],
            ),
            (
                Format::Prisma,
                &["migration.sql", "MIGRATION.sql", "down.sql", "Undo.sql"],
            ),
            (
                Format::Supabase,
                &[
                    "1_a.SQL",
                    "1_a.txt",
                    "1_a.sql.bak",
                    "old/1_a.sql",
                    "old/more/x.SQL",
                    "old/2_b",
                    "init.psql",
                ],
            ),
            (
                Format::Sqlx,
                &["1_a.SQL", "1_a", "1_a.pgsql", "seed.sql", "old/1_a.sql", "1_a.up.sql~"],
            ),
        ] {
            for file in files {
                assert!(matches!(file_use(format, file), FileUse::Refused(_)), "{file}");
            }
        }
        for file in ["1_a/down.sql", "1_a/README.md", ".gitkeep", "migration_lock.toml"] {
            assert_eq!(file_use(Format::Prisma, file), FileUse::Ignored, "{file}");
        }
    }

    #[test]
    fn prisma_keeps_a_folder_for_each_migration() {
        let check = |files: &[&str]| {
            let files: Vec<_> = files
                .iter()
                .map(|file| ((*file).to_owned(), Content::from(Vec::new())))
                .collect();
            check_folders(&files).map_err(|error| error.to_string())
        };
        for (files, refused) in [
            (&["1_a/migration.sql", "1_a/down.sql", "README.md"][..], ""),
            (&["1_a.sql", "2_b.sql"], ""),
            (
                &["1_a/migration.sql", "2_b/README.md"],
                "2_b: could not find the migration file",
            ),
            (&["1_a/migration.sql", "2_b/"], "2_b: could not find the migration file"),
            (&["app/1_a/migration.sql"], "app: could not find the migration file"),
            (
                &["1_a/migration.sql", "2_b.sql"],
                "2_b.sql: the other migrations are in folders",
            ),
        ] {
            let given = check(files).err().unwrap_or_default();
            assert!(
                given.starts_with(refused) && given.is_empty() == refused.is_empty(),
                "{files:?}: {given}"
            );
        }
        let migration = FileUse::Migration(MigrationName::Prisma("1 a copy".into()));
        assert_eq!(file_use(Format::Prisma, "1 a copy/migration.sql"), migration);
    }
}
