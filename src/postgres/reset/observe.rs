//! Reads the catalogue. The transaction must be one of [`super::begin`]: names mean PostgreSQL's own objects.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::compare::{Catalogue, Public};
use crate::postgres::bounded::{self, column};
use crate::postgres::connect::APPLICATION;
use crate::postgres::error::Result;
use crate::postgres::groups::APP_GROUP;
use crate::postgres::heir::IS_STUCK;
use crate::postgres::sql::FIRST_OWN;
use crate::text;

/// The most names of each kind that are read.
const MOST: i64 = 20;

/// The longest name in a message, in characters.
const LONGEST: usize = 120;

fn printable(names: &[String]) -> Vec<String> {
    names.iter().map(|name| text::line(name, LONGEST)).collect()
}

async fn names(conn: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    let query = format!("SELECT name FROM ({query}) found (name) ORDER BY 1 LIMIT {MOST}");
    let names = column(conn, "names", sqlx::query(AssertSqlSafe(query))).await?;
    Ok(printable(&names))
}

/// The roles that the connection's user has created, the older first, which may have created the younger: since PostgreSQL
/// 16, the creator of a role may administer it, by a grant of the bootstrap superuser (`createrole` in `commands/user.c`),
/// with no other right.
pub(super) async fn made(conn: &mut PgConnection) -> Result<Vec<String>> {
    let query = "WITH RECURSIVE made AS ( \
            SELECT m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
            WHERE r.rolname = current_user AND m.grantor = 10 AND m.admin_option AND NOT m.inherit_option AND NOT m.set_option \
            UNION SELECT m.roleid FROM pg_auth_members m JOIN made ON m.member = made.roleid \
            WHERE m.grantor = 10 AND m.admin_option AND NOT m.inherit_option AND NOT m.set_option) \
        SELECT r.rolname::text FROM made JOIN pg_roles r ON r.oid = made.roleid \
        WHERE NOT r.rolsuper AND r.rolname <> $1 ORDER BY r.oid";
    let roles = sqlx::query(query).bind(APP_GROUP);
    column(conn, "roles that the owner has made", roles).await
}

/// Those that are left for something here, and not only for what a neighbour's database grants them.
async fn left_roles(conn: &mut PgConnection) -> Result<Vec<String>> {
    let stuck = format!("SELECT r.rolname::text FROM pg_roles r WHERE {IS_STUCK}");
    let stuck = column(conn, "roles that are kept elsewhere", sqlx::query(AssertSqlSafe(stuck))).await?;
    let mut made = made(conn).await?;
    made.retain(|role| !stuck.contains(role));
    Ok(made)
}

/// The roles of other sessions in the database, apart from superusers' and the operator's own.
pub(super) async fn sessions(conn: &mut PgConnection) -> Result<Vec<String>> {
    let query = "SELECT DISTINCT coalesce(a.usename::text, '(dropped)') FROM pg_stat_activity a \
         LEFT JOIN pg_roles r ON r.oid = a.usesysid \
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND r.rolsuper IS NOT TRUE \
             AND coalesce(a.backend_type, 'client backend') IN ('client backend', 'walsender') \
             AND NOT (a.usename = current_user AND a.application_name = $1) ORDER BY 1";
    column(conn, "sessions of others", sqlx::query(query).bind(APPLICATION)).await
}

/// Reads everything that is compared.
pub(super) async fn catalogue(conn: &mut PgConnection) -> Result<Catalogue> {
    let (objects, count) = objects(conn).await?;
    let flags = sqlx::query(
        "SELECT datistemplate, \
             EXISTS (SELECT FROM pg_shdescription WHERE classoid = 'pg_database'::regclass AND objoid = d.oid), \
             EXISTS (SELECT FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = d.oid) \
                 OR EXISTS (SELECT FROM pg_seclabel) \
         FROM pg_database d WHERE datname = current_database()",
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(Catalogue {
        objects,
        count,
        public: public(conn).await?,
        settings: names(conn, SETTINGS).await?,
        grantees: names(conn, GRANTEES).await?,
        roles: printable(&left_roles(conn).await?),
        shared: names(conn, SHARED).await?,
        template: flags.try_get(0)?,
        comment: flags.try_get(1)?,
        labels: flags.try_get(2)?,
    })
}

/// A script cannot change settings of superusers.
const SETTINGS: &str = "SELECT DISTINCT split_part(setting, '=', 1) FROM pg_db_role_setting s \
    CROSS JOIN unnest(s.setconfig) setting \
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
        AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user)) AND (s.setdatabase <> 0 OR s.setrole <> 0) \
        AND NOT EXISTS (SELECT FROM pg_settings g WHERE g.name = split_part(setting, '=', 1) AND g.context = 'superuser') \
    UNION SELECT 'CONNECTION LIMIT' FROM pg_database WHERE datname = current_database() AND datconnlimit <> -1";

