//! What a tenant's scripts may leave in a database of a pool, and that nothing of it is there after a reset, against a
//! real PostgreSQL.

use std::time::Duration;

use crate::support::postgres::{Server, server, server_as_hosted};
use crate::support::{ask, execute, session};
use orchestra_operator::postgres::claim_record::{self, ClaimRecord};
use orchestra_operator::postgres::holdings::{AcceptedHoldings, judge, observe};
use orchestra_operator::postgres::reset::{Stay, reset};
use orchestra_operator::postgres::{
    self, APPLICATION, Login, Sharing, TenantRights, TenantRole, drop_tenant_role, ensure_tenant_role, isolate,
};
use sqlx::PgConnection;

const UID: &str = "01234567-89ab-cdef-0123-456789abcdef";

async fn admin(server: &Server, database: &str, sql: &str) {
    let mut root = session(&server.login(database)).await;
    for statement in sql.split(";;") {
        execute(&mut root, statement).await.unwrap();
    }
}

/// An entry as the sample makes it, with the claim record of [`UID`].
async fn entry(server: &Server, name: &str) -> Login {
    let made = format!(
        "CREATE ROLE {name}_owner LOGIN CREATEROLE PASSWORD 'owner';; CREATE DATABASE {name} OWNER {name}_owner;; \
         REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;; GRANT orchestra_app TO {name}_owner WITH ADMIN OPTION"
    );
    admin(server, "postgres", &made).await;
    let owner = format!("{name}_owner");
    let login = server.login(name).as_user(owner, "owner".to_owned().into());
    let mut own = operators(&login).await;
    isolate(&mut own).await.unwrap();
    let claimed = claim_record::claim(&mut own, (UID, "tenants", "first"), &[])
        .await
        .unwrap();
    assert_eq!(claimed, ClaimRecord::Ours);
    login
}

/// A session as the operator opens it.
async fn operators(login: &Login) -> PgConnection {
    postgres::connect(login, APPLICATION).await.unwrap()
}

async fn hall() -> Server {
    let server = server_as_hosted().await;
    admin(&server, "postgres", "CREATE ROLE orchestra_app NOLOGIN").await;
    server
}

async fn try_reset(login: &Login) -> Result<(), Stay> {
    reset(&mut operators(login).await, &[UID]).await.unwrap()
}

