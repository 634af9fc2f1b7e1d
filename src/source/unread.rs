//! Files of a source that are not read, although their names suggest that they are a part of it.

use std::path::Path;

use crate::migrate::{is_or_was, is_script};

/// Endings of files that hold rows. Of a seed, `.csv` is read.
const ROWS: [&str; 14] = [
    "avro", "copy", "dat", "dump", "jsonl", "ndjson", "ods", "parquet", "psv", "tab", "tsv", "xls", "xlsb", "xlsx",
];

/// Endings of files that hold rows, or settings of a tool.
const DATA: [&str; 5] = ["json", "json5", "xml", "yaml", "yml"];

/// Beginnings of the names of files with such endings that tools keep for themselves; what follows is no letter. Names that
/// contain `lock` are further ones.
const OF_TOOLS: [&str; 15] = [
    "angular",
    "biome",
    "compose",
    "composer",
    "deno",
    "docker-compose",
    "jsconfig",
    "kustomization",
    "nest-cli",
    "npm-shrinkwrap",
    "package",
    "pnpm",
    "pom",
    "tsconfig",
    "turbo",
];

/// Endings of files for people.
const FOR_PEOPLE: [&str; 12] = [
    "adoc", "gif", "htm", "html", "jpeg", "jpg", "md", "pdf", "png", "rst", "svg", "webp",
];

/// Whether a file of a seed that is neither a script nor a table, according to its name, could be meant as one:
/// `20_part.tsv`, `20_part.csv.txt`, `20_part`.
pub fn could_be_seed(path: &str) -> bool {
    let name = name(path).to_ascii_lowercase();
    if name.starts_with('.') {
        return false;
    }
    is_script(&name)
        || is_or_was(&name, "csv")
        || has_extension(&name, &ROWS)
        || DATA.iter().any(|ending| is_or_was(&name, ending)) && !is_of_tool(&name)
        || is_ordered(&name) && !is_for_people(&name)
}

/// Whether people read this file, and no program.
pub fn is_for_people(path: &str) -> bool {
    has_extension(&name(path).to_ascii_lowercase(), &FOR_PEOPLE)
}

/// Whether a tool keeps the file for itself: `package.json`, `tsconfig.build.json`, `pnpm-lock.yaml`.
fn is_of_tool(name: &str) -> bool {
    let begins = |tool: &&str| {
        name.strip_prefix(*tool)
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let mut words = name.split(|char: char| !char.is_alphanumeric());
    words.any(|word| word == "lock") || OF_TOOLS.iter().any(begins)
}

/// Whether a name begins with a number, as the files of a seed do that run in an order.
fn is_ordered(name: &str) -> bool {
    let rest = name.trim_start_matches(|char: char| char.is_ascii_digit());
    rest.len() < name.len() && (rest.is_empty() || rest.starts_with(['_', '-', '.', ' ']))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn has_extension(name: &str, all: &[&str]) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| all.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::could_be_seed;

    #[test]
    fn what_could_be_a_part_of_a_seed_is_known_by_its_name() {
        for name in [
            "20_part.tsv",
            "part.TSV",
            "20_part.psql",
            "20_part.csv.txt",
            "part.csv~",
            "part.sql.bak",
            "part.xlsx",
            "20_part",
            "20-part.txt",
            "data/20.part",
            "20",
            "members.json",
            "rows.xml",
            "rows.yaml",
            "Rows.YML",
            "members.json.bak",
            "packages.json",
        ] {
            assert!(could_be_seed(name), "{name}");
        }
        for name in [
            "README.md",
            "LICENSE",
            "notes.txt",
            "01_how-to.md",
            "10_stage.png",
            ".gitkeep",
            ".20_part.csv.swp",
            "kustomization.yaml",
            "package.json",
            "package-lock.json",
            "tsconfig.json",
            "tsconfig.build.json",
            "pnpm-lock.yaml",
            "yarn.lock",
            "kustomization.yml",
            ".eslintrc.json",
            "rows.csv.ts",
            "seed.ts",
            "2026.lock/readme",
        ] {
            assert!(!could_be_seed(name), "{name}");
        }
    }
}
