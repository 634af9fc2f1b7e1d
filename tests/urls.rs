//! What a database URL says, and what it leads to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use orchestra_operator::error::ErrorClass;
use orchestra_operator::postgres::{Error, Login, connect, connect_through_transaction_pooler};
use secrecy::ExposeSecret as _;
use sqlx::{PgConnection, Row as _};
use support::pgbouncer::PgBouncer;
use support::postgres::server;
use support::tenant::database;
use support::{ask, session};

#[tokio::test]
async fn a_url_can_set_options_of_its_sessions() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let url = owner.url();
    let url = url.expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let with = format!("{url}{mark}options=-c%20timezone%3DAsia/Tokyo%20-c%20search_path%3Dapp&connect_timeout=5");
    let login = Login::parse(&with.into()).unwrap();
    let mut conn = session(&login).await;
    assert_eq!(
        ask(&mut conn, "pg_catalog.current_setting('timezone')").await,
        "Asia/Tokyo"
    );
    assert_eq!(ask(&mut conn, "pg_catalog.current_setting('search_path')").await, "app");
}

#[tokio::test]
async fn a_transaction_pooler_is_recognised_and_nothing_is_set_there() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let mut root = session(&server.login("one")).await;
    for (settings, refused) in [
        ("pool_mode = transaction\ndefault_pool_size = 20", true),
        ("pool_mode = transaction\ndefault_pool_size = 2", true),
        ("pool_mode = transaction\ndefault_pool_size = 1", true),
        ("pool_mode = transaction\nserver_round_robin = 1", true),
        ("pool_mode = statement", true),
        ("pool_mode = session\ndefault_pool_size = 20", false),
        ("pool_mode = session\ndefault_pool_size = 1", false),
    ] {
        let Some(pooler) = PgBouncer::start(&owner, settings).await else {
            return;
        };
        let login = pooler.login(&owner);
        let mut app = session_through(&login).await;
        let path = ask_plainly(&mut app, "SHOW search_path").await;
        if settings.contains("session") {
            // It would keep the only session of the server.
            drop(app);
            let mut own = connect(&login, "test")
                .await
                .unwrap_or_else(|error| panic!("{settings}: {error}"));
            assert_eq!(ask(&mut own, "1").await, "1");
            continue;
        }
        let error = connect(&login, "test").await.map(drop).unwrap_err();
        assert!(
            refused && matches!(error, Error::TransactionPooler),
            "{settings}: {error}"
        );
        assert_eq!(error.class(), ErrorClass::Blocked);
        for _ in 0..3 {
            assert_eq!(ask_plainly(&mut app, "SHOW search_path").await, path, "{settings}");
        }
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(ask(&mut root, locks).await, "0");
    }
}

/// A client of the pooler, which sets nothing.
async fn session_through(login: &Login) -> PgConnection {
    connect_through_transaction_pooler(login, "app").await.unwrap()
}

/// One value, without a prepared statement.
async fn ask_plainly(conn: &mut PgConnection, sql: &'static str) -> String {
    let row = sqlx::raw_sql(sql).fetch_one(conn).await.unwrap();
    row.get(0)
}
