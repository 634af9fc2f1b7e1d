//! Drops what a tenant has left, with statements that the server itself generates: each name in them is quoted by it.

use sqlx::PgConnection;

use super::observe::made;
use crate::postgres::bounded::{self, column};
use crate::postgres::error::Result;
use crate::postgres::sql::{begin, end, permitted, quote, run};
use crate::postgres::wall::{close_database, current_database};

/// Statements that the server refuses because of what else there is, or because the owner may not: what is left is told.
const REFUSALS: [&str; 6] = ["42501", "2BP01", "55006", "0LP01", "0A000", "42704"];

/// Drops objects that may be many, or that cannot be dropped with the rest: prepared transactions, roles, tables, large
/// objects.
pub(super) async fn everything(conn: &mut PgConnection) -> Result<()> {
    prepared_transactions(conn).await?;
    begin(conn).await?;
    let dropped = async {
        subscriptions(conn).await?;
        roles(conn).await
    };
    let dropped = dropped.await;
    end(conn, dropped).await?;
    let mut before = i64::MAX;
    loop {
        let (tables, count) = tables(conn).await?;
        // What the server refuses to drop is reported later.
        if count == 0 || count >= before {
            break;
        }
        before = count;
        begin(conn).await?;
        let dropped = all(conn, tables.into_iter()).await;
        end(conn, dropped).await?;
    }
    while large_objects(conn).await? > 0 {}
    Ok(())
}

/// Drops the rest in the transaction of the caller, the claim record as well, and restores the settings and rights of a
/// fresh database for the database, its owner and the schema `public`.
pub(super) async fn rest(conn: &mut PgConnection) -> Result<()> {
    run(conn, "DROP OWNED BY CURRENT_USER CASCADE".into()).await?;
    // The owner has lost the rights that it granted to itself.
    let database = current_database(conn).await?;
    close_database(conn, &database).await?;
    let fresh = column(conn, "rights on the database", sqlx::query(FRESH)).await?;
    all(conn, fresh.into_iter()).await?;
    let public = column(conn, "rights on schema public", sqlx::query(PUBLIC)).await?;
    all(conn, public.into_iter()).await
}

async fn all(conn: &mut PgConnection, statements: impl Iterator<Item = String>) -> Result<()> {
    for statement in statements {
        permitted(conn, statement, &REFUSALS).await?;
    }
    Ok(())
}

async fn statements(conn: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    begin(conn).await?;
    let found = column(conn, "prepared transactions", sqlx::query(query)).await;
    end(conn, found).await
}

/// They hold locks, and end outside of a transaction only.
async fn prepared_transactions(conn: &mut PgConnection) -> Result<()> {
    let query = "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts \
                 WHERE database = current_database() AND owner = current_user";
    for statement in statements(conn, query).await? {
        run(conn, statement).await?;
    }
    Ok(())
}

async fn subscriptions(conn: &mut PgConnection) -> Result<()> {
    let query = "SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); \
                     DROP SUBSCRIPTION %1$I', subname) FROM pg_subscription \
                 WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let found = column(conn, "subscriptions", sqlx::query(query)).await?;
    all(conn, found.into_iter()).await
}

/// The roles that the owner has created. It becomes a member of each, so that it can end their sessions and drop their
/// objects, and first drops those that others of them have created.
async fn roles(conn: &mut PgConnection) -> Result<()> {
    let made = made(conn).await?;
    for role in &made {
        let join = format!("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE", quote(role));
        permitted(conn, join, &REFUSALS).await?;
    }
    for role in made.iter().rev() {
        let sessions = "SELECT format('SELECT pg_terminate_backend(%s, 5000)', pid) FROM pg_stat_activity WHERE usename::text = $1";
        let ends = column(conn, "sessions of a role", sqlx::query(sessions).bind(role)).await?;
        let role = quote(role);
        // A role that something in another database keeps is left without a login and a member.
        let drops = [
            format!("ALTER ROLE {role} NOLOGIN"),
            format!("DROP OWNED BY {role} CASCADE"),
            format!("DROP ROLE {role}"),
            format!("REVOKE {role} FROM CURRENT_USER"),
        ];
        all(conn, ends.into_iter().chain(drops)).await?;
    }
    Ok(())
}

