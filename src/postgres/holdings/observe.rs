//! Reads what a database holds. No code that a tenant's script has left behind runs: only catalogs are read, and tables
//! without their columns, policies or views.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::facts::{DatabaseHoldings, Holdings, LoginFacts, MOST, Role, ServerHoldings};
use super::open::open;
use crate::postgres::bounded::{all, column};
use crate::postgres::error::{Error, Result};
use crate::postgres::groups::APP_GROUP;
use crate::postgres::heir::IS_STUCK;
use crate::postgres::sql::{FIRST_OWN, IS_READ_ONLY, OPERATOR_SCHEMA, begin, end, first, look, quote, run};
use crate::text;

/// The most memberships that are read: a login with more is refused.
const MEMBERSHIPS: i64 = 1000;

/// SQL: whether a name is that of a tenant's login.
const TENANTS: &str = "'^orchestra_[0-9a-fA-F]{32}(_[0-9]+)?$'";

/// The most tables with pages that are checked for rows: emptied tables keep their pages until a VACUUM.
const TABLES: i64 = 500;

/// The most tables with rows that are named.
const NAMED: usize = 3;

/// Reads what the current database holds, and what its server and the connection's login may do.
///
/// # Errors
/// See [`Error`].
pub async fn observe(conn: &mut PgConnection) -> Result<Holdings> {
    begin(conn).await?;
    let seen = async {
        // A policy that hides rows is an error then, and its function does not run.
        run(
            conn,
            "SET LOCAL row_security = off; SET LOCAL lock_timeout = '2s'".into(),
        )
        .await?;
        let login = login(conn).await?;
        let server = server(conn).await?;
        let database = database(conn, server.supabase).await?;
        Ok(Holdings {
            server,
            login,
            database,
        })
    };
    let seen = seen.await;
    end(conn, seen).await
}

/// A superuser `supabase_admin` that owns the schemas of a hosted project's services in this database.
const SUPABASE: &str = "(SELECT pg_catalog.count(*) = 2 FROM pg_catalog.pg_namespace n \
    JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner \
    WHERE n.nspname IN ('auth', 'storage') AND o.rolname = 'supabase_admin' AND o.rolsuper)";

/// SQL: the database is a hosted project's, and the login is none of its superusers.
fn hosted() -> String {
    format!("({SUPABASE} AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user))")
}

/// Of a hosted project's server, a database of somebody else: neither of the login nor of a role that it has made or is a
/// member of.
const STRANGERS: &str = "SELECT d.datname::text, r.rolname::text FROM pg_catalog.pg_database d \
    JOIN pg_catalog.pg_roles r ON r.oid = d.datdba \
    WHERE d.datname <> pg_catalog.current_database() AND NOT d.datistemplate AND NOT r.rolsuper \
    AND NOT pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')";

/// Whether the current database is a hosted project's, to whose services PUBLIC's rights belong. What the owner has created
/// there since the database became an entry, and what others have on the server, do not matter.
///
/// # Errors
/// See [`Error`].
pub async fn is_hosted_project(conn: &mut PgConnection) -> Result<bool> {
    let query = format!("SELECT {}", hosted());
    let [rows] = look(conn, [query]).await?;
    Ok(first(&rows)?.try_get(0)?)
}

/// The role as which the session has logged in, as the server names it: a pooler's suffix is no part of it.
///
/// # Errors
/// See [`Error`].
pub async fn session_role(conn: &mut PgConnection) -> Result<String> {
    let [rows] = look(conn, ["SELECT session_user::text".to_owned()]).await?;
    Ok(first(&rows)?.try_get(0)?)
}

/// Refuses a hosted project on whose server somebody else has a database by now: then it is no server of one tenant. Any other
/// server is accepted.
///
/// # Errors
/// [`Error::Refused`] with the name of that database, and see [`Error`].
pub async fn check_project_is_alone(conn: &mut PgConnection) -> Result<()> {
    let query = format!("{STRANGERS} AND {} ORDER BY 1 LIMIT 1", hosted());
    let [strangers] = look(conn, [query]).await?;
    let Some(row) = strangers.first() else {
        return Ok(());
    };
    let (database, owner): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Err(Error::refused(
        "55000",
        &format!(
            "the database was taken in as a project on a server of its own, and the server now has database {} of the role {} \
             as well: its login would reach that database. Move the other database to another server; drop it only if \
             nobody needs its data",
            text::line(&database, NAME),
            text::line(&owner, NAME)
        ),
    ))
}

