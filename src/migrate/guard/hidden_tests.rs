//! Statements that show or lose rows although their text does not say so.

use super::FindingKind::{self, *};
use super::catalog::{Catalog, Readers};
use super::catalog_code::{CatalogTrigger, Use};
use super::names::Name;
use super::tests::{catalog, findings_in};
use crate::api::Effect::{self, Exposing, Granting};

/// Everybody may read the view and `Concert`; policies use `is_admin`, and a default runs `number`.
fn open() -> Catalog {
    let mut catalog = catalog();
    for relation in &mut catalog.relations {
        relation.readers = Readers {
            open: matches!(relation.name.as_str(), "members_view" | "Concert"),
            shared: relation.name == "members_view",
            ..Readers::default()
        };
    }
    catalog.code.uses = [
        ("is_admin", Use::Policy),
        ("number", Use::Runs),
        ("shown", Use::Shared),
        ("audit", Use::Trigger),
    ]
    .map(|(name, used)| (name.to_owned(), used))
    .into();
    catalog
}

fn kinds(script: &str) -> Vec<(FindingKind, Effect)> {
    let found = findings_in(&[script], &open());
    found.iter().map(|finding| (finding.kind, finding.effect)).collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
fn rows_are_shown_by_what_is_replaced_moved_or_inherited() {
    let leak = "CREATE FUNCTION leak(int) RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
                'SELECT * FROM public.members';";
    let text = |body: &str| {
        format!(
            "CREATE FUNCTION leak() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ {body} $$"
        )
    };
    for (script, found) in [
        // Views.
        (
            "CREATE OR REPLACE VIEW members_view AS SELECT * FROM members".to_owned(),
            vec![(Grant, Exposing)],
        ),
        ("CREATE OR REPLACE VIEW members_view AS SELECT * FROM empty".into(), vec![]),
        (
            "CREATE OR REPLACE VIEW members_view WITH (security_invoker = no) AS SELECT * FROM members".into(),
            vec![(Grant, Exposing)],
        ),
        (
            "CREATE OR REPLACE VIEW members_view WITH (security_invoker) AS SELECT * FROM members".into(),
            vec![],
        ),
        (
            "CREATE VIEW v WITH (security_invoker) AS SELECT * FROM members; GRANT SELECT ON v TO anon; \
             ALTER VIEW v SET (security_invoker = false)"
                .into(),
            vec![(Grant, Granting), (SecurityDefiner, Exposing)],
        ),
        (
            "CREATE VIEW v WITH (security_invoker) AS SELECT * FROM members; ALTER VIEW v RESET (security_invoker); \
             GRANT SELECT ON v TO anon"
                .into(),
            vec![(Grant, Exposing)],
        ),
        (
            "CREATE TABLE v (id int); CREATE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT id FROM members; \
             GRANT SELECT ON v TO PUBLIC"
                .into(),
            vec![(Grant, Exposing)],
        ),
        // Tables.
        ("INSERT INTO \"Concert\" SELECT * FROM members".into(), vec![(Grant, Exposing)]),
        (
            "UPDATE \"Concert\" SET note = (SELECT note FROM members LIMIT 1) WHERE id = 1".into(),
            vec![(Grant, Exposing)],
        ),
        (
            "WITH x AS (SELECT * FROM members) INSERT INTO \"Concert\" SELECT * FROM x".into(),
            vec![(Grant, Exposing)],
        ),
        (
            "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql AS 'SELECT id FROM members'; \
             INSERT INTO \"Concert\" (id) SELECT f()"
                .into(),
            vec![(Grant, Exposing)],
        ),
        (
            "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql AS 'SELECT id FROM members'; \
             CREATE FUNCTION g() RETURNS SETOF int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT public.f()'"
                .into(),
            vec![(SecurityDefiner, Exposing)],
        ),
        ("INSERT INTO \"Concert\" (id) SELECT id FROM \"Concert\"".into(), vec![]),
        ("INSERT INTO empty SELECT * FROM members; GRANT SELECT ON empty TO anon".into(), vec![(Grant, Exposing)]),
        (
            "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO anon; \
             INSERT INTO t SELECT id FROM members; ALTER TABLE t DISABLE ROW LEVEL SECURITY"
                .into(),
            vec![(Grant, Granting), (DisableRowSecurity, Exposing)],
        ),
        (
            "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO anon; \
             CREATE POLICY p ON t USING (true); INSERT INTO t SELECT id FROM members"
                .into(),
            vec![(Grant, Granting), (OpenPolicy, Granting), (Grant, Exposing)],
        ),
        (
            "CREATE TABLE t (id int); GRANT SELECT ON t TO anon; ALTER TABLE members INHERIT t".into(),
            vec![(Grant, Granting), (Grant, Exposing)],
        ),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon; CREATE VIEW v AS SELECT * FROM members; \
             CREATE TEMP TABLE t AS TABLE members"
                .into(),
            vec![(DefaultPrivileges, Granting), (Grant, Exposing)],
        ),
        // Functions that decide.
        (
            "CREATE OR REPLACE FUNCTION is_admin() RETURNS bool LANGUAGE sql AS 'SELECT true'".into(),
            vec![(AlterPolicy, Exposing)],
        ),
        ("ALTER FUNCTION is_admin() STABLE".into(), vec![(AlterPolicy, Exposing)]),
        (
            "CREATE FUNCTION mine() RETURNS bool LANGUAGE sql AS 'SELECT true'; ALTER FUNCTION mine() RENAME TO is_admin".into(),
            vec![(AlterPolicy, Exposing)],
        ),
        (
            "CREATE OR REPLACE FUNCTION shown() RETURNS int LANGUAGE sql AS 'SELECT 1'".into(),
            vec![(AlterPolicy, Granting)],
        ),
        // Functions that return rows.
        (format!("{leak} REVOKE ALL ON FUNCTION leak(int) FROM PUBLIC"), vec![]),
        (format!("{leak} REVOKE ALL ON FUNCTION leak(text) FROM PUBLIC"), vec![(SecurityDefiner, Exposing)]),
        (format!("{leak} REVOKE ALL ON FUNCTION auth.leak(int) FROM PUBLIC"), vec![(SecurityDefiner, Exposing)]),
        (
            format!("{leak} REVOKE GRANT OPTION FOR ALL ON FUNCTION leak(int) FROM PUBLIC"),
            vec![(SecurityDefiner, Exposing)],
        ),
        (
            format!("{leak} DO $$ BEGIN IF false THEN REVOKE ALL ON FUNCTION leak(int) FROM PUBLIC; END IF; END $$"),
            vec![(SecurityDefiner, Exposing)],
        ),
        (format!("{leak} REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC"), vec![]),
        (
            format!("{leak} REVOKE ALL ON FUNCTION leak FROM PUBLIC; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO anon"),
            vec![(Grant, Exposing)],
        ),
        (text("SELECT string_agg(note, ',') FROM public.members WHERE id > 0"), vec![(SecurityDefiner, Exposing)]),
        (text("SELECT note FROM public.members LIMIT 1"), vec![(SecurityDefiner, Exposing)]),
        (text("SELECT note FROM public.members WHERE id = auth.uid()"), vec![]),
    ] {
        assert_eq!(kinds(&script), found, "{script}");
    }
}

