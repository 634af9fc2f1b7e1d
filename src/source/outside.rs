//! Files of a source that could be migrations and are not in the folder of migrations that was found. The operator does
//! not leave them out silently.

use super::archive::is_packed;
use super::flaw::Flaw;
use crate::api::MigrationFormat as Format;
use crate::migrate::{is_numbered, is_script};

/// What a tool keeps beside its folder `migrations` and does not apply as a migration.
const OF_PRISMA: [&str; 3] = ["sql", "views", "generated"];
const OF_SUPABASE: [&str; 6] = ["functions", "roles.sql", "schemas", "snippets", "tests", "templates"];

/// Names of files and folders that are no migrations wherever they are: packages of npm, the files of Git, and seeds.
const KNOWN: [&str; 6] = ["node_modules", ".git", "seed", "seeds", "seed.sql", "seeds.sql"];

/// Refuses the first file that could be a migration and is not in `folder`, where the tool of `format` keeps them.
///
/// # Errors
/// [`Flaw::Outside`].
pub fn check<'a>(paths: impl Iterator<Item = &'a str>, folder: &str, format: Format) -> Result<(), Flaw> {
    let mut paths = paths.filter(|path| !is_below(path, folder));
    match paths.find(|path| could_be_migration(path) && !is_known(path, folder, format)) {
        None => Ok(()),
        Some(path) => Err(Flaw::Outside {
            path: path.to_owned(),
            folder: folder.to_owned(),
        }),
    }
}

/// A script of any folder; and at the top, where the keys of ConfigMaps are, also an archive that is not unpacked, and a
/// file that is numbered as migrations are.
fn could_be_migration(path: &str) -> bool {
    is_script(path) || !path.contains('/') && (is_packed(path) || is_numbered(path))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the file is plainly no migration: a file of another program, or one that the tool keeps beside the folder.
fn is_known(path: &str, folder: &str, format: Format) -> bool {
    if path.split('/').any(|name| KNOWN.contains(&name)) {
        return true;
    }
    let Some((project, _)) = folder.rsplit_once('/') else {
        return false;
    };
    let Some(beside) = path.strip_prefix(project).and_then(|rest| rest.strip_prefix('/')) else {
        return false;
    };
    let first = beside.split('/').next().unwrap_or_default();
    let known: &[&str] = match format {
        Format::Prisma => &OF_PRISMA,
        Format::Supabase => &OF_SUPABASE,
        Format::Sqlx => &[],
    };
    known.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(paths: &[&str], folder: &str, format: Format) -> Option<String> {
        match check(paths.iter().copied(), folder, format) {
            Err(Flaw::Outside { path, .. }) => Some(path),
            _ => None,
        }
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
            "app/prisma/seed.sql",
            "app/seeds/members.sql",
            "seed.sql",
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
        ];
        assert_eq!(refused(&supabase, "supabase/migrations", Format::Supabase), None);
        let one = ["supabase/sql/a.sql"];
        assert_eq!(
            refused(&one, "supabase/migrations", Format::Supabase).as_deref(),
            Some(one[0])
        );
    }
}
