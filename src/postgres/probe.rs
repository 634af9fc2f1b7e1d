//! Uses a database as its application would: one session with the published login, one query, and the end. Nothing is set or
//! prepared, so that a pooler of either mode may be in between.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::channel;
use super::connect::{APPLICATION, log_in};
use super::error::Result;
use super::fault::Fault;
use super::login::Login;
use super::measure::{Measured, measure};

/// How long the name's resolution may take, and then the connection.
const REACH: Duration = Duration::from_secs(5);

/// How long TLS and the login may take, and then the answer. Supavisor delays refusals by some seconds.
const ANSWER: Duration = Duration::from_secs(10);

/// How long the measurement may take.
const MEASURE: Duration = Duration::from_secs(5);

/// The longest that a probe takes.
pub const LONGEST: Duration = Duration::from_secs(40);

/// Whether the server is a standby, and whether a transaction would be read-only because of somebody else than the role
/// itself, which may do so to itself.
pub(super) const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'), \
     (SELECT source FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only')";

/// Sources of a setting that the role itself, or its URL, has set (the column `source` of `pg_settings`).
const OWN: [&str; 4] = ["user", "database user", "client", "session"];

/// Logs in, runs one query, and measures the database if `measures` says so. A failed measurement is not a fault.
///
/// # Errors
/// Why an application could not use the database.
pub async fn probe(login: &Login, measures: bool) -> std::result::Result<Option<Measured>, Fault> {
    let stream = reach(login).await?;
    let opened = async {
        let server = channel::secure(login, stream)
            .await
            .map_err(|unsecured| Fault::unsecured(login, unsecured))?;
        let more = |options: sqlx::postgres::PgConnectOptions| {
            options.application_name(APPLICATION).statement_cache_capacity(0)
        };
        let opened = log_in(server, login, more).await;
        opened.map(|(conn, _)| conn).map_err(|error| Fault::of(login, &error))
    };
    // The handshake of TLS takes much space.
    let opened = timeout(ANSWER, Box::pin(opened)).await;
    let mut conn = opened.unwrap_or_else(|_| Err(Fault::silent(login, ANSWER)))?;
    let answer = timeout(ANSWER, ask(&mut conn)).await;
    let answer = answer.map_or_else(
        |_| Err(Fault::silent(login, ANSWER)),
        |answer| answer.map_err(|error| Fault::of(login, &error)),
    )?;
    if let Some(fault) = answer {
        return Err(fault);
    }
    let mut result = None;
    if measures {
        match timeout(MEASURE, measure(&mut conn)).await {
            Ok(Ok(found)) => result = Some(found),
            Ok(Err(error)) => tracing::debug!(%error, "a database cannot be measured"),
            Err(_) => tracing::debug!("a database cannot be measured in time"),
        }
    }
    // A session that only breaks off is a line in the server's log each time.
    let _ = timeout(Duration::from_secs(1), conn.close()).await;
    Ok(result)
}

/// The addresses of the host, and a connection to one of them.
async fn reach(login: &Login) -> std::result::Result<TcpStream, Fault> {
    let found = match timeout(REACH, lookup_host((login.host.as_str(), login.port))).await {
        Ok(Ok(found)) => found.collect::<Vec<SocketAddr>>(),
        Ok(Err(error)) => return Err(Fault::name(login, Some(&error))),
        Err(_) => return Err(Fault::name(login, None)),
    };
    if found.is_empty() {
        return Err(Fault::name(login, None));
    }
    let only_ipv6 = found
        .iter()
        .all(|address| address.is_ipv6() && !address.ip().is_loopback());
    match timeout(REACH, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Fault::connect(login, &error, only_ipv6)),
        Err(_) if only_ipv6 => Err(Fault::connect(login, &std::io::ErrorKind::TimedOut.into(), true)),
        Err(_) => Err(Fault::timed_out(login, Some(REACH))),
    }
}

/// Runs the query, and returns what is wrong with the answer.
async fn ask(conn: &mut PgConnection) -> Result<Option<Fault>> {
    let row = sqlx::raw_sql(QUESTION).fetch_one(conn).await?;
    let (standby, read_only, source): (bool, String, Option<String>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let own = source.is_some_and(|source| OWN.contains(&source.as_str()));
    Ok((standby || (read_only == "on" && !own)).then(|| Fault::read_only(standby)))
}