/// PUBLIC has at most the rights that every fresh database gives it.
const GRANTEES: &str = "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE coalesce(r.rolname::text, a.grantee::text) END \
    FROM pg_database d CROSS JOIN aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
    WHERE d.datname = current_database() AND a.grantee <> d.datdba AND r.rolsuper IS NOT TRUE \
        AND (a.grantee <> 0 OR a.privilege_type = 'CREATE')";

const SHARED: &str = "SELECT format('subscription %s', subname) FROM pg_subscription \
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    UNION ALL SELECT format('replication slot %s', slot_name) FROM pg_replication_slots WHERE database = current_database() \
    UNION ALL SELECT format('prepared transaction %s', gid) FROM pg_prepared_xacts WHERE database = current_database()";

/// The catalogues whose objects PostgreSQL describes, without the labels of enums.
const DESCRIBED: [&str; 34] = [
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_largeobject",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_statistic_ext",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
];

/// The objects of every catalogue of the database, those first that do not come with another one, and how many there are.
/// Schemas of temporary tables are created by sessions and stay.
async fn objects(conn: &mut PgConnection) -> Result<(Vec<String>, i64)> {
    let tables = sqlx::query(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' \
         AND NOT c.relisshared AND has_table_privilege(c.oid, 'SELECT') \
         AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'oid')",
    );
    let catalogues = column(conn, "catalogues", tables).await?;
    let all = catalogues.iter().map(|name| {
        let class = match name.as_str() {
            "pg_largeobject_metadata" => "pg_largeobject",
            other => other,
        };
        let described = DESCRIBED.contains(&class);
        format!(
            "SELECT '{class}'::regclass::oid AS classid, oid, {described} AS described FROM {name} WHERE oid >= {FIRST_OWN}"
        )
    });
    let all = all.collect::<Vec<_>>().join(" UNION ALL ");
    let query = format!(
        "SELECT coalesce(CASE WHEN described THEN pg_describe_object(o.classid, o.oid, 0) END, \
             format('an object of %s', o.classid::regclass)), count(*) OVER () FROM ({all}) o \
         WHERE NOT (o.classid = 'pg_namespace'::regclass AND o.oid IN (SELECT oid FROM pg_namespace \
             WHERE nspname ~ '^pg_(toast_)?temp_' OR nspname = 'public')) \
         ORDER BY NOT described OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid \
             AND d.objsubid = 0 AND d.deptype IN ('i', 'a', 'e', 'P', 'S')), 1 LIMIT {MOST}"
    );
    let found: Vec<(String, i64)> = bounded::all(conn, "objects", sqlx::query(AssertSqlSafe(query))).await?;
    let count = found.first().map_or(0, |(_, count)| *count);
    let names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
    Ok((printable(&names), count))
}

async fn public(conn: &mut PgConnection) -> Result<Option<Public>> {
    let row = sqlx::query(
        "SELECT o.rolname = 'pg_database_owner' OR o.rolsuper, \
             coalesce(obj_description(n.oid, 'pg_namespace') = 'standard public schema', false), \
             ARRAY(SELECT coalesce(r.rolname::text, '') || '=' || a.privilege_type \
                 FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
                 WHERE a.grantee <> n.nspowner ORDER BY 1)::text[] \
         FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner WHERE n.nspname = 'public'",
    )
    .fetch_optional(conn)
    .await?;
    let public = |row: sqlx::postgres::PgRow| {
        Ok(Public {
            is_own: row.try_get(0)?,
            commented: row.try_get(1)?,
            rights: row.try_get(2)?,
        })
    };
    row.map(public).transpose()
}
