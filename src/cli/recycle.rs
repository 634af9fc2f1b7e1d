//! `orchestra-operator recycle`: prints how an admin recreates a pool's entry, after somebody has used it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use secrecy::SecretString;

use super::cluster;
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, OrchestraPool};
use crate::credentials::inventory;
use crate::postgres::{APP_GROUP, Login, is_other_tenants, quote, role_name};

/// Arguments of `orchestra-operator recycle`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of the `OrchestraPool`.
    pub pool: String,
    /// Key of the entry, for example `DATABASE_URL_POOL_1`.
    pub key: String,
    /// Namespace of the operator, which holds the pool's Secret.
    #[arg(short, long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
}

/// Reads the entry, and its `OrchestraDatabase`.
///
/// # Errors
/// When an Orchestra holds the database, or the entry cannot be read.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { pool, key, namespace } = arguments;
    let pools: Api<OrchestraPool> = Api::all(client.clone());
    let found = pools.get(pool).await.with_context(|| format!("OrchestraPool {pool}"))?;
    let inventory = found
        .spec
        .inventory
        .with_context(|| format!("OrchestraPool {pool} makes its databases itself: it has no entries"))?;
    // An entry of a selected Secret has its name in its key.
    let (selected, inner) = match key.split_once('/') {
        Some((secret, inner)) => (Some(secret.to_owned()), inner),
        None => (None, key.as_str()),
    };
    let prefix = selected.as_ref().map(|secret| format!("{secret}/")).unwrap_or_default();
    let secret = selected.or(inventory.secret_ref.map(|secret| secret.name));
    let urls: BTreeMap<String, SecretString> = match &secret {
        Some(name) => {
            let entries = from_secret(client, namespace, name).await?.into_iter();
            entries.map(|(key, url)| (format!("{prefix}{key}"), url)).collect()
        }
        None => std::env::vars_os()
            .filter_map(|(key, url)| Some((key.into_string().ok()?, SecretString::from(url.into_string().ok()?))))
            .collect(),
    };
    let url = urls.get(key).with_context(|| match &secret {
        Some(name) => format!("Secret {namespace}/{name} has no key {key}"),
        None => format!("the entries of pool {pool} are in the operator's environment: set {key} here as it is there"),
    })?;
    let login = Login::parse_elsewhere(url)?;
    let all: Vec<OrchestraDatabase> = cluster::list(client).await?;
    let mut members = Vec::new();
    for member in &all {
        let Some(entry) = member.spec.inventory.as_ref().filter(|entry| entry.pool == *pool) else {
            continue;
        };
        // Another entry may lead to the same database.
        let is_made_of_it = match urls.get(&entry.key) {
            _ if entry.key == *key => true,
            Some(url) => leads_there(&login, &entry.key, url)?,
            None => false,
        };
        if is_made_of_it {
            members.push(member);
        }
    }
    members.iter().try_for_each(|member| check_member(member))?;
    let claims = members.iter().filter_map(|member| member.spec.claim_ref.as_ref());
    let former = members.iter().flat_map(|member| &member.spec.former_uids);
    let entry = RecycledEntry {
        name: format!("{key} of pool {pool}"),
        place: secret.map_or_else(
            || format!("{key} of the operator's environment"),
            |name| format!("key {inner} of Secret {namespace}/{name}"),
        ),
        holders: claims.clone().map(|claim| &claim.uid).chain(former).cloned().collect(),
        tenants: claims.map(|claim| role_name(&claim.uid)).collect(),
        members: members.iter().map(|member| member.name_any()).collect(),
    };
    statements(&login, &entry)
}

/// Refuses a database that an Orchestra uses, and one that may be somebody else's than its former Orchestra's.
fn check_member(member: &OrchestraDatabase) -> anyhow::Result<()> {
    let claim = member.spec.claim_ref.as_ref().filter(|_| member.is_held());
    if let Some(claim) = claim {
        bail!(
            "Orchestra {}/{} uses the database, so no statements are printed that drop it: delete the Orchestra first, if its data \
             may be lost",
            claim.namespace,
            claim.name
        );
    }
    match member.stalled() {
        Some((Reason::ClaimRecordMissing | Reason::InUse, message)) => bail!(
            "no statements are printed that drop the database of OrchestraDatabase {}, which may be somebody else's: {message}",
            member.name_any()
        ),
        _ => Ok(()),
    }
}