/// By default privileges of a hosted project, `anon` keeps its own right.
#[test]
fn what_is_closed_to_public_is_not_closed_to_whom_it_is_granted_by_default() {
    let leak = "CREATE FUNCTION leak() RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
                'SELECT * FROM public.members'; REVOKE ALL ON FUNCTION leak() FROM";
    let mut catalog = open();
    catalog.code.anon_executes = true;
    for (from, found) in [
        ("PUBLIC", 1),
        ("anon", 1),
        ("PUBLIC, anon", 0),
        ("PUBLIC; REVOKE ALL ON FUNCTION leak() FROM anon, authenticated", 0),
    ] {
        assert_eq!(
            findings_in(&[&format!("{leak} {from}")], &catalog).len(),
            found,
            "{from}"
        );
    }
}

#[test]
fn code_is_judged_where_it_takes_the_place_of_what_runs_unnamed() {
    let make = |name: &str, body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION {name}() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {body} RETURN 1; END $$; "
        )
    };
    let (deletes, computes) = ("DELETE FROM members;", "EXECUTE format('x %s', 1);");
    let lost = (DeleteAll, Effect::Destructive);
    let opaque = (Opaque, Effect::Unknown);
    for (script, found) in [
        (make("number", deletes), vec![lost]),
        (make("number", computes), vec![opaque]),
        (make("number", ""), vec![]),
        (make("other", deletes), vec![]),
        // Findings of a trigger are reported where it fires, apart from losses.
        (make("audit", deletes), vec![lost]),
        (make("audit", computes), vec![]),
        (
            format!(
                "{}ALTER TABLE empty ALTER note SET DEFAULT f(); {}",
                make("f", ""),
                make("f", deletes)
            ),
            vec![lost],
        ),
    ] {
        assert_eq!(kinds(&script), found, "{script}");
    }
}

