//! Losses and exposures behind a name, a declaration, a type or a transaction that says something else.

use super::catalog::Relation;
use super::catalog_code::CatalogRoutine;
use super::code_tests::{DELETE, all_are_found, plpgsql};
use super::finding::FindingKind::{self, *};
use super::names::Name;
use super::tests::{catalog, findings, findings_in, kinds};
use crate::api::Effect::{self, Exposing, Granting};

#[test]
fn every_statement_of_a_name_that_may_be_prepared_is_read() {
    let maybe = |statement: &str| format!("DO $$ BEGIN IF false THEN {statement}; END IF; END $$");
    let prepare = "PREPARE p AS DELETE FROM members";
    all_are_found(vec![
        (
            format!("{prepare}; {}; EXECUTE p", maybe("EXECUTE 'PREPARE p AS SELECT 1'")),
            vec![DeleteAll],
        ),
        (
            format!("{prepare}; {}; EXECUTE p", maybe("DEALLOCATE p")),
            vec![DeleteAll],
        ),
        (
            format!("{prepare}; DEALLOCATE p; PREPARE p AS SELECT 1; EXECUTE p"),
            vec![],
        ),
        (format!("{prepare}; DEALLOCATE ALL; EXECUTE p"), vec![Opaque]),
        (
            format!("{}EXECUTE p", "PREPARE p AS SELECT 1; ".repeat(40)),
            vec![Opaque],
        ),
    ]);
}

#[test]
fn no_part_of_a_body_is_left_out() {
    let purge = plpgsql(DELETE);
    let run = |body: &str| format!("{purge} DO $$ {body} $$");
    all_are_found(vec![
        (
            run("DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT 1' FROM purge(); END"),
            vec![DeleteAll],
        ),
        (
            run("DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT $1' USING purge(); END"),
            vec![DeleteAll],
        ),
        (
            format!(
                "{purge} CREATE FUNCTION q() RETURNS SETOF int LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN QUERY EXECUTE 'SELECT 1' USING purge(); END $$; SELECT q()"
            ),
            vec![DeleteAll],
        ),
        (
            format!("{purge} SELECT (array_agg(m))[abs(1)].purge FROM members m"),
            vec![DeleteAll],
        ),
        (
            format!("{purge} SELECT (x.a).b[lower(1)].purge FROM members x"),
            vec![DeleteAll],
        ),
    ]);
    for declared in [
        "r record := (SELECT row(purge()))",
        "r RECORD = row(purge())",
        "r CONSTANT record DEFAULT row(purge())",
        "r pg_catalog.record NOT NULL := row(purge())",
        "r /* a */ \"record\" -- b\n := row(purge())",
        "\"R\" record := row(purge())",
    ] {
        let script = run(&format!("DECLARE {declared}; BEGIN NULL; END"));
        assert_eq!(kinds(&script), [Opaque], "{script}");
    }
    let escaped = run("DECLARE r U&\"rec\\006frd\" := row(purge()); BEGIN NULL; END");
    assert!(!kinds(&escaped).is_empty());
    let rows = run("DECLARE r record; n int := 1; BEGIN FOR r IN SELECT 1 AS record LOOP n := r.record; END LOOP; END");
    assert_eq!(kinds(&rows), []);
}

