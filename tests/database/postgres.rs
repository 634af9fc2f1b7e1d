//! Logins, identity and tenants' roles against a real PostgreSQL.

#[path = "postgres/rotated.rs"]
mod rotated;
#[path = "postgres/shared.rs"]
mod shared_by_logins;

use std::time::Duration;

use crate::support::postgres::{Server, server};
use crate::support::{ask, execute, migrate, session, source};
use orchestra_operator::api::{LoginLimits, RowSecurity, SeedPolicy};
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{SeedSource, SeedVariables, seed};
use orchestra_operator::postgres::{
    Error, Login, Sharing, TenantRights, TenantRole, connect, drop_tenant_role, ensure_tenant_logins,
    ensure_tenant_role, grant_existing, identity, isolate,
};

/// What a class with `createObjects: Allowed` grants.
const CREATES: TenantRights = TenantRights {
    create: true,
    limits: None,
    row_security: RowSecurity::Bypass,
    expose_new_tables: None,
};

fn role(name: &str) -> TenantRole {
    TenantRole {
        name: name.to_owned(),
        password: format!("pass-{name}").into(),
    }
}

/// Two databases with an owner each, as a hosted owner is: no superuser, but CREATEROLE.
async fn two_tenants(server: &Server) -> (Login, Login) {
    let mut root = session(&server.login("postgres")).await;
    let mut logins = Vec::new();
    for name in ["one", "two"] {
        execute(
            &mut root,
            &format!("CREATE ROLE owner_{name} LOGIN CREATEROLE PASSWORD 'owner'"),
        )
        .await
        .unwrap();
        execute(&mut root, &format!("CREATE DATABASE {name} OWNER owner_{name}"))
            .await
            .unwrap();
        logins.push(
            server
                .login(name)
                .as_user(format!("owner_{name}"), "owner".to_owned().into()),
        );
    }
    let two = logins.pop().unwrap();
    (logins.pop().unwrap(), two)
}

