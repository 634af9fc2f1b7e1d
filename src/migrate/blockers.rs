//! Reports which session blocks a script that waits for a lock, and what query that session runs.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::time::sleep;

use super::error::Result;
use super::lexer;
use crate::postgres::CountedLogin;

/// Time between two checks, and before the first one.
const PACE: Duration = Duration::from_secs(1);

/// Checks over a second session whether another session blocks the script's session.
pub(super) struct Blockers {
    process: i32,
    login: Option<CountedLogin>,
    session: Option<PgConnection>,
    last: Option<String>,
}

impl Blockers {
    /// Watches the session `conn`. Without a login no blocker is ever reported.
    pub async fn new(conn: &mut PgConnection, login: Option<&CountedLogin>) -> Result<Self> {
        let process = sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()")
            .fetch_one(conn)
            .await?;
        Ok(Self {
            process,
            login: login.cloned(),
            session: None,
            last: None,
        })
    }

    /// Waits until the blocking session changes; `None` when the script is no longer blocked. Cancel-safe.
    pub async fn changed(&mut self) -> Option<String> {
        let Some(login) = self.login.clone() else {
            return std::future::pending().await;
        };
        loop {
            sleep(PACE).await;
            // A failed check is repeated later: its result is only information for users.
            let Some(by) = self.look(&login).await else {
                self.session = None;
                continue;
            };
            if by != self.last {
                self.last.clone_from(&by);
                return by;
            }
        }
    }

    /// The blocking session at the last check.
    pub fn last(&self) -> Option<String> {
        self.last.clone()
    }

    async fn look(&mut self, login: &CountedLogin) -> Option<Option<String>> {
        if self.session.is_none() {
            self.session = Some(login.connect().await.ok()?);
        }
        let session = self.session.as_mut()?;
        blocker(session, self.process).await.ok()
    }
}

impl Drop for Blockers {
    fn drop(&mut self) {
        if let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(session.close());
        }
    }
}

/// The blocking session with the oldest transaction.
async fn blocker(session: &mut PgConnection, process: i32) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT pg_catalog.format('%s as %s from %s, process %s, %s for %s s', \
             coalesce(nullif(application_name, ''), 'an application without name'), coalesce(usename, '?'), \
             coalesce(pg_catalog.host(client_addr), 'a local socket'), pid, coalesce(state, 'in an unknown state'), \
             coalesce(pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(xact_start, backend_start)))::text, '?')), \
             coalesce(pg_catalog.left(query, 4096), '') \
         FROM pg_stat_activity WHERE pid = ANY (pg_catalog.pg_blocking_pids($1)) \
         ORDER BY xact_start NULLS LAST LIMIT 1",
    )
    .bind(process)
    .fetch_optional(session)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (who, query): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(format!("{who}: {}", lexer::without_literals(&query, SHOWN))))
}

/// The number of characters of a query that are shown.
const SHOWN: usize = 120;
