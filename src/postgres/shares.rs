//! How the connections of a tenant are shared among its logins while former ones are kept after rotations.

use sqlx::PgConnection;

use super::error::Result;
use super::generations::{self, Generations};
use super::sql::{begin, end, quote, run};

/// The part of the limit for a login that two or more rotations have replaced within their overlaps.
const OLDER: i32 = 10;

/// The connections of the logins that are no longer the newest one, in the order of their numbers. Together they have as
/// many as the newest one, or one each where that is more: nearly all are for the login that the newest one replaces, which
/// applications use until they have read the Secret again.
fn shares(former: usize, most: i32) -> Vec<i32> {
    let older = former.saturating_sub(1);
    let small = (most / OLDER).max(1);
    let taken = small.saturating_mul(i32::try_from(older).unwrap_or(i32::MAX));
    let last = most.saturating_sub(taken).max(1);
    let mut shares = vec![small; older];
    shares.extend((former > 0).then_some(last));
    shares
}

/// The number of a login of the tenant whose first role is `base`.
fn number(base: &str, role: &str) -> u32 {
    let number = role.strip_prefix(base).and_then(|rest| rest.strip_prefix('_'));
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Limits all logins of a tenant together to twice the limit of one, where more than one former login is kept: these get
/// their shares, and their newest sessions beyond them are ended. With one former login, each has the whole limit, and
/// nothing is changed.
pub(super) async fn share(conn: &mut PgConnection, base: &str, logins: &[&str], most: i32) -> Result<()> {
    let mut former = logins.to_vec();
    former.sort_by_key(|role| number(base, role));
    former.pop();
    if former.len() < 2 {
        return Ok(());
    }
    let shares = shares(former.len(), most);
    begin(conn).await?;
    let done = async {
        let found = generations::generations(conn, base, Generations::Logins).await?;
        for (role, share) in former.iter().zip(&shares) {
            if found.iter().any(|name| name == role) {
                run(conn, format!("ALTER ROLE {} CONNECTION LIMIT {share}", quote(role))).await?;
            }
        }
        Ok(())
    };
    let done = done.await;
    end(conn, done).await?;
    begin(conn).await?;
    let ended = end_surplus(conn, &former).await;
    end(conn, ended).await
}

/// Ends the sessions of roles that are more than their limits, those that began last first.
async fn end_surplus(conn: &mut PgConnection, roles: &[&str]) -> Result<()> {
    sqlx::query(
        "SELECT pg_terminate_backend(pid, 5000) FROM (SELECT pid, usename, \
             row_number() OVER (PARTITION BY usename ORDER BY backend_start, pid) AS n \
             FROM pg_stat_activity WHERE usename::text = ANY ($1)) s \
         JOIN pg_roles ON rolname = usename WHERE rolconnlimit >= 0 AND n > rolconnlimit",
    )
    .bind(roles)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn former_logins_have_together_what_the_newest_has() {
        for (former, most, expected) in [
            (0, 60, vec![]),
            (1, 60, vec![60]),
            (2, 60, vec![6, 54]),
            (4, 60, vec![6, 6, 6, 42]),
            (4, 4, vec![1, 1, 1, 1]),
            (4, 1, vec![1, 1, 1, 1]),
            (2, 10_000, vec![1000, 9000]),
        ] {
            let shares = shares(former, most);
            assert_eq!(shares, expected, "{former} of {most}");
            let former = i32::try_from(former).unwrap();
            assert!(shares.iter().sum::<i32>() <= most.max(former), "{former} of {most}");
        }
    }

    #[test]
    fn a_login_is_newer_by_its_number() {
        let mut roles = ["t_10", "t", "t_2"];
        roles.sort_by_key(|role| number("t", role));
        assert_eq!(roles, ["t", "t_2", "t_10"]);
    }
}