/// Whether the entry of this key leads to the database of a login.
fn leads_there(login: &Login, key: &str, url: &SecretString) -> anyhow::Result<bool> {
    let place = |login: &Login| (login.host.to_lowercase(), login.port, login.database.clone());
    let other = Login::parse_elsewhere(url)
        .with_context(|| format!("entry {key} may lead to the same database: correct it, or remove it"))?;
    Ok(place(&other) == place(login))
}

/// The entries of an inventory.
async fn from_secret(client: &Client, namespace: &str, name: &str) -> anyhow::Result<BTreeMap<String, SecretString>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets
        .get(name)
        .await
        .with_context(|| format!("Secret {namespace}/{name}"))?;
    let entries = secret.data.unwrap_or_default().into_iter();
    Ok(entries.map(|(key, value)| (key, inventory::text(&value.0))).collect())
}

/// The facts about an entry, without its login.
struct RecycledEntry {
    /// Key and pool.
    name: String,
    /// Where its URL is.
    place: String,
    /// UIDs of the Orchestras that had it, one of which the claim record in it names.
    holders: Vec<String>,
    /// Login roles of the Orchestras that had it.
    tenants: Vec<String>,
    /// Its `OrchestraDatabases`.
    members: Vec<String>,
}

/// Refuses a database that cannot be dropped, and names that psql would not read as one line.
fn check(login: &Login, entry: &RecycledEntry) -> anyhow::Result<()> {
    let Login {
        host, database, user, ..
    } = login;
    ensure!(
        !user.starts_with("postgres.") && !matches!(database.as_str(), "postgres" | "template0" | "template1"),
        "database {database} of {user} cannot be dropped: create a new hosted project at its provider"
    );
    let names = [host, database, user, &entry.name, &entry.place];
    ensure!(
        !names.iter().any(|name| name.chars().any(char::is_control)),
        "the entry's URL contains control characters: correct it"
    );
    Ok(())
}

fn literal(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

/// Names in a session mean PostgreSQL's own functions and operators, also where any login may put others into `public`.
const OWN_NAMES: &str = "SET search_path = pg_catalog, pg_temp;";

/// Stops when the database does not carry the claim record of an Orchestra that had it, or where none had it, carries any.
/// It runs in that database, which a script may have prepared for an admin: the record is read only from a table, whose column
/// is a text, so that nothing of the script's runs.
fn guard_inside(login: &Login, entry: &RecycledEntry) -> String {
    let connect = |database: &str| {
        let value = database.replace('\\', "\\\\").replace('\'', "\\'");
        format!(
            "\\connect -reuse-previous=on \"dbname='{}'\"\n{OWN_NAMES}",
            value.replace('"', "\"\"")
        )
    };
    let (there, back) = (connect(&login.database), connect("postgres"));
    let holders = entry
        .holders
        .iter()
        .map(|uid| literal(uid))
        .collect::<Vec<_>>()
        .join(", ");
    let expected = !entry.holders.is_empty();
    format!(
        "\
-- Whose the database is, says the claim record in it.
{there}
DO $check$
DECLARE
    found text[] := '{{}}';
    own text[] := ARRAY[{holders}]::text[];
BEGIN
    IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'stagesub' AND c.relname = 'claim') THEN
        LOCK TABLE ONLY stagesub.claim IN ACCESS SHARE MODE;
        IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE n.nspname = 'stagesub' AND c.relname = 'claim' AND c.relkind = 'r'
                    AND a.attname = 'orchestra_uid' AND a.atttypid = 'text'::regtype) THEN
            RAISE EXCEPTION 'nothing was dropped: stagesub.claim is not the table of the operator: see who made it';
        END IF;
        EXECUTE 'SELECT array_agg(orchestra_uid) FROM ONLY stagesub.claim' INTO found;
    END IF;
    IF EXISTS (SELECT FROM unnest(found) uid WHERE uid <> ALL (own)) THEN
        RAISE EXCEPTION 'nothing was dropped: the database carries the claim record of another Orchestra: %', found
            USING HINT = 'When no cluster has that Orchestra any more, delete its row from stagesub.claim with the entry''s own login '
                '(a trigger there would have the rights of an admin who does), and run this again.';
    END IF;
    IF {expected} AND coalesce(cardinality(found), 0) = 0 THEN
        RAISE EXCEPTION 'nothing was dropped: the database does not carry the claim record of the Orchestra that had it'
            USING HINT = 'It may be somebody else''s by now. Find out whose it is; remove the entry, or put the record '
                'back with the entry''s own login.';
    END IF;
END $check$;
{back}
"
    )
}

