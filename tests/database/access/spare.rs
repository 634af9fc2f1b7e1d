//! The role that a pool makes before the claim, and what a claim makes of it.

use orchestra_operator::api::LoginLimits;
use orchestra_operator::postgres::claim_record::{self, ClaimRecord};
use orchestra_operator::postgres::{drop_spare, make_spare, take_spare};

use super::*;

const SPARE: &str = "orchestra_spare_1";

/// Everything that a role is, has and may do, one line each; its name is left out.
async fn held(admin: &mut PgConnection, role: &str) -> String {
    let query = format!(
        "SELECT string_agg(line, chr(10) ORDER BY line) FROM ( \
           SELECT concat_ws(' ', 'relation', c.oid::regclass, privilege_type, is_grantable, grantor::regrole) AS line \
               FROM pg_class c, aclexplode(relacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, privilege_type) \
               FROM pg_attribute, aclexplode(attacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'schema', nspname, privilege_type) \
               FROM pg_namespace, aclexplode(nspacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'routine', p.oid::regprocedure, privilege_type) \
               FROM pg_proc p, aclexplode(proacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclnamespace, defaclobjtype, privilege_type) \
               FROM pg_default_acl, aclexplode(defaclacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'database', datname, privilege_type) \
               FROM pg_database, aclexplode(datacl) WHERE grantee = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'member of', to_jsonb(m) - 'oid' - 'member') \
               FROM pg_auth_members m WHERE member = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'has member', to_jsonb(m) - 'oid' - 'roleid') \
               FROM pg_auth_members m WHERE roleid = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'role', to_jsonb(r) - 'oid' - 'rolname') \
               FROM pg_roles r WHERE oid = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'setting', setconfig) \
               FROM pg_db_role_setting WHERE setrole = '{role}'::regrole \
           UNION ALL SELECT concat_ws(' ', 'comment', shobj_description('{role}'::regrole, 'pg_authid')) \
           UNION ALL SELECT concat_ws(' ', 'owns', classid, objid) FROM pg_shdepend \
               WHERE refobjid = '{role}'::regrole AND deptype = 'o') AS lines"
    );
    ask(admin, &query).await
}

/// What a role made at the claim has.
async fn made_at_the_claim(owner: &Login, admin: &mut PgConnection, rights: &TenantRights) -> String {
    let mut own = session(owner).await;
    let fresh = TenantRole {
        name: "fresh".into(),
        ..tenant()
    };
    ensure_tenant_role(&mut own, &fresh, rights, Sharing::Own)
        .await
        .unwrap();
    let held = held(admin, "fresh").await;
    drop_tenant_role(&mut own, "fresh").await.unwrap();
    held
}

/// A hosted project as a pool prepares it.
async fn prepared(server: &Server) -> (Login, PgConnection, PgConnection) {
    let (owner, admin) = hosted(server).await;
    let script = "CREATE TABLE a (id serial PRIMARY KEY); CREATE VIEW b AS SELECT * FROM a; CREATE SCHEMA more; \
        CREATE TABLE more.c (); CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; \
        REVOKE ALL ON FUNCTION f FROM PUBLIC; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 2';";
    let mut own = connect(&owner, "test").await.unwrap();
    ensure_app_group(&mut own).await.unwrap();
    migrate(&owner, &source(&[("1_init", script)])).await.unwrap();
    claim_record::make_room(&mut own).await.unwrap();
    (owner, own, admin)
}

async fn spare_roles(admin: &mut PgConnection) -> String {
    ask(
        admin,
        "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orchestra_spare%'",
    )
    .await
}

#[tokio::test]
async fn a_claim_takes_the_role_that_waits_and_it_is_as_one_made_then() {
    let server = server().await;
    let (owner, mut own, mut admin) = prepared(&server).await;
    let limited = TenantRights {
        create: true,
        limits: Some(LoginLimits {
            connections: Some(7),
            ..LoginLimits::default()
        }),
        expose_new_tables: Some(ExposeNewTables::None),
        ..TenantRights::default()
    };
    for rights in [TenantRights::default(), enforce(), limited] {
        let expected = made_at_the_claim(&owner, &mut admin, &rights).await;
        // Made twice, as where a new script has run.
        for _ in 0..2 {
            make_spare(&mut own, SPARE, &rights).await.unwrap();
        }
        let shut = "SELECT NOT rolcanlogin AND NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = r.oid \
            AND rolpassword IS NOT NULL) FROM pg_roles r WHERE rolname LIKE 'orchestra_spare%'";
        assert_eq!(ask(&mut admin, shut).await, "true", "nobody logs in with it");
        let claim = ("uid", "tenants", "one");
        assert_eq!(
            claim_record::claim(&mut own, claim, &[]).await.unwrap(),
            ClaimRecord::Ours
        );
        assert!(
            take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap(),
            "{rights:?}"
        );
        assert_eq!(held(&mut admin, "tenant").await, expected, "{rights:?}");
        assert_eq!(spare_roles(&mut admin).await, "0");
        let mut login = session(&owner.as_user("tenant", tenant().password)).await;
        execute(&mut login, "INSERT INTO a DEFAULT VALUES; SELECT * FROM b, more.c")
            .await
            .unwrap();
        for refused in [
            "SELECT f()",
            "SELECT * FROM stagesub.claim",
            "DELETE FROM _prisma_migrations",
        ] {
            let told = execute(&mut login, refused).await.unwrap_err().to_string();
            assert!(told.contains("permission denied"), "{refused}: {told}");
        }
        drop(login);
        // An interrupted pass starts again.
        assert!(!take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap());
        ensure_tenant_role(&mut own, &tenant(), &rights, Sharing::Own)
            .await
            .unwrap();
        assert_eq!(held(&mut admin, "tenant").await, expected, "{rights:?}");
        drop_tenant_role(&mut own, "tenant").await.unwrap();
        claim_record::remove(&mut own, &["uid".to_owned()]).await.unwrap();
    }
}

