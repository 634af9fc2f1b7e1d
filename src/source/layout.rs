//! Finds the folder of a source that holds the scripts: the one that `path` names, or the only candidate.

use std::collections::BTreeSet;
use std::iter;
use std::path::Path;

use super::archive::is_packed;
use super::files::Files;
use super::flaw::Flaw;
use super::outside;
use super::unread::could_be_seed;
use crate::api::{MigrationFormat as Format, ScriptSource};
use crate::migrate::Content;
use crate::text;

/// Files by their paths below a folder. The path of an empty folder ends with `/`.
pub type FoundFiles = Vec<(String, Content)>;

/// Folders in which tools keep the migrations of a project.
const PROJECTS: [(&str, Format); 2] = [
    ("prisma/migrations", Format::Prisma),
    ("supabase/migrations", Format::Supabase),
];

/// The script of a Prisma migration; the name of its folder is the name of the migration.
const PRISMA_SCRIPT: &str = "migration.sql";

/// The file of sqlx's settings.
const SQLX_SETTINGS: &str = "sqlx.toml";

/// The files of migrations, and their format if the name of the folder determines it. Without `path`, every file that could
/// be a migration is among them.
///
/// # Errors
/// When nothing is at `path`, there are several candidates, or a file outside of the folder could be a migration.
pub fn migrations(
    files: &Files,
    path: Option<&str>,
    wanted: Option<Format>,
) -> Result<(FoundFiles, Option<Format>), Flaw> {
    check_unknown(files, path)?;
    let (found, format) = chosen(files, path, wanted)?;
    let packed = found.iter().find(|(path, content)| is_packed(path, content.as_bytes()));
    match packed {
        Some((path, _)) => Err(Flaw::Packed(path.clone())),
        None => Ok((found, format)),
    }
}

/// How many files are named where none is a migration.
const NAMED: usize = 5;

/// What is wrong with these files of a source when none of them is a migration. None where that is meant: the source is
/// empty as a whole, or has hidden files alone, such as the `.gitkeep` of an empty folder.
pub fn without_migration(found: &[(String, Content)], source: &ScriptSource) -> Option<Flaw> {
    let hidden = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    let seen = found.iter().map(|(path, _)| path.as_str()).filter(|path| !hidden(path));
    let seen: Vec<_> = seen.collect();
    let (what, cure) = match (&source.path, seen.is_empty()) {
        (Some(path), true) if found.is_empty() => (
            format!(" at path {path}"),
            "add one, or correct path; a folder that is empty on purpose has a file .gitkeep",
        ),
        (_, true) => return None,
        (None, false) if source.config_maps().next().is_some() => (
            format!(", only {}", text::names(&seen, NAMED, seen.len())),
            "kubectl create configmap --from-file takes no folders: pack them (tar czf) into a key that ends in .tar.gz, or make \
             each script a key of its own, named after its migration",
        ),
        (_, false) => (
            format!(", only {}", text::names(&seen, NAMED, seen.len())),
            "add one, or set path to the folder that holds them",
        ),
    };
    Some(Flaw::NoMigration { what, cure })
}

/// Refuses a key of `binaryData` that could be anything, also packed migrations. With `path`, other files do not matter.
fn check_unknown(files: &Files, path: Option<&str>) -> Result<(), Flaw> {
    let counts = |file: &str| path.is_none_or(|path| path.trim_end_matches('/') == file);
    match files.unknown().find(|(file, _)| counts(file)) {
        None => Ok(()),
        Some((file, bytes)) if is_packed(file, bytes) => Err(Flaw::Packed(file.to_owned())),
        Some((file, _)) => Err(Flaw::Binary(file.to_owned())),
    }
}

fn chosen(files: &Files, path: Option<&str>, wanted: Option<Format>) -> Result<(FoundFiles, Option<Format>), Flaw> {
    if let Some(path) = path {
        let told = PROJECTS
            .iter()
            .find(|(folder, _)| is_at_end(path.trim_end_matches('/'), folder));
        return Ok((at(files, path)?, wanted.or(told.map(|(_, format)| *format))));
    }
    let mut projects = BTreeSet::new();
    for (folder, format) in PROJECTS {
        if wanted.is_none_or(|wanted| wanted == format) {
            let found = paths(files).filter_map(|path| up_to(path, folder));
            projects.extend(found.map(|found| (found, format.as_str())));
        }
    }
    let mut projects = projects.into_iter();
    match (projects.next(), projects.len()) {
        (None, _) => Ok((below(files, &common(files)), wanted)),
        (Some((folder, name)), 0) => {
            let told = PROJECTS.iter().find(|(_, format)| format.as_str() == name);
            let format = wanted.or(told.map(|(_, format)| *format));
            let all = files.iter().filter(|(path, _)| !is_junk(path));
            outside::check(all, folder, format.unwrap_or_default())?;
            Ok((below(files, folder), format))
        }
        (Some((first, _)), _) => {
            let all = iter::once(first).chain(projects.map(|(folder, _)| folder));
            Err(Flaw::Several(all.take(5).collect::<Vec<_>>().join(", ")))
        }
    }
}