#[test]
fn conditions_of_triggers_and_policies_are_no_place_to_hide() {
    let hidden = "CREATE FUNCTION dyn() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('x %s', 1); RETURN true; END $$; \
                  CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; ";
    for statement in [
        "CREATE TRIGGER t BEFORE INSERT ON empty FOR EACH ROW WHEN (dyn()) EXECUTE FUNCTION t()",
        "CREATE POLICY p ON empty AS RESTRICTIVE USING (dyn()); ALTER TABLE empty FORCE ROW LEVEL SECURITY",
        "ALTER TABLE empty ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON empty AS RESTRICTIVE USING ((SELECT dyn()))",
    ] {
        let script = format!("{hidden}{statement}");
        assert_eq!(kinds(&script), [(Opaque, Effect::Unknown)], "{script}");
    }
    // A rule of a relation that a change reaches acts on every change of it.
    let name = |name: &str| Name {
        schema: Some("public".into()),
        name: name.into(),
    };
    let mut catalog = open();
    catalog.code.reached_rules = vec![(
        name("empty"),
        "CREATE RULE r AS ON DELETE TO public.other DO ALSO DELETE FROM public.members".into(),
    )];
    catalog.code.triggers = vec![CatalogTrigger {
        table: name("empty"),
        events: super::known_code::DELETE,
        function: name("nobody"),
    }];
    let found = findings_in(&["UPDATE empty SET note = '' WHERE id = 1"], &catalog);
    assert_eq!(found[0].kind, DeleteAll);
}

#[test]
fn a_condition_on_another_table_is_none_on_the_one_that_is_changed() {
    let lost = vec![(DeleteAll, Effect::Destructive)];
    for (script, found) in [
        ("DELETE FROM members USING empty WHERE empty.id = 1", lost.clone()),
        (
            "DELETE FROM members m USING empty e WHERE EXISTS (SELECT FROM empty x WHERE x.id = e.id)",
            lost,
        ),
        ("DELETE FROM members m USING empty e WHERE m.id = e.id", vec![]),
        ("DELETE FROM members USING empty e WHERE id = 1", vec![]),
        ("DELETE FROM members WHERE public.members.id = 1", vec![]),
        (
            "ALTER TABLE members SET UNLOGGED",
            vec![(RewriteTable, Effect::Destructive)],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn a_long_insert_calls_no_function_unseen() {
    let values = ", (1, 1.5, 'x'::public.mood, NULL::pg_catalog.numeric(10, 2))".repeat(6_000);
    let own = "CREATE FUNCTION now(int) RETURNS int LANGUAGE sql AS 'DELETE FROM members; SELECT 1'; ";
    for (before, row, found) in [
        ("", "(now(), 1, 'x', 2)", vec![]),
        ("", "(public.now(), 1, 'x', 2)", vec![(Unparsed, Effect::Unknown)]),
        ("", "(Concert(1), 1, 'x', 2)", vec![(Unparsed, Effect::Unknown)]),
        ("", "((ROW(1)::x).purge, 1, 'x', 2)", vec![(Unparsed, Effect::Unknown)]),
        (own, "(now(1), 1, 'x', 2)", vec![(DeleteAll, Effect::Destructive)]),
    ] {
        let script = format!("{before}INSERT INTO empty (id, fee, note, email) VALUES {row}{values}");
        assert_eq!(kinds(&script), found, "{row}");
    }
    // The word is also in the name of a table.
    let script = format!(
        "INSERT INTO public.my_values (id) VALUES (1){}",
        ", (1)".repeat(100_000)
    );
    assert_eq!(kinds(&script), []);
}
