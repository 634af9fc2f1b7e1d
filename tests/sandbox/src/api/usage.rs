//! What was used of a project: no service of the sandbox but the database is there, so nothing was.
//! Buckets, functions and branches are listed here too, for the same reason.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;

/// How many buckets of time there are.
const BUCKETS: i64 = 5;

pub(super) fn api_counts(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    let minutes = match call.query("interval") {
        Some("15min") => 15,
        Some("30min") => 30,
        Some("3hr") => 180,
        Some("1day") => 1440,
        Some("3day") => 3 * 1440,
        Some("7day") => 7 * 1440,
        _ => 60,
    };
    let step = SignedDuration::from_mins(minutes / BUCKETS);
    let now = Timestamp::now();
    let bucket = |back: i64| {
        json!({
            "timestamp": (now - step * i32::try_from(back).unwrap_or_default()).to_string(),
            "total_auth_requests": 0, "total_realtime_requests": 0,
            "total_rest_requests": 0, "total_storage_requests": 0,
        })
    };
    let result: Vec<Value> = (0..BUCKETS).rev().map(bucket).collect();
    Ok(Reply::json(200, json!({"result": result})))
}

/// The platform keeps its logs elsewhere than in the database, and here nobody does.
pub(super) fn logs(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    Ok(Reply::json(200, json!({"result": []})))
}

pub(super) fn api_requests(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    Ok(Reply::json(200, json!({"result": [{"count": 0}]})))
}

/// The rows of `storage.buckets`, where the database has it.
pub(super) async fn buckets(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::superuser(inner, call).await?;
    let there = "SELECT to_regclass('storage.buckets') IS NOT NULL";
    if !sqlx::query_scalar(there).fetch_one(&mut session).await? {
        return Ok(Reply::json(200, json!([])));
    }
    let rows = "SELECT jsonb_build_object('id', id, 'name', name, 'owner', coalesce(owner::text, ''),
            'created_at', coalesce(created_at, now()), 'updated_at', coalesce(updated_at, now()),
            'public', coalesce(public, false))::text
        FROM storage.buckets WHERE $1 = '' ORDER BY id";
    let found = session::objects(&mut session, rows, "").await?;
    Ok(Reply::json(200, json!(found)))
}

/// There is nothing of this kind.
pub(super) fn none(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    Ok(Reply::json(200, json!([])))
}