/// Lists the other roles that reach the database, and stops when one of them is another Orchestra's.
fn guard(login: &Login, entry: &RecycledEntry) -> String {
    let known = entry.tenants.iter().chain([&login.user]).map(|name| literal(name));
    let known = known.collect::<Vec<_>>().join(", ");
    let is_other_tenants = is_other_tenants("r.rolname", &known);
    let (datname, rolname) = (literal(&login.database), literal(&login.user));
    format!(
        "\
-- Other roles that reach the database. Drop those that no admin has made, after this has run.
SELECT pg_catalog.format('DROP ROLE %I;', r.rolname) AS \"other roles\" FROM pg_catalog.pg_roles r
WHERE NOT r.rolsuper AND r.rolname NOT IN ({known}, '{APP_GROUP}') AND (
    EXISTS (SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d
        ON s.dbid = d.oid OR s.dbid = 0 AND s.objid = d.oid
        WHERE d.datname = {datname} AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid)
    OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.rolname = {rolname}
        WHERE o.oid = m.roleid AND r.oid = m.member OR o.oid = m.member AND r.oid = m.roleid));
DO $check$
DECLARE tenant text := (SELECT r.rolname FROM pg_catalog.pg_roles r
    WHERE {is_other_tenants} AND (
        EXISTS (SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d
            ON s.dbid = d.oid OR s.dbid = 0 AND s.objid = d.oid
            WHERE d.datname = {datname} AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = {datname} AND a.usename = r.rolname))
    LIMIT 1);
    login record;
BEGIN
    SELECT r.rolsuper, ARRAY(SELECT d.datname FROM pg_catalog.pg_database d
        WHERE d.datdba = r.oid AND d.datname <> {datname}) AS others INTO login FROM pg_catalog.pg_roles r WHERE r.rolname = {rolname};
    IF login.rolsuper OR login.others <> '{{}}' THEN
        RAISE EXCEPTION 'nothing was dropped: the entry''s login is a superuser, or owns other databases: %', login.others
            USING HINT = 'Give the entry the URL of a login that owns its database alone.';
    END IF;
    IF tenant IS NOT NULL THEN
        RAISE EXCEPTION 'nothing was dropped: % of an Orchestra reaches the database', tenant
            USING HINT = 'Its name holds the UID of the Orchestra. When no cluster has that Orchestra any more, end its '
                'login (ALTER ROLE … NOLOGIN, then REVOKE what it has here), and run this again.';
    END IF;
END $check$;
"
    )
}

