//! A look at the migrations of a database. It reads the history once, for all that is asked of it.

use sqlx::PgConnection;

use super::error::Result;
use super::guard::{self, Review};
use super::history::History;
use super::missing_tables;
use super::options::Options;
use super::source::Source;
use super::status::MigrationsStatus;

/// How far a database is with the migrations of a source.
pub struct HistoryLook<'a> {
    source: &'a Source,
    options: &'a Options,
    /// The history as it will be after it is settled; none where the source has no migrations.
    history: Option<History>,
    /// Which migrations are applied and which are pending.
    pub status: MigrationsStatus,
}

impl<'a> HistoryLook<'a> {
    /// Reads the history. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// [`Error::Unfinished`](super::Error::Unfinished), [`Error::NotEmpty`](super::Error::NotEmpty),
    /// [`Error::OtherTool`](super::Error::OtherTool): the errors that also stop [`super::apply`].
    pub async fn take(conn: &mut PgConnection, source: &'a Source, options: &'a Options) -> Result<Self> {
        let mut look = Self {
            source,
            options,
            history: None,
            status: MigrationsStatus::default(),
        };
        if source.is_empty() {
            return Ok(look);
        }
        let mut history = History::read(conn, source).await?;
        let unsettled = history.foresee(source, options)?;
        history.check(source)?;
        look.status = MigrationsStatus {
            unsettled,
            ..MigrationsStatus::of(&history, source)
        };
        look.history = Some(history);
        Ok(look)
    }

    /// The source whose migrations were looked up.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// The guard's review of the migrations that would be applied after the history is settled. None if no review is
    /// needed: nothing is pending, there is no consent, or the policy is `Automatic`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn review(&self, conn: &mut PgConnection) -> Result<Option<Review>> {
        match (&self.history, &self.options.consent) {
            (Some(history), Some(consent)) => {
                guard::look(conn, history, self.source, (consent, self.options.per_statement)).await
            }
            _ => Ok(None),
        }
    }

    /// The tables that the scripts of the source create and the database lacks, as `schema.name` or `name`. What the
    /// scripts, their code or an earlier text of a changed script can have dropped, renamed or moved is left out. None are
    /// reported when the history contains migrations that are not in the source: any of them can have dropped any table.
    ///
    /// # Errors
    /// [`Error::Database`](super::Error::Database).
    pub async fn missing_tables(&self, conn: &mut PgConnection) -> Result<Vec<String>> {
        match &self.history {
            Some(history) => missing_tables::missing(conn, history, self.source).await,
            None => Ok(Vec::new()),
        }
    }
}
