//! Whether a script has left the rows of the other migrations in the history.

use std::collections::BTreeSet;

use ::sqlx::{AssertSqlSafe, PgConnection};
use sha2::{Digest, Sha256};

use super::record::{History, MAX_TEXT, columns_of};
use crate::api::MigrationFormat as Format;
use crate::migrate::error::Result;
use crate::migrate::source::{Migration, MigrationId, Source};

impl History {
    /// Refuses a migration that was just recorded if the history does not record it as applied, or no longer records
    /// one of the source's that was applied before. A migration that is no longer in the source may be removed.
    ///
    /// # Errors
    /// [`Error::HistoryGone`](crate::migrate::error::Error::HistoryGone).
    pub(super) async fn check_complete(
        &self,
        conn: &mut PgConnection,
        source: &Source,
        migration: &Migration,
    ) -> Result<()> {
        let recorded = self.recorded_digest(conn).await;
        let same = recorded.map(|digest| digest == self.digest_with(migration));
        match same {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                let refused = self.written(migration, Err(error));
                return refused.map_err(|error| self.blamed(migration, error));
            }
        }
        let must_be = |it: &&Migration| self.has(it) || it.identity == migration.identity;
        let all = source.migrations().iter().filter(must_be);
        let recorded = self
            .records(conn, all.map(|it| it.identity.to_string()).collect())
            .await?;
        self.written(migration, Ok(recorded))
    }

    /// The digest of the identities that the history must record, as [`Self::recorded_digest`] computes it.
    fn digest_with(&self, migration: &Migration) -> String {
        let mut all: BTreeSet<&MigrationId> = self.applied.keys().collect();
        all.insert(&migration.identity);
        let mut hash = Sha256::new();
        for (index, identity) in all.into_iter().enumerate() {
            hash.update(if index > 0 { "," } else { "" });
            hash.update(identity.to_string());
        }
        hex::encode(hash.finalize())
    }

    /// The digest of the identities of the applied migrations, in their order: one value, however many they are.
    async fn recorded_digest(&self, conn: &mut PgConnection) -> Result<String> {
        let (identity, applied) = self.columns();
        let order = match self.format {
            Format::Sqlx => "version".to_owned(),
            Format::Prisma | Format::Supabase => format!("{identity} COLLATE pg_catalog.\"C\""),
        };
        let sql = format!(
            "SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce( \
                 pg_catalog.string_agg({identity}, ',' ORDER BY {order}), ''), 'UTF8')), 'hex') \
             FROM {} WHERE {applied}",
            self.table()
        );
        let query = ::sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
        Ok(query.fetch_one(conn).await?)
    }

    /// Whether all these are recorded as applied. The server compares: a script may have left any number of rows.
    async fn records(&self, conn: &mut PgConnection, identities: Vec<String>) -> Result<bool> {
        let (identity, applied) = self.columns();
        let sql = format!(
            "SELECT NOT EXISTS (SELECT FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (identity) \
                 WHERE NOT EXISTS (SELECT FROM {} WHERE {applied} \
                     AND {identity} COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) wanted.identity))",
            self.table()
        );
        let query = ::sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
        Ok(query.bind(identities).fetch_one(conn).await?)
    }

    /// The identity of a row as text, and the condition of an applied migration. No name depends on the `search_path`.
    fn columns(&self) -> (String, &'static str) {
        let (identity, applied) = columns_of(self.format);
        let text = format!("{identity}::pg_catalog.text");
        match self.format {
            Format::Prisma | Format::Supabase => (format!("pg_catalog.\"left\"({text}, {MAX_TEXT})"), applied),
            Format::Sqlx => (text, applied),
        }
    }
}
