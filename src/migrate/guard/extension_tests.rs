//! Calls of functions that belong to extensions.

use super::FindingKind::{self, *};
use super::catalog::Catalog;
use super::catalog_code::CatalogRoutine;
use super::names::Name;
use super::tests::{catalog, findings_in, kinds};

/// A body that runs a computed text.
const COMPUTES: &str = "LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE ' || a; END $$";
const DELETES: &str = "LANGUAGE sql AS 'DELETE FROM public.members'";

/// On a database that has functions of extensions, each with its schema, name, extension, body, and whether it is volatile.
fn installed() -> Catalog {
    let mut catalog = catalog();
    catalog.code.builtin = ["now".to_owned(), "count".to_owned()].into();
    for (schema, name, extension, body, acts) in [
        ("pgmq", "create", Some("pgmq"), Some(COMPUTES), true),
        ("pgmq", "drop_queue", Some("pgmq"), Some(COMPUTES), true),
        ("pgmq", "other", Some("pgmq"), Some(COMPUTES), true),
        ("pgmq", "tidy", Some("pgmq"), Some(DELETES), true),
        ("pgmq", "shown", Some("pgmq"), Some(COMPUTES), false),
        ("public", "schedule", None, Some(COMPUTES), true),
        ("public", "plan", None, Some("LANGUAGE sql AS 'SELECT 1'"), true),
        (
            "public",
            "run_maintenance",
            None,
            Some("LANGUAGE sql AS 'SELECT 1'"),
            true,
        ),
        ("cron", "schedule", Some("pg_cron"), None, true),
        ("public", "gen_salt", Some("pgcrypto"), None, true),
        ("public", "odd", Some("other"), None, true),
        ("public", "even", Some("other"), None, false),
        ("public", "moddatetime", Some("moddatetime"), None, true),
        (
            "net",
            "http_post",
            Some("pg_net"),
            Some("LANGUAGE sql AS 'SELECT 1'"),
            true,
        ),
    ] {
        catalog.code.routines.push(CatalogRoutine {
            name: Name {
                schema: Some(schema.into()),
                name: name.into(),
            },
            definition: body.map(|body| format!("CREATE FUNCTION {schema}.{name}(a text) RETURNS void {body}")),
            extension: extension.map(Into::into),
            acts,
            anon: false,
        });
    }
    catalog
}

fn kinds_installed(script: &str) -> Vec<FindingKind> {
    let found = findings_in(&[script], &installed());
    found.iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_function_of_an_installed_extension_does_what_is_known_of_it() {
    for (script, found) in [
        ("SELECT pgmq.create('q')", &[][..]),
        ("SELECT pgmq.drop_queue('q')", &[DropTable]),
        // A function that the table does not have is read where it can be.
        ("SELECT pgmq.other('q')", &[Opaque]),
        ("SELECT pgmq.tidy('q')", &[DeleteAll]),
        // It is declared STABLE.
        ("SELECT pgmq.shown('q')", &[]),
        ("SELECT net.http_post('q')", &[Opaque]),
        ("SELECT gen_salt('bf'), even('x')", &[]),
        ("SELECT odd('x')", &[Opaque]),
        ("SELECT o.odd, o.gen_salt FROM members o", &[]),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION moddatetime(note); \
             UPDATE members SET note = '' WHERE id = 1",
            &[],
        ),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION odd(); \
             UPDATE members SET note = '' WHERE id = 1",
            &[Opaque],
        ),
        // A function of the database's own that has the name of an extension's one.
        ("SELECT run_maintenance('x')", &[]),
        ("SELECT public.schedule('x')", &[Opaque]),
        ("SELECT cron.schedule('x', '* * * * *', 'SELECT plan()')", &[]),
    ] {
        assert_eq!(kinds_installed(script), found, "{script}");
    }
}

