//! Code that statements run, and settings that change how later text is read.

use super::catalog::Catalog;
use super::catalog_code::{CatalogCode, CatalogRoutine, CatalogTrigger};
use super::finding::FindingKind::{self, *};
use super::names::Name;
use super::tests::{catalog, findings, findings_in, kinds};

/// A function that deletes, in the language that is named.
pub(super) fn purge(language: &str, body: &str) -> String {
    format!("CREATE FUNCTION purge() RETURNS void LANGUAGE {language} AS $$ {body} $$; ")
}

#[test]
fn what_a_search_path_hides_is_found() {
    for sets in [
        "SET search_path = auth",
        "SET LOCAL search_path TO auth",
        "SET SCHEMA 'auth'",
        "SELECT set_config('search_path', 'auth', false)",
        "SELECT 1 FROM set_config('search_path', 'auth', false)",
        "SELECT 1 FROM members, LATERAL pg_catalog.set_config('SEARCH_PATH', email, false)",
        "SELECT 1 WHERE set_config('search_path'::text, 'auth', false) = 'x'",
        "INSERT INTO empty (note) VALUES (set_config(E'search\\x5fpath', 'auth', false))",
        "WITH x AS (SELECT set_config('search_path', 'auth', false)) SELECT * FROM x",
        "DO $$ BEGIN PERFORM set_config('search_path', 'auth', false); END $$",
        "DO $$ DECLARE x text := set_config('search_path', 'auth', false); BEGIN NULL; END $$",
        "DO $$ BEGIN EXECUTE 'SET search_path = auth'; END $$",
        "PREPARE p AS SELECT set_config('search_path', 'auth', false); EXECUTE p",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SET search_path = auth'; SELECT f()",
        "RESET search_path",
        "RESET ALL",
        "DISCARD ALL",
        "RESET ROLE",
    ] {
        let script = format!("{sets}; DROP TABLE IF EXISTS users");
        assert_eq!(kinds(&script), [DropTable], "{script}");
    }
    for (sets, kind) in [
        ("SET ROLE other", SwitchRole),
        ("SET LOCAL ROLE other", SwitchRole),
        ("SET SESSION AUTHORIZATION other", SwitchRole),
        ("SELECT set_config('role', 'other', true)", SwitchRole),
        ("SELECT set_config('search' || '_path', 'auth', false)", Opaque),
        ("SELECT set_config(email, note, false) FROM members", Opaque),
    ] {
        let script = format!("{sets}; DROP TABLE IF EXISTS users");
        assert_eq!(kinds(&script), [kind, DropTable], "{script}");
    }
    // A loop returns to the statements before the new path.
    let back = "DO $$ BEGIN FOR i IN 1..2 LOOP DELETE FROM users; SET search_path = auth; END LOOP; END $$";
    assert!(kinds(&format!("CREATE TABLE users (id int); {back}")).contains(&DeleteAll));
}

