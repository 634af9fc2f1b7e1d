//! What a restore leaves out: whatever would run, or show, with the rights of the owner what another role has made, and what
//! depends on it.

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::postgres::Login;
use serde_json::json;

use super::job::Place;
use super::pool::{PASSWORD, database};
use crate::support::postgres::{Server, server, server_as_hosted};
use crate::support::{ask, execute, session};

/// What a tenant's login, and a role of a script, have made to run with their own rights.
const ARMED: [&str; 3] = [
    "CREATE FUNCTION public.who_{n}(OUT is_owner boolean) LANGUAGE sql SECURITY DEFINER AS \
        $$ SELECT current_user IN ('owner_a', 'owner_b') $$",
    "CREATE VIEW public.seen_{n} AS SELECT * FROM public.ledger",
    "CREATE TABLE public.notes_{n} (id int CHECK (id > 0)); INSERT INTO public.notes_{n} VALUES (1)",
];

/// Default privileges that the owner may not set: of roles that it is no member of, which the servers have, and of a superuser. One
/// has the name of a hosted project's superuser.
const DEFAULTS: &str = "CREATE ROLE stranger; CREATE ROLE supabase_admin; GRANT CREATE ON SCHEMA public TO stranger, supabase_admin; \
    ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT SELECT ON TABLES TO owner_a; \
    ALTER DEFAULT PRIVILEGES FOR ROLE stranger IN SCHEMA public GRANT SELECT ON TABLES TO owner_a; \
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO owner_a";

#[tokio::test]
async fn a_restore_gives_nobodys_functions_and_views_the_owners_rights() {
    let (from, to) = (server().await, server_as_hosted().await);
    let source = database(&from, "source", "owner_a").await;
    let mut owner = session(&source).await;
    let tenant = format!("orchestra_{}", "0a".repeat(16));
    execute(&mut owner, "CREATE TABLE ledger AS SELECT 1 AS amount")
        .await
        .unwrap();
    // A name between those of the two owners.
    execute(
        &mut owner,
        "CREATE ROLE owner_ab; CREATE POLICY shared ON ledger TO CURRENT_USER, owner_ab USING (true)",
    )
    .await
    .unwrap();
    execute(&mut session(&from.login("source")).await, DEFAULTS)
        .await
        .unwrap();
    for (role, suffix) in [(tenant.as_str(), "tenant"), ("helper", "helper")] {
        let made = format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'eve'; GRANT USAGE, CREATE ON SCHEMA public TO {role}; \
             GRANT SELECT ON ledger TO {role}; GRANT {role} TO owner_a"
        );
        execute(&mut owner, &made).await.unwrap();
        let mut other = session(&from.login("source").as_user(role, "eve".to_owned().into())).await;
        for sql in ARMED {
            execute(&mut other, &sql.replace("{n}", suffix)).await.unwrap();
        }
    }
    let mut place = Place::new();
    let outcome = place.backup(&source);
    assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
    let told = outcome.backup.unwrap().not_covered.join("; ");
    assert!(
        told.contains("objects that the tenant's login owns") && told.contains("public.notes_tenant"),
        "{told}"
    );
    // The list is cut in its third name, of supabase_admin.
    let named = [
        "default privileges of other roles",
        "role stranger in schema public on tables, default acl for role s…",
    ];
    assert!(named.iter().all(|part| told.contains(part)), "{told}");
    // On the server it came from, with the same owner; and on another one, with another owner.
    for target in targets(&from, &to).await {
        let drill = place.verify(&target, &json!([]));
        assert_eq!(drill.reason, Reason::Done, "{drill:?}");
        let mut inside = session(&target).await;
        let climbs = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef AND proowner = current_user::regrole";
        assert_eq!(ask(&mut inside, climbs).await, "0");
        let views = "SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace \
            AND relowner = current_user::regrole AND NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)";
        assert_eq!(ask(&mut inside, views).await, "0");
        let left_out = "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_tenant'";
        assert_eq!(ask(&mut inside, left_out).await, "0");
        assert_eq!(ask(&mut inside, "SELECT count(*) FROM notes_helper").await, "1");
    }
}