/// Bytes of a name in a message.
const NAME: usize = 63;

async fn names(conn: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    column(conn, "names", sqlx::query(query).bind(MOST)).await
}

async fn login(conn: &mut PgConnection) -> Result<LoginFacts> {
    let row = sqlx::query(
        "SELECT r.rolname::text, r.rolsuper, r.rolreplication, d.datdba = r.oid, NOT r.rolcreaterole, \
             session_user <> current_user OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s, \
                 pg_catalog.unnest(s.setconfig) setting WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid) \
                 AND setting LIKE 'role=%' AND setting NOT IN ('role=none', 'role=' || r.rolname::text)) \
         FROM pg_catalog.pg_roles r, pg_catalog.pg_database d \
         WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()",
    )
    .fetch_one(&mut *conn)
    .await?;
    let reached = "WITH RECURSIVE reached AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user \
         UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN reached ON m.member = reached.oid) ";
    let harmless = if has_options(conn).await? {
        MADE_BY_OTHERS
    } else {
        "false"
    };
    let roles = format!(
        "{reached} SELECT r.rolname::text, r.rolsuper, {harmless} OR {IS_STUCK} FROM pg_catalog.pg_roles r JOIN reached USING (oid) \
         WHERE r.rolname <> current_user ORDER BY 3, 1 LIMIT $1"
    );
    let roles = sqlx::query(AssertSqlSafe(roles)).bind(MEMBERSHIPS);
    let roles: Vec<(String, bool, bool)> = all(conn, "memberships of the login", roles).await?;
    let member_of = roles.into_iter().map(|(name, superuser, is_harmless)| Role {
        name,
        superuser,
        is_harmless,
    });
    let member_of: Vec<_> = member_of.collect();
    // Every login of the server can make this one a member of as many harmless roles as it likes.
    let harmful = member_of.iter().filter(|role| !role.is_harmless).count();
    let members = members(conn).await?;
    let databases = format!(
        "{reached} SELECT d.datname::text FROM pg_catalog.pg_database d JOIN reached ON d.datdba = reached.oid \
         WHERE d.datname <> pg_catalog.current_database() ORDER BY 1 LIMIT $1"
    );
    Ok(LoginFacts {
        role: row.try_get(0)?,
        superuser: row.try_get(1)?,
        replication: row.try_get(2)?,
        owns_database: row.try_get(3)?,
        acts_as_another: row.try_get(5)?,
        lacks_createrole: row.try_get(4)?,
        entangled: harmful.max(members.len()) >= usize::try_from(MEMBERSHIPS).unwrap_or(usize::MAX),
        member_of,
        other_databases: column(conn, "databases", sqlx::query(AssertSqlSafe(databases)).bind(MOST)).await?,
        members,
    })
}

/// SQL over `pg_roles r`: whether another login of the server has created the role, which is none of this one's. The
/// creator of a role could make this login a member of it, also with ADMIN OPTION, and gains nothing by that. The creator's
/// own membership is granted by the bootstrap superuser, with no option other than ADMIN (`createrole` in `commands/user.c`).
/// A role that owns a database, as another entry's login does, is not one of these.
const MADE_BY_OTHERS: &str = "(NOT r.rolsuper \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_database b WHERE b.datdba = r.oid) \
    AND EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.member \
        WHERE m.roleid = r.oid AND m.grantor = 10 AND m.admin_option AND NOT m.inherit_option AND NOT m.set_option \
            AND NOT o.rolsuper AND NOT pg_catalog.pg_has_role(current_user, o.oid, 'MEMBER')))";

/// Whether a membership has options: since PostgreSQL 16.
async fn has_options(conn: &mut PgConnection) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attname = 'set_option' \
                 AND attrelid = 'pg_catalog.pg_auth_members'::pg_catalog.regclass)";
    Ok(sqlx::query_scalar(query).fetch_one(conn).await?)
}

