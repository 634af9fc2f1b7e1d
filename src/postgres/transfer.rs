//! Reassigns the objects of a role to another one in steps, each a transaction of its own: for a role with very many
//! objects, a single transaction would exceed its time and the server's locks, and would start again each time. Interrupted
//! work continues where it was.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::bounded::all;
use super::error::Result;
use super::sql::{begin, end, permitted, quote, run};

/// Objects of one step.
const STEP: i64 = 200;

/// The errors for an object that cannot be reassigned alone, or is gone meanwhile. `REASSIGN OWNED`, which follows,
/// reassigns the rest.
const LEFT: [&str; 8] = ["42501", "42809", "42P16", "0A000", "2BP01", "42P01", "42883", "42704"];

/// Relations, routines and types of a role, `$1`, in the order of the catalogue, after one, `$3` and `$4`. A sequence of a
/// column is reassigned with its table. `barred`: the new owner, `$2`, may not create where the object is. `armed`: it runs
/// with the rights of its owner.
const OWNED: &str = "WITH owned AS ( \
        SELECT classid::int8 AS class, objid::int8 AS object, classid, objid FROM pg_shdepend \
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
            AND refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname::text = $1) \
            AND deptype = 'o' AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass) \
            AND (classid::int8, objid::int8) > ($3, $4) \
        ORDER BY 1, 2 LIMIT $5) \
    SELECT class, object, quote_ident(nspname) AS schema, \
        CASE classid WHEN 'pg_class'::regclass THEN 'TABLE ' || objid::regclass \
            WHEN 'pg_proc'::regclass THEN 'ROUTINE ' || objid::regprocedure ELSE 'TYPE ' || objid::regtype END AS name, \
        NOT has_schema_privilege($2::name, n.oid, 'CREATE') AS barred, \
        CASE WHEN prosecdef THEN 'SECURITY INVOKER' \
            WHEN relkind = 'v' AND current_setting('server_version_num')::int >= 150000 \
                THEN 'SET (security_invoker = true)' END AS armed, \
        relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
            AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')) AS linked \
    FROM owned LEFT JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid \
        LEFT JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid \
        LEFT JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid \
        JOIN pg_namespace n ON n.oid = coalesce(relnamespace, pronamespace, typnamespace) \
    ORDER BY class, object";

/// A row of [`OWNED`].
type Object = (i64, i64, String, String, bool, Option<String>, Option<bool>);

/// Who gets the objects of a role.
#[derive(Clone, Copy, Debug)]
pub(super) enum NewOwner<'a> {
    /// Another role of the tenant, or its custodian.
    Heir(&'a str),
    /// The connection's user. Functions and views then have the rights of those who use them.
    Owner,
}

/// Reassigns the relations, routines and types that can be reassigned alone.
pub(super) async fn transfer(conn: &mut PgConnection, role: &str, to: NewOwner<'_>) -> Result<()> {
    let mut after = (0, 0);
    while let Some(last) = step(conn, role, to, after).await? {
        after = last;
    }
    Ok(())
}

/// One step. Returns its last object.
async fn step(conn: &mut PgConnection, role: &str, to: NewOwner<'_>, after: (i64, i64)) -> Result<Option<(i64, i64)>> {
    begin(conn).await?;
    let done = pass_some(conn, role, to, after).await;
    end(conn, done).await
}

async fn pass_some(
    conn: &mut PgConnection,
    role: &str,
    to: NewOwner<'_>,
    (class, object): (i64, i64),
) -> Result<Option<(i64, i64)>> {
    let name = match to {
        NewOwner::Heir(heir) => heir.to_owned(),
        NewOwner::Owner => {
            sqlx::query_scalar("SELECT current_user::text")
                .fetch_one(&mut *conn)
                .await?
        }
    };
    let owned = sqlx::query(OWNED)
        .bind(role)
        .bind(name.clone())
        .bind(class)
        .bind(object)
        .bind(STEP);
    let objects: Vec<Object> = all(conn, "objects of a role", owned).await?;
    let to_name = quote(&name);
    let mut opened = Vec::new();
    for schema in barred(&objects) {
        if permitted(conn, format!("GRANT CREATE ON SCHEMA {schema} TO {to_name}"), &LEFT).await? {
            opened.push(schema);
        }
    }
    for (_, _, _, name, _, armed, linked) in &objects {
        if *linked == Some(true) {
            continue;
        }
        let mut statement = format!("ALTER {name} OWNER TO {to_name}");
        if let (NewOwner::Owner, Some(disarm)) = (to, armed) {
            statement = format!("{statement}; ALTER {name} {disarm}");
        }
        permitted(conn, statement, &LEFT).await?;
    }
    for schema in opened {
        run(conn, format!("REVOKE CREATE ON SCHEMA {schema} FROM {to_name}")).await?;
    }
    Ok(objects.last().map(|(class, object, ..)| (*class, *object)))
}

/// The schemas in which the new owner may not create.
fn barred(objects: &[Object]) -> BTreeSet<String> {
    let barred = objects.iter().filter(|(_, _, _, _, barred, ..)| *barred);
    barred.map(|(_, _, schema, ..)| schema.clone()).collect()
}