#[test]
fn what_changes_how_text_is_read_is_told() {
    for (script, found) in [
        ("SET standard_conforming_strings = off", vec![ChangeReading]),
        ("SET LOCAL standard_conforming_strings TO 'off'", vec![ChangeReading]),
        (
            "SELECT set_config('standard_conforming_strings', 'off', false)",
            vec![ChangeReading],
        ),
        ("SET client_encoding = 'SJIS'", vec![ChangeReading]),
        ("SET NAMES 'GBK'", vec![ChangeReading]),
        ("SET transform_null_equals = on", vec![ChangeReading]),
        ("ALTER ROLE CURRENT_USER SET search_path = evil", vec![ChangeReading]),
        (
            "ALTER ROLE ALL SET standard_conforming_strings = off",
            vec![ChangeReading],
        ),
        ("ALTER DATABASE app SET search_path = evil", vec![ChangeReading]),
        ("ALTER ROLE a IN DATABASE b SET role = c", vec![ChangeReading]),
        (
            "DO $$ BEGIN SET standard_conforming_strings = off; END $$",
            vec![ChangeReading],
        ),
        (
            "ALTER ROLE a SET session_replication_role = replica",
            vec![DisableTrigger],
        ),
        ("SET session_replication_role = replica", vec![DisableTrigger]),
        // The first and last statements of dumps.
        (
            "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; SET row_security = off",
            vec![],
        ),
        (
            "SET statement_timeout = 0; SET check_function_bodies = false; SET session_replication_role = origin",
            vec![],
        ),
        ("SET ROLE NONE; SET SESSION AUTHORIZATION DEFAULT; RESET ALL", vec![]),
        (
            "SELECT set_config('request.jwt.claims', '{}', true); SELECT current_setting('search_path')",
            vec![],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

pub(super) fn all_are_found(scripts: Vec<(String, Vec<FindingKind>)>) {
    for (script, found) in scripts {
        assert_eq!(kinds(&script), found, "{script}");
    }
}

pub(super) const DELETE: &str = "DELETE FROM members;";
const COMPUTED: &str = "EXECUTE format('DROP TABLE %I', 'members');";

pub(super) fn plpgsql(body: &str) -> String {
    purge("plpgsql", &format!("BEGIN {body} END"))
}

#[test]
fn code_is_read_where_it_runs() {
    all_are_found(vec![
        (purge("sql", DELETE), vec![]),
        (format!("{} SELECT purge()", purge("sql", DELETE)), vec![DeleteAll]),
        (format!("{} SELECT purge()", plpgsql(DELETE)), vec![DeleteAll]),
        (format!("{} SELECT purge()", plpgsql(COMPUTED)), vec![Opaque]),
        (
            format!("{} SELECT purge()", plpgsql("EXECUTE 'DROP TABLE members';")),
            vec![DropTable],
        ),
        (format!("{} SELECT purge()", purge("plperl", "1")), vec![Opaque]),
        (
            format!("{} SELECT purge()", purge("plpgsql", "BEGIN no END")),
            vec![Opaque],
        ),
        (
            format!(
                "{} SELECT 1 FROM members WHERE note = public.purge()::text",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
        (
            format!("{} UPDATE members SET note = purge() WHERE id = 1", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            format!("{} SELECT members.purge FROM members", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            format!(
                "{} ALTER TABLE members ADD COLUMN a text DEFAULT purge()",
                plpgsql(DELETE)
            ),
            vec![DeleteAll, RewriteTable],
        ),
        (
            format!("{} CREATE VIEW v AS SELECT purge()", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            format!("{} DO $$ BEGIN PERFORM purge(); END $$", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            "CREATE FUNCTION a() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM members; SELECT 1; END; SELECT a()"
                .into(),
            vec![DeleteAll],
        ),
        (
            "CREATE PROCEDURE p(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN TRUNCATE members; END $$; CALL p(1)".into(),
            vec![Truncate],
        ),
        (
            "CREATE FUNCTION a() RETURNS void LANGUAGE sql AS 'SELECT b()'; CREATE FUNCTION b() RETURNS void LANGUAGE \
             sql AS 'SELECT a(); DELETE FROM members'; SELECT a()"
                .into(),
            vec![DeleteAll],
        ),
    ]);
}

#[test]
fn blocks_are_read_in_all_their_branches() {
    all_are_found(vec![
        (
            "DO $$ BEGIN IF true THEN NULL; ELSE DELETE FROM members; END IF; END $$".into(),
            vec![DeleteAll],
        ),
        (
            "DO $$ BEGIN NULL; EXCEPTION WHEN others THEN DELETE FROM members; END $$".into(),
            vec![DeleteAll],
        ),
        (
            "DO $$ BEGIN FOR r IN EXECUTE 'SELECT ' || 1 LOOP NULL; END LOOP; END $$".into(),
            vec![Opaque],
        ),
        (
            "DO $$ DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE $1; END $$".into(),
            vec![Opaque],
        ),
        ("DO $$ BEGIN CALL p(); END $$".into(), vec![Opaque]),
        (
            "DO $$ BEGIN UPDATE members SET note = 'delete' WHERE id = 1; RAISE NOTICE 'drop'; END $$".into(),
            vec![],
        ),
        (
            "DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM members; n := n + 1; IF n > 0 THEN INSERT INTO \
             empty (id) VALUES (n); END IF; END $$"
                .into(),
            vec![],
        ),
    ]);
}

#[test]
fn code_is_found_by_another_name_or_by_none() {
    all_are_found(vec![
        // Through another name, or without a name.
        (format!("{} ALTER FUNCTION purge() RENAME TO tidy; SELECT tidy()", plpgsql(DELETE)), vec![Opaque]),
        (format!("{} ALTER FUNCTION purge() SET SCHEMA app; SELECT app.purge()", plpgsql(DELETE)), vec![
            MoveSchema,
            DeleteAll,
            Opaque,
        ]),
        (
            format!("{} CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = purge)", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            format!("{} CREATE CAST (text AS box) WITH FUNCTION purge()", plpgsql(COMPUTED)),
            vec![Opaque],
        ),
        (format!("{} CREATE DOMAIN d AS int CHECK (purge() IS NULL)", plpgsql(COMPUTED)), vec![Opaque]),
        (format!("{} EXPLAIN SELECT purge()", plpgsql(DELETE)), vec![DeleteAll]),
        (
            "CREATE FUNCTION a() RETURNS int LANGUAGE sql SET session_replication_role = replica AS 'SELECT 1'; SELECT \
             a()"
                .into(),
            vec![DisableTrigger],
        ),
    ]);
}

#[test]
fn prepared_statements_and_functions_that_run_a_text_are_read() {
    all_are_found(vec![
        // Prepared statements.
        ("PREPARE p AS DELETE FROM members".into(), vec![]),
        ("PREPARE p AS DELETE FROM members; EXECUTE p".into(), vec![DeleteAll]),
        (
            "PREPARE p AS WITH x AS (DELETE FROM members RETURNING 1) SELECT 1; EXECUTE p".into(),
            vec![DeleteAll],
        ),
        (
            "PREPARE p AS DELETE FROM members; EXPLAIN ANALYZE EXECUTE p".into(),
            vec![DeleteAll],
        ),
        ("CREATE TABLE x AS EXECUTE q".into(), vec![Opaque]),
        // Functions that run a text.
        (
            "SELECT query_to_xml('DELETE FROM members', true, true, '')".into(),
            vec![Opaque],
        ),
        (
            "SELECT cron.schedule('x', '* * * * *', 'DELETE FROM members')".into(),
            vec![DeleteAll],
        ),
        ("SELECT pg_read_file('x')".into(), vec![ServerAccess]),
    ]);
}

#[test]
fn rules_and_triggers_are_read() {
    let trigger = |body: &str| {
        format!("CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END; $$; ")
    };
    let make = "CREATE TRIGGER t AFTER INSERT ON empty FOR EACH ROW EXECUTE FUNCTION t(); ";
    let insert = "INSERT INTO empty (id) VALUES (1)";
    for (script, found) in [
        (
            "CREATE RULE r AS ON INSERT TO empty DO ALSO DELETE FROM members".into(),
            vec![DeleteAll],
        ),
        (
            "CREATE RULE r AS ON INSERT TO empty DO ALSO DELETE FROM members WHERE id = NEW.id".into(),
            vec![],
        ),
        (format!("{}{make}", trigger("DELETE FROM members;")), vec![DeleteAll]),
        (
            format!(
                "{}{make}",
                trigger("DELETE FROM members WHERE id = OLD.id; NEW.note := TG_OP;")
            ),
            vec![],
        ),
        (
            format!("{}{make}", trigger("EXECUTE format('x %I', TG_TABLE_NAME);")),
            vec![],
        ),
        (
            format!("{}{make}{insert}", trigger("EXECUTE format('x %I', TG_TABLE_NAME);")),
            vec![Opaque],
        ),
        (
            format!("{}{make}DELETE FROM empty", trigger("EXECUTE format('x');")),
            vec![],
        ),
        (
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION t()".into(),
            vec![Opaque],
        ),
    ] {
        assert_eq!(kinds(&script), found, "{script}");
    }
}

fn with_code(definition: &str) -> Catalog {
    let name = |name: &str| Name {
        schema: Some("public".into()),
        name: name.into(),
    };
    let mut catalog = catalog();
    catalog.code = CatalogCode {
        routines: vec![CatalogRoutine {
            name: name("purge"),
            definition: Some(definition.into()),
            extension: None,
            acts: true,
            anon: false,
        }],
        triggers: vec![CatalogTrigger {
            table: name("empty"),
            events: super::known_code::INSERT,
            function: name("purge"),
        }],
        rules: vec![(
            name("sessions"),
            "CREATE RULE r AS ON UPDATE TO public.sessions DO ALSO DELETE FROM members".into(),
        )],
        ..CatalogCode::default()
    };
    catalog
}

#[test]
fn code_of_the_database_is_read_too() {
    let kinds = |script: &str, body: &str| -> Vec<FindingKind> {
        let definition = format!(
            "CREATE OR REPLACE FUNCTION public.purge()\n RETURNS trigger\n LANGUAGE plpgsql\nAS $function$ BEGIN \
             {body} RETURN NULL; END $function$\n"
        );
        let found = findings_in(&[script], &with_code(&definition));
        found.iter().map(|finding| finding.kind).collect()
    };
    for (script, body, found) in [
        ("SELECT purge()", "DELETE FROM members;", vec![DeleteAll]),
        ("SELECT other.purge()", "DELETE FROM members;", vec![]),
        ("INSERT INTO empty (id) VALUES (1)", "TRUNCATE members;", vec![Truncate]),
        ("DELETE FROM empty", "TRUNCATE members;", vec![]),
        ("UPDATE sessions SET note = '' WHERE id = 1", "", vec![DeleteAll]),
        ("DELETE FROM sessions WHERE id = 1", "", vec![]),
        ("SELECT count(*) FROM members", "DELETE FROM members;", vec![]),
    ] {
        assert_eq!(kinds(script, body), found, "{script}");
    }
    let mut long = catalog();
    long.code.routines = vec![CatalogRoutine {
        name: Name::of(vec!["purge".into()]),
        definition: None,
        extension: None,
        acts: true,
        anon: false,
    }];
    let found = findings_in(&["SELECT purge()"], &long);
    assert_eq!(found[0].kind, Opaque);
}

#[test]
fn a_finding_in_code_names_what_runs_it() {
    let found = findings(&[
        "CREATE FUNCTION inner_one() RETURNS void LANGUAGE sql AS 'DELETE FROM members';\n\
         CREATE FUNCTION outer_one() RETURNS void LANGUAGE sql AS 'SELECT inner_one()';\n\
         SELECT outer_one(), outer_one();",
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].line, found[0].statement.as_str()),
        (3, "outer_one(): DELETE FROM members")
    );
}
