//! Empties a database that contains only the objects of an interrupted restore. The record of that restore says
//! so; nothing else may call this.
//!
//! Each statement names its object as the server itself has quoted it. What cannot be dropped stays, and the check that
//! follows finds it.

use sqlx::PgConnection;

use super::error::Result;
use super::facts;
use super::manifest::SnapshotFacts;
use super::scope::SchemaScope;
use super::sql::run;
use crate::postgres::restore_record::RestoreRecord;
use crate::postgres::{self, quote};

/// Ends the other sessions of the operator and of its programs under this login: those of an interrupted run.
const SESSIONS: &str = "SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND application_name = $1";

/// Tables, views and sequences of the schemas `$1`, as many as are dropped in one transaction: each takes several of the
/// server's locks.
const RELATIONS: &str = "SELECT format('DROP %s IF EXISTS %I.%I CASCADE', \
        CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' \
            WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't' AND nspname = ANY ($1) \
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid \
            AND (e.deptype = 'e' OR relkind = 'S' AND e.deptype = 'i')) \
    ORDER BY c.oid LIMIT 100";

/// What else is in the schemas `$1`: those whose names begin a statement go first, and the schemas last.
const OTHERS: &str = "SELECT statement FROM ( \
        SELECT 1 AS turn, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) AS statement FROM pg_proc p \
            JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = ANY ($1) AND p.oid NOT IN (SELECT evtfoid FROM pg_event_trigger) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e') \
    UNION ALL SELECT 2, format('DROP TYPE IF EXISTS %I.%I CASCADE', nspname, typname) FROM pg_type t \
            JOIN pg_namespace n ON n.oid = typnamespace WHERE nspname = ANY ($1) AND typtype IN ('b', 'c', 'd', 'e', 'r') \
            AND typelem = 0 AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c') \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype IN ('e', 'i')) \
    UNION ALL SELECT 3, format('DROP OPERATOR IF EXISTS %s CASCADE', o.oid::regoperator) FROM pg_operator o \
            JOIN pg_namespace n ON n.oid = oprnamespace WHERE nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid AND e.deptype = 'e') \
    UNION ALL SELECT 3, format('DROP OPERATOR FAMILY IF EXISTS %I.%I USING %I CASCADE', nspname, opfname, amname) FROM pg_opfamily f \
            JOIN pg_namespace n ON n.oid = opfnamespace JOIN pg_am a ON a.oid = opfmethod WHERE nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_opfamily'::regclass AND e.objid = f.oid AND e.deptype = 'e') \
    UNION ALL SELECT 3, format('DROP COLLATION IF EXISTS %I.%I CASCADE', nspname, collname) FROM pg_collation c \
            JOIN pg_namespace n ON n.oid = collnamespace WHERE nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_collation'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
    UNION ALL SELECT 4, format('DROP TEXT SEARCH CONFIGURATION IF EXISTS %I.%I CASCADE', nspname, cfgname) FROM pg_ts_config c \
            JOIN pg_namespace n ON n.oid = cfgnamespace WHERE nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_ts_config'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
    UNION ALL SELECT 5, format('DROP TEXT SEARCH DICTIONARY IF EXISTS %I.%I CASCADE', nspname, dictname) FROM pg_ts_dict d \
            JOIN pg_namespace n ON n.oid = dictnamespace WHERE nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_ts_dict'::regclass AND e.objid = d.oid AND e.deptype = 'e') \
    UNION ALL SELECT 6, format('DROP SERVER IF EXISTS %I CASCADE', srvname) FROM pg_foreign_server \
            WHERE pg_has_role(current_user, srvowner, 'USAGE') \
    UNION ALL SELECT 7, format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_publication \
            WHERE pg_has_role(current_user, pubowner, 'USAGE') AND pubname <> 'supabase_realtime' \
    UNION ALL SELECT 8, format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension \
            WHERE extname::text <> ALL ($2) AND pg_has_role(current_user, extowner, 'USAGE') \
    UNION ALL SELECT 9, format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM pg_namespace n \
            WHERE nspname = ANY ($1) AND nspname <> 'public' \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') \
    ) all_others ORDER BY turn LIMIT 5000";

/// Unlinks some large objects of the role that restores.
const LARGE_OBJECTS: &str = "SELECT count(lo_unlink(oid)) FROM (SELECT oid FROM pg_largeobject_metadata \
    WHERE pg_has_role(current_user, lomowner, 'USAGE') LIMIT 500) part";

/// Ends the sessions of an earlier run.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn end_sessions(conn: &mut PgConnection) -> Result<()> {
    let ended = sqlx::query_scalar::<_, i64>(SESSIONS).bind(postgres::APPLICATION);
    ended.fetch_one(&mut *conn).await?;
    Ok(())
}

/// Drops what the restore of this record has left.
///
/// # Errors
/// When the database returns an error other than that it refuses to drop an object.
pub(super) async fn empty(
    conn: &mut PgConnection,
    record: &RestoreRecord,
    scope: &SchemaScope,
    facts: &SnapshotFacts,
) -> Result<()> {
    loop {
        let found = sqlx::query(RELATIONS).bind(&scope.included);
        let found = postgres::column(conn, "tables and views", found).await?;
        let (before, mut dropped) = (found.len(), 0);
        for statement in found {
            dropped += usize::from(drop_one(conn, &statement).await);
        }
        // The check that follows names what the server keeps.
        if before == 0 || dropped == 0 {
            break;
        }
    }
    // A type may be dropped with another one, and a schema only after everything that depends on it.
    for _ in 0..2 {
        let others = sqlx::query(OTHERS).bind(&scope.included).bind(&record.extensions);
        for statement in postgres::column(conn, "objects", others).await? {
            drop_one(conn, &statement).await;
        }
    }
    while sqlx::query_scalar::<_, i64>(LARGE_OBJECTS)
        .fetch_one(&mut *conn)
        .await?
        > 0
    {}
    if scope.hosted {
        provider(conn, scope, facts).await?;
    }
    Ok(())
}

/// Drops one object. Returns whether the server dropped it.
async fn drop_one(conn: &mut PgConnection, statement: &str) -> bool {
    let dropped = run(conn, statement).await;
    if let Err(error) = &dropped {
        tracing::info!(%error, "an object is not dropped");
    }
    dropped.is_ok()
}

/// Removes the restored rows of the provider's tables, and the tenant's policies on them. Its triggers have gone with their
/// functions.
async fn provider(conn: &mut PgConnection, scope: &SchemaScope, facts: &SnapshotFacts) -> Result<()> {
    let hooks = facts.hooks.iter().filter(|hook| hook.kind == "POLICY");
    for hook in hooks {
        let (name, schema, table) = (quote(&hook.name), quote(&hook.schema), quote(&hook.table));
        drop_one(conn, &format!("DROP POLICY IF EXISTS {name} ON {schema}.{table}")).await;
    }
    let managed = SchemaScope {
        included: Vec::new(),
        ..scope.clone()
    };
    let rows = facts::rows(conn, &managed).await?;
    run(conn, "BEGIN; SET LOCAL session_replication_role = replica").await?;
    for table in rows.iter().filter(|(_, rows)| **rows > 0).map(|(table, _)| table) {
        if let Err(error) = run(conn, &format!("DELETE FROM ONLY {table}")).await {
            run(conn, "ROLLBACK").await?;
            return Err(error);
        }
    }
    run(conn, "COMMIT").await
}
