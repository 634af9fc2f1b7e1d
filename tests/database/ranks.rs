//! The ranks inside one database: scripts run as the owner, the tenant's login reads and writes data, and nothing
//! leads from the login to the owner.

#[path = "ranks/histories.rs"]
mod histories;
#[path = "ranks/rights.rs"]
mod rights;

use std::time::Duration;

use crate::support::postgres::server;
use crate::support::tenant::{database, prepare};
use crate::support::{INIT, ask, execute, migrate, pending, session, source, source_of};
use orchestra_operator::api::{LoginLimits, MigrationFormat, SeedPolicy};
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{SeedSource, SeedVariables, seed};
use orchestra_operator::postgres::{Error, Sharing, TenantRights, connect, ensure_tenant_role, grant_existing};
use sqlx::PgConnection;

fn creates() -> TenantRights {
    TenantRights {
        create: true,
        ..TenantRights::default()
    }
}

/// What a version of the operator granted that gave its tenants everything but the objects themselves.
const EVERYTHING: &str = "GRANT ALL ON SCHEMA public TO tenant; GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant; \
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO tenant; ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO tenant";

async fn denied(conn: &mut PgConnection, sql: &str) {
    let error = execute(conn, sql).await.expect_err(sql);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_tenants_trigger_on_the_history_never_runs_as_the_owner() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut own = session(&owner).await;
    let mut theirs = prepare(&owner, &tenant, &TenantRights::default()).await;
    migrate(&owner, &source(&[INIT])).await.unwrap();
    execute(&mut own, EVERYTHING).await.unwrap();
    execute(
        &mut theirs,
        "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN CREATE ROLE intruder LOGIN SUPERUSER; RETURN NEW; END $$; \
         CREATE TRIGGER trap BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION trap()",
    )
    .await
    .unwrap();

    // Objects that were created with such rights are reported, and nothing runs.
    let next = "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO a VALUES (9);";
    let next = source(&[INIT, ("2_next", next)]);
    for refused in [
        pending(&mut own, &next).await.unwrap_err(),
        migrate(&owner, &next).await.unwrap_err(),
    ] {
        assert_eq!(refused.class(), ErrorClass::Blocked);
        let told = refused.to_string();
        assert!(told.contains("public._prisma_migrations has a trigger trap"), "{told}");
    }
    execute(
        &mut own,
        "DROP TRIGGER trap ON _prisma_migrations; \
         CREATE TRIGGER trap BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION trap()",
    )
    .await
    .unwrap();
    let rights = TenantRights::default();
    let refused = ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared)
        .await
        .unwrap_err();
    let told = "trigger trap on table public.a calls public.trap()";
    assert!(refused.to_string().contains(told), "{refused}");
    execute(&mut own, "DROP TRIGGER trap ON a").await.unwrap();
    // The next preparation takes the rights.
    drop(prepare(&owner, &tenant, &rights).await);
    let status = migrate(&owner, &next).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
    for sql in [
        "CREATE TRIGGER trap BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION trap()",
        "CREATE TRIGGER trap BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION trap()",
        "CREATE TRIGGER trap BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION trap()",
        "CREATE RULE trap AS ON INSERT TO a DO ALSO DELETE FROM b",
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('1', '1', '3_later')",
        "UPDATE _prisma_migrations SET finished_at = now()",
        "DELETE FROM _prisma_migrations",
        "TRUNCATE _prisma_migrations",
        "SET ROLE owner",
    ] {
        denied(&mut theirs, sql).await;
    }
    execute(
        &mut theirs,
        "SELECT * FROM _prisma_migrations; INSERT INTO a VALUES (3); UPDATE a SET id = 4; DELETE FROM a; \
         TRUNCATE b; CREATE TEMPORARY TABLE scratch (id int)",
    )
    .await
    .unwrap();
    let made = "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'";
    assert_eq!(ask(&mut own, made).await, "0");
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn nothing_of_others_on_a_history_is_accepted() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut own = session(&owner).await;
    let mut theirs = prepare(&owner, &tenant, &creates()).await;
    let init = source(&[INIT]);
    migrate(&owner, &init).await.unwrap();
    let next = source(&[INIT, ("2_next", "SELECT 1;")]);
    // The advised statement removes the created object, and nothing else: a table of the tenant's keeps its rows.
    for (made, told, gone) in [
        (
            "CREATE RULE quiet AS ON INSERT TO _prisma_migrations DO ALSO NOTHING",
            "a rule quiet",
            "DROP RULE quiet ON public._prisma_migrations",
        ),
        (
            "CREATE TABLE child () INHERITS (_prisma_migrations); INSERT INTO child VALUES ('1', '1', NULL, '1')",
            "a child table public.child",
            "ALTER TABLE public.child NO INHERIT public._prisma_migrations",
        ),
        (
            "CREATE TABLE refers (id varchar(36) REFERENCES _prisma_migrations); INSERT INTO refers VALUES (NULL)",
            "a foreign key refers_id_fkey of table public.refers",
            "ALTER TABLE public.refers DROP CONSTRAINT refers_id_fkey",
        ),
        (
            "ALTER TABLE _prisma_migrations OWNER TO tenant",
            "belongs to the role tenant",
            "ALTER TABLE _prisma_migrations OWNER TO owner",
        ),
        (
            "ALTER TABLE _prisma_migrations RENAME TO kept; CREATE VIEW _prisma_migrations AS SELECT * FROM kept",
            "not an ordinary table",
            "DROP VIEW _prisma_migrations; ALTER TABLE kept RENAME TO _prisma_migrations",
        ),
    ] {
        execute(&mut own, made).await.unwrap();
        for refused in [
            pending(&mut own, &next).await.unwrap_err().to_string(),
            migrate(&owner, &next).await.unwrap_err().to_string(),
        ] {
            assert!(refused.contains(told), "{made}: {refused}");
            assert!(
                !told.starts_with("a ") || refused.contains(&format!("({gone})")),
                "{refused}"
            );
            assert!(!refused.contains("DROP TABLE"), "{refused}");
        }
        execute(&mut own, gone).await.unwrap();
    }
    let kept = "SELECT (SELECT count(*) FROM child) + (SELECT count(*) FROM refers)";
    assert_eq!(ask(&mut own, kept).await, "2");
    assert_eq!(migrate(&owner, &next).await.unwrap().pending, 0);

    // A tenant that may create objects makes a history before the operator does, with a migration that never ran.
    execute(
        &mut theirs,
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ \
             NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'never', now(), true, '', 1)",
    )
    .await
    .unwrap();
    let forged = source_of(MigrationFormat::Sqlx, &[("1_never", "CREATE TABLE never ();")]);
    let refused = migrate(&owner, &forged).await.unwrap_err().to_string();
    assert!(
        refused.contains("_sqlx_migrations belongs to the role tenant"),
        "{refused}"
    );
    // It does not keep the other format from being applied.
    execute(&mut own, "DROP TABLE _prisma_migrations, a, child, refers")
        .await
        .unwrap();
    assert_eq!(migrate(&owner, &init).await.unwrap().applied, 1);
}