/// The files of a seed.
///
/// # Errors
/// When nothing is at `path`, a script or a table lies in a folder below, where its purpose is unknown, or an unread file
/// may contain rows.
pub fn seed(files: &Files, path: Option<&str>) -> Result<FoundFiles, Flaw> {
    check_unknown(files, path)?;
    let found = match path {
        Some(path) => at(files, path)?,
        None => below(files, &common(files)),
    };
    let nested = |path: &&str| path.contains('/') && is_seed(path);
    if let Some(path) = found.iter().map(|(path, _)| path.as_str()).find(nested) {
        return Err(Flaw::Nested(path.to_owned()));
    }
    for (path, content) in found.iter().filter(|(path, _)| !is_seed(path)) {
        if is_packed(path, content.as_bytes()) {
            return Err(Flaw::Packed(path.clone()));
        }
        if could_be_seed(path) {
            return Err(Flaw::Unread(path.clone()));
        }
    }
    Ok(found)
}

/// Whether a file is a script or a table of a seed, according to its name.
pub fn is_seed(path: &str) -> bool {
    let kind = Path::new(path).extension();
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("sql") || kind.eq_ignore_ascii_case("csv"))
}

/// Whether bsdtar or the Finder of macOS made this file: the project did not.
fn is_junk(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("._") || name == ".DS_Store"
}

fn paths(files: &Files) -> impl Iterator<Item = &str> {
    files.iter().map(|(path, _)| path).filter(|path| !is_junk(path))
}

/// The files below a folder, or one file.
fn at(files: &Files, path: &str) -> Result<FoundFiles, Flaw> {
    let path = path.trim_end_matches('/');
    if let Some((_, content)) = files.contents().find(|(file, _)| *file == path) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return Ok(vec![(name.to_owned(), content.clone())]);
    }
    let found = below(files, path);
    if found.is_empty() && !files.folders().any(|folder| folder == path) {
        let top: BTreeSet<_> = paths(files).filter_map(|path| path.split('/').next()).collect();
        return Err(Flaw::NoPath {
            path: path.to_owned(),
            there: top.into_iter().take(10).collect::<Vec<_>>().join(", "),
        });
    }
    Ok(found)
}

/// The files of sqlx's settings in the folders above what `path` names: sqlx reads the one beside `Cargo.toml`.
pub fn settings_above(files: &Files, path: Option<&str>) -> FoundFiles {
    let Some(path) = path.map(|path| path.trim_end_matches('/')) else {
        return FoundFiles::new();
    };
    let ends = path.match_indices('/').map(|(end, _)| &path[..=end]);
    let wanted: BTreeSet<_> = iter::once("")
        .chain(ends)
        .map(|folder| format!("{folder}{SQLX_SETTINGS}"))
        .collect();
    let found = files.contents().filter(|(file, _)| wanted.contains(*file));
    found
        .map(|(file, content)| (file.to_owned(), content.clone()))
        .collect()
}

fn below(files: &Files, folder: &str) -> FoundFiles {
    let inside = |path: &str| {
        let rest = match folder {
            "" => Some(path),
            _ => path.strip_prefix(folder)?.strip_prefix('/'),
        };
        rest.map(str::to_owned)
    };
    let useful = files.contents().filter(|(path, _)| !is_junk(path));
    let mut found: FoundFiles = useful
        .filter_map(|(path, content)| Some((inside(path)?, content.clone())))
        .collect();
    let empty = files.folders().filter_map(inside).filter(|folder| {
        let begin = format!("{folder}/");
        !found.iter().any(|(path, _)| path.starts_with(&begin))
    });
    let empty: Vec<_> = empty.map(|folder| (format!("{folder}/"), Vec::new().into())).collect();
    found.extend(empty);
    found
}

/// The deepest folder that holds all files. The folder of a Prisma migration is its name and does not count.
fn common(files: &Files) -> String {
    let mut common: Option<Vec<&str>> = None;
    for path in paths(files) {
        let mut names: Vec<_> = path.split('/').collect();
        let file = names.pop();
        if file == Some(PRISMA_SCRIPT) {
            names.pop();
        }
        let shared = match &common {
            None => names.len(),
            Some(common) => common
                .iter()
                .zip(&names)
                .take_while(|(one, other)| one == other)
                .count(),
        };
        names.truncate(shared);
        common = Some(names);
    }
    common.unwrap_or_default().join("/")
}

/// The part of a path up to this folder, if the folder is in it.
fn up_to<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let parent = path.rsplit_once('/')?.0;
    let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
    ends.map(|end| &parent[..end]).find(|begin| is_at_end(begin, folder))
}

fn is_at_end(path: &str, folder: &str) -> bool {
    path.strip_suffix(folder)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
