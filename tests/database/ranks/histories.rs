//! Histories of others: what runs code there, who may write them, and whose they become.

use orchestra_operator::postgres::{TenantRole, TenantRoles, drop_tenant_role, ensure_tenant_roles, take_kept};

use super::*;
use crate::support::postgres::{Server, server_as_hosted};

const BASE: &str = "orchestra_0123456789abcdef0123456789abcdef";

/// A function that is called by whoever inserts a row, and the columns of a history by another tool's name.
const EVIL: &str = "CREATE FUNCTION public.evil() RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
    IF current_user = 'owner' THEN CREATE ROLE intruder LOGIN; END IF; RETURN 'x'; END $$";
const HISTORY: &str = "id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, \
    migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(), \
    applied_steps_count int NOT NULL DEFAULT 0";

/// A finished migration that never ran.
const FORGED: &str = "INSERT INTO public._prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count) \
    VALUES ('1', '1', now(), '1_init', 1)";

async fn no_intruder(own: &mut PgConnection) {
    let made = "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'";
    assert_eq!(ask(own, made).await, "0");
}

/// The sessions of the owner and of a tenant's login that was rotated once, as after the end of the overlap.
async fn rotated(server: &Server) -> (orchestra_operator::postgres::Login, PgConnection, PgConnection) {
    let (owner, _) = database(server).await;
    let mut own = session(&owner).await;
    let role = |name: &str| TenantRole {
        name: name.to_owned(),
        password: "tenant".to_owned().into(),
    };
    let second = format!("{BASE}_2");
    for login in [BASE, &second] {
        let roles = TenantRoles {
            base: BASE,
            logins: &[role(login)],
            unknown: &[],
        };
        ensure_tenant_roles(&mut own, roles, &creates(), Sharing::Shared)
            .await
            .unwrap();
    }
    let theirs = session(&owner.as_user(&second, "tenant".to_owned().into())).await;
    (owner, own, theirs)
}

#[tokio::test]
async fn a_history_of_a_rotated_tenants_first_role_is_not_believed() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut own, mut theirs) = rotated(&server).await;
        let forged = format!(
            "SET ROLE {BASE}; {EVIL}; CREATE TABLE public._prisma_migrations ({HISTORY}, extra text DEFAULT public.evil()); {FORGED}"
        );
        execute(&mut theirs, &forged).await.unwrap();
        let init = source(&[INIT]);
        for refused in [
            pending(&mut own, &init).await.unwrap_err(),
            migrate(&owner, &init).await.unwrap_err(),
        ] {
            assert_eq!(refused.class(), ErrorClass::Blocked);
            let told = refused.to_string();
            assert!(told.contains(&format!("belongs to the role {BASE}")), "{told}");
        }
        // Nor that of a group which the tenant's login belongs to, also while no login of the tenant is open.
        let given = format!(
            "CREATE ROLE helpers; GRANT helpers TO CURRENT_USER, {BASE}; GRANT CREATE ON SCHEMA public TO helpers; \
             ALTER TABLE _prisma_migrations OWNER TO helpers; ALTER TABLE _prisma_migrations DROP extra; \
             ALTER ROLE {BASE}_2 NOLOGIN"
        );
        execute(&mut own, &given).await.unwrap();
        let told = migrate(&owner, &init).await.unwrap_err().to_string();
        assert!(told.contains("belongs to the role helpers"), "{told}");
        no_intruder(&mut own).await;
    }
}

#[tokio::test]
async fn what_a_tenants_role_named_like_a_history_is_renamed_at_the_release() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut own, mut theirs) = rotated(&server).await;
        let forged = format!(
            "{EVIL}; CREATE TABLE public._prisma_migrations ({HISTORY}, extra text DEFAULT public.evil()); {FORGED}"
        );
        execute(&mut theirs, &forged).await.unwrap();
        drop_tenant_role(&mut own, BASE).await.unwrap();
        let kept = format!(
            "SELECT string_agg((pg_get_userbyid(relowner) ~ '^{BASE}_0[0-9]+$')::text \
                 || (relname ~ '^_prisma_migrations_[0-9]+$'), ' ') FROM pg_class WHERE relname ~ '^_prisma' AND relkind = 'r'"
        );
        assert_eq!(ask(&mut own, &kept).await, "truetrue");
        let gone = "DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE %I', relname) FROM pg_class \
            WHERE relname ~ '^_prisma' AND relkind = 'r'); END $$";
        execute(&mut own, gone).await.unwrap();
        assert_eq!(migrate(&owner, &source(&[INIT])).await.unwrap().applied, 1);
        assert_eq!(ask(&mut own, "SELECT count(*) FROM a").await, "2");
        no_intruder(&mut own).await;
    }
}