#[tokio::test]
async fn tenants_of_one_server_cannot_reach_each_other() {
    let server = server().await;
    let (one, two) = two_tenants(&server).await;
    let (a, b) = (role("tenant \"a\""), role("tenant_b"));
    for (login, role) in [(&one, &a), (&two, &b)] {
        let mut conn = session(login).await;
        for _ in 0..2 {
            ensure_tenant_role(&mut conn, role, &CREATES, Sharing::Shared)
                .await
                .unwrap();
        }
        isolate(&mut conn).await.unwrap();
    }
    for (own, other, role) in [(&one, &two, &a), (&two, &one, &b)] {
        connect(&own.as_user(&role.name, role.password.clone()), "test")
            .await
            .unwrap();
        let refused = connect(&other.as_user(&role.name, role.password.clone()), "test")
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, Error::Refused { sqlstate, .. } if sqlstate == "42501"),
            "{refused}"
        );
    }
    // An owner still reaches its own, and not the other's.
    session(&one).await;
    assert!(
        connect(
            &Login {
                database: "two".into(),
                ..one.clone()
            },
            "test"
        )
        .await
        .is_err()
    );
    let error = isolate(
        &mut session(
            &server
                .login("template1")
                .as_user("owner_one", "owner".to_owned().into()),
        )
        .await,
    )
    .await
    .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Blocked);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_tenant_uses_what_the_owner_makes_and_nothing_of_the_operator() {
    let server = server().await;
    for superuser in [false, true] {
        let (database, owner) = if superuser {
            ("postgres", server.login("postgres"))
        } else {
            ("one", two_tenants(&server).await.0)
        };
        let tenant = role(&format!("tenant_{database}"));
        let mut own = session(&owner).await;
        execute(
            &mut own,
            "CREATE TABLE before (id serial PRIMARY KEY); CREATE SCHEMA stagesub; CREATE TABLE stagesub.seed (); \
            CREATE SCHEMA \"Odd\"; CREATE FUNCTION \"Odd\".f(text, int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
            REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA \"Odd\" FROM PUBLIC",
        )
        .await
        .unwrap();
        ensure_tenant_role(&mut own, &tenant, &CREATES, Sharing::Own)
            .await
            .unwrap();
        execute(
            &mut own,
            "CREATE TABLE stagesub.late (); CREATE SCHEMA later; CREATE TABLE later.t (id serial); CREATE TABLE after (id bigserial)",
        )
        .await
        .unwrap();
        grant_existing(&mut own, &tenant.name, &CREATES).await.unwrap();

        let login = owner.as_user(&tenant.name, tenant.password.clone());
        let mut conn = session(&login).await;
        execute(&mut conn, "INSERT INTO before DEFAULT VALUES; INSERT INTO after DEFAULT VALUES; INSERT INTO later.t DEFAULT VALUES; \
            SELECT \"Odd\".f('', '{}'); CREATE TABLE mine (id int); CREATE TABLE later.mine (); CREATE TEMPORARY TABLE x ()").await.unwrap();
        for table in ["seed", "late"] {
            let right = format!("has_table_privilege('{}', 'stagesub.{table}', 'SELECT')", tenant.name);
            assert_eq!(ask(&mut own, &right).await, "false");
        }
        assert!(execute(&mut conn, "SELECT * FROM stagesub.seed").await.is_err());
        assert!(execute(&mut conn, "CREATE ROLE x").await.is_err());
        let mighty = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles WHERE rolname = current_user";
        assert_eq!(ask(&mut conn, mighty).await, "false");
        // Of these owners, only the superuser may give it.
        let bypasses = "SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user";
        assert_eq!(ask(&mut conn, bypasses).await, superuser.to_string());
        // The owner can migrate what the tenant made.
        execute(&mut own, "ALTER TABLE mine ADD b int; INSERT INTO mine VALUES (1, 2)")
            .await
            .unwrap();

        // A new password; the old one is wrong now.
        let changed = TenantRole {
            password: "new".to_owned().into(),
            ..tenant.clone()
        };
        ensure_tenant_role(&mut own, &changed, &CREATES, Sharing::Own)
            .await
            .unwrap();
        let error = connect(&login, "test").await.unwrap_err();
        assert!(
            error.is_wrong_password() && error.class() == ErrorClass::Blocked,
            "{error}"
        );
        connect(&login.as_user(&tenant.name, changed.password), "test")
            .await
            .unwrap();

        for _ in 0..2 {
            drop_tenant_role(&mut own, &tenant.name).await.unwrap();
        }
        assert!(execute(&mut conn, "SELECT 1").await.is_err());
        assert_eq!(ask(&mut own, "SELECT count(*) FROM mine").await, "1");
        assert_eq!(ask(&mut own, "SELECT count(*) FROM pg_default_acl").await, "0");
    }
}

#[tokio::test]
async fn a_tenant_keeps_what_it_made_while_its_login_is_exchanged() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let (old, new) = (role("tenant_1"), role("tenant_2"));
    let login = |role: &TenantRole| owner.as_user(&role.name, role.password.clone());
    ensure_tenant_role(&mut own, &old, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    let mut as_old = session(&login(&old)).await;
    execute(&mut as_old, "CREATE TABLE early (id serial)").await.unwrap();
    let both = [old.clone(), new.clone()];
    for _ in 0..2 {
        ensure_tenant_logins(&mut own, &both, &[], &CREATES, Sharing::Shared)
            .await
            .unwrap();
    }
    let mut as_new = session(&login(&new)).await;
    execute(&mut as_new, "CREATE TABLE late (id serial)").await.unwrap();
    execute(&mut as_old, "CREATE TABLE middle (id serial)").await.unwrap();
    for conn in [&mut as_old, &mut as_new] {
        for table in ["early", "middle", "late"] {
            let insert = format!("INSERT INTO {table} DEFAULT VALUES");
            execute(conn, &insert).await.unwrap();
        }
    }
    for _ in 0..2 {
        ensure_tenant_logins(
            &mut own,
            std::slice::from_ref(&new),
            &["tenant_1"],
            &CREATES,
            Sharing::Shared,
        )
        .await
        .unwrap();
    }
    assert!(execute(&mut as_old, "SELECT 1").await.is_err(), "its session has ended");
    assert!(connect(&login(&old), "test").await.is_err());
    for table in ["early", "middle", "late"] {
        let insert = format!("INSERT INTO {table} DEFAULT VALUES");
        execute(&mut as_new, &insert).await.unwrap();
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(ask(&mut as_new, &count).await, "3");
    }
    drop_tenant_role(&mut own, &new.name).await.unwrap();
    assert_eq!(ask(&mut own, "SELECT count(*) FROM pg_default_acl").await, "0");
}

