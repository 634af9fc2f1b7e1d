//! Whether anybody uses a database: what sessions of others do, and a count of the uses of its tables.
//!
//! The transactions of `pg_stat_database` are not usable: they include those of autovacuum, of a platform's services, and of
//! the operator's own probes. Neither is the number of open sessions: a pooler keeps its own after its clients have left, and
//! each probe of the published login uses one of them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::connect::APPLICATION;
use super::error::Result;
use super::measure::MEASURED;
use super::probe::QUESTION;
use super::sql::OPERATOR_SCHEMA;

/// Roles of a hosted project's services, besides those whose names begin with `supabase_`.
const SERVICES: [&str; 2] = ["authenticator", "pgbouncer"];

/// Schemas that a hosted project's services use by themselves. A sign-in or an upload uses tables of `auth` and `storage`,
/// and an application's queue those of `pgmq`.
const SERVICE_SCHEMAS: [&str; 7] = [
    "_analytics",
    "_realtime",
    "realtime",
    "cron",
    "net",
    "supabase_functions",
    "vault",
];

/// Tables of the migration tools, which the operator reads.
const HISTORIES: [&str; 4] = [
    "_prisma_migrations",
    "_sqlx_migrations",
    "schema_migrations",
    "seed_files",
];

/// What Supavisor calls its sessions in `pg_stat_activity`, whoever its client is. A regular expression without case.
const POOLER: &str = "^supavisor";

/// What health checks of applications and drivers run, after which a pooler's session stays idle. A regular expression
/// without case: `SELECT 1`, an empty statement, and the ping of pgx.
const CHECK: &str = "^\\s*(select\\s+1|-- ping)?\\s*;?\\s*$";

/// What a pooler in session mode runs when a client has left, as `PgBouncer` does: what is left is no client's session.
const CLIENT_LEFT: &str = "DISCARD ALL";

/// The result of a look at a database. It counts sessions of roles that are neither the owner, nor a superuser, nor a
/// service's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sessions that run a statement or are in a transaction, and those whose state the owner may not see.
    pub sessions: i64,
    /// How long ago one of the idle sessions has last run a statement; none without such a session. The operator's probes, and
    /// health checks through a pooler, do not count.
    pub acted: Option<Duration>,
    /// Count of the changes of its tables and of the scans of its indexes. It stays the same while nobody uses them: vacuum,
    /// analyze and backups are not counted.
    pub uses: String,
    /// Count of the scans of whole tables, which a backup makes as well.
    pub scans: String,
}

/// SQL: the sessions, with their last statements. The server shows neither `backend_type` nor the state of a session whose
/// role the owner is no member of. `probed`: the last statement is one of a probe, of a health check,
/// or of a pooler whose client has left.
const SESSIONS: &str = "SELECT a.state, a.state_change, a.backend_type IS NULL AS hidden, \
       coalesce(a.application_name, '') = $1 AS own, \
       a.query = ANY ($6) OR coalesce(a.application_name, '') ~* $7 AND a.query ~* $8 AS probed \
     FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
     WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
       AND coalesce(a.backend_type, 'client backend') = 'client backend' \
       AND r.rolname <> current_user AND NOT r.rolsuper \
       AND r.rolname::text <> ALL ($2) AND r.rolname !~ '^supabase_'";

/// SQL: what the sessions show, and the counts of the tables. A session that has just begun has no state.
///
/// Whoever calls his sessions as the operator does hides only idle ones, and what those did to tables is counted.
fn question() -> String {
    format!(
        "SELECT seen.busy, seen.acted, counted.uses, counted.scans \
         FROM (SELECT pg_catalog.count(*) FILTER (WHERE CASE WHEN hidden THEN NOT own WHEN state = 'active' THEN NOT probed \
                     ELSE state <> 'idle' END) AS busy, \
                 extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.max(state_change) \
                     FILTER (WHERE NOT hidden AND state = 'idle' AND NOT own AND NOT probed))::float8 AS acted \
             FROM ({SESSIONS}) session) seen, \
             (SELECT coalesce(pg_catalog.sum(coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del), 0)::text AS uses, \
                 coalesce(pg_catalog.sum(seq_scan), 0)::text AS scans \
             FROM pg_catalog.pg_stat_user_tables \
             WHERE schemaname::text <> ALL ($3) AND schemaname <> $4 AND relname::text <> ALL ($5)) counted"
    )
}

/// Looks whether anybody uses the database of this session, which is the owner's. It reads catalogs only.
///
/// # Errors
/// When the server does not answer.
pub async fn usage(conn: &mut PgConnection) -> Result<Usage> {
    let row = sqlx::query(AssertSqlSafe(question()))
        .bind(APPLICATION)
        .bind(SERVICES.map(str::to_owned).to_vec())
        .bind(SERVICE_SCHEMAS.map(str::to_owned).to_vec())
        .bind(OPERATOR_SCHEMA)
        .bind(HISTORIES.map(str::to_owned).to_vec())
        .bind([QUESTION, MEASURED, CLIENT_LEFT].map(str::to_owned).to_vec())
        .bind(POOLER)
        .bind(CHECK)
        .fetch_one(conn)
        .await?;
    let acted: Option<f64> = row.try_get(1)?;
    Ok(Usage {
        sessions: row.try_get(0)?,
        // The clock of the server may have been set back.
        acted: acted.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)),
        uses: row.try_get(2)?,
        scans: row.try_get(3)?,
    })
}
