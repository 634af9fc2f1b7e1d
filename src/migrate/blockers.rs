//! Who holds up a script: whoever waits for a lock is told of on which query of whom.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::time::sleep;

use super::error::Result;
use super::lexer;
use crate::postgres::APPLICATION;
use crate::postgres::{self, Login};

/// How often it is looked, and how long a script runs before the first look.
const PACE: Duration = Duration::from_secs(1);

/// Looks, over a second session, at what a session waits for.
pub(super) struct Blockers {
    process: i32,
    login: Option<Login>,
    session: Option<PgConnection>,
    last: Option<String>,
}

impl Blockers {
    /// Of this session. Without a login nothing is ever told.
    pub async fn of(conn: &mut PgConnection, login: Option<&Login>) -> Result<Self> {
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

    /// Waits until somebody else, or nobody, holds it up. It may be dropped and called again at any time.
    pub async fn changed(&mut self) -> Option<String> {
        let Some(login) = self.login.clone() else {
            return std::future::pending().await;
        };
        loop {
            sleep(PACE).await;
            // What cannot be looked at now is looked at later: it is for people only.
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

    /// Who held it up when it was looked last.
    pub fn last(&self) -> Option<String> {
        self.last.clone()
    }

    async fn look(&mut self, login: &Login) -> Option<Option<String>> {
        if self.session.is_none() {
            self.session = Some(postgres::connect(login, APPLICATION).await.ok()?);
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

/// The one that has held it up for longest.
async fn blocker(session: &mut PgConnection, process: i32) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT pg_catalog.format('%s as %s from %s, process %s, %s for %s s', \
             coalesce(nullif(application_name, ''), 'an application without name'), coalesce(usename, '?'), \
             coalesce(pg_catalog.host(client_addr), 'a local socket'), pid, coalesce(state, 'in a state unknown'), \
             coalesce(pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(xact_start, backend_start)))::text, '?')), \
             coalesce(query, '') \
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

/// Characters of a query that are shown.
const SHOWN: usize = 120;
