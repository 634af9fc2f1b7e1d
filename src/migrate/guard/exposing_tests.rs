//! Which statements expose data or grant rights, and with which effect.

use super::catalog::Relation;
use super::catalog_code::CatalogRoutine;
use super::finding::FindingKind::{self, *};
use super::names::Name;
use super::tests::{catalog, findings, findings_in};
use crate::api::Effect::{self, Exposing, Granting};

fn kinds(script: &str) -> Vec<(FindingKind, Effect)> {
    let found = findings(&[script]);
    found.iter().map(|finding| (finding.kind, finding.effect)).collect()
}

const STATEMENTS: &[(&str, &[(FindingKind, Effect)])] = &[
    // Policies.
    ("CREATE POLICY p ON members USING (true)", &[(OpenPolicy, Exposing)]),
    (
        "CREATE POLICY p ON members FOR INSERT TO anon WITH CHECK (1 = 1)",
        &[(OpenPolicy, Exposing)],
    ),
    (
        "CREATE POLICY p ON members TO authenticated USING (true)",
        &[(OpenPolicy, Granting)],
    ),
    (
        "CREATE POLICY p ON members USING ((SELECT true))",
        &[(OpenPolicy, Exposing)],
    ),
    ("CREATE POLICY p ON members USING (1 IN (1))", &[(OpenPolicy, Exposing)]),
    (
        "CREATE POLICY p ON members USING (true IS TRUE)",
        &[(OpenPolicy, Exposing)],
    ),
    (
        "CREATE POLICY p ON members USING (auth.uid() IS NOT NULL)",
        &[(AddPolicy, Granting)],
    ),
    (
        "CREATE POLICY p ON members USING (EXISTS (SELECT FROM empty))",
        &[(AddPolicy, Granting)],
    ),
    ("CREATE POLICY p ON empty USING (true)", &[(OpenPolicy, Granting)]),
    ("CREATE POLICY p ON members USING (false)", &[(AddPolicy, Granting)]),
    ("CREATE POLICY p ON members USING (id = 1)", &[(AddPolicy, Granting)]),
    ("CREATE POLICY p ON members AS RESTRICTIVE USING (true)", &[]),
    ("ALTER POLICY p ON members USING (true)", &[(OpenPolicy, Exposing)]),
    ("ALTER POLICY p ON members TO anon", &[(OpenPolicy, Exposing)]),
    (
        "ALTER POLICY p ON members TO PUBLIC USING (id = 1)",
        &[(OpenPolicy, Exposing)],
    ),
    ("ALTER POLICY p ON members USING (id = 1)", &[(AlterPolicy, Granting)]),
    // Grants.
    ("GRANT SELECT ON members TO PUBLIC", &[(Grant, Exposing)]),
    (
        "GRANT ALL ON TABLE members, empty TO anon, authenticated",
        &[(Grant, Exposing), (Grant, Granting)],
    ),
    ("GRANT ALL ON ALL TABLES IN SCHEMA public TO anon", &[(Grant, Exposing)]),
    (
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO authenticated",
        &[(Grant, Granting)],
    ),
    (
        "CREATE VIEW v AS SELECT id FROM members; GRANT SELECT ON v TO anon",
        &[(Grant, Exposing)],
    ),
    (
        "CREATE VIEW v AS SELECT id FROM members; CREATE VIEW w AS SELECT * FROM v; GRANT SELECT ON w TO PUBLIC",
        &[(Grant, Exposing)],
    ),
    (
        "CREATE VIEW v WITH (security_invoker) AS SELECT id FROM members; GRANT SELECT ON v TO anon",
        &[(Grant, Granting)],
    ),
    (
        "CREATE VIEW v AS SELECT id FROM empty; GRANT SELECT ON v TO anon",
        &[(Grant, Granting)],
    ),
    (
        "CREATE TABLE t AS TABLE members; GRANT SELECT ON t TO anon",
        &[(Grant, Exposing)],
    ),
    (
        "SELECT * INTO t FROM members; GRANT SELECT ON t TO anon",
        &[(Grant, Exposing)],
    ),
    (
        "CREATE MATERIALIZED VIEW t AS SELECT * FROM members; GRANT SELECT ON t TO anon",
        &[(Grant, Exposing)],
    ),
    (
        "CREATE TABLE t (id int); GRANT SELECT ON t TO anon; INSERT INTO t SELECT id FROM members",
        &[(Grant, Granting), (Grant, Exposing)],
    ),
    (
        "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO anon; \
         INSERT INTO t SELECT id FROM members",
        &[(Grant, Granting)],
    ),
    ("GRANT USAGE ON SCHEMA public TO anon", &[(Grant, Granting)]),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", &[(Grant, Exposing)]),
    ("GRANT EXECUTE ON FUNCTION f(int) TO anon", &[(Grant, Granting)]),
    ("GRANT CONNECT ON DATABASE app TO other", &[(Grant, Exposing)]),
    ("GRANT owner TO orchestra_b", &[(GrantRole, Exposing)]),
    ("REVOKE ALL ON members FROM anon; REVOKE owner FROM b", &[]),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon",
        &[(DefaultPrivileges, Granting)],
    ),
    ("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM anon", &[]),
    ("CREATE SCHEMA s GRANT SELECT ON members TO anon", &[(Grant, Exposing)]),
    // Protection.
    ("ALTER TABLE members DISABLE TRIGGER t", &[(DisableTrigger, Exposing)]),
    ("ALTER TABLE members DISABLE TRIGGER ALL", &[(DisableTrigger, Exposing)]),
    (
        "ALTER TABLE members ENABLE REPLICA TRIGGER t",
        &[(DisableTrigger, Exposing)],
    ),
    ("ALTER TABLE members DISABLE RULE r", &[(DisableTrigger, Exposing)]),
    ("ALTER TABLE members ENABLE TRIGGER ALL, FORCE ROW LEVEL SECURITY", &[]),
    ("ALTER EVENT TRIGGER e DISABLE", &[(DisableTrigger, Exposing)]),
    (
        "DO $$ BEGIN ALTER TABLE members DISABLE ROW LEVEL SECURITY; END $$",
        &[(DisableRowSecurity, Exposing)],
    ),
    (
        "ALTER VIEW members_view SET (security_invoker = off)",
        &[(SecurityDefiner, Exposing)],
    ),
    (
        "ALTER VIEW members_view RESET (security_invoker)",
        &[(SecurityDefiner, Exposing)],
    ),
    ("ALTER VIEW members_view SET (security_invoker = on)", &[]),
    // Owners.
    ("ALTER TABLE members OWNER TO other", &[(ChangeOwner, Exposing)]),
    (
        "ALTER TABLE members OWNER TO owner; ALTER TABLE members OWNER TO CURRENT_USER",
        &[],
    ),
    ("ALTER FUNCTION f() OWNER TO other", &[(ChangeOwner, Exposing)]),
    ("ALTER SCHEMA app OWNER TO other", &[(ChangeOwner, Exposing)]),
    ("ALTER DATABASE app OWNER TO other", &[(ChangeOwner, Exposing)]),
    (
        "CREATE SCHEMA app; ALTER SCHEMA app OWNER TO other",
        &[(ChangeOwner, Granting)],
    ),
    ("REASSIGN OWNED BY a TO b", &[(ChangeOwner, Exposing)]),
    // Roles.
    ("CREATE ROLE a", &[(ChangeRole, Granting)]),
    ("CREATE ROLE a LOGIN", &[(ChangeRole, Exposing)]),
    ("CREATE ROLE a NOLOGIN NOSUPERUSER", &[(ChangeRole, Granting)]),
    ("CREATE USER a", &[(ChangeRole, Exposing)]),
    ("CREATE ROLE a IN ROLE owner", &[(ChangeRole, Exposing)]),
    ("ALTER ROLE a BYPASSRLS", &[(ChangeRole, Exposing)]),
    ("ALTER ROLE a PASSWORD 'hush'", &[(ChangeRole, Exposing)]),
    ("ALTER ROLE a NOBYPASSRLS", &[]),
    ("ALTER GROUP a ADD USER b", &[(ChangeRole, Exposing)]),
    (
        "ALTER ROLE authenticator SET statement_timeout = '8s'",
        &[(ChangeRole, Granting)],
    ),
    // Functions.
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        &[(SecurityDefiner, Granting)],
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1'",
        &[],
    ),
    (
        "CREATE FUNCTION f() RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
         'SELECT * FROM public.members'",
        &[(SecurityDefiner, Exposing)],
    ),
    (
        "CREATE FUNCTION f() RETURNS TABLE (id int) SECURITY DEFINER SET search_path = '' BEGIN ATOMIC SELECT id FROM members; \
         END",
        &[(SecurityDefiner, Exposing)],
    ),
    (
        "CREATE FUNCTION f() RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
         'SELECT * FROM public.members'; REVOKE EXECUTE ON FUNCTION public.f() FROM PUBLIC",
        &[],
    ),
    ("ALTER FUNCTION f() SECURITY DEFINER", &[(SecurityDefiner, Exposing)]),
    ("ALTER FUNCTION f() RESET search_path", &[(SecurityDefiner, Exposing)]),
    ("ALTER FUNCTION f() SET search_path = ''", &[]),
    ("ALTER FUNCTION f() SET search_path = public, pg_temp", &[]),
    (
        "ALTER FUNCTION f() SET search_path = other",
        &[(ChangeReading, Effect::Unknown)],
    ),
    // The server.
    ("COPY members FROM PROGRAM 'id'", &[(ServerAccess, Exposing)]),
    ("COPY members TO '/tmp/x'", &[(ServerAccess, Exposing)]),
    ("COPY members TO STDOUT", &[]),
    ("LOAD 'x'", &[(ServerAccess, Exposing)]),
    ("CREATE EXTENSION dblink", &[(ServerAccess, Exposing)]),
    ("CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA extensions", &[]),
    ("CREATE SERVER s FOREIGN DATA WRAPPER w", &[(ServerAccess, Exposing)]),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        &[(ServerAccess, Exposing)],
    ),
    ("ALTER SYSTEM SET work_mem = '1GB'", &[(ServerAccess, Exposing)]),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
        &[(ServerAccess, Exposing)],
    ),
];