#[tokio::test]
async fn what_changed_since_is_granted_anew() {
    let server = server().await;
    let (owner, mut own, mut admin) = prepared(&server).await;
    let rights = TenantRights::default();
    let trap = "CREATE FUNCTION more.trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
        CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION more.trap()";
    for change in [
        "GRANT TRIGGER ON a TO orchestra_spare_1",
        "GRANT TRIGGER ON a TO PUBLIC",
        "GRANT INSERT ON _prisma_migrations TO orchestra_spare_1",
        "GRANT UPDATE (id) ON _prisma_migrations TO orchestra_spare_1",
        "GRANT CREATE ON SCHEMA more TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION f TO orchestra_spare_1",
        "GRANT ALL ON SCHEMA stagesub TO orchestra_spare_1",
        "REVOKE ALL ON a FROM orchestra_spare_1",
        "REVOKE USAGE ON SCHEMA more FROM orchestra_spare_1",
        "CREATE TABLE more.later ()",
        "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM orchestra_spare_1",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT TRIGGER ON TABLES TO anon",
        "ALTER ROLE postgres SET search_path = more, public",
        "ALTER ROLE orchestra_spare_1 IN DATABASE postgres SET search_path = more",
        "REVOKE orchestra_app FROM orchestra_spare_1",
        "ALTER SCHEMA more RENAME TO most; ALTER SCHEMA most RENAME TO more; CREATE SCHEMA other",
        trap,
    ] {
        make_spare(&mut own, SPARE, &rights).await.unwrap();
        let mut person = session(&owner).await;
        execute(&mut person, change).await.unwrap();
        drop(person);
        assert!(
            !take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap(),
            "{change}"
        );
        assert_eq!(
            spare_roles(&mut admin).await,
            "0",
            "{change}: the role is the tenant's all the same"
        );
        ensure_tenant_role(&mut own, &tenant(), &rights, Sharing::Own)
            .await
            .unwrap();
        let is = held(&mut admin, "tenant").await;
        drop_tenant_role(&mut own, "tenant").await.unwrap();
        assert_eq!(is, made_at_the_claim(&owner, &mut admin, &rights).await, "{change}");
    }
}

#[tokio::test]
async fn a_role_that_a_claim_does_not_believe_is_granted_anew_or_left_alone() {
    let server = server().await;
    let (owner, mut own, mut admin) = prepared(&server).await;
    let rights = TenantRights::default();
    // There is none.
    assert!(!take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap());
    // The Orchestra asks for something else than its class.
    make_spare(&mut own, SPARE, &rights).await.unwrap();
    assert!(!take_spare(&mut own, SPARE, &tenant(), &enforce()).await.unwrap());
    ensure_tenant_role(&mut own, &tenant(), &enforce(), Sharing::Own)
        .await
        .unwrap();
    let is = held(&mut admin, "tenant").await;
    drop_tenant_role(&mut own, "tenant").await.unwrap();
    assert_eq!(is, made_at_the_claim(&owner, &mut admin, &enforce()).await);
    // Somebody has made it more than a tenant's role, or given it a password.
    for more in ["SUPERUSER", "CREATEROLE", "LOGIN PASSWORD 'known'"] {
        make_spare(&mut own, SPARE, &rights).await.unwrap();
        execute(&mut admin, &format!("ALTER ROLE {SPARE} {more}"))
            .await
            .unwrap();
        assert!(
            !take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap(),
            "{more}"
        );
        assert_eq!(spare_roles(&mut admin).await, "1", "{more}");
        execute(
            &mut admin,
            &format!("ALTER ROLE {SPARE} NOSUPERUSER NOCREATEROLE NOLOGIN PASSWORD NULL"),
        )
        .await
        .unwrap();
    }
    // It was interrupted before it was proven.
    execute(&mut admin, &format!("COMMENT ON ROLE {SPARE} IS NULL"))
        .await
        .unwrap();
    assert!(!take_spare(&mut own, SPARE, &tenant(), &rights).await.unwrap());
    drop_tenant_role(&mut own, "tenant").await.unwrap();
    // Before a script runs there is none, also where it owns something.
    make_spare(&mut own, SPARE, &rights).await.unwrap();
    execute(
        &mut admin,
        &format!("CREATE TABLE more.theirs (); ALTER TABLE more.theirs OWNER TO {SPARE}"),
    )
    .await
    .unwrap();
    drop_spare(&mut own, SPARE).await.unwrap();
    assert_eq!(spare_roles(&mut admin).await, "0");
    assert_eq!(ask(&mut admin, "to_regclass('more.theirs') IS NOT NULL").await, "true");
}
