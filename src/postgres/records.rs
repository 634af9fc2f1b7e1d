//! The tables that the operator trusts: the claim record, the record of the seed, and the histories of the
//! migration tools. A trigger or rule of somebody else on one of them would run as the owner, and a role that may write it
//! could have a migration skipped.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::groups::{APP_GROUP, DATA_API_ROLES};
use super::record_code::code;
use super::role_name::has_tenants_name;
use super::sql::{OPERATOR_SCHEMA, ask, begin, end, literal, literals, quote, run};

/// SQL: whether the relation `c` of the schema `n` is one of these tables.
pub(super) const IS_RECORD: &str = "(c.relname IN ('_prisma_migrations', '_sqlx_migrations') \
     OR n.nspname IN ('supabase_migrations', 'stagesub'))";

/// SQL: a recursive common table, `shown`: these tables, and the views that show one or its views. Who writes a view writes what
/// it shows, with the rights of the view's owner.
pub(super) fn shown() -> String {
    format!(
        "shown AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {IS_RECORD} \
         UNION SELECT v.oid FROM shown JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = shown.oid \
                 AND d.classid = 'pg_rewrite'::regclass \
             JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'v')"
    )
}

/// SQL with [`shown`]: whether the relation `c` is a view that shows one of these tables with its owner's rights.
pub(super) const SHOWS_RECORD: &str = "(c.relkind = 'v' AND c.oid IN (SELECT oid FROM shown) \
    AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::bool))";

/// SQL: whether the role of this oid is no other login: the session's own role, a superuser, the database's owner, or a
/// group whose rights the session's role has, and with it nobody else who may log in or once could: neither the role of a
/// tenant nor a login that is not the owner. [`protect`] covers the tables of each of them but a superuser.
fn is_own(role: &str) -> String {
    let groups = DATA_API_ROLES.iter().chain([&APP_GROUP]);
    let groups = groups.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let is_tenants = |name: &str| format!("({name} IN ({groups}) OR {})", has_tenants_name(name));
    format!(
        "EXISTS (SELECT FROM pg_roles r WHERE r.oid = {role} AND (r.rolname = current_user OR r.rolsuper \
             OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database()) \
             OR NOT r.rolcanlogin AND pg_has_role(current_user, r.oid, 'USAGE') AND NOT {is_one} \
                 AND NOT EXISTS (SELECT FROM pg_roles g WHERE (g.rolcanlogin OR {has_one}) \
                     AND pg_has_role(g.oid, r.oid, 'MEMBER') AND NOT g.rolsuper \
                     AND NOT pg_has_role(g.oid, current_user, 'MEMBER'))))",
        is_one = is_tenants("r.rolname"),
        has_one = is_tenants("g.rolname"),
    )
}

/// Why a table is neither trusted nor written, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordFlaw {
    pub what: String,
    pub cure: String,
}

impl From<RecordFlaw> for Error {
    fn from(RecordFlaw { what, cure }: RecordFlaw) -> Self {
        Self::Untrusted(format!("{what}, so the operator does not use the table: {cure}"))
    }
}

/// Whether the table exists. The transaction must be one of [`begin`].
///
/// # Errors
/// [`Error::Untrusted`] when it is no ordinary table, belongs to another login, or has something that others could have
/// created: a trigger, a rule, a foreign key, a child table, a policy that hides its rows.
pub(crate) async fn check(conn: &mut PgConnection, schema: &str, table: &str) -> Result<bool> {
    let [found] = ask(conn, [query(&is_table(schema, table))]).await?;
    match found.first() {
        Some(row) => flaw(row)?.map_or(Ok(true), |flaw| Err(flaw.into())),
        None => Ok(false),
    }
}

/// SQL: whether the relation `c` of the schema `n` has this name.
fn is_table(schema: &str, table: &str) -> String {
    format!(
        "nspname::text = {} AND relname::text = {}",
        literal(schema),
        literal(table)
    )
}

/// The tables that nothing was wrong with before scripts ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct SoundRecords {
    /// SQL: which tables.
    which: String,
    sound: BTreeSet<String>,
}