/// The database is taken in as one that nobody has used.
async fn is_fresh(login: &Login) {
    let mut own = operators(login).await;
    let found = observe(&mut own).await.unwrap();
    let said = judge(&found, &AcceptedHoldings::default());
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(claim_record::holder(&mut own).await.unwrap(), None);
    // It may do what an owner does, and still make tenants' logins members of the group.
    for sql in [
        "CREATE TABLE public.again (id int)",
        "CREATE SCHEMA again",
        "CREATE ROLE again_1 ROLE orchestra_app",
    ] {
        execute(&mut own, "BEGIN").await.unwrap();
        execute(&mut own, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        execute(&mut own, "ROLLBACK").await.unwrap();
    }
    assert_eq!(
        ask(
            &mut own,
            "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole AND admin_option"
        )
        .await,
        "1"
    );
}

/// What a script may do as the owner.
const LEFT: &str = "\
    CREATE SCHEMA secret; CREATE TABLE secret.t (id serial PRIMARY KEY, word text); INSERT INTO secret.t (word) VALUES ('x'); \
    CREATE TABLE plain (id int); CREATE TABLE parted (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parted DEFAULT; \
    CREATE VIEW v AS SELECT * FROM plain; CREATE MATERIALIZED VIEW m AS SELECT 1 AS x; CREATE SEQUENCE s; \
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
    CREATE TRIGGER t BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION f(); CREATE RULE r AS ON UPDATE TO plain DO NOTHING; \
    CREATE POLICY p ON plain USING (true); CREATE STATISTICS st ON id, word FROM secret.t; \
    CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN d AS int; CREATE TYPE pair AS (a int, b int); \
    CREATE FUNCTION e_int(e) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE CAST (e AS int) WITH FUNCTION e_int(e); \
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true'; \
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same); \
    CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int); CREATE PROCEDURE pr() LANGUAGE sql AS ''; \
    CREATE COLLATION c FROM \"C\"; CREATE TEXT SEARCH CONFIGURATION tc (COPY = simple); \
    CREATE PUBLICATION pub FOR TABLE plain; \
    CREATE ROLE mallory LOGIN PASSWORD 'm' CREATEROLE; GRANT CREATE ON DATABASE one TO mallory; GRANT CONNECT ON DATABASE one TO mallory; \
    GRANT CREATE ON DATABASE one TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC; GRANT ALL ON SCHEMA secret TO mallory; GRANT ALL ON ALL TABLES IN SCHEMA secret TO mallory; \
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO mallory; ALTER DEFAULT PRIVILEGES IN SCHEMA secret GRANT ALL ON TABLES TO PUBLIC; \
    ALTER DATABASE one SET search_path = secret, public; ALTER ROLE one_owner SET statement_timeout = '1h'; \
    ALTER ROLE one_owner IN DATABASE one SET row_security = off; COMMENT ON DATABASE one IS 'mine'; COMMENT ON SCHEMA public IS 'mine'; \
    ALTER DATABASE one WITH IS_TEMPLATE true CONNECTION LIMIT 30; SELECT lo_create(0) FROM generate_series(1, 700)";

/// What a role of the script does then: it makes another role, and owns something.
const NESTED: &str = "CREATE ROLE eve LOGIN; CREATE SCHEMA hers; CREATE TABLE hers.t AS SELECT 1 AS x; GRANT USAGE ON SCHEMA hers TO eve";

async fn use_it(server: &Server, login: &Login) {
    let mut own = session(login).await;
    execute(&mut own, LEFT).await.unwrap();
    let mallory = login.as_user("mallory", "m".to_owned().into());
    execute(&mut session(&mallory).await, NESTED).await.unwrap();
    admin(server, "one", "GRANT pg_create_subscription TO one_owner").await;
    let subscribe = "CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere password=x' PUBLICATION p \
                     WITH (connect = false, slot_name = NONE, enabled = false)";
    execute(&mut session(login).await, subscribe).await.unwrap();
    admin(server, "one", "REVOKE pg_create_subscription FROM one_owner").await;
    execute(
        &mut own,
        "BEGIN; INSERT INTO plain VALUES (1); PREPARE TRANSACTION 'it''s mine'",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn what_a_released_tenants_login_made_goes_with_the_role_that_keeps_it() {
    let server = hall().await;
    let one = entry(&server, "one").await;
    let mut own = operators(&one).await;
    let tenant = TenantRole {
        name: postgres::role_name(UID),
        password: "tenant".to_owned().into(),
    };
    let rights = TenantRights {
        create: true,
        ..TenantRights::default()
    };
    ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared)
        .await
        .unwrap();
    let theirs = one.as_user(&tenant.name, tenant.password.clone());
    execute(&mut session(&theirs).await, "CREATE TABLE theirs (id serial)")
        .await
        .unwrap();
    drop_tenant_role(&mut own, &tenant.name).await.unwrap();
    let kept = format!(
        "SELECT count(*) FROM pg_roles WHERE rolname ~ '^{}_0[0-9]+$'",
        tenant.name
    );
    assert_eq!(ask(&mut own, &kept).await, "1");
    drop(own);
    assert_eq!(try_reset(&one).await, Ok(()));
    is_fresh(&one).await;
    assert_eq!(ask(&mut operators(&one).await, &kept).await, "0");
}

#[tokio::test]
async fn everything_that_a_script_may_leave_goes() {
    let mut server = hall().await;
    // The server commits asynchronously, and would lose what it has not written.
    let setting = "ALTER SYSTEM SET max_prepared_transactions = 5;; CHECKPOINT";
    admin(&server, "postgres", setting).await;
    server.crash().await;
    let one = entry(&server, "one").await;
    use_it(&server, &one).await;
    // An interrupted script may still run in its session.
    let mut cut_off = operators(&one).await;
    assert_eq!(try_reset(&one).await, Ok(()));
    assert!(execute(&mut cut_off, "SELECT 1").await.is_err());
    is_fresh(&one).await;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname IN ('mallory', 'eve')";
    assert_eq!(ask(&mut session(&server.login("one")).await, roles).await, "0");
    // Again, without anything left and without the record: what was done before the operator died.
    assert_eq!(try_reset(&one).await, Ok(()));
}

#[tokio::test]
async fn rights_in_a_neighbours_database_keep_no_role_of_a_script_in_the_way() {
    let server = hall().await;
    let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
    let tenant = "orchestra_fedcba9876543210fedcba9876543210";
    let made = format!("CREATE ROLE {tenant}; CREATE ROLE mallory LOGIN PASSWORD 'm'");
    execute(&mut session(&one).await, &made).await.unwrap();
    let given = format!(
        "GRANT CONNECT ON DATABASE two TO {tenant}, mallory; CREATE TABLE public.t (); GRANT SELECT ON public.t TO mallory"
    );
    execute(&mut session(&two).await, &given).await.unwrap();
    assert_eq!(try_reset(&one).await, Ok(()));
    let found = observe(&mut operators(&one).await).await.unwrap();
    let said = judge(&found, &AcceptedHoldings::default());
    assert!(said.is_empty(), "{said:?}");
    let mut root = session(&server.login("two")).await;
    let logins = "SELECT count(*) FROM pg_roles WHERE rolname IN ('mallory') AND rolcanlogin";
    assert_eq!(ask(&mut root, logins).await, "0");
    // One that has members, or that logs in, is in the way.
    execute(&mut root, "ALTER ROLE mallory LOGIN").await.unwrap();
    let said = judge(
        &observe(&mut operators(&one).await).await.unwrap(),
        &AcceptedHoldings::default(),
    );
    assert!(
        said.iter().any(|one| one.message.contains("mallory can reach")),
        "{said:?}"
    );
}

#[tokio::test]
async fn the_schema_public_comes_back_as_it_was() {
    let server = hall().await;
    let one = entry(&server, "one").await;
    for sql in [
        "DROP SCHEMA public CASCADE",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    ] {
        let mut own = operators(&one).await;
        execute(&mut own, sql).await.unwrap();
        claim_record::claim(&mut own, (UID, "tenants", "first"), &[])
            .await
            .unwrap();
        drop(own);
        assert_eq!(try_reset(&one).await, Ok(()), "{sql}");
        is_fresh(&one).await;
    }
}

#[tokio::test]
async fn what_the_owner_may_not_drop_is_named_and_the_record_stays() {
    let server = hall().await;
    let one = entry(&server, "one").await;
    execute(&mut session(&one).await, "CREATE TABLE rows AS SELECT 1 AS x")
        .await
        .unwrap();
    let made = "CREATE EXTENSION pg_stat_statements;; CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';; \
                CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION ev()";
    admin(&server, "one", made).await;
    let Err(Stay::Left(left)) = try_reset(&one).await else {
        panic!("something is left")
    };
    for part in [
        "extension pg_stat_statements",
        "event trigger watcher",
        "function public.ev()",
    ] {
        assert!(left.iter().any(|name| name.contains(part)), "{part}: {left:?}");
    }
    let holder = claim_record::holder(&mut operators(&one).await).await.unwrap();
    assert_eq!(holder.map(|holder| holder.uid).as_deref(), Some(UID));
    admin(
        &server,
        "one",
        "DROP EVENT TRIGGER watcher;; DROP FUNCTION ev();; DROP EXTENSION pg_stat_statements",
    )
    .await;
    assert_eq!(try_reset(&one).await, Ok(()));
    is_fresh(&one).await;
}

#[tokio::test]
async fn a_database_that_may_be_somebody_elses_is_left_alone() {
    let server = hall().await;
    let one = entry(&server, "one").await;
    execute(&mut session(&one).await, "CREATE TABLE rows AS SELECT 1 AS x")
        .await
        .unwrap();
    let other = reset(&mut operators(&one).await, &["another"]).await.unwrap();
    assert!(matches!(other, Err(Stay::InUse(says)) if says.contains("tenants/first")));
    // Somebody works in it.
    let somebody = session(&one).await;
    assert!(matches!(try_reset(&one).await, Err(Stay::InUse(says)) if says.contains("as one_owner")));
    drop(somebody);
    // The login of an Orchestra that another login has made.
    let tenant = "orchestra_fedcba9876543210fedcba9876543210";
    admin(
        &server,
        "one",
        &format!("CREATE ROLE {tenant} LOGIN;; GRANT CONNECT ON DATABASE one TO {tenant}"),
    )
    .await;
    assert!(matches!(try_reset(&one).await, Err(Stay::InUse(says)) if says.contains(tenant)));
    admin(
        &server,
        "one",
        &format!("REVOKE CONNECT ON DATABASE one FROM {tenant};; DROP ROLE {tenant}"),
    )
    .await;
    // Nothing says whose it was.
    execute(&mut session(&one).await, "DROP SCHEMA stagesub CASCADE")
        .await
        .unwrap();
    assert!(matches!(try_reset(&one).await, Err(Stay::Unclear)));
    assert_eq!(ask(&mut session(&one).await, "SELECT count(*) FROM rows").await, "1");
}

#[tokio::test]
async fn a_server_that_does_not_tell_who_made_a_role_is_refused() {
    let server = server().await;
    admin(&server, "postgres", "CREATE ROLE orchestra_app NOLOGIN").await;
    let one = entry(&server, "one").await;
    let version = ask(
        &mut session(&one).await,
        "SELECT current_setting('server_version_num')::int / 10000",
    )
    .await;
    if version.parse::<u32>().unwrap() < 16 {
        assert!(matches!(try_reset(&one).await, Err(Stay::Version(_))));
        execute(&mut session(&one).await, "DROP SCHEMA stagesub CASCADE")
            .await
            .unwrap();
        assert!(matches!(try_reset(&one).await, Err(Stay::Unclear)));
    }
}

#[tokio::test]
async fn cut_off_at_any_moment_it_goes_on() {
    let server = hall().await;
    let one = entry(&server, "one").await;
    let fill = "DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS x', n); END LOOP; END $$; \
                CREATE ROLE mallory; CREATE SCHEMA more; SELECT lo_create(0)";
    execute(&mut session(&one).await, fill).await.unwrap();
    for delay in [2, 5, 10, 20, 40, 80, 160] {
        let mut own = operators(&one).await;
        let cut = tokio::time::timeout(Duration::from_millis(delay), reset(&mut own, &[UID])).await;
        drop(own);
        if let Ok(done) = cut {
            assert_eq!(done.unwrap(), Ok(()));
            break;
        }
        // Nobody else is given it meanwhile.
        let mut own = operators(&one).await;
        let holder = claim_record::holder(&mut own).await.unwrap();
        let rest: i64 = ask(&mut own, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            .await
            .parse()
            .unwrap();
        assert!(holder.is_some() || rest == 0, "{rest} tables");
    }
    assert_eq!(try_reset(&one).await, Ok(()));
    is_fresh(&one).await;
}
