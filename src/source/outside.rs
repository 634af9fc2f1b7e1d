//! Files of a source that could be migrations and are not in the folder of migrations that was found. The operator does
//! not leave them out silently.

use super::archive::is_packed;
use super::flaw::Flaw;
use super::unread::is_for_people;
use crate::api::MigrationFormat as Format;
use crate::migrate::{is_numbered, is_script};

/// Folders that a tool keeps beside its folder `migrations` and does not apply as migrations.
const OF_PRISMA: [&str; 3] = ["sql", "views", "generated"];
const OF_SUPABASE: [&str; 6] = ["functions", "roles.sql", "schemas", "snippets", "tests", "templates"];

/// Folders that hold no migrations of the project: packages of npm and Yarn, and the files of Git.
const FOREIGN: [&str; 3] = ["node_modules", ".yarn", ".git"];

/// Names of folders in which projects keep the files of their database.
const OF_DATABASES: [&str; 4] = ["database", "db", "ddl", "sql"];

/// Files and folders of seeds.
const SEEDS: [&str; 4] = ["seed", "seeds", "seed.sql", "seeds.sql"];

/// A number of that many digits is a date, as migration tools number scripts. Seeds have shorter ones.
const DATE: usize = 8;

/// The script of a Prisma migration, wherever it is.
const SCRIPT: &str = "migration.sql";

/// Refuses the first file that could be a migration and is not in `folder`, where the tool of `format` keeps them.
///
/// # Errors
/// [`Flaw::Outside`].
pub fn check<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>, folder: &str, format: Format) -> Result<(), Flaw> {
    let mut files = files.filter(|(path, _)| !is_below(path, folder));
    match files.find(|(path, bytes)| could_be_migration(path, bytes, folder) && !is_known(path, folder, format)) {
        None => Ok(()),
        Some((path, _)) => Err(Flaw::Outside {
            path: path.to_owned(),
            folder: folder.to_owned(),
        }),
    }
}

/// A script of any folder. Beside and above the folder of the migrations, also an archive that is not unpacked, and a file
/// that is numbered as migrations are; in other folders, these if a name in their paths suggests a database's schema.
fn could_be_migration(path: &str, bytes: &[u8], folder: &str) -> bool {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_script(path) {
        return true;
    }
    if parent.is_empty() || is_below(folder, parent) {
        return is_packed(path, bytes) || is_numbered(path);
    }
    path.split('/').any(speaks_of_schema)
        && (is_packed(path, bytes) || is_of_migration(name, DATE) && !is_for_people(name))
}

