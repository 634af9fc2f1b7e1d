//! One dedicated connection.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row as _};

use super::channel::{self, Channel};
use super::error::{Error, Result};
use super::login::{Login, SessionOptions, SessionPath, Tls};
use super::pooler;
use super::relay::{Opening, Relay};
use super::sql::{own, unhindered};

/// Name of the operator's sessions in `pg_stat_activity`.
pub const APPLICATION: &str = "orchestra-operator";

/// How long a connection and its login may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a session in which names mean PostgreSQL's own objects, and whose statements may take their time and write as the
/// login itself, whatever a script has set for the login or its database. The server checks every two seconds whether the
/// connection is still open (`client_connection_check_interval`, PostgreSQL 14), so that a script ends when the operator
/// does. sqlx logs no statement of the session. Only a
/// server whose certificate is that of its host may ask for the password in clear text or as MD5.
///
/// # Errors
/// See [`Error`]; [`Error::Timeout`] after [`CONNECT_TIMEOUT`], or the `connect_timeout` of the login's URL.
pub async fn connect(login: &Login, application_name: &str) -> Result<PgConnection> {
    bounded(login, async {
        let error = match Box::pin(own_session(login, application_name)).await {
            Err(error) => error,
            opened => return opened,
        };
        let Some(login) = with_begin(login, &error) else {
            return Err(error);
        };
        let opened = Box::pin(own_session(&login, application_name)).await;
        // A pooler that refuses them is not the cause.
        opened.map_err(|again| {
            if matches!(again, Error::OptionsLost(_)) {
                error
            } else {
                again
            }
        })
    })
    .await
}

async fn own_session(login: &Login, application_name: &str) -> Result<PgConnection> {
    let (mut conn, process) = open_on_path(login, application_name).await?;
    if login.session.may_be_pooled {
        // This comes before any setting: a transaction pooler would pass the setting to its other clients.
        let second = async || Ok(open_on_path(login, application_name).await?.0);
        pooler::check(&mut conn, login, process, second).await?;
    }
    check_path(&mut conn, login.session.path).await?;
    let unhindered = unhindered(conn.server_version_num());
    let own = format!("{unhindered}; {}; SET standard_conforming_strings = on", own());
    sqlx::raw_sql(AssertSqlSafe(own)).execute(&mut conn).await?;
    watch_client(&mut conn).await?;
    Ok(conn)
}

/// Settings that act before the first statement of a session: limits of time, and a library that cannot be loaded, without
/// which the server refuses the login. In `options` they precede what a script has set for the login or its database.
const BEGIN: &str = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 \
     -c local_preload_libraries=";

/// The login with [`BEGIN`], if the error may come from such a setting. Only then, because not every pooler knows them.
fn with_begin(login: &Login, error: &Error) -> Option<Login> {
    let Error::Refused { sqlstate, .. } = error else {
        return None;
    };
    let more = match sqlstate.as_str() {
        // query_canceled, idle_in_transaction_session_timeout, idle_session_timeout; undefined_file and
        // insufficient_privilege of a library.
        "57014" | "25P03" | "57P05" | "58P01" | "42501" => None,
        // transaction_timeout: servers before PostgreSQL 17 do not have it.
        "25P04" => Some("-c transaction_timeout=0"),
        _ => return None,
    };
    let given = login.session.options.as_deref();
    let all: Vec<_> = given.into_iter().chain([BEGIN]).chain(more).collect();
    let mut login = login.clone();
    login.session.options = Some(all.join(" ").into());
    Some(login)
}

/// SQL: whether the `options` of the session set the path.
const BY_OPTIONS: &str = "SELECT source OPERATOR(pg_catalog.=) 'client' FROM pg_catalog.pg_settings \
     WHERE name OPERATOR(pg_catalog.=) 'search_path'";

