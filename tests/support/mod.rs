//! What the database tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod npm;
pub mod pgbouncer;
pub mod postgres;
pub mod tenant;

use std::sync::Arc;
use std::time::Duration;

use orchestra_operator::api::{MigrationFormat, Resolution, ResolvedAs};
use orchestra_operator::migrate::guard::Review;
use orchestra_operator::migrate::{Error, HistoryLook, MigrationsStatus, Options, Source, TimeLimits, apply};
use orchestra_operator::postgres::{CountedLogin, Login, connect};
use sqlx::{AssertSqlSafe, PgConnection};

/// A session as any client has it: `connect` gives it the settings of the operator's own statements.
pub async fn session(login: &Login) -> PgConnection {
    let mut conn = connect(login, "test").await.unwrap();
    let theirs = "SET search_path TO DEFAULT; RESET ROLE; RESET default_transaction_read_only; \
        RESET default_transaction_isolation; RESET statement_timeout; RESET idle_in_transaction_session_timeout";
    execute(&mut conn, theirs).await.unwrap();
    conn
}

pub async fn execute(conn: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .map(|_| ())
}

/// One value as text.
pub async fn ask(conn: &mut PgConnection, sql: &str) -> String {
    let sql = format!("SELECT ({sql})::text");
    let value: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap();
    value.unwrap_or_else(|| "NULL".to_owned())
}

pub fn source(files: &[(&str, &str)]) -> Source {
    source_of(MigrationFormat::Prisma, files)
}

pub fn source_of(format: MigrationFormat, files: &[(&str, &str)]) -> Source {
    let files = files
        .iter()
        .map(|(name, sql)| (format!("{name}.sql"), sql.as_bytes().to_vec()));
    Source::read(Some(format), files.collect()).unwrap()
}

pub async fn pending(conn: &mut PgConnection, source: &Source) -> Result<MigrationsStatus, Error> {
    Ok(HistoryLook::take(conn, source, &Options::default()).await?.status)
}

pub async fn review(conn: &mut PgConnection, source: &Source, options: &Options) -> Result<Option<Review>, Error> {
    HistoryLook::take(conn, source, options).await?.review(conn).await
}

pub async fn missing_tables(conn: &mut PgConnection, source: &Source) -> Result<Vec<String>, Error> {
    let options = Options::default();
    let look = HistoryLook::take(conn, source, &options).await?;
    look.missing_tables(conn).await
}

/// The owner's login as the operator has it beside a run of scripts. The next login after a refused one is far away.
pub fn counted(login: &Login) -> CountedLogin {
    CountedLogin {
        login: login.clone(),
        database: "one".to_owned(),
        logins: Arc::default(),
        spacing: Duration::from_mins(1),
    }
}

pub async fn migrate(login: &Login, source: &Source) -> Result<MigrationsStatus, Error> {
    migrate_with(login, source, &Options::default()).await
}

pub fn within(limits: TimeLimits) -> Options {
    Options {
        limits,
        ..Options::default()
    }
}

pub async fn migrate_with(login: &Login, source: &Source, options: &Options) -> Result<MigrationsStatus, Error> {
    apply(connect(login, "test").await?, source, options, &mut |_| {})
        .await
        .map(|(_, status)| status)
}

/// A first migration.
pub const INIT: (&str, &str) = ("1_init", "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1), (2);\n");

/// The options of a spec with this word on a migration.
pub fn resolve(name: &str, resolved_as: ResolvedAs, started_at: Option<&str>) -> Options {
    Options {
        resolve: vec![Resolution {
            name: name.to_owned(),
            resolved_as,
            started_at: started_at.map(ToOwned::to_owned),
        }],
        ..Options::default()
    }
}
