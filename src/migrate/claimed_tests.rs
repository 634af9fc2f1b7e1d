use super::*;

fn after(scripts: &[&str]) -> Vec<String> {
    let mut left = ClaimedTables::new(vec!["public".into()]);
    for script in scripts {
        left.run(&Arc::new((*script).to_owned()));
    }
    let names = left.names().into_iter();
    names.map(|name| name.to_string()).collect()
}

#[test]
fn scripts_claim_the_tables_that_they_create_and_do_not_drop() {
    let mut left = ClaimedTables::default();
    for script in [
        "CREATE TABLE a (id int); CREATE TABLE IF NOT EXISTS \"B\" (id int); CREATE TEMP TABLE t ();",
        "CREATE SCHEMA s; CREATE TABLE s.c (); CREATE TABLE s.d AS SELECT 1; CREATE TABLE public.e ();",
        "ALTER TABLE a RENAME TO f; ALTER TABLE e SET SCHEMA s; DROP TABLE s.d; DROP TABLE IF EXISTS nope;",
        "CREATE TABLE g (); DROP TABLE public.g; CREATE MATERIALIZED VIEW v AS SELECT 1;",
        "CREATE SCHEMA x; CREATE TABLE x.y (); DROP SCHEMA x CASCADE; ALTER SCHEMA s RENAME TO r;",
        "DO $$ BEGIN EXECUTE 'DROP TABLE h'; END $$;",
    ] {
        left.run(&Arc::new(script.to_owned()));
    }
    let tables = left.tables.tables();
    let names: Vec<_> = tables
        .map(|table| format!("{}.{}", table.schema.as_deref().unwrap_or_default(), table.name))
        .collect();
    assert_eq!(names, [".f", ".B", "r.c", "r.e"]);
    let [(script, span)] = left.opaque.as_slice() else {
        panic!("{:?}", left.opaque)
    };
    assert!(script[span.clone()].contains("DROP TABLE h"));
}