#[test]
fn a_text_that_an_extension_runs_is_read() {
    for (script, found) in [
        ("SELECT cron.schedule('* * * * *', 'VACUUM members')", &[][..]),
        (
            "SELECT cron.schedule('a', '* * * * *', $$DELETE FROM members WHERE id < 5$$)",
            &[],
        ),
        (
            "SELECT cron.schedule('a', '* * * * *', $$DELETE FROM members$$)",
            &[DeleteAll],
        ),
        (
            "SELECT cron.schedule('a', '* * * * *', 'DROP TABLE IF EXISTS users')",
            &[DropTable],
        ),
        (
            "SELECT cron.schedule(job_name := 'a', command := 'DROP TABLE members', schedule := 'x')",
            &[DropTable],
        ),
        (
            "SELECT cron.schedule(job_name := 'a', command := 'SELECT 1'::text, schedule := 'x')",
            &[],
        ),
        (
            "SELECT cron.schedule('a', '* * * * *', 'DROP TABLE ' || note) FROM members",
            &[Opaque],
        ),
        (
            "SELECT cron.schedule('a', '* * * * *', format('DROP TABLE %I', 'x'))",
            &[Opaque],
        ),
        (
            "SELECT cron.schedule('a', '* * * * *', 'SELECT partman.run_maintenance()')",
            &[Opaque],
        ),
        ("SELECT cron.unschedule('a')", &[DropOther]),
        (
            "INSERT INTO cron.job (command) VALUES ('DROP TABLE members')",
            &[Opaque],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn queries_that_crosstab_runs_and_the_retention_of_partitions_are_read() {
    for (script, found) in [
        (
            "SELECT * FROM crosstab('SELECT 1, 2, 3', 'SELECT 1') AS c (a int, b int)",
            &[][..],
        ),
        (
            "SELECT * FROM crosstab('SELECT 1, 2, 3', note) AS c (a int, b int)",
            &[Opaque],
        ),
        (
            "SELECT * FROM crosstab('WITH d AS (DELETE FROM members RETURNING 1) SELECT 1') AS c (a int)",
            &[DeleteAll],
        ),
        (
            "UPDATE partman.part_config SET premake = 8 WHERE parent_table = 'a.b'",
            &[],
        ),
        (
            "UPDATE partman.part_config SET retention = NULL WHERE parent_table = 'a.b'",
            &[],
        ),
        (
            "UPDATE partman.part_config SET retention = '1 day' WHERE parent_table = 'a.b'",
            &[DropTable],
        ),
        (
            "INSERT INTO partman.part_config (parent_table, retention) VALUES ('a.b', '1 day')",
            &[DropTable],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn functions_that_an_extension_of_the_scripts_may_bring_are_known_by_their_names() {
    for (call, found) in [
        ("AddGeometryColumn('members', 'g', 4326, 'POINT', 2)", &[][..]),
        ("DropGeometryTable('members')", &[DropTable]),
        ("DropGeometryColumn('members', 'g')", &[DropColumn]),
        ("pgmq.create('q')", &[]),
        ("pgmq.drop_queue('q')", &[DropTable]),
        ("pgmq.purge_queue('q')", &[Truncate]),
        ("partman.create_parent('public.members', 'id', '10')", &[]),
        ("partman.create_sub_parent('public.members', 'id', '10')", &[Opaque]),
        ("partman.run_maintenance()", &[Opaque]),
        ("partman.anything()", &[Opaque]),
        ("create_hypertable('members', 'id')", &[]),
        ("drop_chunks('members', interval '1 day')", &[DeleteAll]),
        ("add_retention_policy('members', interval '1 day')", &[DeleteAll]),
        ("cron.alter_job(1, command := 'x')", &[Opaque]),
        ("cron.schedule_in_database('a', 'b', 'c', 'd')", &[Opaque]),
        ("dblink_connect('x')", &[Opaque]),
        ("http_get('x')", &[Opaque]),
        ("net.http_post('x')", &[Opaque]),
        ("pgtle.install_extension('a', '1', '', 'DROP TABLE members')", &[Opaque]),
        ("xpath_table('a', 'b', 'c', 'd', 'e')", &[Opaque]),
        ("heap_force_kill('members', '{}')", &[DeleteAll]),
        // PostgreSQL's own.
        ("lo_unlink(1)", &[Opaque]),
        ("lowrite(1, '')", &[Opaque]),
        ("lo_from_bytea(1, '')", &[Opaque]),
        ("query_to_xmlschema('x', true, true, '')", &[Opaque]),
    ] {
        assert_eq!(kinds(&format!("SELECT {call}")), found, "{call}");
    }
    assert_eq!(kinds("CALL partman.run_maintenance_proc()"), [Opaque]);
    assert_eq!(kinds("SELECT m.http_status, m.schedule, (m).lo_put FROM members m"), []);
    for (script, found) in [
        ("CREATE EXTENSION age; SELECT drop_graph('g', true)", &[Opaque][..]),
        ("SELECT drop_graph('g', true)", &[]),
        // The extension that was created last has a function of this name that loses nothing; the first is not known.
        (
            "CREATE EXTENSION age; CREATE EXTENSION pgmq; SELECT x.create('q')",
            &[Opaque],
        ),
        (
            "CREATE EXTENSION pgmq; CREATE EXTENSION age; SELECT x.create('q')",
            &[Opaque],
        ),
        ("CREATE EXTENSION pg_trgm; SELECT similarity('a', 'b')", &[]),
        (
            "CREATE EXTENSION age; SELECT now(), count(*), m.email, plan('x') FROM members m",
            &[],
        ),
        (
            "CREATE EXTENSION age; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT f()",
            &[],
        ),
    ] {
        assert_eq!(kinds_installed(script), found, "{script}");
    }
}
