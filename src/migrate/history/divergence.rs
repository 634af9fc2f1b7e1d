//! The differences between a history and a source, and which of them stop the tool itself.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::prisma;
use super::record::History;
use crate::api::MigrationFormat as Format;
use crate::migrate::aside::in_place;
use crate::migrate::error::Error;
use crate::migrate::order;
use crate::migrate::source::{Migration, MigrationId, Source};
use crate::text;

/// The differences between a history and a source: names of migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Applied migrations whose scripts have changed since.
    pub edited: Vec<String>,
    /// Applied migrations that are no longer in the source.
    pub missing: Vec<String>,
    /// Pending migrations that are older than an applied one.
    pub out_of_order: Vec<String>,
    /// Migrations that other versions of the tool apply at another position.
    pub displaced: Vec<String>,
    format: Format,
}

impl Divergence {
    /// One line for the user; empty if there is no difference.
    pub fn describe(&self) -> String {
        let parts = [
            ("changed since they were applied", &self.edited),
            ("applied, but no longer in the source", &self.missing),
            ("older than one that is applied", &self.out_of_order),
            (self.other_order(), &self.displaced),
        ];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts = parts.map(|(what, names)| format!("{what}: {}", listed(names)));
        parts.collect::<Vec<_>>().join("; ")
    }
}

impl Divergence {
    fn other_order(&self) -> &'static str {
        match self.format {
            Format::Supabase => "in another order for the Supabase CLI up to version 2, which sorts by file name",
            Format::Prisma | Format::Sqlx => "in another order for Prisma from 6.6 on",
        }
    }
}

/// The first names, and the number of the others.
fn listed(names: &[String]) -> String {
    const FEW: usize = 3;
    text::names(names, FEW, names.len())
}

impl History {
    /// Compares the history with a source.
    pub fn divergence(&self, source: &Source) -> Divergence {
        in_place(source.bytes(), || self.compared(source))
    }

    fn compared(&self, source: &Source) -> Divergence {
        let known: BTreeSet<&MigrationId> = source
            .migrations()
            .iter()
            .map(|migration| &migration.identity)
            .collect();
        let last = self.applied.keys().filter(|identity| known.contains(identity)).max();
        let name = |migration: &&Migration| migration.name.clone();
        let applied = source.migrations().iter().filter(|migration| self.has(migration));
        let pending = source.migrations().iter().filter(|migration| !self.has(migration));
        Divergence {
            edited: applied
                .filter(|migration| self.is_edited(migration))
                .map(|it| name(&it))
                .collect(),
            missing: self
                .applied
                .keys()
                .filter(|identity| !known.contains(identity))
                .map(ToString::to_string)
                .collect(),
            out_of_order: pending
                .filter(|migration| last.is_some_and(|last| migration.identity < *last))
                .map(|it| name(&it))
                .collect(),
            displaced: self.displaced(source),
            format: self.format,
        }
    }

    /// Whether migrations are applied that are not in the source.
    pub fn holds_others(&self, source: &Source) -> bool {
        let known: BTreeSet<_> = source
            .migrations()
            .iter()
            .map(|migration| &migration.identity)
            .collect();
        self.applied.keys().any(|identity| !known.contains(identity))
    }

    /// The applied migrations whose scripts have changed since.
    pub fn edited(&self, source: &Source) -> BTreeSet<MigrationId> {
        in_place(source.bytes(), || {
            let edited = source.migrations().iter().filter(|migration| self.is_edited(migration));
            edited.map(|migration| migration.identity.clone()).collect()
        })
    }

    fn displaced(&self, source: &Source) -> Vec<String> {
        let names: Vec<_> = source.migrations().iter().map(|it| it.name.as_str()).collect();
        let displaced = match self.format {
            Format::Prisma => order::displaced(&names),
            Format::Supabase => order::displaced_by_file(&names),
            Format::Sqlx => Vec::new(),
        };
        displaced.into_iter().map(ToOwned::to_owned).collect()
    }

    fn is_edited(&self, migration: &Migration) -> bool {
        let Some(Some(recorded)) = self.applied.get(&migration.identity) else {
            return false;
        };
        match self.format {
            Format::Prisma => !prisma::matches(recorded, migration),
            Format::Sqlx => *recorded != migration.checksum,
            Format::Supabase => *recorded != fingerprint(&migration.script),
        }
    }

    /// Fails if a pending script means something else by the settings of the database.
    fn check_strings(&self, source: &Source) -> Result<(), Error> {
        if !self.escapes {
            return Ok(());
        }
        let mut pending = source.migrations().iter().filter(|migration| !self.has(migration));
        match pending.find(|migration| migration.script.contains('\\')) {
            None => Ok(()),
            Some(migration) => Err(Error::StringsDiffer {
                script: format!("migration {}", migration.name),
                of_seed: false,
            }),
        }
    }

    /// Fails with the differences at which the tool itself stops, and at a script that the database would read in another
    /// way.
    pub fn check(&self, source: &Source) -> Result<(), Error> {
        self.check_strings(source)?;
        let Divergence {
            edited,
            missing,
            out_of_order,
            displaced: _,
            format: _,
        } = self.divergence(source);
        let (what, names, cure) = match self.format {
            Format::Supabase if !missing.is_empty() => (
                "are applied and not in the source",
                missing,
                "restore them, or remove them from the history: supabase migration repair --status reverted",
            ),
            Format::Supabase if !out_of_order.is_empty() => (
                "are older than the last one that is applied",
                out_of_order,
                "give them later versions, or apply them by hand: supabase db push --include-all",
            ),
            Format::Sqlx if !missing.is_empty() => (
                "are applied and not in the source",
                missing,
                "restore them, or remove them from the history: migrations.resolve, {name: <number>, as: RolledBack}; sqlx \
                 itself stops as well, unless it is run with --ignore-missing",
            ),
            Format::Sqlx if !edited.is_empty() => (
                "were changed after they were applied",
                edited,
                "restore their scripts, and write the change as a new migration",
            ),
            _ => return Ok(()),
        };
        Err(Error::Diverged {
            what: format!("{} {what}; {cure}", listed(&names)),
        })
    }
}

/// Digest of a script without the characters at which the tools of Supabase divide it and which they cut off: the versions of
/// the CLI divide some scripts differently, and the Management API records a script as one statement.
fn fingerprint(script: &str) -> String {
    let mut hash = Sha256::new();
    for part in script.split(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ', ';']) {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn a_script_is_the_same_however_it_was_divided() {
        let script = "INSERT INTO a VALUES (E'it\\'s;');\r\nSELECT 1;;\n\n-- é\x0b\x0c\t;";
        assert_eq!(
            fingerprint(script),
            fingerprint("INSERTINTOaVALUES(E'it\\'s')SELECT1--é")
        );
        assert_ne!(
            fingerprint(script),
            fingerprint(&script.replace("SELECT 1", "SELECT 2"))
        );
        assert_eq!(fingerprint(";\n"), fingerprint(""));
    }
}
