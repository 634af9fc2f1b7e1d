//! Statements about roles that a neighbour's transaction may hold up: since PostgreSQL 16 a GRANT of a group waits for every
//! transaction that has granted the same group, and on every version a CREATE ROLE waits for one that has made a role of that
//! name. Such a transaction may stay open for as long as its owner likes, so the operator waits for a short time only.

use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::sql::{LOCK_TIMEOUT, ask, literal, run};

/// How long such a statement waits.
const BRIEFLY: &str = "2s";

/// SQLSTATE `lock_not_available`.
const LOCKED: &str = "55P03";

/// Runs statements about a role in a transaction that continues when the server refuses with one of these SQLSTATEs.
///
/// # Errors
/// [`Error::Refused`] that passes by itself, when another transaction keeps the role locked. The transaction can continue.
pub(super) async fn briefly(conn: &mut PgConnection, role: &str, sql: &str, refusals: &[&str]) -> Result<()> {
    let timed = format!(
        "SAVEPOINT tried; SET LOCAL lock_timeout = '{BRIEFLY}'; {sql}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; RELEASE tried"
    );
    let Err(error) = run(conn, timed).await else {
        return Ok(());
    };
    let Error::Refused { sqlstate, .. } = &error else {
        return Err(error);
    };
    let locked = sqlstate == LOCKED;
    if !locked && !refusals.contains(&sqlstate.as_str()) {
        return Err(error);
    }
    run(conn, "ROLLBACK TO tried; RELEASE tried".to_owned()).await?;
    if locked {
        let holder = holder(conn, role).await?;
        return Err(not_now(role, holder.as_ref()));
    }
    Ok(())
}

/// Whether an error is one of [`briefly`]'s: another transaction keeps a role locked.
pub(super) fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Refused { sqlstate, .. } if sqlstate == LOCKED)
}

/// The process and the role of a session that keeps a role locked, where the server shows it: since version 16, and not of a
/// role that is still being made.
async fn holder(conn: &mut PgConnection, role: &str) -> Result<Option<(i32, String)>> {
    let query = format!(
        "SELECT a.pid, coalesce(a.usename::text, '(dropped)') FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'object' AND l.classid = 'pg_authid'::regclass AND l.granted AND l.mode <> 'AccessShareLock' \
             AND l.objid = (SELECT oid FROM pg_roles WHERE rolname::text = {}) AND l.pid <> pg_backend_pid() \
         ORDER BY a.xact_start, 1 LIMIT 1",
        literal(role)
    );
    let [rows] = ask(conn, [query]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some((row.try_get(0)?, row.try_get(1)?)))
}

/// What is waited for.
fn not_now(role: &str, holder: Option<&(i32, String)>) -> Error {
    let who = holder.map_or_else(
        || "a transaction of another session".to_owned(),
        |(process, who)| format!("a transaction of the role {who} (process {process})"),
    );
    let cure = holder.map_or_else(String::new, |(process, _)| {
        format!(". To end it, as a superuser: SELECT pg_catalog.pg_terminate_backend({process})")
    });
    Error::refused(
        LOCKED,
        &format!(
            "{who} of this server, which has not ended, keeps the role {role} locked: it has made, granted or changed that role. \
             The operator tries again{cure}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[test]
    fn who_keeps_a_role_locked_is_told_and_waited_for() {
        let error = not_now("orchestra_app", Some(&(17, "neighbour".to_owned())));
        assert!(is_locked(&error) && error.class() == ErrorClass::Transient);
        let said = error.to_string();
        for part in [
            "of the role neighbour (process 17)",
            "keeps the role orchestra_app locked",
            "pg_terminate_backend(17)",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let said = not_now("orchestra_app", None).to_string();
        assert!(
            said.contains("of another session") && !said.contains("pg_terminate_backend"),
            "{said}"
        );
        assert!(!is_locked(&Error::refused("42501", "no")));
    }
}