/// The roles that are members of the login. Since PostgreSQL 16, the role that made it is one, with nothing but the
/// right to administer it, granted by the bootstrap superuser.
async fn members(conn: &mut PgConnection) -> Result<Vec<String>> {
    let usable = if has_options(conn).await? {
        "WHERE m.inherit_option OR m.set_option OR m.grantor <> 10"
    } else {
        ""
    };
    let query = format!(
        "WITH RECURSIVE reaching AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user \
             UNION SELECT m.member FROM pg_catalog.pg_auth_members m JOIN reaching ON m.roleid = reaching.oid {usable}) \
         SELECT r.rolname::text FROM pg_catalog.pg_roles r JOIN reaching USING (oid) \
         WHERE r.rolname <> current_user AND NOT r.rolsuper ORDER BY 1 LIMIT $1"
    );
    column(
        conn,
        "members of the login",
        sqlx::query(AssertSqlSafe(query)).bind(MEMBERSHIPS),
    )
    .await
}

async fn server(conn: &mut PgConnection) -> Result<ServerHoldings> {
    let query =
        format!("SELECT pg_catalog.current_setting('server_version_num')::int / 10000, {SUPABASE}, {IS_READ_ONLY}");
    let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut *conn).await?;
    let version: i32 = row.try_get(0)?;
    let neighbours = names(
        conn,
        "SELECT d.datname::text FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba \
         WHERE d.datname <> pg_catalog.current_database() AND NOT d.datistemplate AND NOT r.rolsuper \
         ORDER BY 1 LIMIT $1",
    )
    .await?;
    let current: String = sqlx::query_scalar("SELECT pg_catalog.current_database()::text")
        .fetch_one(&mut *conn)
        .await?;
    let mut open = open(conn).await?;
    open.retain(|open| open.database != current);
    Ok(ServerHoldings {
        version: u32::try_from(version).unwrap_or_default(),
        supabase: row.try_get(1)?,
        read_only: row.try_get(2)?,
        neighbours,
        open,
    })
}

async fn database(conn: &mut PgConnection, supabase: bool) -> Result<DatabaseHoldings> {
    let grantees = tenants_first(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE coalesce(r.rolname::text, a.grantee::text) END \
         FROM pg_catalog.pg_database d CROSS JOIN pg_catalog.aclexplode(d.datacl) a \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
         WHERE d.datname = pg_catalog.current_database() AND (a.grantee <> 0 OR a.privilege_type = 'CREATE') \
         AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS NOT TRUE",
    );
    let grantees = column(conn, "names", sqlx::query(AssertSqlSafe(grantees)).bind(MOST)).await?;
    let defaults = sqlx::query(
        "SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole)::text, \
             CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee)::text END \
         FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.aclexplode(d.defaclacl) a ON true \
         WHERE NOT coalesce(pg_catalog.pg_get_userbyid(a.grantee) = $2 AND d.defaclobjtype IN ('r', 'S', 'f', 'T'), false) \
         ORDER BY 1, 2 LIMIT $1",
    )
    .bind(MOST)
    // Rights of the group of tenants' logins on objects give no access to a role that may not connect.
    .bind(APP_GROUP);
    let defaults = all(conn, "default privileges", defaults).await?;
    // The group has rights on objects and is named by policies; its objects would belong to the next tenant's login.
    let dependents = tenants_first(
        "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_shdepend s \
         JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid \
         JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database() \
         WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass \
         AND (s.dbid = d.oid OR s.dbid = 0 AND s.objid = d.oid \
             AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass) \
         AND r.rolname <> current_user AND NOT r.rolsuper AND NOT (r.rolname = $2 AND s.deptype <> 'o')",
    );
    let dependents = sqlx::query(AssertSqlSafe(dependents)).bind(MOST).bind(APP_GROUP);
    let dependents = column(conn, "names", dependents).await?;
    let row = sqlx::query(
        "SELECT pg_catalog.current_database()::text, EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)",
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(DatabaseHoldings {
        name: row.try_get(0)?,
        grantees,
        defaults,
        dependents,
        filled: filled(conn, supabase).await?,
        large_objects: row.try_get(1)?,
        open_schemas: names(conn, OPEN_SCHEMAS).await?,
        namesake: names(conn, NAMESAKE).await?.pop(),
    })
}

/// A query of names, with those of tenants' logins first.
fn tenants_first(query: &str) -> String {
    format!("SELECT name FROM ({query}) found (name) ORDER BY name !~ {TENANTS}, name LIMIT $1")
}

/// Schemas in which every role may create objects, and whose owner the login is not: a function there could be one that the
/// next script calls.
const OPEN_SCHEMAS: &str = "SELECT n.nspname::text FROM pg_catalog.pg_namespace n \
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
    AND NOT pg_catalog.pg_has_role(current_user, n.nspowner, 'USAGE') AND EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a \
        WHERE a.grantee = 0 AND a.privilege_type = 'CREATE') ORDER BY 1 LIMIT $1";

