//! What a database may hold when it is handed to a tenant, against a real PostgreSQL: what earlier users, their
//! scripts and other entries have left behind.

#[path = "holdings/left.rs"]
mod left_behind;
#[path = "holdings/reach.rs"]
mod reached;
#[path = "holdings/servers.rs"]
mod servers_of_entries;
#[path = "holdings/walls.rs"]
mod walls;

use crate::support::postgres::{Server, server};
use crate::support::{ask, execute, migrate, session, source};
use orchestra_operator::postgres::holdings::{
    AcceptedHoldings, check_project_is_alone, is_hosted_project, judge, observe,
};
use orchestra_operator::postgres::{Login, Sharing, TenantRights, TenantRole, drop_tenant_role, ensure_tenant_role};

const TENANT: &str = "orchestra_0123456789abcdef0123456789abcdef";

/// Runs statements as the superuser in a database.
async fn admin(server: &Server, database: &str, sql: &str) {
    let mut root = session(&server.login(database)).await;
    execute(&mut root, sql).await.unwrap();
}

/// An entry as the sample makes it: a database and a login of its own.
async fn entry(server: &Server, name: &str) -> Login {
    for sql in [
        format!("CREATE ROLE {name}_owner LOGIN CREATEROLE PASSWORD 'owner'"),
        format!("CREATE DATABASE {name} OWNER {name}_owner"),
    ] {
        admin(server, "postgres", &sql).await;
    }
    server
        .login(name)
        .as_user(format!("{name}_owner"), "owner".to_owned().into())
}

/// What speaks against an entry on a server of this version.
async fn said(login: &Login, allowed: AcceptedHoldings) -> String {
    let allowed = AcceptedHoldings {
        legacy_servers: true,
        ..allowed
    };
    let found = observe(&mut session(login).await).await.unwrap();
    let all = judge(&found, &allowed);
    all.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n")
}

async fn refused(login: &Login, says: &str) {
    let said = said(login, AcceptedHoldings::default()).await;
    assert!(said.contains(says), "{says:?} is not in: {said}");
}

async fn accepted(login: &Login) {
    assert_eq!(said(login, AcceptedHoldings::default()).await, "");
}

#[tokio::test]
async fn an_empty_database_is_accepted_with_its_migrations_and_without_rows() {
    let server = server().await;
    let one = entry(&server, "one").await;
    entry(&server, "two").await;
    accepted(&one).await;
    let scripts = source(&[(
        "1_init",
        "CREATE TABLE a (id int); CREATE SCHEMA more; CREATE TABLE more.b (id int); CREATE EXTENSION hstore; \
         CREATE TABLE kept (id int); INSERT INTO kept VALUES (1); DELETE FROM kept;",
    )]);
    migrate(&one, &scripts).await.unwrap();
    admin(&server, "one", "CREATE EXTENSION pg_stat_statements SCHEMA public").await;
    accepted(&one).await;

    let mut own = session(&one).await;
    for (fill, says, empty) in [
        ("INSERT INTO more.b VALUES (1)", "(more.b)", "TRUNCATE more.b"),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT 1 AS x",
            "(public.m)",
            "DROP MATERIALIZED VIEW m",
        ),
        ("SELECT lo_create(4711)", "(large objects)", "SELECT lo_unlink(4711)"),
        (
            "CREATE SCHEMA stagesub; CREATE TABLE stagesub.seed AS SELECT 'x' AS digest",
            "(stagesub.seed)",
            "DROP SCHEMA stagesub CASCADE",
        ),
        (
            "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO p VALUES (1)",
            "(public.p1)",
            "DROP TABLE p",
        ),
    ] {
        execute(&mut own, fill).await.unwrap();
        refused(&one, says).await;
        execute(&mut own, empty).await.unwrap();
        accepted(&one).await;
    }
}

#[tokio::test]
async fn rows_are_found_without_running_what_a_script_left() {
    let server = server().await;
    let one = entry(&server, "one").await;
    let mut own = session(&one).await;
    // A policy that hides the rows from the owner too, and reports every reader; and a closer match than PostgreSQL's
    // own for what the operator asks.
    execute(
        &mut own,
        "CREATE TABLE ran (who text); TRUNCATE ran; CREATE TABLE loot (id int); INSERT INTO loot VALUES (1);
         CREATE FUNCTION trap() RETURNS bool LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.ran VALUES (current_user); RETURN false; END';
         ALTER TABLE loot ENABLE ROW LEVEL SECURITY; ALTER TABLE loot FORCE ROW LEVEL SECURITY;
         CREATE POLICY hidden ON loot USING (public.trap());
         CREATE FUNCTION pg_relation_size(oid) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
         CREATE VIEW pg_roles AS SELECT 1 AS oid; CREATE FUNCTION current_database() RETURNS text LANGUAGE sql AS 'SELECT ''x''';
         ALTER ROLE one_owner SET search_path = public, pg_catalog; ALTER ROLE one_owner SET row_security = on",
    )
    .await
    .unwrap();
    refused(&one, "(public.loot)").await;
    assert_eq!(ask(&mut own, "SELECT count(*) FROM ran").await, "0");
}

#[tokio::test]
async fn a_login_that_begins_as_another_role_is_refused_whatever_the_pool_accepts() {
    let server = server().await;
    let one = entry(&server, "one").await;
    let other = "CREATE ROLE other; GRANT other TO one_owner; ALTER ROLE one_owner SET role = other";
    admin(&server, "one", other).await;
    refused(&one, "begins its sessions as another role").await;
    admin(&server, "one", "ALTER ROLE one_owner RESET role; DROP ROLE other").await;
    accepted(&one).await;
}

/// PostgreSQL 14, and databases that were upgraded from it.
#[tokio::test]
async fn a_schema_in_which_everybody_creates_and_that_is_not_the_logins_is_refused() {
    let server = server().await;
    let one = entry(&server, "one").await;
    admin(&server, "one", "GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    // The login revokes it itself.
    accepted(&one).await;
    admin(
        &server,
        "one",
        "ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC",
    )
    .await;
    for allowed in [false, true] {
        let allowed = AcceptedHoldings {
            non_empty: allowed,
            ..AcceptedHoldings::default()
        };
        let told = said(&one, allowed).await;
        assert!(told.contains("REVOKE CREATE ON SCHEMA"), "{told}");
    }
    admin(&server, "one", "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    accepted(&one).await;
}
