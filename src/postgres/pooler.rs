//! Recognises a pooler that gives every transaction another session of the server. Locks, settings and temporary tables do
//! not last there, and settings stay for the pooler's other clients.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::{PgConnection, Row as _};
use tokio::time::timeout;

use super::error::{Error, Result};
use super::login::Login;

/// How long a second session may wait for one of the server, which a pooler can have too few of.
const WAIT: Duration = Duration::from_secs(2);

/// How long the result that a pooler is in session mode counts.
const BELIEVED: Duration = Duration::from_mins(10);

/// How long it counts while the pooler gives no second session for another check.
const REMEMBERED: Duration = Duration::from_hours(24);

/// The poolers that were found to be in session mode, by place, database and user.
static SESSION_MODE: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);

/// Fails if the session has a transaction pooler in between. Only two empty transactions are run, and only if the server's
/// process differs from the one that the login reported, which means a pooler. `second` opens another session of the same
/// login.
///
/// # Errors
/// [`Error::TransactionPooler`]; [`Error::NoSecondSession`] where its mode cannot be determined; and those of a statement.
pub(super) async fn check(
    conn: &mut PgConnection,
    login: &Login,
    told: Option<u32>,
    second: impl AsyncFnOnce() -> Result<PgConnection>,
) -> Result<()> {
    let direct = u32::try_from(process(conn).await?).ok() == told;
    if direct || is_known(login, BELIEVED) {
        return Ok(());
    }
    let other = match second().await {
        Ok(other) => other,
        // A pooler in session mode can be out of sessions.
        Err(_) if is_known(login, REMEMBERED) => return Ok(()),
        Err(error) => return Err(Error::NoSecondSession(error.to_string())),
    };
    if changes_session(conn, other).await? {
        return Err(Error::TransactionPooler);
    }
    let mut known = SESSION_MODE.lock();
    known.retain(|_, at| at.elapsed() < REMEMBERED);
    known.insert(place(login), Instant::now());
    Ok(())
}

fn place(login: &Login) -> String {
    format!("{}:{}/{}/{}", login.host, login.port, login.database, login.user)
}

fn is_known(login: &Login, since: Duration) -> bool {
    let known = SESSION_MODE.lock();
    known.get(&place(login)).is_some_and(|at| at.elapsed() < since)
}

/// Whether the session changes while another one is open. The other one ends its transaction last, so that a pooler
/// hands its server session out next; a pooler that uses its sessions in turn does so at the second query.
async fn changes_session(conn: &mut PgConnection, mut other: PgConnection) -> Result<bool> {
    if !begin(conn).await? {
        return Ok(true);
    }
    let own = process(conn).await?;
    let mut asked = Box::pin(async {
        begin(&mut other).await?;
        let process = process(&mut other).await?;
        Ok::<_, Error>((process, other))
    });
    let answer = timeout(WAIT, &mut asked).await;
    run(conn, "COMMIT").await?;
    let (process_of_other, mut other) = match answer {
        Ok(answer) => answer?,
        // All sessions of the server were taken, and one has become free if it was only this transaction's.
        Err(_) => match timeout(WAIT, asked).await {
            Ok(answer) => answer?,
            Err(_) => return Ok(false),
        },
    };
    run(&mut other, "COMMIT").await?;
    if process_of_other == own {
        return Ok(true);
    }
    Ok(process(conn).await? != own || process(conn).await? != own)
}

/// Begins a transaction. A pooler that gives every statement another session refuses it.
async fn begin(conn: &mut PgConnection) -> Result<bool> {
    match run(conn, "BEGIN").await {
        Ok(()) => Ok(true),
        Err(Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn run(conn: &mut PgConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

/// The server's process. Not prepared: a transaction pooler may not know prepared statements.
async fn process(conn: &mut PgConnection) -> Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_catalog.pg_backend_pid()")
        .fetch_one(conn)
        .await?;
    Ok(row.try_get(0)?)
}
