//! What must be written into a history before more is applied: what was left unfinished, what a person
//! said of it, and the baseline of a database that was there before.

use ::sqlx::PgConnection;

use super::record::History;
use super::{prisma, sqlx, supabase};
use crate::api::{MigrationFormat as Format, ResolvedAs};
use crate::migrate::error::{Error, Result};
use crate::migrate::index;
use crate::migrate::options::Options;
use crate::migrate::source::{Migration, MigrationId, Source};
use crate::migrate::unfinished::{Cure, Unfinished, cure, pieces};

/// One thing to write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// An unfinished row, and what becomes of it.
    Settle(Unfinished, Cure),
    /// A migration of the source is recorded as applied without being run.
    Record(usize),
    /// A migration that is not in the source is taken out of the history.
    Remove(MigrationId),
}

impl History {
    /// Does in memory what [`Self::settle`] writes. Returns how many things those are.
    ///
    /// # Errors
    /// [`Error::Unfinished`], [`Error::NotEmpty`], [`Error::NoBaseline`].
    pub fn foresee(&mut self, source: &Source, options: &Options) -> Result<usize> {
        let actions = self.actions(source, options)?;
        for action in &actions {
            self.note(action, source);
        }
        Ok(actions.len())
    }

    /// Writes what must be written before more is applied. The lock must be held, and the table be there.
    ///
    /// # Errors
    /// As [`Self::foresee`], and those of the database.
    pub async fn settle(&mut self, conn: &mut PgConnection, source: &Source, options: &Options) -> Result<()> {
        for action in self.actions(source, options)? {
            match &action {
                Action::Settle(row, cure) => self.cure(conn, row, cure, source).await?,
                Action::Record(index) => {
                    let migration = &source.migrations()[*index];
                    tracing::info!(migration = migration.name, "recorded as applied without being run");
                    self.record(conn, migration).await?;
                }
                Action::Remove(identity) => {
                    tracing::info!(migration = %identity, "taken out of the history");
                    match self.format {
                        Format::Supabase => supabase::remove(self, conn, identity).await?,
                        Format::Sqlx => sqlx::remove(self, conn, identity).await?,
                        Format::Prisma => {}
                    }
                }
            }
            self.note(&action, source);
        }
        Ok(())
    }

