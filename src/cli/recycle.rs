//! `orchestra-operator recycle`: prints how an admin makes a pool's entry anew, after somebody has used it.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use secrecy::SecretString;

use super::cluster;
use crate::api::{OrchestraDatabase, OrchestraPool};
use crate::credentials::tenant;
use crate::postgres::{APP_GROUP, Login, quote};

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

/// Reads the entry, and the `OrchestraDatabase` that was made of it.
///
/// # Errors
/// When an Orchestra holds the database, or the entry cannot be read.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { pool, key, namespace } = arguments;
    let pools: Api<OrchestraPool> = Api::all(client.clone());
    let found = pools.get(pool).await.with_context(|| format!("OrchestraPool {pool}"))?;
    let secret = found.spec.inventory.secret_ref.map(|secret| secret.name);
    let url = match &secret {
        Some(name) => from_secret(client, namespace, name, key).await?,
        None => std::env::var(key).map(SecretString::from).with_context(|| {
            format!("the entries of pool {pool} are in the operator's environment: set {key} here as it is there")
        })?,
    };
    let login = Login::parse(&url)?;
    let all: Vec<OrchestraDatabase> = cluster::list(client).await?;
    let is_made_of_it = |member: &&OrchestraDatabase| {
        let entry = member.spec.inventory.as_ref();
        entry.is_some_and(|entry| entry.pool == *pool && entry.key == *key)
    };
    let members: Vec<_> = all.iter().filter(is_made_of_it).collect();
    for member in &members {
        let claim = member.spec.claim_ref.as_ref().filter(|_| member.is_held());
        if let Some(claim) = claim {
            bail!(
                "Orchestra {}/{} uses the database: delete the Orchestra first",
                claim.namespace,
                claim.name
            );
        }
    }
    let claims = members.iter().filter_map(|member| member.spec.claim_ref.as_ref());
    let entry = Entry {
        name: format!("{key} of pool {pool}"),
        place: secret.map_or_else(
            || format!("{key} of the operator's environment"),
            |name| format!("key {key} of Secret {namespace}/{name}"),
        ),
        tenants: claims.map(|claim| tenant::role_name(&claim.uid)).collect(),
        members: members.iter().map(|member| member.name_any()).collect(),
    };
    statements(&login, &entry)
}

async fn from_secret(client: &Client, namespace: &str, name: &str, key: &str) -> anyhow::Result<SecretString> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets
        .get(name)
        .await
        .with_context(|| format!("Secret {namespace}/{name}"))?;
    let value = secret.data.unwrap_or_default().remove(key);
    let value = value.with_context(|| format!("Secret {namespace}/{name} has no key {key}"))?;
    Ok(SecretString::from(String::from_utf8(value.0)?))
}

/// What is known of the entry beside its login.
struct Entry {
    /// Key and pool.
    name: String,
    /// Where its URL is.
    place: String,
    /// Login roles of the Orchestras that had it.
    tenants: Vec<String>,
    /// The `OrchestraDatabases` that were made of it.
    members: Vec<String>,
}

/// The statements for psql. They hold no password: psql asks for the new one.
fn statements(login: &Login, entry: &Entry) -> anyhow::Result<String> {
    let Login {
        host,
        port,
        database,
        user,
        ..
    } = login;
    ensure!(
        !user.contains('.') && !matches!(database.as_str(), "postgres" | "template0" | "template1"),
        "database {database} of {user} is no database that can be dropped: a hosted project is made anew at its provider"
    );
    let names = [host, database, user, &entry.name, &entry.place];
    ensure!(
        !names.iter().any(|name| name.chars().any(char::is_control)),
        "the entry's URL holds control characters"
    );
    let (name, role) = (quote(database), quote(user));
    let literal = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let tenants = entry.tenants.iter().map(|tenant| {
        let tenant = quote(tenant);
        // What is owned in other databases keeps a role from being dropped, and psql stops.
        format!("DROP ROLE IF EXISTS {tenant};\n")
    });
    let known = entry.tenants.iter().chain([user]).map(|name| literal(name));
    let members = entry
        .members
        .iter()
        .map(|member| format!("\n--   kubectl delete orchdb {member}"));
    Ok(format!(
        "-- Makes entry {entry} anew. ALL DATA OF THE DATABASE ARE LOST.
-- Run it as an admin of the server:
--   psql -h {host} -p {port} -U postgres -d postgres -f recycle.sql
\\set ON_ERROR_STOP on
-- Other roles that reach the database. Drop those that no admin has made, after this has run.
SELECT format('DROP ROLE %I;', r.rolname) AS \"other roles\" FROM pg_roles r
WHERE NOT r.rolsuper AND r.rolname NOT IN ({known}, '{APP_GROUP}') AND (
    EXISTS (SELECT FROM pg_shdepend s JOIN pg_database d ON s.dbid = d.oid OR s.dbid = 0 AND s.objid = d.oid
        WHERE d.datname = {datname} AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid)
    OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles o ON o.rolname = {rolname}
        WHERE o.oid = m.roleid AND r.oid = m.member OR o.oid = m.member AND r.oid = m.roleid));
ALTER ROLE {role} NOLOGIN;
DROP DATABASE {name} WITH (FORCE);
{tenants}DROP OWNED BY {role};
DROP ROLE {role};
CREATE ROLE {role} LOGIN CREATEROLE;
\\password {role}
CREATE DATABASE {name} OWNER {role};
REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
-- The tenant's login then passes row level security (PostgreSQL 16 or later). Where it is refused, the entry is usable
-- without it.
\\set ON_ERROR_STOP off
ALTER ROLE {role} BYPASSRLS;
-- Write the new password into {place}. Then the pool takes the entry in again, once its old
-- OrchestraDatabase is gone:{members}",
        entry = entry.name,
        known = known.collect::<Vec<_>>().join(", "),
        datname = literal(database),
        rolname = literal(user),
        tenants = tenants.collect::<String>(),
        place = entry.place,
        members = members.collect::<String>(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "DATABASE_URL_POOL_1 of pool house".into(),
            place: "key DATABASE_URL_POOL_1 of Secret orchestra-system/database-pool".into(),
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
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
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
