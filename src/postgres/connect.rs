//! One dedicated connection.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use super::error::{Error, Result};
use super::login::{Login, Tls};
use super::sql::OWN_PATH;

/// Name of the operator's sessions in `pg_stat_activity`.
pub const APPLICATION: &str = "orchestra-operator";

/// How long a connection and its login may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a session in which names mean PostgreSQL's own objects. The server checks every two seconds whether the connection is still open
/// (`client_connection_check_interval`, PostgreSQL 14), so that a script ends when the operator does. sqlx logs no
/// statement of the session.
///
/// # Errors
/// See [`Error`]; [`Error::Timeout`] after [`CONNECT_TIMEOUT`].
pub async fn connect(login: &Login, application_name: &str) -> Result<PgConnection> {
    open(options(login, application_name)).await
}

/// As [`connect`], through a pooler that gives every transaction another server session: no statement is prepared
/// and no setting is changed. Fit for a probe, not for locks or migrations.
///
/// # Errors
/// As [`connect`].
pub async fn connect_through_transaction_pooler(login: &Login, application_name: &str) -> Result<PgConnection> {
    let options = options(login, application_name).statement_cache_capacity(0);
    bounded(options.connect()).await
}

async fn open(options: PgConnectOptions) -> Result<PgConnection> {
    bounded(async {
        let mut conn = options.connect().await?;
        let own = format!("SET {OWN_PATH}; SET standard_conforming_strings = on");
        sqlx::raw_sql(AssertSqlSafe(own)).execute(&mut conn).await?;
        watch_client(&mut conn).await?;
        Ok(conn)
    })
    .await
}

async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Timeout(CONNECT_TIMEOUT)),
    }
}

fn options(login: &Login, application_name: &str) -> PgConnectOptions {
    let mode = match login.tls {
        Tls::Disable => PgSslMode::Disable,
        Tls::Prefer => PgSslMode::Prefer,
        Tls::Require => PgSslMode::Require,
        Tls::VerifyCa => PgSslMode::VerifyCa,
        Tls::VerifyFull => PgSslMode::VerifyFull,
    };
    PgConnectOptions::new_without_pgpass()
        .host(&login.host)
        .port(login.port)
        .database(&login.database)
        .username(&login.user)
        .password(login.password.expose_secret())
        .ssl_mode(mode)
        .application_name(application_name)
        .disable_statement_logging()
}

/// Makes the server check whether the connection is still open. A server that cannot (before version 14, or on a
/// platform without support) keeps its setting.
pub(crate) async fn watch_client(conn: &mut PgConnection) -> sqlx::Result<()> {
    match sqlx::raw_sql("SET client_connection_check_interval = '2s'")
        .execute(conn)
        .await
    {
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
