//! Whether anybody uses a database: sessions of others, and a count of the uses of its tables.
//!
//! The transactions of `pg_stat_database` are no measure: autovacuum's count there, and those of a platform's services.

use sqlx::PgConnection;
use sqlx::Row as _;

use super::connect::APPLICATION;
use super::error::Result;
use super::sql::OPERATOR_SCHEMA;

/// Roles of a hosted project's services, besides those whose names begin with `supabase_`.
const SERVICES: [&str; 2] = ["authenticator", "pgbouncer"];

/// Schemas that a hosted project's services use by themselves. A sign-in or an upload uses tables of `auth` and `storage`.
const SERVICE_SCHEMAS: [&str; 8] = [
    "_analytics",
    "_realtime",
    "realtime",
    "cron",
    "net",
    "pgmq",
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

/// What a look at a database has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open sessions of roles that are neither the owner, nor a superuser, nor a service's.
    pub sessions: i64,
    /// Count of the changes of its tables and of the scans of its indexes. It stays the same while nobody uses them: vacuum,
    /// analyze and backups are not counted.
    pub uses: String,
    /// Count of the scans of whole tables, which a backup makes as well.
    pub scans: String,
}

/// Looks whether anybody uses the database of this session, which is the owner's. It reads catalogs only.
///
/// # Errors
/// When the server does not answer.
pub async fn usage(conn: &mut PgConnection) -> Result<Usage> {
    let row = sqlx::query(
        "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a \
               JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
             WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
               AND coalesce(a.backend_type, 'client backend') = 'client backend' \
               AND coalesce(a.application_name, '') <> $1 \
               AND r.rolname <> current_user AND NOT r.rolsuper \
               AND r.rolname::text <> ALL ($2) AND r.rolname !~ '^supabase_'), \
           counted.uses, counted.scans \
         FROM (SELECT coalesce(pg_catalog.sum(coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del), 0)::text AS uses, \
                 coalesce(pg_catalog.sum(seq_scan), 0)::text AS scans \
             FROM pg_catalog.pg_stat_user_tables \
             WHERE schemaname::text <> ALL ($3) AND schemaname <> $4 AND relname::text <> ALL ($5)) counted",
    )
    .bind(APPLICATION)
    .bind(SERVICES.map(str::to_owned).to_vec())
    .bind(SERVICE_SCHEMAS.map(str::to_owned).to_vec())
    .bind(OPERATOR_SCHEMA)
    .bind(HISTORIES.map(str::to_owned).to_vec())
    .fetch_one(conn)
    .await?;
    Ok(Usage {
        sessions: row.try_get(0)?,
        uses: row.try_get(1)?,
        scans: row.try_get(2)?,
    })
}