#[tokio::test]
async fn a_role_that_is_not_a_tenants_is_refused() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    for name in ["postgres", "owner_one", "owner_two", "pg_monitor", "", &"x".repeat(64)] {
        let error = ensure_tenant_role(&mut own, &role(name), &CREATES, Sharing::Own)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Refused { .. } | Error::InvalidRole(_)),
            "{name}: {error}"
        );
        if !name.is_empty() {
            assert!(
                drop_tenant_role(&mut own, name).await.is_err() || name.len() > 63,
                "{name}"
            );
        }
    }
    // Nothing of it happened.
    session(&owner).await;
    session(&server.login("postgres")).await;
}

#[tokio::test]
async fn an_identity_is_the_same_by_every_way() {
    let server = server().await;
    let (one, two) = two_tenants(&server).await;
    let mut digests = Vec::new();
    for login in [&one, &server.login("one"), &one, &two] {
        let identity = identity(&mut session(login).await).await.unwrap();
        assert!(identity.is_certain());
        digests.push(identity.digest());
    }
    assert_eq!(
        (digests[0].len(), &digests[0], &digests[0]),
        (32, &digests[1], &digests[2])
    );
    assert_ne!(digests[0], digests[3]);

    let mut root = session(&server.login("one")).await;
    execute(&mut root, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        .await
        .unwrap();
    let fallback = identity(&mut session(&one).await).await.unwrap();
    assert!(!fallback.is_certain() && fallback.digest().len() == 32);
}

#[tokio::test]
async fn errors_tell_who_can_move_them() {
    let server = server().await;
    let login = server.login("postgres");
    let wrong = connect(&login.as_user("postgres", "hunter2".to_owned().into()), "test")
        .await
        .unwrap_err();
    assert!(
        wrong.is_wrong_password() && !format!("{wrong:?}").contains("hunter2"),
        "{wrong:?}"
    );
    let missing = connect(&server.login("missing"), "test").await.unwrap_err();
    assert_eq!(missing.class(), ErrorClass::Blocked);
    drop(server);
    let gone = connect(&login, "test").await.unwrap_err();
    assert_eq!(gone.class(), ErrorClass::Transient);
}

#[tokio::test]
async fn a_tenants_functions_never_run_as_the_owner() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let tenant = role("tenant");
    let mut own = session(&owner).await;
    ensure_tenant_role(&mut own, &tenant, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    let source = source(&[("1_init", "CREATE TABLE a ();"), ("2_index", "VACUUM a;")]);
    // Closer matches than PostgreSQL's own for what the operator might write.
    execute(
        &mut session(&owner.as_user(&tenant.name, tenant.password.clone())).await,
        "CREATE TABLE public.ran (who text);
         CREATE FUNCTION public.trap() RETURNS void LANGUAGE sql AS 'INSERT INTO public.ran VALUES (current_user)';
         CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE sql AS 'SELECT public.trap(); SELECT ''x''';
         CREATE FUNCTION public.same(oid, int) RETURNS bool LANGUAGE sql AS 'SELECT public.trap(); SELECT true';
         CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = int, FUNCTION = public.same);
         CREATE TABLE public._prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL,
            finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
            started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)",
    )
    .await
    .unwrap();
    ensure_tenant_role(&mut own, &tenant, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    identity(&mut own).await.unwrap();
    let refused = migrate(&owner, &source).await.unwrap_err().to_string();
    assert!(refused.contains("belongs to the role tenant"), "{refused}");
    execute(&mut own, "ALTER TABLE public._prisma_migrations OWNER TO owner_one")
        .await
        .unwrap();
    migrate(&owner, &source).await.unwrap();
    let rows = SeedSource::read(vec![("a.sql".to_owned(), b"SELECT 1".to_vec())]).unwrap();
    let (none, limit) = (SeedVariables::default(), Duration::from_secs(30));
    seed(session(&owner).await, &rows, &none, SeedPolicy::Once, None, limit)
        .await
        .unwrap();
    grant_existing(&mut own, &tenant.name, &CREATES).await.unwrap();
    assert_eq!(ask(&mut own, "SELECT count(*) FROM ran").await, "0");
    drop_tenant_role(&mut own, &tenant.name).await.unwrap();
    assert_eq!(ask(&mut own, "SELECT count(*) FROM ran").await, "0");
}