#[tokio::test]
async fn only_the_owner_writes_the_histories_and_the_records_of_seeds() {
    for (format, name) in [
        (MigrationFormat::Prisma, "1_init"),
        (MigrationFormat::Supabase, "20260101000000_init"),
        (MigrationFormat::Sqlx, "1_init"),
    ] {
        let server = server().await;
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        let mut theirs = prepare(&owner, &tenant, &creates()).await;
        execute(
            &mut own,
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO tenant, PUBLIC",
        )
        .await
        .unwrap();
        let scripts = source_of(format, &[(name, "CREATE TABLE a ();")]);
        migrate(&owner, &scripts).await.unwrap();
        let rows = SeedSource::read(vec![("a.sql".to_owned(), b"SELECT 1".to_vec())]).unwrap();
        let (none, limit) = (SeedVariables::default(), Duration::from_secs(30));
        let conn = connect(&owner, "test").await.unwrap();
        seed(conn, &rows, &none, SeedPolicy::Once, Some(format), limit)
            .await
            .unwrap();
        // The tenant has no more than this at any time, also where a script has granted more.
        let more = "SELECT coalesce(string_agg(DISTINCT format('%s.%s: %s', nspname, relname, privilege_type), ', '), '') \
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) WHERE relkind = 'r' AND \
            grantee <> relowner AND (relname LIKE '%migrations' OR nspname IN ('stagesub', 'supabase_migrations')) \
            AND privilege_type <> 'SELECT'";
        assert_eq!(ask(&mut own, more).await, "", "{format:?}");
        execute(
            &mut own,
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant, PUBLIC; GRANT ALL ON a TO tenant",
        )
        .await
        .unwrap();
        grant_existing(&mut own, &tenant.name, &creates()).await.unwrap();
        assert_eq!(ask(&mut own, more).await, "", "{format:?}");
        denied(&mut theirs, "SELECT * FROM stagesub.seed").await;
        denied(
            &mut theirs,
            "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        )
        .await;
        execute(&mut theirs, "CREATE TABLE public.mine (id int)").await.unwrap();
        if format == MigrationFormat::Supabase {
            denied(&mut theirs, "CREATE TABLE supabase_migrations.mine (id int)").await;
            denied(
                &mut theirs,
                "INSERT INTO supabase_migrations.seed_files VALUES ('supabase/seed.sql', '')",
            )
            .await;
        }
        drop(prepare(&owner, &tenant, &TenantRights::default()).await);
        denied(&mut theirs, "CREATE TABLE public.more (id int)").await;
    }
}

#[tokio::test]
async fn no_script_can_make_the_tenants_login_the_owner() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut theirs = prepare(&owner, &tenant, &TenantRights::default()).await;
    // The owner is a member of the tenant's role, and PostgreSQL refuses a circle; since 16 the owner may not even ask.
    let refused = migrate(&owner, &source(&[("1_up", "GRANT owner TO tenant;")]))
        .await
        .unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("is a member of role") || refused.contains("permission denied to grant role"),
        "{refused}"
    );
    denied(&mut theirs, "SET ROLE owner").await;
}