#[test]
fn each_statement_exposes_what_it_exposes() {
    for (script, expected) in STATEMENTS {
        assert_eq!(kinds(script), *expected, "{script}");
    }
    assert!(!format!("{:?}", findings(&["ALTER ROLE a PASSWORD 'hush'"])).contains("hush"));
}

/// A function that shows rows with the rights of its owner, and is closed to PUBLIC.
fn closed(create: &str) -> String {
    format!(
        "{create} f() RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
         'SELECT * FROM public.members'; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC"
    )
}

/// Statements that open what the database of the test below closes, and some that do not.
const OPENING: &[(&str, &[(FindingKind, Effect)])] = &[
    ("GRANT USAGE ON SCHEMA private TO anon", &[(Grant, Exposing)]),
    ("GRANT ALL ON SCHEMA private TO PUBLIC", &[(Grant, Exposing)]),
    ("GRANT USAGE ON SCHEMA private TO authenticated", &[(Grant, Granting)]),
    ("GRANT USAGE ON SCHEMA api TO anon", &[(Grant, Granting)]),
    (
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA api TO anon",
        &[(Grant, Exposing)],
    ),
    (
        "GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO anon",
        &[(Grant, Granting)],
    ),
    ("GRANT SELECT ON LARGE OBJECT 16400 TO PUBLIC", &[(Grant, Exposing)]),
    ("GRANT SELECT ON LARGE OBJECT 16400 TO a", &[(Grant, Granting)]),
    (
        "ALTER VIEW members_view SET (security_barrier = off)",
        &[(SecurityDefiner, Exposing)],
    ),
    (
        "ALTER VIEW members_view RESET (security_barrier)",
        &[(SecurityDefiner, Exposing)],
    ),
    ("ALTER VIEW members_view SET (security_barrier)", &[]),
    ("ALTER ROLE a INHERIT", &[(ChangeRole, Exposing)]),
    ("ALTER ROLE a NOINHERIT", &[]),
    (
        "UPDATE storage.buckets SET public = true WHERE id = 'a'",
        &[(OpenPolicy, Exposing)],
    ),
    ("UPDATE storage.buckets SET public = false WHERE id = 'a'", &[]),
    ("UPDATE storage.buckets SET file_size_limit = 1 WHERE id = 'a'", &[]),
    (
        "INSERT INTO storage.buckets (id, name, public) VALUES ('a', 'a', true)",
        &[],
    ),
    (
        "INSERT INTO storage.buckets (id, name, public) VALUES ('a', 'a', true) ON CONFLICT (id) DO UPDATE SET public = \
         excluded.public",
        &[(OpenPolicy, Exposing)],
    ),
    (
        "MERGE INTO storage.buckets b USING (VALUES (1)) v ON true WHEN MATCHED THEN UPDATE SET public = true",
        &[(OpenPolicy, Exposing)],
    ),
];

