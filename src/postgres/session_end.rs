//! The end of sessions on the server. A script can switch off what ends its session with the connection
//! (`client_connection_check_interval`), give it another `application_name` and release its locks: it would continue as the
//! database's owner after its time limit, and after the database was handed to another tenant.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::connect::{APPLICATION, connect};
use super::error::{Error, Result};
use super::login::Login;
use super::sql::{ask, first, look};

/// The waits before each attempt to end a session: the script's own sessions may have taken all connections.
const WAITS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_mins(1),
];

/// Ends a session on the server when it is dropped, unless its work has ended in order. What a script does to its session
/// changes neither its process nor its start.
#[must_use = "it ends the session as soon as it is dropped"]
pub struct SessionEnd {
    login: Option<Login>,
    session: ServerSession,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ServerSession {
    process: i32,
    /// When it was opened, in microseconds since 1970.
    opened: i64,
}

impl SessionEnd {
    /// Notes which session of the server this is, before a script runs in it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn of(conn: &mut PgConnection, login: &Login) -> Result<Self> {
        let query = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity \
                     WHERE pid = pg_backend_pid()";
        let [rows] = look(conn, [query.to_owned()]).await?;
        let row = first(&rows)?;
        let session = ServerSession {
            process: row.try_get(0)?,
            opened: row.try_get(1)?,
        };
        Ok(Self {
            login: Some(login.clone()),
            session,
        })
    }

    /// The work has ended, and nothing runs in the session any more.
    pub fn in_order(mut self) {
        self.login = None;
    }
}

impl Drop for SessionEnd {
    fn drop(&mut self) {
        let (Some(login), Ok(runtime)) = (self.login.take(), Handle::try_current()) else {
            return;
        };
        let session = self.session;
        runtime.spawn(async move { end_later(&login, session).await }.in_current_span());
    }
}

async fn end_later(login: &Login, session: ServerSession) {
    for wait in WAITS {
        tokio::time::sleep(wait).await;
        match end(login, session).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, process = session.process, "a session that was given up may still run");
            }
        }
    }
}

async fn end(login: &Login, session: ServerSession) -> Result<()> {
    let mut conn = connect(login, APPLICATION).await?;
    let ServerSession { process, opened } = session;
    let ends = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = {process} AND pid <> pg_backend_pid() \
             AND usename = current_user AND (extract(epoch FROM backend_start) * 1000000)::bigint = {opened}"
    );
    let [rows] = look(&mut conn, [ends]).await?;
    match rows.first() {
        Some(row) if !row.try_get::<bool, _>(0)? => Err(stays()),
        _ => Ok(()),
    }
}

/// Ends the other sessions of the owner in this database: a script that was cut off may still run in one, or another
/// operator that was stopped for a while may still run in one. Also inside a transaction.
///
/// # Errors
/// [`Error::Refused`] when one does not end, and the others of [`Error`].
pub async fn end_owners_sessions(conn: &mut PgConnection) -> Result<()> {
    let others = "FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()";
    let ends =
        format!("SELECT coalesce(array_agg(pid) FILTER (WHERE NOT pg_terminate_backend(pid, 5000)), '{{}}') {others}");
    let [rows] = ask(conn, [ends]).await?;
    let staying: Vec<i32> = first(&rows)?.try_get(0)?;
    if staying.is_empty() {
        return Ok(());
    }
    // The server says the same of one that was ending by itself.
    let staying: Vec<_> = staying.iter().map(ToString::to_string).collect();
    let staying = format!("SELECT count(*) {others} AND pid IN ({})", staying.join(", "));
    let [_, rows] = ask(conn, ["SELECT pg_stat_clear_snapshot()".to_owned(), staying]).await?;
    match first(&rows)?.try_get::<i64, _>(0)? {
        0 => Ok(()),
        _ => Err(stays()),
    }
}

fn stays() -> Error {
    Error::refused("55006", "another session of the database's owner does not end")
}
