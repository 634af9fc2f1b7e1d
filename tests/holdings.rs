//! What a database may hold when it is handed to a tenant, against a real PostgreSQL: what earlier users, their
//! scripts and other entries have left behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "holdings/servers.rs"]
mod servers_of_entries;
mod support;

use orchestra_operator::postgres::holdings::{Allowed, is_hosted_project, judge, observe};
use orchestra_operator::postgres::{Login, Sharing, TenantRights, TenantRole, drop_tenant_role, ensure_tenant_role};
use support::postgres::{Server, server};
use support::{ask, execute, migrate, session, source};

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
async fn said(login: &Login, allowed: Allowed) -> String {
    let allowed = Allowed {
        legacy_servers: true,
        ..allowed
    };
    let found = observe(&mut session(login).await).await.unwrap();
    let all = judge(&found, &allowed);
    all.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n")
}

async fn refused(login: &Login, says: &str) {
    let said = said(login, Allowed::default()).await;
    assert!(said.contains(says), "{says:?} is not in: {said}");
}

async fn accepted(login: &Login) {
    assert_eq!(said(login, Allowed::default()).await, "");
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
    // A policy that hides the rows from the owner too, and tells whoever looks; and a closer match than PostgreSQL's
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

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_an_earlier_user_left_is_refused_unless_an_admin_vouches_for_it() {
    let server = server().await;
    let one = entry(&server, "one").await;
    entry(&server, "two").await;
    admin(&server, "postgres", "CREATE ROLE eve LOGIN").await;
    for (given, says, taken) in [
        (
            "GRANT CONNECT ON DATABASE one TO eve",
            "eve can reach",
            "REVOKE CONNECT ON DATABASE one FROM eve",
        ),
        (
            "CREATE SCHEMA s AUTHORIZATION eve",
            "eve can reach",
            "DROP SCHEMA s CASCADE",
        ),
        (
            "CREATE TABLE t (); ALTER TABLE t OWNER TO eve",
            "eve can reach",
            "DROP TABLE t",
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION f() TO eve",
            "eve can reach",
            "DROP FUNCTION f()",
        ),
        (
            "CREATE TABLE t (); CREATE POLICY p ON t TO eve",
            "eve can reach",
            "DROP TABLE t",
        ),
        (
            "CREATE ROLE orchestra_app; CREATE SCHEMA s AUTHORIZATION orchestra_app",
            "orchestra_app can reach",
            "DROP SCHEMA s; CREATE TABLE t (); GRANT SELECT ON t TO orchestra_app",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE one_owner GRANT CREATE ON SCHEMAS TO orchestra_app",
            "default privileges for objects of one_owner",
            "DROP OWNED BY orchestra_app; DROP TABLE t; DROP ROLE orchestra_app",
        ),
        ("GRANT one_owner TO eve", "eve can reach", "REVOKE one_owner FROM eve"),
        ("GRANT eve TO one_owner", "eve can reach", "REVOKE eve FROM one_owner"),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE one_owner GRANT SELECT ON TABLES TO PUBLIC",
            "default privileges for objects of one_owner",
            "ALTER DEFAULT PRIVILEGES FOR ROLE one_owner REVOKE SELECT ON TABLES FROM PUBLIC",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE one_owner IN SCHEMA public GRANT SELECT ON TABLES TO eve",
            "default privileges for objects of one_owner",
            "DROP OWNED BY eve",
        ),
    ] {
        admin(&server, "one", given).await;
        refused(&one, says).await;
        let allowed = Allowed {
            non_empty: true,
            ..Allowed::default()
        };
        assert_eq!(said(&one, allowed).await, "", "{given}");
        admin(&server, "one", taken).await;
        accepted(&one).await;
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_login_that_reaches_another_tenant_is_refused_whatever_the_pool_accepts() {
    let server = server().await;
    let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
    let vouched = || Allowed {
        non_empty: true,
        ..Allowed::default()
    };
    admin(&server, "postgres", "CREATE ROLE middle; CREATE ROLE root SUPERUSER").await;
    for (given, says, taken) in [
        (
            "ALTER DATABASE two OWNER TO one_owner",
            "also owns two",
            "ALTER DATABASE two OWNER TO two_owner",
        ),
        (
            "GRANT two_owner TO one_owner",
            "also owns two",
            "REVOKE two_owner FROM one_owner",
        ),
        (
            "GRANT two_owner TO middle; GRANT middle TO one_owner",
            "also owns two",
            "REVOKE two_owner FROM middle; REVOKE middle FROM one_owner",
        ),
        (
            "GRANT root TO middle; GRANT middle TO one_owner",
            "member of root",
            "REVOKE middle FROM one_owner",
        ),
        (
            "GRANT pg_read_all_data TO one_owner",
            "member of pg_read_all_data",
            "REVOKE pg_read_all_data FROM one_owner",
        ),
        (
            "ALTER ROLE one_owner NOCREATEROLE",
            "ALTER ROLE \"one_owner\" CREATEROLE",
            "ALTER ROLE one_owner CREATEROLE",
        ),
        (
            "ALTER ROLE one_owner SET default_transaction_read_only = on",
            "takes no writes",
            "ALTER ROLE one_owner RESET ALL",
        ),
        (
            "ALTER ROLE one_owner REPLICATION",
            "REPLICATION",
            "ALTER ROLE one_owner NOREPLICATION",
        ),
        (
            "ALTER DATABASE one OWNER TO middle; GRANT middle TO one_owner",
            "does not own the database one",
            "ALTER DATABASE one OWNER TO one_owner; REVOKE middle FROM one_owner",
        ),
    ] {
        admin(&server, "one", given).await;
        let said = said(&one, vouched()).await;
        assert!(said.contains(says), "{given}: {said}");
        admin(&server, "one", taken).await;
        accepted(&one).await;
    }
    // Two entries with one login own each other's databases, and neither is accepted.
    admin(&server, "one", "ALTER DATABASE two OWNER TO one_owner").await;
    let shared = Login {
        database: "two".into(),
        ..one.clone()
    };
    for login in [&one, &shared] {
        assert!(said(login, vouched()).await.contains("also owns"));
    }
    admin(
        &server,
        "one",
        "ALTER DATABASE two OWNER TO two_owner; GRANT one_owner TO two_owner",
    )
    .await;
    let allowed = Allowed {
        other_entries: vec![("two_owner".into(), "another".into())],
        ..vouched()
    };
    let said = said(&one, allowed).await;
    assert!(said.contains("two_owner, the login of another entry"), "{said}");
    assert!(self::said(&two, vouched()).await.contains("also owns one"));
}

#[tokio::test]
async fn a_former_tenants_login_is_gone_or_keeps_the_entry_back() {
    let server = server().await;
    let one = entry(&server, "one").await;
    let tenant = TenantRole {
        name: TENANT.into(),
        password: "pass".to_owned().into(),
    };
    let mut own = session(&one).await;
    let rights = TenantRights {
        create: true,
        ..TenantRights::default()
    };
    ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared)
        .await
        .unwrap();
    let mut theirs = session(&one.as_user(TENANT, tenant.password.clone())).await;
    execute(&mut theirs, "CREATE TABLE mine ()").await.unwrap();
    let allowed = Allowed {
        non_empty: true,
        ..Allowed::default()
    };
    let kept = said(&one, allowed).await;
    assert!(kept.contains(&format!("{TENANT} of another Orchestra")), "{kept}");
    drop_tenant_role(&mut own, TENANT).await.unwrap();
    accepted(&one).await;
}

/// What a hosted project's server holds, as far as PostgreSQL without Supabase's extensions permits.
const HOSTED: &str = include_str!("fixtures/hosted.sql");

#[tokio::test]
async fn rows_in_what_looks_like_a_tools_own_are_found() {
    let server = server().await;
    let one = entry(&server, "one").await;
    let mut own = session(&one).await;
    execute(&mut own, "CREATE EXTENSION citext").await.unwrap();
    for (hide, says, undo) in [
        (
            "CREATE SCHEMA stagesub; CREATE TABLE stagesub.loot AS SELECT 1 AS x",
            "stagesub.loot",
            "DROP SCHEMA stagesub CASCADE",
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE other._prisma_migrations AS SELECT 'a' AS id, 'secret' AS mail",
            "other._prisma_migrations",
            "DROP SCHEMA other CASCADE",
        ),
        (
            "CREATE TABLE _sqlx_migrations (version int, loot text); INSERT INTO _sqlx_migrations VALUES (1, 'x')",
            "public._sqlx_migrations",
            "DROP TABLE _sqlx_migrations",
        ),
        (
            "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.seed_files AS SELECT 'x' AS loot",
            "supabase_migrations.seed_files",
            "DROP SCHEMA supabase_migrations CASCADE",
        ),
        (
            "CREATE TABLE loot AS SELECT 1 AS x; ALTER EXTENSION citext ADD TABLE loot",
            "public.loot",
            "ALTER EXTENSION citext DROP TABLE loot; DROP TABLE loot",
        ),
    ] {
        execute(&mut own, hide).await.unwrap();
        refused(&one, says).await;
        execute(&mut own, undo).await.unwrap();
        accepted(&one).await;
    }
}

#[tokio::test]
async fn a_name_that_matters_is_not_hidden_behind_others() {
    let server = server().await;
    let (one, _) = (entry(&server, "one").await, entry(&server, "two").await);
    let vouched = || Allowed {
        non_empty: true,
        ..Allowed::default()
    };
    let crowd = |what: &str| {
        format!(
            "DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE format('CREATE ROLE a%s', i); \
             EXECUTE format('{what}', 'a' || i); END LOOP; END $$"
        )
    };
    let away = "DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE format('DROP OWNED BY a%s', i); \
                EXECUTE format('DROP ROLE a%s', i); END LOOP; END $$";
    admin(&server, "one", &format!("CREATE ROLE {TENANT}")).await;
    for (crowd, given, says, taken) in [
        (
            crowd("GRANT %s TO one_owner"),
            "GRANT pg_read_all_data TO one_owner",
            "pg_read_all_data",
            "REVOKE pg_read_all_data FROM one_owner",
        ),
        (
            crowd("GRANT %s TO one_owner"),
            "GRANT two_owner TO one_owner",
            "two",
            "REVOKE two_owner FROM one_owner",
        ),
        (
            crowd("GRANT one_owner TO %s"),
            &format!("GRANT one_owner TO {TENANT}"),
            TENANT,
            &format!("REVOKE one_owner FROM {TENANT}"),
        ),
        (
            crowd("GRANT CONNECT ON DATABASE one TO %s"),
            &format!("GRANT CONNECT ON DATABASE one TO {TENANT}"),
            TENANT,
            &format!("REVOKE ALL ON DATABASE one FROM {TENANT}"),
        ),
        (
            crowd("CREATE SCHEMA AUTHORIZATION %s"),
            &format!("CREATE SCHEMA x AUTHORIZATION {TENANT}"),
            TENANT,
            "DROP SCHEMA x",
        ),
    ] {
        admin(&server, "one", &crowd).await;
        assert_eq!(said(&one, vouched()).await, "", "{crowd}");
        admin(&server, "one", given).await;
        let told = said(&one, vouched()).await;
        assert!(told.contains(says), "{given}: {told}");
        admin(&server, "one", taken).await;
        admin(&server, "one", away).await;
    }
    let many = "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE ROLE b%s', i); \
                EXECUTE format('GRANT b%s TO one_owner', i); END LOOP; END $$";
    admin(&server, "one", many).await;
    let told = said(&one, vouched()).await;
    assert!(told.contains("not all looked at"), "{told}");
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
        let allowed = Allowed {
            non_empty: allowed,
            ..Allowed::default()
        };
        let told = said(&one, allowed).await;
        assert!(told.contains("REVOKE CREATE ON SCHEMA"), "{told}");
    }
    admin(&server, "one", "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    accepted(&one).await;
}

/// Since PostgreSQL 16, whoever has made a role may make any login a member of it.
#[tokio::test]
async fn a_neighbours_script_keeps_no_entry_out() {
    let server = server().await;
    let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
    let mut own = session(&one).await;
    if ask(&mut own, "current_setting('server_version_num')::int >= 160000").await != "true" {
        return;
    }
    execute(
        &mut own,
        &format!("CREATE ROLE {TENANT}; CREATE ROLE eve; GRANT eve TO {TENANT}"),
    )
    .await
    .unwrap();
    for role in [TENANT, "eve"] {
        execute(&mut own, &format!("GRANT {role} TO two_owner")).await.unwrap();
    }
    accepted(&two).await;
    // What the login itself has made is its own affair, also by way of a role that it has made.
    let mut theirs = session(&two).await;
    execute(&mut theirs, "CREATE ROLE mine CREATEROLE LOGIN PASSWORD 'mine'")
        .await
        .unwrap();
    let mut mine = session(&two.as_user("mine", "mine".to_owned().into())).await;
    execute(&mut mine, "CREATE ROLE left_behind; GRANT left_behind TO two_owner")
        .await
        .unwrap();
    refused(&two, "left_behind").await;
}
