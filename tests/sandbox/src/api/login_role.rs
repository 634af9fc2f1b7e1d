//! Roles for a short time, by which the CLI logs in where it knows no password.

use serde_json::json;
use sqlx::PgConnection;

use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;
use crate::postgres::run_formatted;

const TTL_SECONDS: u32 = 300;

/// What the names of these roles begin with.
const PREFIX: &str = "cli_login_";

pub(super) async fn create(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let tenant = session::tenant(inner, call)?;
    let mut session = session::superuser(inner, call).await?;
    let member_of = if call.body["read_only"] == true {
        "supabase_read_only_user"
    } else {
        &tenant.owner
    };
    let (role, password) = (format!("{PREFIX}{member_of}"), crate::random::alphanumeric(32));
    make(&mut session, &role, &password, member_of, &tenant.database).await?;
    inner.ledger.secret(&password);
    let body = json!({"role": role, "password": password, "ttl_seconds": TTL_SECONDS});
    Ok(Reply::json(201, body))
}

/// The role takes the place of the one of before, whose password is then void.
async fn make(
    session: &mut PgConnection,
    role: &str,
    password: &str,
    member_of: &str,
    database: &str,
) -> sqlx::Result<()> {
    if !session::has_role(session, role).await? {
        run_formatted(session, "CREATE ROLE %I NOINHERIT LOGIN", &[role]).await?;
    }
    let until = "SELECT to_char(now() + make_interval(secs => $1), 'YYYY-MM-DD HH24:MI:SSOF')";
    let until = sqlx::query_scalar(until).bind(f64::from(TTL_SECONDS));
    let until: String = until.fetch_one(&mut *session).await?;
    let set = "ALTER ROLE %I PASSWORD %L VALID UNTIL %L";
    run_formatted(session, set, &[role, password, &until]).await?;
    run_formatted(session, "GRANT CONNECT ON DATABASE %I TO %I", &[database, role]).await?;
    run_formatted(session, "GRANT %I TO %I", &[member_of, role]).await
}

pub(super) async fn delete(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let tenant = session::tenant(inner, call)?;
    let mut session = session::superuser(inner, call).await?;
    for member_of in ["supabase_read_only_user", &tenant.owner] {
        let role = format!("{PREFIX}{member_of}");
        if session::has_role(&mut session, &role).await? {
            run_formatted(&mut session, "DROP OWNED BY %I", &[&role]).await?;
            run_formatted(&mut session, "DROP ROLE %I", &[&role]).await?;
        }
    }
    Ok(Reply::json(200, json!({"message": "ok"})))
}