/// The owner of the schema that has the login's name, where that is another role. `"$user"` is the first schema of the path
/// by default, so that the login's scripts would call that role's functions.
const NAMESAKE: &str = "SELECT o.rolname::text FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner \
    WHERE n.nspname = current_user AND o.rolname <> current_user AND NOT o.rolsuper LIMIT $1";

/// SQL over `pg_class c` and `pg_namespace n`: whether the table is a migration history, by its name and its columns.
const HISTORY: &str = "(c.relname IN ('_prisma_migrations', '_sqlx_migrations') \
        OR n.nspname = 'supabase_migrations' AND c.relname IN ('schema_migrations', 'seed_files')) \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
        AND a.attname <> ALL (CASE c.relname \
            WHEN '_prisma_migrations' THEN ARRAY['id', 'checksum', 'finished_at', 'migration_name', 'logs', 'rolled_back_at', \
                'started_at', 'applied_steps_count'] \
            WHEN '_sqlx_migrations' THEN ARRAY['version', 'description', 'installed_on', 'success', 'checksum', \
                'execution_time'] \
            WHEN 'schema_migrations' THEN ARRAY['version', 'statements', 'name', 'created_by', 'idempotency_key', 'rollback'] \
            ELSE ARRAY['path', 'hash'] END::name[]))";

/// The tables that hold rows. One whose rows cannot be seen, because of a policy or a lock, counts as filled. A hosted
/// project's own schemas are left out, the operator's claim record, and what an extension has made: a superuser owns those,
/// while a script may declare tables of its own to be part of an extension.
async fn filled(conn: &mut PgConnection, supabase: bool) -> Result<Vec<String>> {
    let with_pages = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid >= {FIRST_OWN} \
         AND NOT ($3 AND o.rolsuper AND n.nspname <> 'public') \
         AND NOT (n.nspname = $1 AND c.relname = 'claim') AND NOT ({HISTORY}) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e JOIN pg_catalog.pg_roles t ON t.oid = c.relowner \
             WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             AND e.objid = c.oid AND e.deptype = 'e' AND t.rolsuper) \
         AND pg_catalog.pg_relation_size(c.oid) > 0 ORDER BY 1, 2 LIMIT $2"
    );
    let with_pages = sqlx::query(AssertSqlSafe(with_pages))
        .bind(OPERATOR_SCHEMA)
        .bind(TABLES)
        .bind(supabase);
    let with_pages: Vec<(String, String)> = all(conn, "tables", with_pages).await?;
    let all_seen = i64::try_from(with_pages.len()).is_ok_and(|count| count < TABLES);
    let mut filled = Vec::new();
    for (schema, table) in &with_pages {
        if holds_rows(conn, schema, table).await? {
            filled.push(format!("{schema}.{table}"));
        }
        if filled.len() == NAMED {
            return Ok(filled);
        }
    }
    if filled.is_empty() && !all_seen {
        filled.push(format!("more than {TABLES} tables, which may hold rows"));
    }
    Ok(filled)
}

async fn holds_rows(conn: &mut PgConnection, schema: &str, table: &str) -> Result<bool> {
    run(conn, "SAVEPOINT table_looked_at".into()).await?;
    let query = format!("SELECT EXISTS (SELECT FROM ONLY {}.{})", quote(schema), quote(table));
    let seen: sqlx::Result<bool> = sqlx::query_scalar(AssertSqlSafe(query))
        .persistent(false)
        .fetch_one(&mut *conn)
        .await;
    match seen {
        Ok(seen) => {
            run(conn, "RELEASE SAVEPOINT table_looked_at".into()).await?;
            Ok(seen)
        }
        Err(sqlx::Error::Database(_)) => {
            run(conn, "ROLLBACK TO SAVEPOINT table_looked_at".into()).await?;
            Ok(true)
        }
        Err(error) => Err(Error::from(error)),
    }
}