/// The statements for psql. They hold no password: psql asks for the new one.
fn statements(login: &Login, entry: &RecycledEntry) -> anyhow::Result<String> {
    check(login, entry)?;
    let Login {
        host,
        port,
        database,
        user,
        ..
    } = login;
    let (name, role) = (quote(database), quote(user));
    let tenants = entry.tenants.iter().map(|name| {
        let tenant = quote(name);
        // A role that owns objects in other databases cannot be dropped, and psql stops.
        let rotated = literal(&format!("^{name}_[0-9]+$"));
        format!(
            "SELECT pg_catalog.format('DROP ROLE %I', rolname) FROM pg_catalog.pg_roles \
             WHERE rolname OPERATOR(pg_catalog.~) {rotated} \\gexec\n\
             DROP ROLE IF EXISTS {tenant};\n"
        )
    });
    let members = entry
        .members
        .iter()
        .map(|member| format!("\n--   kubectl delete orchdb {member}"));
    Ok(format!(
        "-- Recreates entry {entry}. ALL DATA OF THE DATABASE IS LOST.
-- Run it as an admin of the server. It stops before it drops anything when another Orchestra's login reaches the
-- database: that Orchestra may use it, in this cluster or in another one. It also stops when the claim record in the
-- database is not that of the Orchestra that had it.
--   psql -h {host} -p {port} -U postgres -d postgres -f recycle.sql
\\set ON_ERROR_STOP on
-- Functions and operators that a tenant may have put into schema public are not used.
{OWN_NAMES}
{guard}{inside}ALTER ROLE {role} NOLOGIN;
DROP DATABASE {name} WITH (FORCE);
{tenants}DROP OWNED BY {role};
DROP ROLE {role};
CREATE ROLE {role} LOGIN CREATEROLE;
\\password {role}
CREATE DATABASE {name} OWNER {role};
REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
-- The tenant's login is then a member of the group that policies name, and passes row level security (PostgreSQL 16 or
-- later). Where one is refused, the entry is usable without it.
\\set ON_ERROR_STOP off
GRANT {APP_GROUP} TO {role} WITH ADMIN OPTION;
ALTER ROLE {role} BYPASSRLS;
-- Write the new password into {place}. Then the pool takes the entry in again, once its old
-- OrchestraDatabase is gone:{members}",
        entry = entry.name,
        guard = guard(login, entry),
        inside = guard_inside(login, entry),
        tenants = tenants.collect::<String>(),
        place = entry.place,
        members = members.collect::<String>(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry() -> RecycledEntry {
        RecycledEntry {
            name: "DATABASE_URL_POOL_1 of pool house".into(),
            place: "key DATABASE_URL_POOL_1 of Secret orchestra-system/database-pool".into(),
            holders: vec!["1".into()],
            tenants: vec!["orchestra_1".into()],
            members: vec!["orchdb-1".into()],
        }
    }

    fn of(url: &str) -> anyhow::Result<String> {
        statements(&Login::parse(&url.to_owned().into()).unwrap(), &entry())
    }

    #[test]
    fn the_statements_hold_every_name_quoted_and_no_secret() {
        let sql = of("postgres://o%22wner:hush-hush@db.example/o%27ne").unwrap();
        assert!(!sql.contains("hush"), "{sql}");
        for part in [
            "DROP DATABASE \"o'ne\" WITH (FORCE);",
            "DROP ROLE IF EXISTS \"orchestra_1\";",
            "DROP ROLE \"o\"\"wner\";",
            "\\password \"o\"\"wner\"",
            "d.datname = 'o''ne'",
            "kubectl delete orchdb orchdb-1",
            "\\connect -reuse-previous=on \"dbname='o\\'ne'\"\n",
            "own text[] := ARRAY['1']::text[];",
            "pg_catalog.left(r.rolname, 42) OPERATOR(pg_catalog.<>) ALL (ARRAY['orchestra_1', 'o\"wner'])",
            "WHERE rolname OPERATOR(pg_catalog.~) '^orchestra_1_[0-9]+$' \\gexec\nDROP ROLE IF EXISTS",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
    }

    #[test]
    fn every_session_finds_postgresqls_own_objects_alone() {
        let sql = of("postgres://owner:hush@db.example/one").unwrap();
        let lines = || sql.lines().filter(|line| !line.starts_with("--"));
        let begins = |line: &str| line.starts_with("\\connect") || line == "\\set ON_ERROR_STOP on";
        let next: Vec<_> = lines().zip(lines().skip(1)).filter(|(line, _)| begins(line)).collect();
        assert_eq!(next.len(), 3, "{sql}");
        for (line, next) in next {
            assert_eq!(next, OWN_NAMES, "after {line}: {sql}");
        }
    }

    #[test]
    fn a_hosted_project_is_not_dropped() {
        for url in [
            "postgres://postgres.abc:x@pooler.example/postgres",
            "postgres://postgres:x@db.example/postgres",
            "postgres://a:x@db.example/b%0Ac",
        ] {
            assert!(of(url).is_err(), "{url}");
        }
    }
}
