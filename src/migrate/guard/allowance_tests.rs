//! How much the guard remembers and does.

use std::sync::Arc;

use super::FindingKind::{self, DeleteAll, DropTable, Unjudged};
use super::allowance::Allowance;
use super::judge::PendingScript;
use super::known::KnownObjects;
use super::makes::Makes;
use super::names::Name;
use super::statements;
use super::tests::{catalog, kinds};
use crate::migrate::run_mode::Kept;

/// Judges scripts on a database with tables within an allowance.
fn judged(texts: &[&str], allowance: Allowance) -> (Vec<FindingKind>, KnownObjects) {
    let script = |(at, text): (usize, &&str)| PendingScript {
        migration: format!("m{at}"),
        text: Arc::new((*text).to_owned()),
        committed: 0,
        kept: Kept::Nothing,
        makes: Makes::default(),
    };
    let scripts: Vec<_> = texts.iter().enumerate().map(script).collect();
    let mut known = KnownObjects::new(&catalog());
    known.code.allowance = allowance;
    let (findings, known, _) = statements::judge(&scripts, known);
    (findings.iter().map(|finding| finding.kind).collect(), known)
}

/// The work of a script, all of which is judged.
fn work(text: &str) -> usize {
    let (found, known) = judged(&[text], Allowance::default());
    assert!(!found.contains(&Unjudged), "{}", &text[..80]);
    known.code.allowance.done()
}

fn many(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// A function that reads many tables and calls itself.
fn reading() -> String {
    let tables = many(100, |at| format!("SELECT 1 FROM t{at}; "));
    format!("CREATE FUNCTION f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS $$ {tables} SELECT f() $$; ")
}

#[test]
fn work_grows_with_the_scripts_and_no_faster() {
    let again = "CREATE OR REPLACE FUNCTION f() RETURNS int RETURN 1;";
    let inputs: [(&str, &dyn Fn(usize) -> String); 9] = [
        ("tables", &|count| many(count, |at| format!("CREATE TABLE a{at}();"))),
        ("keys", &|count| {
            many(count, |at| {
                format!("CREATE TABLE a{at}(i int PRIMARY KEY); ALTER TABLE a{at} ADD CONSTRAINT c CHECK (i > 0);")
            })
        }),
        ("one function", &|count| {
            again.repeat(count) + &"SELECT f();".repeat(count)
        }),
        ("functions", &|count| {
            many(count, |at| {
                format!("CREATE FUNCTION f{at}() RETURNS int RETURN 1; SELECT f{at}();")
            })
        }),
        ("readers", &|count| {
            reading() + &"INSERT INTO t SELECT f();".repeat(count)
        }),
        ("grants", &|count| {
            reading() + &"GRANT EXECUTE ON FUNCTION f TO anon;".repeat(count)
        }),
        ("drops", &|count| {
            reading() + &"DROP FUNCTION IF EXISTS f;".repeat(count) + &reading().repeat(2)
        }),
        ("triggers", &|count| {
            many(count, |at| {
                format!(
                    "CREATE TRIGGER t AFTER INSERT ON a{at} EXECUTE FUNCTION g{at}(); INSERT INTO a{at} VALUES (1);"
                )
            })
        }),
        ("a block", &|count| {
            format!("DO $$ BEGIN {} END $$", many(count, |at| format!("DELETE FROM t{at};")))
        }),
    ];
    for (what, input) in inputs {
        let (half, whole) = (work(&input(400)), work(&input(800)));
        assert!(2 * whole <= 5 * half, "{what}: {half} and then {whole}");
    }
    // What a function reads is read once: a call costs less than its text.
    let (none, calls) = (
        work(&reading()),
        work(&(reading() + &"INSERT INTO t SELECT f();".repeat(100))),
    );
    assert!(calls - none < 100 * reading().len(), "{none} and then {calls}");
}

#[test]
fn what_equals_a_known_object_is_remembered_once() {
    let text = "CREATE OR REPLACE FUNCTION f() RETURNS int RETURN 1; \
                CREATE OR REPLACE TRIGGER t AFTER INSERT ON members EXECUTE FUNCTION f(); "
        .repeat(500);
    let name = Name::of(vec!["f".to_owned()]);
    let (found, mut known) = judged(&[&text, &text, &text], Allowance::of(64 << 10, 40_000_000));
    assert!(!found.contains(&Unjudged));
    assert_eq!(known.code.routines(&name).len(), 1);
    // Another one of its name is another one.
    let other = "CREATE OR REPLACE FUNCTION f() RETURNS int RETURN 2;";
    let (_, mut known) = judged(&[&text, other], Allowance::default());
    assert_eq!(known.code.routines(&name).len(), 2);
}

#[test]
fn beyond_the_allowance_nothing_is_remembered_or_judged_and_the_plan_says_so() {
    let last = "DELETE FROM members; DROP TABLE members;";
    let redefined = many(3_000, |at| {
        format!("CREATE OR REPLACE FUNCTION f() RETURNS int RETURN {at};\n")
    });
    let back = "ALTER TABLE members RENAME TO m; ALTER TABLE m RENAME TO members; ";
    let schemas = "ALTER SCHEMA public RENAME TO x; ALTER SCHEMA x RENAME TO public; ";
    let columns = many(3_000, |at| format!("ALTER TABLE members ADD COLUMN a{at} int;\n"));
    let roles = many(400, |at| format!("role_{at}, ")) + "anon";
    let tables = many(400, |at| format!("table_{at}, ")) + "members";
    for (what, script) in [
        ("functions of one name", redefined.clone()),
        ("calls of each", redefined.clone() + &"SELECT f();\n".repeat(1_000)),
        ("new tables", many(3_000, |at| format!("CREATE TABLE a{at}();\n"))),
        (
            "tables of one name",
            many(3_000, |at| format!("CREATE TABLE s{at}.t();\n")),
        ),
        ("names", many(3_000, |at| format!("SELECT f{at}();\n"))),
        (
            "tables that may have two names",
            format!("DO $$ BEGIN {} END $$;\n", back.repeat(30)),
        ),
        ("schemas that may have two names", schemas.repeat(30)),
        ("columns", columns),
        ("long findings", format!("GRANT SELECT ON {tables} TO {roles};\n")),
        (
            "blocks",
            many(3_000, |at| format!("DO $$ BEGIN PERFORM {at}; END $$;\n")),
        ),
        ("prepared", many(3_000, |at| format!("PREPARE p{at} AS SELECT 1;\n"))),
        (
            "leaks",
            many(3_000, |at| {
                format!(
                    "CREATE FUNCTION f{at}() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT note FROM members';\n"
                )
            }),
        ),
        ("statements", "SELECT 1;\n".repeat(10_000)),
    ] {
        let (found, known) = judged(&[&script, last], Allowance::of(300_000, 1_000_000));
        assert_eq!(found.last(), Some(&Unjudged), "{what}: {} findings", found.len());
        assert_eq!(found.iter().filter(|kind| **kind == Unjudged).count(), 1, "{what}");
        assert!(!found.contains(&DropTable) && !found.contains(&DeleteAll), "{what}");
        assert!(known.code.allowance.done() <= 1_000_000, "{what}");
    }
    let (found, _) = judged(&[last], Allowance::of(300_000, 1_000_000));
    assert_eq!(found, [DeleteAll, DropTable]);
}

#[test]
fn no_more_is_told_than_a_plan_can_hold() {
    let found = kinds(&"TRUNCATE members;\n".repeat(20_010));
    assert_eq!((found.len(), found.last()), (20_001, Some(&Unjudged)));
}