/// What the database closes so far is opened by grants that open nothing elsewhere.
#[test]
fn what_is_closed_in_the_database_is_exposed_by_what_opens_it() {
    let mut catalog = catalog();
    catalog.code.shut_schemas.insert("private".into());
    catalog.code.shut_functions.insert("api".into());
    catalog.relations.push(Relation {
        schema: "storage".into(),
        name: "buckets".into(),
        filled: true,
        ..Relation::default()
    });
    for (script, expected) in OPENING {
        let found = findings_in(&[script], &catalog);
        let found = found.iter().map(|finding| (finding.kind, finding.effect));
        let found: Vec<_> = found
            .filter(|(_, effect)| matches!(effect, Exposing | Granting))
            .collect();
        assert_eq!(found, *expected, "{script}");
    }
}

/// A function that is replaced or altered keeps the grants that it had.
#[test]
fn a_function_that_anon_may_execute_is_not_closed_by_a_revocation_from_public() {
    let exposes = |script: &str, anon: bool| {
        let mut catalog = catalog();
        catalog.code.routines.push(CatalogRoutine {
            name: Name {
                schema: Some("public".into()),
                name: "f".into(),
            },
            definition: Some(
                "CREATE FUNCTION public.f() RETURNS SETOF members LANGUAGE sql AS 'SELECT * FROM public.members'"
                    .into(),
            ),
            extension: None,
            acts: true,
            anon,
        });
        let found = findings_in(&[script], &catalog);
        found.iter().any(|finding| finding.effect == Exposing)
    };
    let (replaced, made) = (closed("CREATE OR REPLACE FUNCTION"), closed("CREATE FUNCTION"));
    assert!(exposes(&replaced, true) && !exposes(&replaced, false));
    let altered =
        "ALTER FUNCTION f() SECURITY DEFINER SET search_path = ''; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC";
    assert!(exposes(altered, true));
    let both = replaced.replace("FROM PUBLIC", "FROM PUBLIC, anon");
    assert!(!exposes(&both, true));
    // Grants of the scripts count as well.
    assert!(!exposes(&format!("DROP FUNCTION f(); {made}"), false));
    let default = format!(
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO anon; {}",
        made.replace("f()", "g()")
    );
    assert!(exposes(&default, false));
    assert!(exposes(
        &format!("GRANT EXECUTE ON FUNCTION f() TO anon; {replaced}"),
        false
    ));
}