impl SoundRecords {
    /// Looks at the operator's tables, those of the Supabase CLI, and the given history, or every history where none is
    /// given. The transaction must be one of [`begin`].
    pub async fn look(conn: &mut PgConnection, history: Option<(&str, &str)>) -> Result<Self> {
        let histories = match history {
            Some((schema, table)) => is_table(schema, table),
            None => "relname IN ('_prisma_migrations', '_sqlx_migrations')".to_owned(),
        };
        let which = format!(
            "(nspname = '{OPERATOR_SCHEMA}' OR nspname = 'supabase_migrations' \
                 AND relname IN ('schema_migrations', 'seed_files') OR {histories})"
        );
        let [rows] = ask(conn, [query(&which)]).await?;
        let mut sound = BTreeSet::new();
        for row in &rows {
            if flaw(row)?.is_none() {
                sound.insert(name(row)?);
            }
        }
        Ok(Self { which, sound })
    }

    /// What is wrong with one of them now. Of views that scripts have made over such tables, others than the owner keep at
    /// most SELECT, before the transaction shows the views to them. Names must mean what they mean in a transaction of
    /// [`begin`].
    ///
    /// # Errors
    /// As [`protect`].
    pub async fn flaw(&self, conn: &mut PgConnection) -> Result<Option<RecordFlaw>> {
        leave_reading(conn, SHOWS_RECORD).await?;
        let [rows] = ask(conn, [query(&self.which)]).await?;
        for row in &rows {
            if self.sound.contains(&name(row)?)
                && let Some(flaw) = flaw(row)?
            {
                return Ok(Some(flaw));
            }
        }
        Ok(None)
    }
}

/// The query whose rows [`flaw`] judges: of the tables for which the condition holds.
fn query(which: &str) -> String {
    format!(
        "SELECT nspname::text, relname::text, relkind IN ('r', 'p'), pg_get_userbyid(relowner)::text, {owner}, \
             pg_get_userbyid(nspowner)::text, \
             {schema_owner} OR nspname NOT IN ('supabase_migrations', '{OPERATOR_SCHEMA}'), \
             (SELECT ARRAY[format('trigger %I', tgname), format('DROP TRIGGER %I ON %s', tgname, c.oid::regclass)] \
                 FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal LIMIT 1), \
             (SELECT ARRAY[format('rule %I', rulename), format('DROP RULE %I ON %s', rulename, c.oid::regclass)] \
                 FROM pg_rewrite WHERE ev_class = c.oid LIMIT 1), \
             (SELECT ARRAY[format('foreign key %I of table %s', conname, conrelid::regclass), \
                     format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)] FROM pg_constraint \
                 WHERE contype = 'f' AND confrelid = c.oid AND conrelid <> c.oid AND conparentid = 0 LIMIT 1), \
             (SELECT CASE WHEN k.relispartition \
                     THEN ARRAY[format('partition %s', k.oid::regclass), \
                         format('ALTER TABLE %s DETACH PARTITION %s', c.oid::regclass, k.oid::regclass)] \
                     ELSE ARRAY[format('child table %s', k.oid::regclass), \
                         format('ALTER TABLE %s NO INHERIT %s', k.oid::regclass, c.oid::regclass)] END \
                 FROM pg_inherits JOIN pg_class k ON k.oid = inhrelid WHERE inhparent = c.oid LIMIT 1), \
             (SELECT ARRAY['row level security that is forced on its owner', \
                     format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.oid::regclass)] FROM pg_roles \
                 WHERE rolname = current_user AND relrowsecurity AND relforcerowsecurity \
                     AND NOT rolsuper AND NOT rolbypassrls), \
             ({code}), \
             (SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END FROM {ACL} \
                 WHERE NOT pg_has_role(current_user, relowner, 'USAGE') AND {BY_OTHERS} AND privilege_type <> 'SELECT' LIMIT 1) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE {which} AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2 LIMIT {TOGETHER}",
        owner = is_own("relowner"),
        schema_owner = is_own("nspowner"),
        code = code(),
    )
}