/// Statements that drop some of the owner's tables and views, and how many there are in all.
async fn tables(conn: &mut PgConnection) -> Result<(Vec<String>, i64)> {
    begin(conn).await?;
    let found = bounded::all::<(String, i64), _>(conn, "tables and views", sqlx::query(RELATIONS)).await;
    let found = end(conn, found).await?;
    let count = found.first().map_or(0, |(_, count)| *count);
    Ok((found.into_iter().map(|(statement, _)| statement).collect(), count))
}

/// Tables and views of the owner, apart from the operator's own and those that come with an extension, as many as are
/// dropped in one transaction: each takes several of the server's locks.
const RELATIONS: &str = "SELECT format('DROP %s IF EXISTS %I.%I CASCADE', \
        CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, \
        n.nspname, c.relname), count(*) OVER () \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) \
        AND n.nspname <> 'stagesub' AND c.relpersistence <> 't' \
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
    ORDER BY c.oid LIMIT 100";

/// Drops some of the owner's large objects, and returns how many.
async fn large_objects(conn: &mut PgConnection) -> Result<i64> {
    begin(conn).await?;
    let dropped = sqlx::query_scalar(
        "SELECT count(lo_unlink(oid)) FROM (SELECT oid FROM pg_largeobject_metadata \
         WHERE lomowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) LIMIT 500) part",
    )
    .fetch_one(&mut *conn)
    .await;
    end(conn, dropped.map_err(Into::into)).await
}

/// The statements that restore the settings and rights of a fresh database and of its owner. The limit of the database's
/// connections goes as well: the owner may change it, so that nothing tells an admin's from a script's.
const FRESH: &str = "SELECT format('ALTER DATABASE %I RESET ALL', current_database()) \
    UNION ALL SELECT format('GRANT ALL ON DATABASE %I TO CURRENT_USER', current_database()) \
    UNION ALL SELECT 'ALTER ROLE CURRENT_USER RESET ALL' \
    UNION ALL SELECT format('ALTER ROLE CURRENT_USER IN DATABASE %I RESET ALL', current_database()) \
    UNION ALL SELECT format('ALTER DATABASE %I WITH IS_TEMPLATE false', datname) FROM pg_database \
        WHERE datname = current_database() AND datistemplate \
    UNION ALL SELECT format('ALTER DATABASE %I WITH CONNECTION LIMIT -1', datname) FROM pg_database \
        WHERE datname = current_database() AND datconnlimit <> -1 \
    UNION ALL SELECT format('COMMENT ON DATABASE %I IS NULL', current_database()) \
    UNION ALL SELECT DISTINCT format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', d.datname, r.rolname) FROM pg_database d \
        CROSS JOIN aclexplode(d.datacl) a JOIN pg_roles r ON r.oid = a.grantee \
        WHERE d.datname = current_database() AND a.grantee <> d.datdba \
    UNION ALL SELECT 'CREATE SCHEMA public AUTHORIZATION pg_database_owner' \
        WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')";

/// The same for the schema `public`, where it is the database owner's.
const PUBLIC: &str = "SELECT DISTINCT format('REVOKE ALL ON SCHEMA public FROM %I CASCADE', r.rolname) FROM pg_namespace n \
        CROSS JOIN aclexplode(n.nspacl) a JOIN pg_roles r ON r.oid = a.grantee \
        WHERE n.nspname = 'public' AND a.grantee <> n.nspowner \
    UNION ALL SELECT statement FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner \
        CROSS JOIN (VALUES ('REVOKE ALL ON SCHEMA public FROM PUBLIC'), ('GRANT USAGE ON SCHEMA public TO PUBLIC'), \
            ('GRANT ALL ON SCHEMA public TO pg_database_owner'), \
            ('COMMENT ON SCHEMA public IS ''standard public schema''')) s (statement) \
        WHERE n.nspname = 'public' AND o.rolname = 'pg_database_owner'";