/// The settings that a session is opened with.
fn options(session: &SessionOptions) -> Option<String> {
    let public = (session.path == SessionPath::Public).then_some("-c search_path=public");
    let all: Vec<_> = session.options.as_deref().into_iter().chain(public).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Opens a session. `PgBouncer` refuses `options`; `schema=public` may already be the setting without them, which
/// [`check_path`] checks.
async fn open_on_path(login: &Login, application_name: &str) -> Result<(PgConnection, Option<u32>)> {
    let named = |options: PgConnectOptions| options.application_name(application_name);
    let opened = open(login, named).await;
    if !matches!(opened, Err(Error::OptionsLost(_))) || login.session.options.is_some() {
        return opened;
    }
    let mut plain = login.clone();
    plain.session.path = SessionPath::Default;
    open(&plain, named).await
}

/// Fails if the `search_path` of the session is not that of the login's URL, before anything is set. A pooler may ignore
/// `options`, as Supavisor does (supabase/supavisor issue 206), or set them itself, so that a reset of the session removes
/// them. For `schema=public`, it is sufficient that objects without a schema are created in `public`.
async fn check_path(conn: &mut PgConnection, path: SessionPath) -> Result<()> {
    let enough = match path {
        SessionPath::Default => return Ok(()),
        SessionPath::ByOptions => "false",
        SessionPath::Public => "pg_catalog.current_schema() IS NOT DISTINCT FROM 'public'",
    };
    let query = format!("SELECT ({BY_OPTIONS}) OR {enough}");
    let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_one(conn).await?;
    if row.try_get(0)? {
        return Ok(());
    }
    Err(Error::OptionsLost("the search_path is another one".into()))
}

/// As [`connect`], through a pooler that gives every transaction another server session: no statement is prepared
/// and no setting is changed. Fit for a probe, not for locks or migrations.
///
/// # Errors
/// As [`connect`].
pub async fn connect_through_transaction_pooler(login: &Login, application_name: &str) -> Result<PgConnection> {
    let conn = bounded(
        login,
        open(login, |options| {
            options.application_name(application_name).statement_cache_capacity(0)
        }),
    );
    Ok(conn.await?.0)
}

async fn bounded<T>(login: &Login, work: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = login.session.timeout.unwrap_or(CONNECT_TIMEOUT);
    // Boxed: the handshake of TLS takes much space.
    tokio::time::timeout(limit, Box::pin(work))
        .await
        .unwrap_or(Err(Error::Timeout(limit)))
}

/// Opens a session through a relay, which has the TLS connection to the server. Returns the process that the server reports.
async fn open(
    login: &Login,
    more: impl FnOnce(PgConnectOptions) -> PgConnectOptions,
) -> Result<(PgConnection, Option<u32>)> {
    log_in(channel::open(login).await?, login, more).await
}

/// Opens a session over an existing connection.
pub(super) async fn log_in(
    server: Box<dyn Channel>,
    login: &Login,
    more: impl FnOnce(PgConnectOptions) -> PgConnectOptions,
) -> Result<(PgConnection, Option<u32>)> {
    let opening = Opening {
        verified: login.tls == Tls::VerifyFull,
        options: options(&login.session),
    };
    let relay = Relay::start(server, opening)
        .await
        .map_err(|error| Error::unreachable(&error.to_string()))?;
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(relay.port)
        .ssl_mode(PgSslMode::Disable)
        .database(&login.database)
        .username(&login.user)
        .password(login.password.expose_secret())
        .disable_statement_logging();
    match more(options).connect().await {
        Ok(conn) => Ok((conn, relay.process())),
        Err(error) => Err(match relay.refusal() {
            Some(asked) => insecure(login, asked),
            None => refused(login, error.into()),
        }),
    }
}

/// `PgBouncer` refuses settings that it does not know.
fn refused(login: &Login, error: Error) -> Error {
    match error {
        Error::Refused { message, .. }
            if options(&login.session).is_some() && message.contains("unsupported startup parameter") =>
        {
            Error::OptionsLost(message)
        }
        other => other,
    }
}

/// The port counts where a person has named it.
fn insecure(login: &Login, asked: &'static str) -> Error {
    let port = login.session.may_be_pooled.then_some(login.port);
    Error::InsecureLogin { asked, port }
}

/// Makes the server check whether the connection is still open. A server that cannot (before version 14, or on a
/// platform without support) keeps its setting.
pub(crate) async fn watch_client(conn: &mut PgConnection) -> sqlx::Result<()> {
    match sqlx::raw_sql("SET client_connection_check_interval = '2s'")
        .execute(conn)
        .await
    {
        Err(sqlx::Error::Database(error)) if !is_fatal(&*error) => Ok(()),
        done => done.map(drop),
    }
}

/// Whether the error has ended the session.
fn is_fatal(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_a_setting_may_cause_is_tried_again_without_it() {
        let url = "postgresql://u:hush@127.0.0.1/x?options=-c%20work_mem%3D1MB";
        let login = Login::parse(&url.to_owned().into()).unwrap();
        let options = |sqlstate: &str| {
            let again = with_begin(&login, &Error::refused(sqlstate, "no"))?;
            again.session.options.map(|options| options.to_string())
        };
        let all = options("58P01").unwrap();
        assert!(all.starts_with("-c work_mem=1MB -c statement_timeout=0 "), "{all}");
        assert!(
            !all.contains("transaction_timeout=0 ") && all.ends_with("-c local_preload_libraries="),
            "{all}"
        );
        assert!(options("25P04").unwrap().ends_with(" -c transaction_timeout=0"));
        for other in ["3D000", "53300", "57P03"] {
            assert_eq!(options(other), None, "{other}");
        }
    }

    #[test]
    fn a_transaction_pooler_that_asks_for_clear_text_is_told_by_its_port() {
        let told = |port: u16, entry: bool| {
            let url = format!("postgresql://u:hush@127.0.0.1:{port}/x?sslmode=disable");
            let mut login = Login::parse(&url.into()).unwrap();
            login.session.may_be_pooled = entry;
            insecure(&login, "in clear text").to_string()
        };
        for port in [6543, 6432] {
            let text = told(port, true);
            for says in [
                &format!("port {port}"),
                "transaction pooler",
                "5432",
                "sslmode=verify-full",
            ] {
                assert!(text.contains(says) && !text.contains("hush"), "{text}");
            }
        }
        for text in [told(5432, true), told(6543, false)] {
            assert!(text.ends_with("have the server use scram-sha-256"), "{text}");
        }
    }
}
