//! Changes to a history that are due before more is applied: unfinished rows, the user's decisions in
//! `migrations.resolve`, and the baseline of a database that holds tables but no history.

use ::sqlx::PgConnection;

use super::prisma;
use super::record::{History, table_of};
use crate::api::{MigrationFormat as Format, ResolvedAs};
use crate::migrate::aside::in_place;
use crate::migrate::error::{Error, Result};
use crate::migrate::index::{Built, IndexBuild, drop_index};
use crate::migrate::options::Options;
use crate::migrate::source::{Migration, MigrationId, Source};
use crate::migrate::unfinished::{Cure, Unfinished, cure, pieces};

/// One change to the history.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SettleAction {
    /// An unfinished row, and its cure.
    Settle(Unfinished, Box<Cure>),
    /// A migration of the source is recorded as applied without being run.
    Record(usize),
    /// A migration that is not in the source is removed from the history.
    Remove(MigrationId),
}

impl History {
    /// Makes the changes of [`Self::settle`] in memory only. Returns their number.
    ///
    /// # Errors
    /// [`Error::Unfinished`], [`Error::NotEmpty`], [`Error::NoBaseline`], [`Error::NoResolution`], [`Error::OtherTool`].
    pub fn foresee(&mut self, source: &Source, options: &Options) -> Result<usize> {
        let actions = self.actions(source, options)?;
        for action in &actions {
            self.update_in_memory(action, source);
        }
        Ok(actions.len())
    }

    /// Writes the changes that are due before more is applied. The lock must be held, and the table must exist.
    ///
    /// # Errors
    /// As [`Self::foresee`], and those of the database.
    pub async fn settle(&mut self, conn: &mut PgConnection, source: &Source, options: &Options) -> Result<()> {
        for action in self.actions(source, options)? {
            match &action {
                SettleAction::Settle(row, cure) => self.cure(conn, row, cure, source).await?,
                SettleAction::Record(index) => {
                    let migration = &source.migrations()[*index];
                    tracing::info!(migration = migration.name, "recorded as applied without being run");
                    self.record(conn, migration).await?;
                }
                SettleAction::Remove(identity) => {
                    tracing::info!(migration = %identity, "removed from the history");
                    match self.format {
                        Format::Supabase | Format::Sqlx => self.remove(conn, identity).await?,
                        Format::Prisma => {}
                    }
                }
            }
            self.update_in_memory(&action, source);
        }
        Ok(())
    }

    /// Fails if the migrations of the source are recorded where their tool does not look: it would apply them once more.
    fn check_elsewhere(&self, source: &Source) -> Result<()> {
        let Some((schema, identity)) = &self.elsewhere else {
            return Ok(());
        };
        let known = |migration: &&Migration| migration.identity.to_string() == *identity;
        match source.migrations().iter().find(known) {
            None => Ok(()),
            Some(migration) => Err(Error::OtherTool(format!(
                "its history {schema}.{table} records {name} as applied, and its tool looks for {table} {place}: set the \
                 login's search_path so that the history is found (ALTER ROLE … SET search_path), or move it (ALTER TABLE \
                 … SET SCHEMA)",
                table = table_of(self.format),
                name = migration.name,
                place = match self.format {
                    Format::Sqlx => "in the first schema of the search_path only",
                    Format::Prisma | Format::Supabase => "in the schemas of the search_path only",
                },
            ))),
        }
    }

    /// Fails if another tool has a history here and this one has none, unless somebody has said what the database holds.
    fn check_other(&self, options: &Options) -> Result<()> {
        match (&self.other, &options.baseline) {
            (Some(other), None) => Err(Error::OtherTool(other.clone())),
            _ => Ok(()),
        }
    }

    fn actions(&self, source: &Source, options: &Options) -> Result<Vec<SettleAction>> {
        in_place(source.bytes(), || self.due(source, options))
    }

    fn due(&self, source: &Source, options: &Options) -> Result<Vec<SettleAction>> {
        self.check_elsewhere(source)?;
        self.check_other(options)?;
        let mut actions = Vec::new();
        for row in &self.unfinished {
            let migration = self.migration_of(row, source);
            let again = self.resolved.contains(&row.name);
            match cure(row, migration, &options.resolve, again) {
                Cure::Ask => return Err(self.unfinished_of(row, source)),
                cure => actions.push(SettleAction::Settle(row.clone(), Box::new(cure))),
            }
        }
        self.decisions(source, options, &mut actions)?;
        self.baseline(source, options, &mut actions)?;
        Ok(actions)
    }

    fn unfinished_of(&self, row: &Unfinished, source: &Source) -> Error {
        Error::Unfinished {
            name: self
                .migration_of(row, source)
                .map_or(&row.name, |migration| &migration.name)
                .clone(),
            started_at: row.started_at.clone(),
            again: self.resolved.contains(&row.name),
        }
    }