/// The first role of an Orchestra that takes the database back.
const NEXT: &str = "orchestra_fedcba9876543210fedcba9876543210";

/// Tables, whose code notes who runs it and makes a login if it may. The server runs it when it analyses the table.
const ARMED: &str = "CREATE TABLE public.ran (who text); CREATE TABLE public.theirs (n int);
    CREATE FUNCTION public.deed() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.ran VALUES (current_user);
        BEGIN CREATE ROLE intruder LOGIN; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
    END $$;
    CREATE FUNCTION public.sly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
        PERFORM public.deed(); RETURN n;
    END $$;
    INSERT INTO public.theirs VALUES (1), (2); CREATE INDEX sly ON public.theirs (public.sly(n));
    CREATE FUNCTION public.mine() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.theirs'";

#[tokio::test]
async fn code_of_a_released_tenants_tables_runs_without_rights_until_the_tables_are_taken_back() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut own, mut theirs) = rotated(&server).await;
        let mut root = session(&server.login("one")).await;
        execute(&mut theirs, ARMED).await.unwrap();
        for _ in 0..2 {
            assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []);
        }
        let ran = "TRUNCATE public.ran; ANALYZE public.theirs";
        let who = "SELECT string_agg(DISTINCT who, ' ') FROM public.ran";
        execute(&mut root, ran).await.unwrap();
        let custodian = ask(&mut root, who).await;
        assert!(custodian.starts_with(&format!("{BASE}_0")), "{custodian}");
        no_intruder(&mut own).await;
        // It has nothing but the objects, and nobody logs in by it. The owner reads them.
        let rights = format!(
            "SELECT r.rolcanlogin OR r.rolcreaterole OR r.rolbypassrls OR pg_has_role(r.oid, 'owner', 'MEMBER') \
                 OR has_database_privilege(r.oid, 'one', 'CONNECT') OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) \
                 OR EXISTS (SELECT FROM pg_shdepend WHERE refobjid = r.oid AND deptype <> 'o' AND dbid <> 0) \
             FROM pg_roles r WHERE rolname = '{custodian}'"
        );
        assert_eq!(ask(&mut own, &rights).await, "false");
        assert_eq!(ask(&mut own, "SELECT count(*) FROM public.theirs").await, "2");

        // Another Orchestra takes the database back, and has the objects.
        let login = TenantRole {
            name: NEXT.to_owned(),
            password: "tenant".to_owned().into(),
        };
        let roles = TenantRoles {
            base: NEXT,
            logins: std::slice::from_ref(&login),
            unknown: &[],
        };
        ensure_tenant_roles(&mut own, roles, &TenantRights::default(), Sharing::Shared)
            .await
            .unwrap();
        for _ in 0..2 {
            take_kept(&mut own, NEXT).await.unwrap();
        }
        let mut next = session(&owner.as_user(NEXT, "tenant".to_owned().into())).await;
        execute(&mut next, "ALTER TABLE public.theirs ADD more int")
            .await
            .unwrap();
        assert_eq!(ask(&mut next, "SELECT public.mine()").await, "2");
        execute(&mut root, ran).await.unwrap();
        assert_eq!(ask(&mut root, who).await, NEXT);
        no_intruder(&mut own).await;
        let former = format!("SELECT count(*) FROM pg_roles WHERE rolname ~ '^{BASE}'");
        assert_eq!(ask(&mut own, &former).await, "0");
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn code_on_a_history_never_runs_as_the_owner() {
    let query = "(query_to_xml('SELECT public.evil()', false, false, ''))::text";
    let by_query = format!("ALTER TABLE _prisma_migrations ADD extra text, ALTER extra SET DEFAULT {query}");
    let cases = [
        (
            "ALTER TABLE _prisma_migrations ADD extra text, ALTER extra SET DEFAULT public.evil()",
            "a default of column extra",
            "ALTER TABLE public._prisma_migrations ALTER COLUMN extra DROP DEFAULT",
        ),
        // A function of PostgreSQL's own that runs what it is given.
        (
            &by_query,
            "a default of column extra",
            "ALTER TABLE public._prisma_migrations ALTER COLUMN extra DROP DEFAULT",
        ),
        (
            "ALTER TABLE _prisma_migrations ADD extra text GENERATED ALWAYS AS (public.sly(id)) STORED",
            "a generated column extra",
            "ALTER TABLE public._prisma_migrations ALTER COLUMN extra DROP EXPRESSION",
        ),
        (
            "ALTER TABLE _prisma_migrations ADD CONSTRAINT sly CHECK (public.sly(id) = 'x') NOT VALID",
            "a constraint sly",
            "ALTER TABLE public._prisma_migrations DROP CONSTRAINT sly",
        ),
        (
            "CREATE INDEX sly ON _prisma_migrations (public.sly(id))",
            "a functional index public.sly",
            "DROP INDEX public.sly",
        ),
        (
            "CREATE DOMAIN sly AS text CHECK (public.sly(VALUE) = 'x'); ALTER TABLE _prisma_migrations ADD extra sly",
            "a column extra of the type public.sly",
            "ALTER TABLE public._prisma_migrations ALTER COLUMN extra TYPE text",
        ),
    ];
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        drop(prepare(&owner, &tenant, &creates()).await);
        migrate(&owner, &source(&[INIT])).await.unwrap();
        let sly = "CREATE FUNCTION public.sly(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'x' $$";
        execute(&mut own, &format!("{EVIL}; {sly}")).await.unwrap();
        let next = source(&[INIT, ("2_next", "SELECT 1;")]);
        for (made, told, gone) in cases {
            execute(&mut own, "ALTER TABLE _prisma_migrations DROP COLUMN IF EXISTS extra")
                .await
                .unwrap();
            execute(&mut own, made).await.unwrap();
            let refused = migrate(&owner, &next).await.unwrap_err().to_string();
            assert!(
                refused.contains(told) && refused.contains(&format!("({gone})")),
                "{refused}"
            );
            execute(&mut own, gone).await.unwrap();
        }
        // What the tools and the operator themselves write there is fine.
        let own_code = "ALTER TABLE _prisma_migrations ALTER started_at SET DEFAULT CURRENT_TIMESTAMP; \
            ALTER TABLE _prisma_migrations ADD place serial, ADD at timestamp DEFAULT (now() AT TIME ZONE 'utc'), \
            ADD CHECK (applied_steps_count >= 0); CREATE INDEX ON _prisma_migrations (lower(migration_name))";
        execute(&mut own, own_code).await.unwrap();
        assert_eq!(migrate(&owner, &next).await.unwrap().pending, 0);
        no_intruder(&mut own).await;
    }
}

