//! What a tenant can do with nothing but its Secret, and what it cannot.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestra_sandbox::router::Authority;
use orchestra_sandbox::world::{Kind, TENANTS, World};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Row, ValueRef};
use url::Url;

use super::screen;

/// A tenant's login.
pub(super) struct Tenant {
    name: String,
    url: Url,
}

impl Tenant {
    /// Reads `DATABASE_URL` from the Secret `<name>-connection`.
    pub(super) async fn of(world: &World, name: &str) -> Result<Self> {
        let secret = format!("{name}-connection");
        let object = world.get(Kind::Secret, TENANTS, &secret).await?;
        let object = object.with_context(|| format!("Secret {secret} is not there"))?;
        let value = object["data"]["DATABASE_URL"]
            .as_str()
            .context("the Secret has no DATABASE_URL")?;
        let url = String::from_utf8(STANDARD.decode(value)?)?;
        Ok(Self {
            name: name.to_owned(),
            url: url.parse()?,
        })
    }

    /// Logs in, and prints the tables and the rows of some of them.
    pub(super) async fn look(&self, rows_of: &[&str]) -> Result<()> {
        screen::say(&format!("DATABASE_URL={}", masked(&self.url)));
        let mut connection = login(&self.url).await.context("the login in the Secret")?;
        let query = "SELECT c.relname AS table, pg_get_userbyid(c.relowner) AS owner, \
             CASE WHEN has_table_privilege(c.oid, 'INSERT') THEN 'read, write' \
                  WHEN has_table_privilege(c.oid, 'SELECT') THEN 'read' ELSE '' END AS \"this login may\" \
             FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1";
        print(&mut connection, query).await?;
        for table in rows_of {
            println!();
            screen::say(&format!("SELECT * FROM \"{table}\""));
            let rows = print(&mut connection, &format!("SELECT * FROM \"{table}\" ORDER BY 1")).await?;
            ensure!(rows > 0, "table {table} of {} is empty", self.name);
        }
        connection.close().await?;
        Ok(())
    }

    /// Tries this tenant's user and password where the other tenant's database is; the server must
    /// refuse. `user` is this tenant's user as it must be spelled there.
    pub(super) async fn is_kept_out_of(&self, other: &Self) -> Result<()> {
        let mut url = other.url.clone();
        let user = spelled_for(self.url.username(), other.url.username());
        let taken = url
            .set_username(&user)
            .and_then(|()| url.set_password(self.url.password()));
        ensure!(taken.is_ok(), "the address of {} takes no user", other.name);
        screen::say(&format!("{} at the database of {}:", self.name, other.name));
        screen::indented(&masked(&url));
        match login(&url).await {
            Ok(_) => bail!("{} can log in to the database of {}", self.name, other.name),
            Err(sqlx::Error::Database(refusal)) => {
                let code = refusal.code().unwrap_or_default();
                screen::indented(&format!("refused: {} (SQLSTATE {code})", refusal.message()));
                Ok(())
            }
            Err(error) => Err(error).context("no answer of the server"),
        }
    }
}

/// The pooler wants `role.project`, a plain server `role` alone.
fn spelled_for(mine: &str, theirs: &str) -> String {
    let role = mine.split_once('.').map_or(mine, |(role, _)| role);
    theirs
        .split_once('.')
        .map_or_else(|| role.to_owned(), |(_, project)| format!("{role}.{project}"))
}

fn masked(url: &Url) -> String {
    let mut url = url.clone();
    // A URL with a host always takes a password.
    let _ = url.set_password(Some("********"));
    url.to_string()
}

async fn login(url: &Url) -> sqlx::Result<PgConnection> {
    let options: PgConnectOptions = url.as_str().parse()?;
    let root = Authority::of_poolers().map_err(|error| sqlx::Error::Tls(error.into()))?;
    let options = options.ssl_root_cert_from_pem(root.root().into());
    PgConnection::connect_with(&options.disable_statement_logging()).await
}

/// Prints the rows that a query finds, and counts them.
async fn print(connection: &mut PgConnection, query: &str) -> Result<usize> {
    let rows = connection
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(query.to_owned())))
        .await?;
    let Some(first) = rows.first() else { return Ok(0) };
    let headings: Vec<_> = first.columns().iter().map(Column::name).collect();
    let cells = rows.iter().map(texts).collect::<Result<Vec<_>>>()?;
    screen::table(&headings, &cells);
    Ok(rows.len())
}

/// The values of a row as the server writes them; the simple protocol has them as text.
fn texts(row: &PgRow) -> Result<Vec<String>> {
    let text = |column| {
        let value = row.try_get_raw(column)?;
        let text = if value.is_null() {
            ""
        } else {
            value.as_str().map_err(|error| anyhow::anyhow!(error))?
        };
        Ok(text.to_owned())
    };
    (0..row.len()).map(text).collect()
}