    /// The migration of an unfinished row.
    fn migration_of<'a>(&self, row: &Unfinished, source: &'a Source) -> Option<&'a Migration> {
        let mut all = source.migrations().iter();
        match self.format {
            Format::Sqlx => all.find(|migration| migration.identity.to_string() == row.name),
            Format::Prisma | Format::Supabase => all.find(|migration| migration.name == row.name),
        }
    }

    /// The user's decisions on migrations without an unfinished row: a pending migration that is already applied,
    /// and a recorded one that is no longer in the source. Decisions stay in the spec after they are met.
    fn decisions(&self, source: &Source, options: &Options, actions: &mut Vec<SettleAction>) -> Result<()> {
        for decision in &options.resolve {
            let known = source.migrations().iter().position(|it| it.is_named(&decision.name));
            match (decision.resolved_as, known) {
                (ResolvedAs::Applied, Some(index)) => {
                    let migration = &source.migrations()[index];
                    let unfinished = self.unfinished.iter().any(|row| migration.is_named(&row.name));
                    if !self.has(migration) && !unfinished && decision.started_at.is_none() {
                        actions.push(SettleAction::Record(index));
                    }
                }
                (ResolvedAs::RolledBack, None) if self.format != Format::Prisma => {
                    let gone = self
                        .applied
                        .keys()
                        .find(|identity| identity.to_string() == decision.name);
                    actions.extend(gone.cloned().map(SettleAction::Remove));
                }
                (ResolvedAs::Applied, None) if !self.knows(&decision.name) => {
                    return Err(Error::NoResolution(decision.name.clone()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the history has a row of a migration, by its name or its version: the beginning of its name, except in Prisma.
    fn knows(&self, name: &str) -> bool {
        let version = match self.format {
            Format::Prisma => name,
            Format::Supabase | Format::Sqlx => name.split('_').next().unwrap_or_default(),
        };
        let is_it = |identity: &MigrationId| match identity {
            MigrationId::Text(text) => text == name || text == version,
            MigrationId::Number(number) => version.parse::<i64>().is_ok_and(|version| version == *number),
        };
        self.applied.keys().any(is_it)
            || self.unfinished.iter().any(|row| row.name == name)
            || self.resolved.contains(name)
    }

    /// A database with tables and without a history: the migrations up to the baseline are recorded as applied.
    fn baseline(&self, source: &Source, options: &Options, actions: &mut Vec<SettleAction>) -> Result<()> {
        let empty = self.applied.is_empty() && self.unfinished.is_empty();
        let Some((schema, table)) = self.tables.as_ref().filter(|_| empty) else {
            return Ok(());
        };
        let Some(name) = &options.baseline else {
            // Only Prisma itself refuses such a database (P3005), and only before its history table exists.
            if self.present || self.format != Format::Prisma {
                return Ok(());
            }
            return Err(Error::NotEmpty {
                schema: schema.clone(),
                table: table.clone(),
            });
        };
        let Some(last) = source.migrations().iter().position(|it| it.is_named(name)) else {
            return Err(Error::NoBaseline(name.clone()));
        };
        actions.retain(|action| !matches!(action, SettleAction::Record(index) if *index <= last));
        actions.extend((0..=last).map(SettleAction::Record));
        Ok(())
    }

    async fn cure(&mut self, conn: &mut PgConnection, row: &Unfinished, cure: &Cure, source: &Source) -> Result<()> {
        let migration = self.migration_of(row, source);
        match (cure, migration) {
            (Cure::RollBack | Cure::Resume(_), _) => self.roll_back(conn, row, false).await,
            (Cure::RollBackByUser, _) => self.roll_back(conn, row, true).await,
            (Cure::Apply, Some(migration)) => {
                self.roll_back(conn, row, true).await?;
                self.record(conn, migration).await
            }
            (Cure::CheckIndex(count, index), Some(migration)) => {
                self.check_index(conn, row, migration, (*count, index), source).await
            }
            (Cure::Ask | Cure::Apply | Cure::CheckIndex(..), _) => Ok(()),
        }
    }

    /// After `count` statements the migration builds an index: continues after it if it is there, and else with it.
    async fn check_index(
        &mut self,
        conn: &mut PgConnection,
        row: &Unfinished,
        migration: &Migration,
        (count, index): (usize, &IndexBuild),
        source: &Source,
    ) -> Result<()> {
        let built = match index.outcome(conn, count == 0).await? {
            Built::Yes => true,
            Built::No => false,
            Built::Invalid(oid) => {
                drop_index(conn, oid).await?;
                false
            }
            Built::Unknown => return Err(self.unfinished_of(row, source)),
        };
        tracing::info!(
            migration = migration.name,
            index = index.name,
            built,
            "checked the index of an unfinished migration"
        );
        let done = count + usize::from(built);
        if done < pieces(&migration.script).len() {
            self.resume.insert(migration.name.clone(), done);
            return self.roll_back(conn, row, false).await;
        }
        if self.format == Format::Prisma {
            let finished = prisma::finish(self, conn, &row.id).await;
            self.written(migration, finished)?;
        } else {
            self.roll_back(conn, row, false).await?;
            self.record(conn, migration).await?;
        }
        self.note_applied(migration);
        Ok(())
    }

    async fn roll_back(&self, conn: &mut PgConnection, row: &Unfinished, by_user: bool) -> Result<()> {
        tracing::info!(migration = row.name, "an unfinished migration is marked rolled back");
        match self.format {
            Format::Prisma => prisma::roll_back(self, conn, &row.id, by_user).await,
            Format::Sqlx => match row.id.parse() {
                Ok(version) => self.remove(conn, &MigrationId::Number(version)).await,
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

    /// Updates the history in memory after an action.
    fn update_in_memory(&mut self, action: &SettleAction, source: &Source) {
        match action {
            SettleAction::Record(index) => self.note_applied(&source.migrations()[*index]),
            SettleAction::Remove(identity) => {
                self.applied.remove(identity);
            }
            SettleAction::Settle(row, cure) => {
                self.unfinished.retain(|other| other.id != row.id);
                let Some(migration) = self.migration_of(row, source) else {
                    return;
                };
                match &**cure {
                    Cure::Apply => self.note_applied(migration),
                    Cure::Resume(count) => {
                        self.resume.insert(migration.name.clone(), *count);
                    }
                    Cure::CheckIndex(..) | Cure::RollBack | Cure::RollBackByUser | Cure::Ask => {}
                }
            }
        }
    }
}