/// What a role of a script makes that waits for the owner, in every place where a restore may run it.
const TRAPS: [&str; 16] = [
    "CREATE FUNCTION public.trap(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
        IF current_user <> 'helper' THEN \
            EXECUTE 'CREATE FUNCTION public.door(text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS ''BEGIN EXECUTE $1; END'''; \
            EXECUTE 'CREATE ROLE back LOGIN CREATEROLE PASSWORD ''x'''; \
        END IF; RETURN n; END $$",
    "CREATE FUNCTION public.calm(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN public.trap(n); END $$",
    "CREATE FUNCTION public.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trap(1); RETURN NEW; END $$",
    "CREATE MATERIALIZED VIEW refreshed AS SELECT trap(1)",
    "CREATE TABLE checked (id int CHECK (trap(id) > 0)); INSERT INTO checked VALUES (1)",
    "CREATE TABLE generated (id int, same int GENERATED ALWAYS AS (calm(id)) STORED); INSERT INTO generated VALUES (1)",
    "CREATE TABLE indexed (id int); INSERT INTO indexed VALUES (1); CREATE INDEX ON indexed (calm(id))",
    "CREATE INDEX ON indexed (id) WHERE calm(id) > 0; CREATE STATISTICS counted ON (calm(id)), id FROM indexed",
    "CREATE DOMAIN small AS int CHECK (trap(VALUE) > 0); CREATE TABLE of_domain (id small); INSERT INTO of_domain VALUES (1)",
    "CREATE TABLE split (id int) PARTITION BY RANGE (calm(id)); CREATE TABLE split_rest PARTITION OF split DEFAULT; \
        INSERT INTO split VALUES (1)",
    "CREATE TABLE box (id int); CREATE RULE also AS ON INSERT TO box DO ALSO UPDATE ledger SET amount = 1000000",
    "CREATE TRIGGER on_row BEFORE INSERT ON box FOR EACH ROW EXECUTE FUNCTION on_row()",
    "CREATE TABLE defaulted (id int DEFAULT trap(1), n int); INSERT INTO defaulted VALUES (1)",
    // Functions of PostgreSQL itself that run a text.
    "CREATE TABLE asked (id int CHECK (query_to_xml('SELECT public.trap(1)', true, true, '') IS NOT NULL)); INSERT INTO asked VALUES (1)",
    "CREATE OPERATOR #% (FUNCTION = trap, RIGHTARG = int); CREATE TABLE by_operator (id int CHECK ((#% id) > 0)); \
        INSERT INTO by_operator VALUES (1)",
    "CREATE TABLE kept (id int PRIMARY KEY CHECK (id > 0), name text CHECK (lower(name) <> '')); INSERT INTO kept VALUES (1, 'x'); \
        CREATE INDEX ON kept (upper(name)); CREATE VIEW seen AS SELECT * FROM kept; GRANT SELECT ON kept TO owner_a",
];