/// Statements as in the guides of Supabase and Prisma, and in the Supabase CLI's dumps.
const EVERYDAY: &[&str] = &[
    "create table profiles (id uuid primary key references auth.users on delete cascade, name text);
     alter table profiles enable row level security;
     create policy \"Public profiles are visible to everyone.\" on profiles for select to anon using (true);
     create policy \"Own\" on profiles for update using ((select auth.uid()) = id) with check (true);
     grant all on table profiles to anon, authenticated, service_role;
     alter publication supabase_realtime add table profiles;",
    "create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = ''
     as $$ begin insert into public.profiles (id, name) values (new.id, new.raw_user_meta_data ->> 'name'); return new;
     end; $$;
     create trigger on_auth_user_created after insert on auth.users for each row execute procedure
     public.handle_new_user();",
    "SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;
     SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false; SET row_security = off;
     CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA \"extensions\";
     CREATE TABLE IF NOT EXISTS \"public\".\"todos\" (\"id\" bigint NOT NULL);
     ALTER TABLE \"public\".\"todos\" OWNER TO \"owner\";
     CREATE OR REPLACE FUNCTION \"public\".\"f\"() RETURNS \"trigger\" LANGUAGE \"plpgsql\" SECURITY DEFINER AS $$
     begin return new; end $$; ALTER FUNCTION \"public\".\"f\"() OWNER TO \"owner\";
     GRANT USAGE ON SCHEMA \"public\" TO \"anon\"; GRANT ALL ON FUNCTION \"public\".\"f\"() TO \"anon\";
     GRANT ALL ON TABLE \"public\".\"todos\" TO \"anon\"; GRANT ALL ON TABLE \"public\".\"todos\" TO \"service_role\";
     ALTER DEFAULT PRIVILEGES FOR ROLE \"postgres\" IN SCHEMA \"public\" GRANT ALL ON TABLES TO \"anon\"; RESET ALL;",
    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN CREATE TYPE mood AS ENUM ('ok'); END IF;
     END $$;
     DO $$ BEGIN ALTER TABLE members ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES empty (id) NOT VALID;
     EXCEPTION WHEN duplicate_object THEN null; END $$;",
    "create policy \"Teams read\" on members for select to authenticated using (id in (select id from empty));
     create function private.is_admin() returns boolean language sql security definer as $$ select true $$;
     create policy \"Admins\" on members to authenticated using ((select private.is_admin()));
     grant select, insert on table members to authenticated, service_role;",
    "CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END; $$
     LANGUAGE plpgsql; CREATE TRIGGER t BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION set_updated_at();
     UPDATE members SET note = coalesce(note, '') WHERE note IS NULL;
     INSERT INTO members (id) VALUES (1) ON CONFLICT DO NOTHING;",
];

#[test]
fn everyday_migrations_do_not_wait() {
    for script in EVERYDAY {
        let waits = findings(&[script]);
        let waits: Vec<_> = waits
            .iter()
            .filter(|it| Effect::APPROVED.contains(&it.effect))
            .collect();
        assert!(waits.is_empty(), "{script}: {waits:?}");
    }
}
