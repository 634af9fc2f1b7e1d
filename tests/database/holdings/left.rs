//! What an earlier user, or a tool, left in a database.

use super::*;

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
        let allowed = AcceptedHoldings {
            non_empty: true,
            ..AcceptedHoldings::default()
        };
        assert_eq!(said(&one, allowed).await, "", "{given}");
        admin(&server, "one", taken).await;
        accepted(&one).await;
    }
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
    let allowed = AcceptedHoldings {
        non_empty: true,
        ..AcceptedHoldings::default()
    };
    let kept = said(&one, allowed).await;
    assert!(kept.contains(&format!("{TENANT} of another Orchestra")), "{kept}");
    drop_tenant_role(&mut own, TENANT).await.unwrap();
    // What it has made keeps the entry back.
    let custodian = ask(
        &mut own,
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'mine'",
    )
    .await;
    assert!(custodian.starts_with(&format!("{TENANT}_0")), "{custodian}");
    refused(&one, &format!("{custodian} of another Orchestra")).await;
    execute(&mut own, &format!("DROP OWNED BY {custodian}; DROP ROLE {custodian}"))
        .await
        .unwrap();
    accepted(&one).await;
}

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
