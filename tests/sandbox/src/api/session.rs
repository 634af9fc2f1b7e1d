//! Sessions in a project's database.

use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::reply::{Call, Reply};
use super::state::Inner;
use crate::router::Tenant;

/// The role that reads for the API; the owner does where there is none.
const READER: &str = "supabase_read_only_user";

/// A session of the owner. Refused unless the project is healthy.
pub(super) async fn owner(inner: &Inner, call: &Call) -> Result<PgConnection, Reply> {
    let tenant = tenant(inner, call)?;
    let password = inner.ledger.password_of(call.project()).unwrap_or_default();
    let login = PgConnectOptions::new_without_pgpass()
        .host(&tenant.server.ip().to_string())
        .port(tenant.server.port())
        .database(&tenant.database)
        .username(&tenant.owner)
        .password(&password);
    Ok(PgConnection::connect_with(&login).await?)
}

/// A session of the superuser. Refused unless the project is healthy.
pub(super) async fn superuser(inner: &Inner, call: &Call) -> Result<PgConnection, Reply> {
    tenant(inner, call)?;
    let session = inner.databases.admin(call.project()).await;
    session.map_err(|error| Reply::internal(&error))
}

/// A session that reads everything and writes nothing. Refused unless the project is healthy.
pub(super) async fn reader(inner: &Inner, call: &Call) -> Result<PgConnection, Reply> {
    let mut session = superuser(inner, call).await?;
    let role = if has_role(&mut session, READER).await? {
        READER.to_owned()
    } else {
        tenant(inner, call)?.owner
    };
    let limits = format!("SET default_transaction_read_only = on; SET SESSION AUTHORIZATION \"{role}\"");
    session.execute(AssertSqlSafe(limits)).await?;
    Ok(session)
}

/// Whether there is a role of this name.
pub(super) async fn has_role(session: &mut PgConnection, role: &str) -> sqlx::Result<bool> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)");
    query.bind(role).fetch_one(session).await
}

/// What a query gives whose one column is JSON as text; `$1` is the argument.
pub(super) async fn objects(session: &mut PgConnection, query: &str, argument: &str) -> sqlx::Result<Vec<Value>> {
    let texts = sqlx::query_scalar::<_, String>(AssertSqlSafe(query)).bind(argument);
    let texts = texts.fetch_all(session).await?;
    let read = |text: &String| serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()));
    texts.iter().map(read).collect()
}

/// How the pooler reaches the project. Refused unless the project is healthy.
pub(super) fn tenant(inner: &Inner, call: &Call) -> Result<Tenant, Reply> {
    let healthy = inner.world().project(call.project())?.healthy_for().is_some();
    let refused = || Reply::message(400, "Project must be active and healthy.");
    let tenant = inner.tenants.get(call.project()).filter(|_| healthy);
    tenant.ok_or_else(refused)
}
