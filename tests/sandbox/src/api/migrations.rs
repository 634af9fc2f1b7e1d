//! The history of migrations, `supabase_migrations.schema_migrations`, in the project's database.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::query::refusal;
use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;

/// The table as the CLI makes it, and the columns that the platform adds.
const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS supabase_migrations;
    CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY);
    ALTER TABLE supabase_migrations.schema_migrations
        ADD COLUMN IF NOT EXISTS statements text[],
        ADD COLUMN IF NOT EXISTS name text,
        ADD COLUMN IF NOT EXISTS created_by text,
        ADD COLUMN IF NOT EXISTS idempotency_key text UNIQUE,
        ADD COLUMN IF NOT EXISTS rollback text[]";

/// Its rows, whatever columns there are.
const ROWS: &str = "SELECT jsonb_strip_nulls(to_jsonb(it))::text FROM supabase_migrations.schema_migrations AS it";

const INSERT: &str = "INSERT INTO supabase_migrations.schema_migrations
    (version, statements, name, created_by, idempotency_key, rollback) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (idempotency_key) DO UPDATE
        SET statements = excluded.statements, name = excluded.name, rollback = excluded.rollback";

pub(super) async fn list(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    let rows = rows(&mut session, "").await?;
    let short = |row: &Value| match row.get("name") {
        Some(name) => json!({"version": row["version"], "name": name}),
        None => json!({"version": row["version"]}),
    };
    Ok(Reply::json(200, rows.iter().map(short).collect()))
}

pub(super) async fn get(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    let mut found = rows(&mut session, call.path("version")).await?;
    found.pop().map(|row| Reply::json(200, row)).ok_or_else(not_found)
}

/// Runs a script and enters it, both or neither. One with a key that is entered already is not run.
pub(super) async fn apply(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    let script = call.text("query").unwrap_or_default();
    session.execute(TABLE).await.map_err(|error| refusal(TABLE, &error))?;
    let known = "SELECT EXISTS (SELECT FROM supabase_migrations.schema_migrations WHERE idempotency_key = $1)";
    let known = sqlx::query_scalar(known).bind(&call.idempotency_key);
    if known.fetch_one(&mut session).await? {
        return Ok(Reply::empty(200));
    }
    let mut transaction = session.begin().await?;
    let ran = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await;
    ran.map_err(|error| refusal(script, &error))?;
    // The script may have set what the entry would be read by.
    transaction.execute("RESET ROLE; RESET search_path").await?;
    enter(&mut transaction, call)
        .await
        .map_err(|error| refusal(INSERT, &error))?;
    transaction.commit().await.map_err(|error| refusal(script, &error))?;
    Ok(Reply::empty(200))
}

/// Enters a script without running it; one with the same key is replaced.
pub(super) async fn upsert(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    session.execute(TABLE).await.map_err(|error| refusal(TABLE, &error))?;
    enter(&mut session, call)
        .await
        .map_err(|error| refusal(INSERT, &error))?;
    Ok(Reply::empty(200))
}

async fn enter(session: &mut PgConnection, call: &Call) -> sqlx::Result<()> {
    let last = "SELECT coalesce(max(version), '') FROM supabase_migrations.schema_migrations";
    let last: String = sqlx::query_scalar(last).fetch_one(&mut *session).await?;
    sqlx::query(INSERT)
        .bind(next_version(&last))
        .bind(vec![call.text("query").unwrap_or_default()])
        .bind(call.text("name"))
        .bind("sandbox@example.org")
        .bind(&call.idempotency_key)
        .bind(call.text("rollback").map(|script| vec![script]))
        .execute(session)
        .await?;
    Ok(())
}

/// The time as a version, or the one after the last, which may be of the same second.
fn next_version(last: &str) -> String {
    let now = Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
    match last.parse::<u64>() {
        Ok(number) if last.len() == now.len() && last >= now.as_str() => (number + 1).to_string(),
        _ => now,
    }
}

/// Runs the undoing scripts from the last migration down to the one given, and takes them out.
pub(super) async fn rollback(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    let from = call.query("gte").unwrap_or_default();
    let all = rows(&mut session, "").await?;
    let mut transaction = session.begin().await?;
    for row in all.iter().rev() {
        let version = row["version"].as_str().unwrap_or_default();
        if version < from {
            break;
        }
        for script in row["rollback"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let ran = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await;
            ran.map_err(|error| refusal(script, &error))?;
        }
        let gone = "DELETE FROM supabase_migrations.schema_migrations WHERE version = $1";
        let gone = sqlx::query(gone).bind(version).execute(&mut *transaction).await;
        gone?;
    }
    transaction.commit().await?;
    Ok(Reply::empty(200))
}

pub(super) async fn patch(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::owner(inner, call).await?;
    if rows(&mut session, call.path("version")).await?.is_empty() {
        return Err(not_found());
    }
    session.execute(TABLE).await.map_err(|error| refusal(TABLE, &error))?;
    let change = "UPDATE supabase_migrations.schema_migrations
        SET name = coalesce($2, name), rollback = coalesce($3, rollback) WHERE version = $1";
    let changed = sqlx::query(change)
        .bind(call.path("version"))
        .bind(call.text("name"))
        .bind(call.text("rollback").map(|script| vec![script]));
    changed.execute(&mut session).await?;
    Ok(Reply::empty(200))
}

/// The rows of the history, of one version if it is given, in order; none where there is no history.
async fn rows(session: &mut PgConnection, version: &str) -> sqlx::Result<Vec<Value>> {
    let there = "SELECT to_regclass('supabase_migrations.schema_migrations') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(there).fetch_one(&mut *session).await? {
        return Ok(Vec::new());
    }
    let query = format!("{ROWS} WHERE $1 IN ('', version) ORDER BY version");
    session::objects(session, &query, version).await
}

fn not_found() -> Reply {
    Reply::message(404, "Migration not found")
}