/// A database on the source's server with the same owner, and one on another server with another owner.
async fn targets<'a>(from: &'a Server, to: &'a Server) -> [Login; 2] {
    let mut root = session(&from.login("postgres")).await;
    execute(&mut root, "CREATE DATABASE scratch OWNER owner_a")
        .await
        .unwrap();
    let same = from.login("scratch").as_user("owner_a", PASSWORD.to_owned().into());
    [same, database(to, "scratch", "owner_b").await]
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_restore_runs_no_code_of_other_roles_as_the_owner() {
    let (from, to) = (server().await, server_as_hosted().await);
    let source = database(&from, "source", "owner_a").await;
    let mut owner = session(&source).await;
    for sql in [
        "CREATE TABLE ledger AS SELECT 1 AS amount",
        "CREATE ROLE helper LOGIN PASSWORD 'eve'; GRANT USAGE, CREATE ON SCHEMA public TO helper; GRANT helper TO owner_a",
    ] {
        execute(&mut owner, sql).await.unwrap();
    }
    let mut helper = session(&from.login("source").as_user("helper", "eve".to_owned().into())).await;
    for sql in TRAPS {
        execute(&mut helper, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    // What the owner shows of a view of the role would show the owner's own rows, were the view changed meanwhile.
    execute(&mut owner, "CREATE MATERIALIZED VIEW shown AS SELECT * FROM seen")
        .await
        .unwrap();
    let mut place = Place::new();
    let outcome = place.backup(&source);
    assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
    let told = outcome.backup.unwrap().not_covered.join("; ");
    for part in [
        "of other roles, which would run as the owner (",
        "objects that depend on what is not restored (",
    ] {
        assert!(told.contains(part), "{told}");
    }
    for (target, server) in targets(&from, &to).await.iter().zip([&from, &to]) {
        let drill = place.verify(target, &json!([]));
        assert_eq!(drill.reason, Reason::Done, "{drill:?}");
        let mut inside = session(target).await;
        execute(&mut inside, "INSERT INTO box VALUES (1); ANALYZE")
            .await
            .unwrap();
        for (question, answer) in [
            ("SELECT count(*) FROM pg_roles WHERE rolname = 'back'", "0"),
            (
                "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
                "0",
            ),
            ("SELECT count(*) FROM pg_matviews", "0"),
            (
                "SELECT string_agg(relname, ' ' ORDER BY relname COLLATE \"C\") FROM pg_class WHERE relkind IN ('r', 'p') \
                AND relnamespace = 'public'::regnamespace",
                "box indexed kept ledger",
            ),
            ("SELECT count(*) FROM indexed", "1"),
            ("SELECT count(*) FROM kept", "1"),
            ("SELECT count(*) FROM pg_indexes WHERE tablename = 'kept'", "2"),
            (
                "SELECT reloptions::text FROM pg_class WHERE relname = 'seen'",
                "{security_invoker=true}",
            ),
            ("SELECT amount FROM ledger", "1"),
        ] {
            assert_eq!(ask(&mut inside, question).await, answer, "{question}");
        }
        let mut root = session(&server.login("postgres")).await;
        assert_eq!(
            ask(&mut root, "SELECT count(*) FROM pg_roles WHERE rolname = 'back'").await,
            "0"
        );
    }
}

/// What a tenant's login makes that has no owner of its own in an archive, or names what it owns.
const WITHOUT_OWNER: [&str; 7] = [
    "CREATE TYPE mine AS (a int); CREATE FUNCTION f(mine) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE CAST (mine AS integer) WITH FUNCTION f(mine); COMMENT ON CAST (mine AS integer) IS 'a cast'",
    "CREATE FUNCTION same(mine, mine) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'; \
        CREATE OPERATOR === (FUNCTION = same, LEFTARG = mine, RIGHTARG = mine)",
    "CREATE TABLE own (id int CONSTRAINT positive CHECK (id > 0), other int, m mine); COMMENT ON CONSTRAINT positive ON own IS 'a check'; \
        COMMENT ON COLUMN own.id IS 'a column'; GRANT SELECT (id) ON own TO PUBLIC",
    "CREATE STATISTICS own_statistics ON id, other FROM own; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
    "CREATE FUNCTION allowed() RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE FUNCTION on_row() RETURNS trigger \
        LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE child (id int REFERENCES parent); CREATE TRIGGER on_parent BEFORE INSERT ON parent FOR EACH ROW \
        EXECUTE FUNCTION on_row()",
];

#[tokio::test]
async fn a_tenants_login_makes_no_backup_that_cannot_be_restored() {
    let (from, to) = (server().await, server_as_hosted().await);
    let source = database(&from, "source", "owner_a").await;
    let mut owner = session(&source).await;
    let tenant = format!("orchestra_{}", "0a".repeat(16));
    let made = format!(
        "CREATE ROLE {tenant} LOGIN PASSWORD 'eve'; GRANT USAGE, CREATE ON SCHEMA public TO {tenant}; \
         GRANT CREATE ON DATABASE source TO {tenant}; GRANT {tenant} TO owner_a; \
         CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1); ALTER TABLE parent ENABLE ROW LEVEL SECURITY; \
         GRANT TRIGGER, REFERENCES ON parent TO {tenant}; CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY"
    );
    execute(&mut owner, &made).await.unwrap();
    let mut login = session(&from.login("source").as_user(&tenant, "eve".to_owned().into())).await;
    for sql in WITHOUT_OWNER {
        execute(&mut login, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    execute(
        &mut login,
        "CREATE SCHEMA of_tenant; GRANT USAGE, CREATE ON SCHEMA of_tenant TO owner_a",
    )
    .await
    .unwrap();
    for sql in [
        "CREATE POLICY open ON parent USING (allowed()); COMMENT ON POLICY open ON parent IS 'a policy'",
        "CREATE POLICY anyone ON guarded USING (true); CREATE POLICY shut ON guarded AS RESTRICTIVE USING (allowed())",
        "CREATE TABLE of_tenant.t (id int); INSERT INTO of_tenant.t VALUES (1)",
    ] {
        execute(&mut owner, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut place = Place::new();
    let outcome = place.backup(&source);
    assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
    let told = outcome.backup.unwrap().not_covered.join("; ");
    assert!(
        told.contains("objects that the tenant's login owns (") && told.contains("objects that depend on"),
        "{told}"
    );
    for target in targets(&from, &to).await {
        let drill = place.verify(&target, &json!([]));
        assert_eq!(drill.reason, Reason::Done, "{drill:?}");
        let mut inside = session(&target).await;
        for (question, answer) in [
            (
                "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
                "parent",
            ),
            ("SELECT count(*) FROM pg_cast WHERE oid >= 16384", "0"),
            ("SELECT count(*) FROM pg_policy", "0"),
            ("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal", "0"),
            ("SELECT count(*) FROM parent", "1"),
            ("SELECT count(*) FROM of_tenant.t", "1"),
        ] {
            assert_eq!(ask(&mut inside, question).await, answer, "{question}");
        }
    }
}