#[tokio::test]
async fn a_tenants_login_has_the_limits_of_its_class() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let limited = |limits: Option<LoginLimits>| TenantRights {
        limits,
        ..TenantRights::default()
    };
    let all = LoginLimits {
        connections: Some(1),
        statement_timeout: Some("10m".parse().unwrap()),
        idle_in_transaction_timeout: Some("30s".parse().unwrap()),
    };
    let of =
        "SELECT concat_ws(' ', rolconnlimit, array_to_string(rolconfig, ' ')) FROM pg_roles WHERE rolname = 'tenant'";
    let mut own = session(&owner).await;
    drop(prepare(&owner, &tenant, &limited(None)).await);
    assert_eq!(ask(&mut own, of).await, "-1");
    let mut first = prepare(&owner, &tenant, &limited(Some(all.clone()))).await;
    assert_eq!(ask(&mut first, "current_setting('statement_timeout')").await, "10min");
    assert_eq!(
        ask(&mut first, "current_setting('idle_in_transaction_session_timeout')").await,
        "30s"
    );
    let refused = connect(&owner.as_user("tenant", tenant.password.clone()), "test")
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { sqlstate, .. } if sqlstate == "53300"),
        "{refused}"
    );
    drop(first);
    let set = "1 statement_timeout=600000 idle_in_transaction_session_timeout=30000";
    for (limits, left) in [(None, set), (Some(LoginLimits::default()), "-1")] {
        let rights = limited(limits);
        ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared)
            .await
            .unwrap();
        assert_eq!(ask(&mut own, of).await, left);
    }
}

#[tokio::test]
async fn a_routine_with_the_owners_rights_is_for_whom_a_script_grants_it_to() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let rights = TenantRights::default();
    let mut theirs = prepare(&owner, &tenant, &rights).await;
    let script = "CREATE FUNCTION run(text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' \
                      AS 'BEGIN EXECUTE $1; END'; \
                  REVOKE ALL ON FUNCTION run FROM PUBLIC; \
                  CREATE FUNCTION plain() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
                  CREATE FUNCTION open() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; \
                  CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
                  REVOKE ALL ON FUNCTION hidden FROM PUBLIC;";
    migrate(&owner, &source(&[("1_run", script)])).await.unwrap();
    let works = async |theirs: &mut PgConnection| {
        denied(theirs, "SELECT public.run('CREATE ROLE mallory LOGIN SUPERUSER')").await;
        for allowed in ["SELECT public.plain()", "SELECT public.open()"] {
            execute(theirs, allowed).await.unwrap();
        }
    };
    // As soon as the script is committed, and after each preparation.
    works(&mut theirs).await;
    let mut own = session(&owner).await;
    for _ in 0..2 {
        grant_existing(&mut own, &tenant.name, &rights).await.unwrap();
        works(&mut theirs).await;
        execute(&mut theirs, "SELECT public.hidden()").await.unwrap();
        drop(prepare(&owner, &tenant, &rights).await);
    }
    // What an earlier version has granted goes, and what a script grants the group stays.
    execute(&mut own, "GRANT EXECUTE ON FUNCTION run TO tenant")
        .await
        .unwrap();
    drop(prepare(&owner, &tenant, &rights).await);
    works(&mut theirs).await;
    execute(&mut own, "GRANT EXECUTE ON FUNCTION run TO orchestra_app")
        .await
        .unwrap();
    drop(prepare(&owner, &tenant, &rights).await);
    execute(&mut theirs, "SELECT public.run('SELECT 1')").await.unwrap();
}