/// A function that empties a table which is empty in the search path, and holds rows in another schema.
#[test]
fn a_function_with_another_search_path_means_other_tables() {
    let mut catalog = catalog();
    let filled = catalog.relations.iter().find(|it| it.name == "members").cloned();
    catalog.relations.push(Relation {
        schema: "other".into(),
        name: "empty".into(),
        visible: false,
        ..filled.unwrap_or_default()
    });
    catalog.code.routines = vec![CatalogRoutine {
        name: Name::of(vec!["public".into(), "tidy".into()]),
        definition: Some(
            "CREATE FUNCTION public.tidy() RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM empty; END'".into(),
        ),
        extension: None,
        acts: true,
        anon: false,
    }];
    let kinds = |script: &str| -> Vec<FindingKind> {
        let found = findings_in(&[script], &catalog);
        found.iter().map(|finding| finding.kind).collect()
    };
    for (script, found) in [
        ("SELECT tidy()", &[][..]),
        (
            "ALTER FUNCTION tidy() SET search_path = public, pg_temp; SELECT tidy()",
            &[],
        ),
        ("ALTER FUNCTION tidy() SET work_mem = '1MB'; SELECT tidy()", &[]),
        (
            "ALTER FUNCTION tidy() SET search_path = other; SELECT tidy()",
            &[ChangeReading, DeleteAll],
        ),
        (
            "SELECT tidy(); ALTER FUNCTION tidy() SET search_path = other",
            &[ChangeReading, DeleteAll],
        ),
        (
            "ALTER FUNCTION tidy() RESET ALL; SELECT tidy()",
            &[SecurityDefiner, DeleteAll],
        ),
        (
            "ALTER FUNCTION tidy() OWNER TO other; SELECT tidy()",
            &[ChangeOwner, DeleteAll],
        ),
        (
            "ALTER FUNCTION tidy() SET role = other; SELECT tidy()",
            &[SwitchRole, DeleteAll],
        ),
        ("ALTER ROLE CURRENT_USER RESET search_path", &[ChangeReading]),
        ("ALTER DATABASE app RESET ALL", &[ChangeReading]),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
    let later = findings_in(
        &["ALTER ROLE ALL SET search_path = other", "DELETE FROM empty"],
        &catalog,
    );
    assert_eq!(later.last().map(|found| found.kind), Some(DeleteAll));
}

#[test]
fn a_condition_on_the_source_is_none_on_the_target() {
    for (script, found) in [
        (
            "MERGE INTO members USING (SELECT 1 AS x) s ON s.x = 1 WHEN MATCHED THEN DELETE",
            &[DeleteAll][..],
        ),
        (
            "MERGE INTO members USING (SELECT 1 AS x) s ON x = 1 WHEN MATCHED THEN DELETE",
            &[DeleteAll],
        ),
        (
            "MERGE INTO members m USING empty s ON s.id = 1 WHEN MATCHED AND s.id = 1 THEN UPDATE SET note = ''",
            &[UpdateAll],
        ),
        (
            "MERGE INTO members m USING empty s ON m.id = s.id WHEN MATCHED THEN DELETE",
            &[],
        ),
        ("DELETE FROM members USING (SELECT 1 AS x) s WHERE x = 1", &[DeleteAll]),
        ("DELETE FROM members WHERE ctid = '(0,1)'", &[]),
        ("DELETE FROM members WHERE members IS NOT NULL", &[]),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn a_type_is_told_by_its_schema_and_all_its_modifiers() {
    for (script, found) in [
        (
            "ALTER TABLE members ALTER COLUMN fee TYPE numeric('10')",
            &[NarrowType][..],
        ),
        (
            "ALTER TABLE members ALTER COLUMN email TYPE pg_catalog.varchar('1') USING email::pg_catalog.varchar('1')",
            &[NarrowType],
        ),
        (
            "CREATE DOMAIN app.text AS varchar(1); ALTER TABLE members ALTER COLUMN email TYPE app.text USING email::app.text",
            &[NarrowType],
        ),
        (
            "CREATE DOMAIN pg_temp.text AS varchar(1); ALTER TABLE members ALTER COLUMN email TYPE text",
            &[NarrowType],
        ),
        (
            "CREATE TEMP TABLE text (a int); ALTER TABLE members ALTER COLUMN note TYPE text",
            &[NarrowType],
        ),
        (
            "SET search_path = app, pg_catalog; ALTER TABLE public.members ALTER COLUMN note TYPE text",
            &[NarrowType],
        ),
        ("ALTER TABLE members ALTER COLUMN email TYPE pg_catalog.text", &[]),
        (
            "SET search_path = public; ALTER TABLE members ALTER COLUMN email TYPE varchar(200)",
            &[],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn settings_are_changed_by_every_view_of_them() {
    for script in [
        "CREATE VIEW v AS SELECT * FROM pg_settings; UPDATE v SET setting = 'other' WHERE name = 'search_path'",
        "CREATE TABLE v (name text); CREATE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT name FROM pg_settings",
        "WITH x AS (UPDATE pg_settings SET setting = 'other' WHERE name = 'search_path' RETURNING 1) SELECT 1",
        "CREATE RULE r AS ON INSERT TO empty DO ALSO UPDATE pg_settings SET setting = 'other' WHERE name = 'search_path'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE pg_settings SET setting = 1 WHERE name = ''x'''; SELECT f()",
    ] {
        assert_eq!(kinds(script), [Opaque], "{script}");
    }
    assert_eq!(kinds("SELECT setting FROM pg_settings"), []);
}

#[test]
fn what_is_taken_back_was_not_made() {
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION f()";
    let drop = "DROP TRIGGER t ON members";
    for (script, found) in [
        (format!("{drop}; {trigger}"), vec![]),
        (format!("BEGIN; {drop}; {trigger}; COMMIT"), vec![]),
        (format!("SAVEPOINT a; {drop}; {trigger}; RELEASE a"), vec![]),
        (format!("{drop}; SAVEPOINT a; {trigger}; ROLLBACK TO a"), vec![DropTrigger]),
        (format!("BEGIN; {drop}; COMMIT; BEGIN; {trigger}; ROLLBACK"), vec![DropTrigger]),
        // A failure may keep the first part.
        (format!("BEGIN; {drop}; COMMIT; {trigger}"), vec![DropTrigger]),
        (
            format!("{drop}; CREATE INDEX CONCURRENTLY i ON members (email); {trigger}"),
            vec![DropTrigger],
        ),
        (
            "DROP POLICY p ON members; SAVEPOINT a; CREATE POLICY p ON members AS RESTRICTIVE USING (id = 1); ROLLBACK TO a".into(),
            vec![DropPolicy],
        ),
        (
            "DROP FUNCTION f(); SAVEPOINT a; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ROLLBACK TO a".into(),
            vec![DropFunction],
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT c; SAVEPOINT a; ALTER TABLE members ADD CONSTRAINT c CHECK (id > 0) NOT VALID; \
             ROLLBACK TO a"
                .into(),
            vec![DropConstraint],
        ),
    ] {
        assert_eq!(kinds(&script), found, "{script}");
    }
    let open = "GRANT SELECT ON t TO anon; INSERT INTO t SELECT id FROM members";
    for wall in [
        "SAVEPOINT a; ALTER TABLE t ENABLE ROW LEVEL SECURITY; ROLLBACK TO a",
        "DO $$ BEGIN IF false THEN ALTER TABLE t ENABLE ROW LEVEL SECURITY; END IF; END $$",
    ] {
        let found = findings(&[&format!("CREATE TABLE t (id int); {wall}; {open}")]);
        assert!(
            found.iter().any(|it| (it.kind, it.effect) == (Grant, Exposing)),
            "{wall}"
        );
    }
}

#[test]
fn what_reaches_other_servers_exposes_by_every_statement() {
    let kinds = |script: &str| -> Vec<(FindingKind, Effect)> {
        let found = findings(&[script]);
        found.iter().map(|finding| (finding.kind, finding.effect)).collect()
    };
    for script in [
        "ALTER SERVER s OPTIONS (SET host 'x')",
        "ALTER SUBSCRIPTION s CONNECTION 'host=x'",
        "ALTER FOREIGN DATA WRAPPER w OPTIONS (a 'b')",
        "CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'hush')",
        "ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (SET password 'hush')",
        "IMPORT FOREIGN SCHEMA x FROM SERVER s INTO public",
        "CREATE EXTENSION earthdistance CASCADE",
        "CREATE EXTENSION plpython3u",
        "CREATE EXTENSION tds_fdw",
        "ALTER FOREIGN TABLE members OPTIONS (SET table_name 'other')",
    ] {
        assert_eq!(kinds(script), [(ServerAccess, Exposing)], "{script}");
    }
    for (script, found) in [
        ("ALTER PUBLICATION p ADD TABLE members", (Grant, Exposing)),
        ("CREATE PUBLICATION p FOR ALL TABLES", (Grant, Exposing)),
        ("CREATE PUBLICATION p FOR TABLES IN SCHEMA public", (Grant, Exposing)),
        (
            "CREATE TABLE t (id int); CREATE PUBLICATION p FOR TABLE t",
            (Grant, Granting),
        ),
        (
            "ALTER ROLE authenticator SET pgrst.db_schemas = 'public, private'",
            (ChangeRole, Exposing),
        ),
        // Policies may read custom settings.
        ("ALTER DATABASE app SET app.bypass = 'on'", (ChangeRole, Exposing)),
        ("ALTER ROLE anon SET app.tenant = '1'", (ChangeRole, Exposing)),
        ("ALTER ROLE anon SET App.Tenant FROM CURRENT", (ChangeRole, Exposing)),
        ("ALTER ROLE anon RESET app.tenant", (ChangeRole, Exposing)),
        ("ALTER ROLE anon SET statement_timeout = '3s'", (ChangeRole, Granting)),
        ("ALTER FUNCTION f() SET app.bypass = 'on'", (ChangeReading, Exposing)),
        (
            "ALTER FUNCTION f() SET app.bypass FROM CURRENT",
            (ChangeReading, Exposing),
        ),
    ] {
        assert_eq!(kinds(script), [found], "{script}");
    }
    assert_eq!(
        kinds("CREATE PUBLICATION p; ALTER PUBLICATION p DROP TABLE members"),
        []
    );
    assert_eq!(kinds("CREATE EXTENSION plpgsql; CREATE EXTENSION pg_trgm"), []);
}

#[test]
fn a_script_that_the_server_reads_in_another_encoding_is_opaque() {
    for (script, opaque) in [
        ("DROP TABLE IF EXISTS \"\u{e4}\"", true),
        ("SELECT 'caf\u{e9}'", true),
        ("DROP TABLE IF EXISTS U&\"\\00e4\"", true),
        ("DROP TABLE IF EXISTS u&\"!00e4\" UESCAPE '!'", true),
        ("SELECT E'\\u00e4'", true),
        ("SELECT E'\\303\\244'", true),
        ("DROP TABLE IF EXISTS plain", false),
        ("SELECT E'a\\nb'", false),
    ] {
        let mut catalog = catalog();
        assert_eq!(findings_in(&[script], &catalog), [], "{script}");
        catalog.recoded = true;
        let found = findings_in(&["SELECT 1", script], &catalog);
        let found: Vec<_> = found.iter().map(|it| (it.migration.as_str(), it.kind)).collect();
        let expected: &[(&str, FindingKind)] = if opaque { &[("m2", Opaque)] } else { &[] };
        assert_eq!(found, expected, "{script}");
    }
}