#[test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
fn a_table_is_claimed_only_while_nothing_can_have_taken_it() {
    const MADE: &str = "CREATE TABLE a (id int); CREATE TABLE app.b (id int);";
    for (then, left) in [
        ("SELECT 1", &["a", "app.b"][..]),
        ("DROP SCHEMA public CASCADE; CREATE SCHEMA public;", &["app.b"]),
        ("DROP SCHEMA app CASCADE", &["a"]),
        ("DROP SCHEMA other, app CASCADE", &["a"]),
        ("SET search_path = app; DROP SCHEMA app CASCADE", &[]),
        ("DROP OWNED BY CURRENT_USER", &[]),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$", &["app.b"]),
        (
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT tablename FROM pg_tables LOOP
                 EXECUTE format('DROP TABLE %I', r.tablename); END LOOP; END $$",
            &[],
        ),
        ("DO $$ BEGIN EXECUTE 'DROP ' || 'TABLE ' || name FROM x; END $$", &[]),
        ("DO $$ BEGIN DROP  SCHEMA app CASCADE; END $$", &[]),
        ("DO $$ BEGIN EXECUTE 'ANALYZE ' || 'x'; END $$", &["a", "app.b"]),
        (
            "CREATE FUNCTION f(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE ' || t; END $$",
            &[],
        ),
        ("CALL tidy('a')", &["app.b"]),
        // A text that is run later, and again.
        (
            "SELECT cron.schedule('x', '0 3 * * *', 'DROP TABLE IF EXISTS a')",
            &["app.b"],
        ),
        (
            "WITH c AS (SELECT 'x') SELECT dblink_exec('c', $$ALTER TABLE app.b RENAME TO old$$)",
            &["a"],
        ),
        ("INSERT INTO cron.job (command) VALUES ('drop table a')", &["app.b"]),
        ("SELECT cron.schedule('x', '@daily', 'DROP SCHEMA app CASCADE')", &[]),
        (
            "SELECT cron.schedule('x', '@daily', format('DROP TABLE %I', t)) FROM x",
            &[],
        ),
        ("SELECT cron.schedule('x', '@daily', 'VACUUM a')", &["a", "app.b"]),
        ("INSERT INTO notes VALUES ('DROP TABLE a')", &["a", "app.b"]),
        ("CREATE TABLE c (); DROP TABLE c", &["a", "app.b"]),
        ("BEGIN; CREATE TABLE c (); ROLLBACK;", &["a", "app.b"]),
        ("BEGIN; CREATE TABLE c (); COMMIT;", &["a", "app.b", "c"]),
        (
            "BEGIN; CREATE TABLE c (); COMMIT AND CHAIN; CREATE TABLE d (); ROLLBACK;",
            &["a", "app.b", "c"],
        ),
        (
            "BEGIN; CREATE TABLE c (); ROLLBACK AND CHAIN; CREATE TABLE d (); COMMIT AND CHAIN; CREATE TABLE e (); ROLLBACK",
            &["a", "app.b", "d"],
        ),
        (
            "BEGIN; CREATE TABLE c (); BEGIN; CREATE TABLE d (); ROLLBACK;",
            &["a", "app.b"],
        ),
        ("BEGIN; ROLLBACK; CREATE TABLE c (); ROLLBACK;", &["a", "app.b", "c"]),
        (
            "BEGIN; SAVEPOINT s; CREATE TABLE c (); ROLLBACK TO s; COMMIT;",
            &["a", "app.b"],
        ),
        ("CREATE TABLE p PARTITION OF a DEFAULT; DROP TABLE a", &["app.b"]),
        (
            "CREATE TABLE p (); ALTER TABLE a ATTACH PARTITION p DEFAULT; DROP TABLE a",
            &["app.b"],
        ),
        ("CREATE TABLE p () INHERITS (app.b); DROP SCHEMA app CASCADE", &["a"]),
        (
            "CREATE TABLE p PARTITION OF a DEFAULT; ALTER TABLE a RENAME TO z; DROP TABLE z",
            &["app.b"],
        ),
        (
            "CREATE TABLE p () INHERITS (app.b); ALTER SCHEMA app RENAME TO old; DROP TABLE old.b",
            &["a"],
        ),
        ("CREATE TABLE p OF kind", &["a", "app.b"]),
        ("CREATE TABLE pg_temp.p ()", &["a", "app.b"]),
        ("CREATE TABLE x.a (); ALTER TABLE a RENAME TO z", &["app.b"]),
        ("ALTER TABLE a SET SCHEMA app", &["app.a", "app.b"]),
        ("ALTER SCHEMA app RENAME TO old", &["a", "\"old\".b"]),
    ] {
        let left: Vec<_> = left.iter().map(|name| name.replace('"', "")).collect();
        assert_eq!(after(&[MADE, then]), left, "{then}");
    }
}

fn levels(count: usize) -> String {
    let children = (1..count).map(|level| format!("CREATE TABLE t{level} () INHERITS (t{});", level - 1));
    format!(
        "CREATE TABLE other (); CREATE TABLE t0 ();{}",
        children.collect::<String>()
    )
}

#[test]
fn any_number_of_levels_of_inheritance_is_read() {
    assert_eq!(after(&[&levels(19_000), "DROP TABLE t0"]), ["other"]);
    // More tables than real scripts create: none counts, including later ones.
    for then in ["DROP TABLE t0", "CREATE TABLE more ()"] {
        assert!(after(&[&levels(60_000), then]).is_empty());
    }
}

#[test]
fn any_number_of_blocks_is_read() {
    let tables = (0..19_000)
        .map(|number| format!("CREATE TABLE \"a {number}\" ();"))
        .collect::<Vec<_>>()
        .concat();
    let blocks = "DO $$ BEGIN PERFORM 'a', '7'; END $$;".repeat(100_000);
    let left = after(&[&tables, &blocks]);
    assert_eq!(left.len(), 18_999);
    assert!(!left.contains(&"\"a 7\"".to_owned()));
}

#[test]
fn work_on_claims_is_bounded() {
    let tables = (0..15_000)
        .map(|number| format!("CREATE TABLE t{number} ();"))
        .collect::<Vec<_>>()
        .concat();
    let again = "SAVEPOINT s; ROLLBACK TO s; DROP SCHEMA x;".repeat(2_000);
    assert!(after(&[&format!("{tables} BEGIN; {again} COMMIT;")]).is_empty());
}