#[tokio::test]
async fn a_history_that_a_group_of_the_owners_owns_is_protected_as_well() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        let mut theirs = prepare(&owner, &tenant, &TenantRights::default()).await;
        migrate(&owner, &source(&[INIT])).await.unwrap();
        let given = "CREATE ROLE app_owner; GRANT app_owner TO CURRENT_USER; GRANT CREATE ON SCHEMA public TO app_owner; \
             ALTER TABLE _prisma_migrations OWNER TO app_owner; GRANT ALL ON _prisma_migrations TO orchestra_app, PUBLIC";
        execute(&mut own, given).await.unwrap();
        // As after each script.
        grant_existing(&mut own, &tenant.name, &TenantRights::default())
            .await
            .unwrap();
        denied(&mut theirs, &FORGED.replace("1_init", "2_next")).await;
        execute(&mut theirs, "SELECT count(*) FROM _prisma_migrations")
            .await
            .unwrap();
        let next = source(&[INIT, ("2_next", "CREATE TABLE b ();")]);
        assert_eq!(migrate(&owner, &next).await.unwrap().applied, 2);

        // The owner cannot take the rights on a superuser's table.
        let mut root = session(&server.login("one")).await;
        let given = "ALTER TABLE _prisma_migrations OWNER TO postgres; GRANT ALL ON _prisma_migrations TO owner; \
             GRANT INSERT ON _prisma_migrations TO tenant";
        execute(&mut root, given).await.unwrap();
        let told = migrate(&owner, &next).await.unwrap_err().to_string();
        assert!(told.contains("the role tenant may write to table"), "{told}");
        let taken = "REVOKE ALL ON _prisma_migrations FROM tenant";
        execute(&mut root, taken).await.unwrap();
        assert_eq!(migrate(&owner, &next).await.unwrap().pending, 0);
    }
}