/// `schema.name` of a row of [`query`].
fn name(row: &PgRow) -> Result<String> {
    let (schema, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(format!("{schema}.{table}"))
}

/// What is wrong with a table of [`query`].
fn flaw(row: &PgRow) -> Result<Option<RecordFlaw>> {
    let (schema, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let name = format!("{schema}.{table}");
    let flaw = |what: String, cure: String| Ok(Some(RecordFlaw { what, cure }));
    if !row.try_get::<bool, _>(2)? {
        return flaw(
            format!("{name} is not an ordinary table"),
            "see who made it, and rename it".to_owned(),
        );
    }
    if !row.try_get::<bool, _>(4)? {
        let other: String = row.try_get(3)?;
        return flaw(
            format!("table {name} belongs to the role {other}, which could have written anything into it"),
            format!(
                "check its rows, then give it to the database's owner (ALTER TABLE {} OWNER TO …)",
                quoted(&schema, &table)
            ),
        );
    }
    if !row.try_get::<bool, _>(6)? {
        let other: String = row.try_get(5)?;
        return flaw(
            format!("schema {schema}, in which table {name} is, belongs to the role {other}"),
            format!(
                "give it to the database's owner (ALTER SCHEMA {} OWNER TO …)",
                quote(&schema)
            ),
        );
    }
    if let Some(other) = row.try_get::<Option<String>, _>(13)? {
        let (owner, table): (String, String) = (row.try_get(3)?, quoted(&schema, &table));
        return flaw(
            format!(
                "the role {other} may write to table {name}, which is of the role {owner}, and could have a migration skipped"
            ),
            format!("as that role or a superuser, REVOKE ALL ON {table} FROM {other}, and check its rows"),
        );
    }
    for column in 7..13 {
        let found: Option<Vec<String>> = row.try_get(column)?;
        if let Some([thing, cure]) = found.as_deref() {
            return flaw(
                format!(
                    "table {name} has a {thing}, which would act when the operator uses the table as the database's owner"
                ),
                format!(
                    "find out who made it and whether something needs it, then remove it without the loss of a row ({cure})"
                ),
            );
        }
    }
    Ok(None)
}

/// The query whose rows [`check_triggers`] judges: triggers of the tenant's logins on tables of others, which earlier
/// versions let them make: in a migration or a seed they run as the owner. A login that may become a role with TRIGGER on a
/// table has no schema for the function but that of temporary objects.
pub(super) fn triggers_query(tenant: &[&str]) -> String {
    let tenant = literals(tenant);
    format!(
        "SELECT format('trigger %I on table %s calls %s', tgname, tgrelid::regclass, tgfoid::regprocedure) \
         FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid \
         WHERE NOT tgisinternal AND pg_get_userbyid(relowner)::text <> ALL ({tenant}) \
             AND (pg_get_userbyid(proowner)::text = ANY ({tenant}) \
                 OR proowner <> relowner AND c.relpersistence <> 't' AND pg_is_other_temp_schema(pronamespace)) LIMIT 1"
    )
}

/// Refuses what [`triggers_query`] has found.
pub(super) fn check_triggers(found: &[PgRow]) -> Result<()> {
    let Some(row) = found.first() else { return Ok(()) };
    let trigger: String = row.try_get(0)?;
    Err(Error::Untrusted(format!(
        "{trigger}, a function that the tenant's login has made: a migration or seed that writes to the table would \
         run it as the database's owner. Drop the trigger, or create it by a migration, with a function of the owner's"
    )))
}

/// The most grants that are read together. A script may make any number of them.
const TOGETHER: i64 = 1000;

/// How often as many are revoked, before the operator gives up.
const ROUNDS: usize = 20;

/// A grant on one of these tables, or on a view over them, to a role that does not own it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    table: String,
    grantee: String,
    reads: bool,
    is_view: bool,
}

/// SQL over `pg_class c`: the rights on the table and its columns.
const ACL: &str = "(SELECT * FROM aclexplode(relacl) UNION ALL \
    SELECT a.* FROM pg_attribute, aclexplode(attacl) a WHERE attrelid = c.oid AND NOT attisdropped) AS acl";

/// SQL over [`ACL`]: whether it is the right of another role than the owner's.
const BY_OTHERS: &str = "grantee NOT IN (relowner, (SELECT oid FROM pg_roles WHERE rolname = current_user)) \
    AND NOT EXISTS (SELECT FROM pg_roles WHERE oid = grantee AND rolsuper)";

/// What others than the owner may do with these relations beyond reading the histories, in the current transaction.
async fn grants(conn: &mut PgConnection, which: &str) -> Result<Vec<Grant>> {
    let query = format!(
        "WITH RECURSIVE {shown} SELECT format('%I.%I', nspname, relname), \
             CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
             bool_or(privilege_type = 'SELECT') AND nspname <> '{OPERATOR_SCHEMA}', relkind = 'v' \
         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, LATERAL {ACL} \
         WHERE {which} AND pg_has_role(current_user, relowner, 'USAGE') AND {is_own} \
             AND {BY_OTHERS} \
         GROUP BY nspname, relname, relkind, grantee \
         HAVING nspname = '{OPERATOR_SCHEMA}' OR bool_or(privilege_type <> 'SELECT') ORDER BY 1, 2 LIMIT {TOGETHER}",
        shown = shown(),
        is_own = is_own("relowner")
    );
    let [rows] = ask(conn, [query]).await?;
    let grant = |row: &PgRow| {
        Ok(Grant {
            table: row.try_get(0)?,
            grantee: row.try_get(1)?,
            reads: row.try_get(2)?,
            is_view: row.try_get(3)?,
        })
    };
    rows.iter().map(grant).collect()
}

/// Leaves others than the owner at most SELECT on the histories and on views over them, and nothing on the operator's own
/// tables. The lock waits for a trigger that is being created with the rights that are revoked. The transaction must be one
/// of [`begin`].
///
/// # Errors
/// [`Error::Untrusted`] when somebody else than the owner has granted a right that stays.
pub(crate) async fn protect(conn: &mut PgConnection) -> Result<()> {
    let which = format!("({IS_RECORD} AND relkind IN ('r', 'p') OR {SHOWS_RECORD})");
    leave_reading(conn, &which).await
}

/// As [`protect`], on the relations `c` of the schemas `n` for which the condition holds.
async fn leave_reading(conn: &mut PgConnection, which: &str) -> Result<()> {
    let mut found = grants(conn, which).await?;
    for _ in 0..ROUNDS {
        if found.is_empty() {
            return Ok(());
        }
        for grant in &found {
            revoke(conn, grant).await?;
        }
        let left = grants(conn, which).await?;
        let stays = left.iter().find(|grant| found.contains(grant));
        if let Some(Grant {
            table,
            grantee,
            is_view,
            ..
        }) = stays
        {
            let kind = if *is_view { "view" } else { "table" };
            return Err(Error::Untrusted(format!(
                "the role {grantee} may write to {kind} {table} by a grant that is not the owner's, and could have a \
                 migration skipped: revoke it as the role that granted it"
            )));
        }
        found = left;
    }
    Err(Error::Untrusted(
        "too many rights on the operator's records and the histories of migrations were granted to others: revoke them"
            .into(),
    ))
}

async fn revoke(conn: &mut PgConnection, grant: &Grant) -> Result<()> {
    let Grant {
        table,
        grantee,
        reads,
        is_view,
    } = grant;
    let mut sql = format!("REVOKE ALL ON TABLE {table} FROM {grantee} CASCADE");
    if *reads {
        sql = format!("{sql}; GRANT SELECT ON TABLE {table} TO {grantee}");
    }
    // The lock of a view locks all tables that it shows.
    if !is_view {
        sql = format!("LOCK TABLE ONLY {table} IN SHARE ROW EXCLUSIVE MODE; {sql}");
    }
    run(conn, sql).await
}

/// As [`protect`], in a transaction of its own.
///
/// # Errors
/// As [`protect`].
pub(crate) async fn protect_alone(conn: &mut PgConnection) -> Result<()> {
    begin(conn).await?;
    let done = protect(conn).await;
    end(conn, done).await
}

fn quoted(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}