fn speaks_of_schema(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["migrat", "schema"].iter().any(|word| name.contains(word)) || OF_DATABASES.contains(&name.as_str())
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the file is certainly not a migration: a file of another program, a seed, or what the tool keeps beside the
/// folder.
fn is_known(path: &str, folder: &str, format: Format) -> bool {
    let names: Vec<_> = path.split('/').collect();
    if names.iter().any(|name| FOREIGN.contains(name)) {
        return true;
    }
    let seed = names.iter().position(|name| SEEDS.contains(name));
    if seed.is_some_and(|at| !names[at..].iter().any(|name| is_of_migration(name, DATE))) {
        return true;
    }
    let Some((project, _)) = folder.rsplit_once('/') else {
        return false;
    };
    let Some(beside) = path.strip_prefix(project).and_then(|rest| rest.strip_prefix('/')) else {
        return false;
    };
    let (first, mut rest) = {
        let mut names = beside.split('/');
        (names.next().unwrap_or_default(), names)
    };
    match format {
        // Prisma takes the names of queries and views from these files: none begins with a digit.
        Format::Prisma => OF_PRISMA.contains(&first) && !rest.any(|name| is_of_migration(name, 1)),
        // The Supabase CLI applies schemas and tests in the order of their names, which are often numbered.
        Format::Supabase => OF_SUPABASE.contains(&first),
        Format::Sqlx => false,
    }
}

/// Whether a file or folder has a name of a migration: it begins with a number of so many digits, or is Prisma's script.
fn is_of_migration(name: &str, digits: usize) -> bool {
    name.eq_ignore_ascii_case(SCRIPT) || name.bytes().take_while(u8::is_ascii_digit).count() >= digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(paths: &[&str], folder: &str, format: Format) -> Option<String> {
        let files = paths.iter().map(|path| (*path, &b"SELECT 1"[..]));
        match check(files, folder, format) {
            Err(Flaw::Outside { path, .. }) => Some(path),
            _ => None,
        }
    }

    /// A whole project below a folder of its own, as GitHub packs it, and archives in a folder of the database.
    #[test]
    fn packed_and_numbered_files_near_the_migrations_are_not_left_out() {
        let inside = "repo-1.0/app/prisma/migrations/1_a/migration.sql";
        let folder = "repo-1.0/app/prisma/migrations";
        for outside in [
            "repo-1.0/more.tar.gz",
            "repo-1.0/app/2_b",
            "repo-1.0/app/prisma/later.tar.gz",
            "repo-1.0/app/prisma/20260102_b.dat",
            "repo-1.0/db/more.zip",
            "repo-1.0/db/20260102_b",
            "repo-1.0/app/old/migrations-2.zip",
            "repo-1.0/Migrations/2026/part.tgz",
            "repo-1.0/schemas/all.7z",
        ] {
            let found = refused(&[inside, outside], folder, Format::Prisma);
            assert_eq!(found.as_deref(), Some(outside));
        }
        let project = [
            inside,
            "repo-1.0/.yarn/cache/migrate-npm-1.zip",
            "repo-1.0/node_modules/x/db/y.tgz",
            "repo-1.0/app/public/fonts.zip",
            "repo-1.0/app/public/1_cover.png",
            "repo-1.0/docs/migrations/20260102_how-to.md",
            "repo-1.0/docs/2026_01.txt",
            "repo-1.0/app/prisma/seeds/rows.tgz",
        ];
        assert_eq!(refused(&project, folder, Format::Prisma), None);
    }

    #[test]
    fn what_could_be_a_migration_is_not_left_out() {
        let inside = "prisma/migrations/1_a/migration.sql";
        for outside in [
            "2_b.sql",
            "2_b.SQL",
            "2_b.sql.bak",
            "2_b.psql",
            "2_b.txt",
            "2_b",
            "more.zip",
            "more.tar.xz",
            "1_b/migration.sql",
            "prisma/migrations.sql",
            "prisma/migrations-2/1_b/migration.sql",
            "prisma/2_b.sql",
            "db/2_b.sql",
            "supabase/migrations/1_a.sql",
            "prisma/generated/2_b/migration.sql",
            "prisma/generated/client/Migration.SQL",
            "prisma/sql/2_b/migration.sql",
            "prisma/sql/2_b.sql",
            "prisma/views/20260102_b/up.sql",
            "seeds/20260102_add.sql",
            "seed/2_b/migration.sql",
            "prisma/seeds/20260102000000_add/up.sql",
        ] {
            let found = refused(&[inside, outside], "prisma/migrations", Format::Prisma);
            assert_eq!(found.as_deref(), Some(outside));
        }
    }

    #[test]
    fn a_whole_project_is_read() {
        let prisma = [
            "README.md",
            "package.json",
            "2024/photo_1.png",
            "app/prisma/migrations/1_a/migration.sql",
            "app/prisma/schema.prisma",
            "app/prisma/seed.ts",
            "app/prisma/dev.sqlite",
            "data/app.sqlite3",
            "internal/db/query.sql.go",
            "src/queries.sql.ts",
            "app/prisma/seed.sql",
            "app/seeds/members.sql",
            "seed.sql",
            "app/seeds/10_settings.sql",
            "20260102_app/seeds/more/2_rows.sql",
            "app/node_modules/x/migrations/20260102_b/migration.sql",
            "app/prisma/sql/members.sql",
            "app/prisma/views/public/v.sql",
            "app/node_modules/x/1_a.sql",
            "app/.git/x.sql",
        ];
        assert_eq!(refused(&prisma, "app/prisma/migrations", Format::Prisma), None);
        let supabase = [
            "supabase/config.toml",
            "supabase/migrations/1_a.sql",
            "supabase/seed.sql",
            "supabase/seeds/a.sql",
            "supabase/tests/database/a.test.sql",
            "supabase/schemas/a.sql",
            "supabase/schemas/01_tables.sql",
            "supabase/tests/database/20260102_b.test.sql",
            "supabase/seeds/10_organisation.sql",
        ];
        assert_eq!(refused(&supabase, "supabase/migrations", Format::Supabase), None);
        for one in ["supabase/sql/a.sql", "supabase/seeds/20260102_add.sql"] {
            let found = refused(&[one], "supabase/migrations", Format::Supabase);
            assert_eq!(found.as_deref(), Some(one));
        }
    }
}