    fn actions(&self, source: &Source, options: &Options) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        for row in &self.unfinished {
            let migration = self.of(row, source);
            let again = self.resolved.contains(&row.name);
            match cure(row, migration, &options.resolve, again) {
                Cure::Ask => return Err(self.unfinished_of(row, source)),
                cure => actions.push(Action::Settle(row.clone(), cure)),
            }
        }
        self.words(source, options, &mut actions);
        self.baseline(source, options, &mut actions)?;
        Ok(actions)
    }

    fn unfinished_of(&self, row: &Unfinished, source: &Source) -> Error {
        Error::Unfinished {
            name: self
                .of(row, source)
                .map_or(&row.name, |migration| &migration.name)
                .clone(),
            started_at: row.started_at.clone(),
            again: self.resolved.contains(&row.name),
        }
    }

    /// The migration that an unfinished row is of.
    fn of<'a>(&self, row: &Unfinished, source: &'a Source) -> Option<&'a Migration> {
        let mut all = source.migrations().iter();
        match self.format {
            Format::Sqlx => all.find(|migration| migration.identity.to_string() == row.name),
            Format::Prisma | Format::Supabase => all.find(|migration| migration.name == row.name),
        }
    }

    /// A person's words on what is not unfinished: a pending migration that is applied already, and one
    /// of the history that is in the source no more.
    fn words(&self, source: &Source, options: &Options, actions: &mut Vec<Action>) {
        for word in &options.resolve {
            let known = source.migrations().iter().position(|it| it.is_named(&word.name));
            match (word.resolved_as, known) {
                (ResolvedAs::Applied, Some(index)) => {
                    let migration = &source.migrations()[index];
                    let unfinished = self.unfinished.iter().any(|row| migration.is_named(&row.name));
                    if !self.has(migration) && !unfinished && word.started_at.is_none() {
                        actions.push(Action::Record(index));
                    }
                }
                (ResolvedAs::RolledBack, None) if self.format != Format::Prisma => {
                    let gone = self.applied.keys().find(|identity| identity.to_string() == word.name);
                    actions.extend(gone.cloned().map(Action::Remove));
                }
                _ => {}
            }
        }
    }

    /// Tables without a history: what made them is recorded, when the spec says what that is.
    fn baseline(&self, source: &Source, options: &Options, actions: &mut Vec<Action>) -> Result<()> {
        let empty = self.applied.is_empty() && self.unfinished.is_empty();
        let Some(table) = self.tables.as_ref().filter(|_| empty) else {
            return Ok(());
        };
        let Some(name) = &options.baseline else {
            // Only Prisma refuses by itself (P3005), and only where it has no table yet.
            if self.present || self.format != Format::Prisma {
                return Ok(());
            }
            return Err(Error::NotEmpty {
                schema: self.schema.clone(),
                table: table.clone(),
            });
        };
        let Some(last) = source.migrations().iter().position(|it| it.is_named(name)) else {
            return Err(Error::NoBaseline(name.clone()));
        };
        actions.retain(|action| !matches!(action, Action::Record(index) if *index <= last));
        actions.extend((0..=last).map(Action::Record));
        Ok(())
    }

    async fn cure(&mut self, conn: &mut PgConnection, row: &Unfinished, cure: &Cure, source: &Source) -> Result<()> {
        let migration = self.of(row, source);
        match (cure, migration) {
            (Cure::RollBack | Cure::Resume(_), _) => self.roll_back(conn, row, false).await,
            (Cure::RollBackAsTold, _) => self.roll_back(conn, row, true).await,
            (Cure::Apply, Some(migration)) => {
                self.roll_back(conn, row, true).await?;
                self.record(conn, migration).await
            }
            (Cure::CheckIndex(count, name), Some(migration)) => {
                let built = match index::validity(conn, name).await?.as_slice() {
                    [] => false,
                    [true] => true,
                    [false] => {
                        index::drop_invalid(conn, name).await?;
                        false
                    }
                    _ => return Err(self.unfinished_of(row, source)),
                };
                tracing::info!(
                    migration = migration.name,
                    index = name,
                    built,
                    "looked at what was left of it"
                );
                let done = count + usize::from(built);
                if done == pieces(&migration.script).len() {
                    prisma::finish(self, conn, &row.id).await?;
                    self.note_applied(migration);
                    return Ok(());
                }
                self.resume.insert(migration.name.clone(), done);
                self.roll_back(conn, row, false).await
            }
            (Cure::Ask | Cure::Apply | Cure::CheckIndex(..), _) => Ok(()),
        }
    }

    async fn roll_back(&self, conn: &mut PgConnection, row: &Unfinished, word: bool) -> Result<()> {
        tracing::info!(migration = row.name, "what was left unfinished is marked rolled back");
        match self.format {
            Format::Prisma => prisma::roll_back(self, conn, &row.id, word).await,
            Format::Sqlx => match row.id.parse() {
                Ok(version) => sqlx::remove(self, conn, &MigrationId::Number(version)).await,
                Err(_) => Ok(()),
            },
            Format::Supabase => Ok(()),
        }
    }

    async fn record(&self, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
        match self.format {
            Format::Prisma => prisma::record(self, conn, migration).await,
            Format::Supabase | Format::Sqlx => self.insert(conn, migration).await.map(|_| ()),
        }
    }

    /// What is known when it is written.
    fn note(&mut self, action: &Action, source: &Source) {
        match action {
            Action::Record(index) => self.note_applied(&source.migrations()[*index]),
            Action::Remove(identity) => {
                self.applied.remove(identity);
            }
            Action::Settle(row, cure) => {
                self.unfinished.retain(|other| other.id != row.id);
                let Some(migration) = self.of(row, source) else {
                    return;
                };
                match cure {
                    Cure::Apply => self.note_applied(migration),
                    Cure::Resume(count) => {
                        self.resume.insert(migration.name.clone(), *count);
                    }
                    Cure::CheckIndex(..) | Cure::RollBack | Cure::RollBackAsTold | Cure::Ask => {}
                }
            }
        }
    }
}
