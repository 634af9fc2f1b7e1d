#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn kinds(sql: &str) -> Vec<StatementKind> {
    split(sql).unwrap().into_iter().map(|piece| piece.kind).collect()
}

#[test]
fn semicolons_inside_of_things_do_not_split() {
    for sql in [
        "SELECT 'a;''b;'",
        r"SELECT E'it\'s;'",
        "SELECT e'a'\n -- and on\n '\\';'",
        r"SELECT '\', 1",
        r#"SELECT ";""a;""#,
        "SELECT $$;$x$;$$",
        "DO $body$ BEGIN; $$;$$ END $body$",
        "SELECT U&'d\\0061t;', U&\"d;\"",
        "SELECT 1 -- ; '",
        "SELECT 1 /* ; /* ; */ ; ' */",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a.case AS end FROM a; SELECT 1 AS case; END",
        "SELECT a$b$c, $1",
    ] {
        assert_eq!(split(sql).unwrap().len(), 1, "{sql}");
        assert_eq!(kinds(&format!("{sql}\n; SELECT 2")), [StatementKind::Other; 2], "{sql}");
    }
    assert_eq!(
        kinds("CREATE TABLE \"begin\" (\"end\" int); SELECT 1;\n-- end\n"),
        [StatementKind::Other, StatementKind::Other, StatementKind::Empty]
    );
}

#[test]
fn only_a_body_hides_a_semicolon() {
    for begin in ["begin, atomic", "begin . atomic", "\"begin\" atomic", "'begin', atomic"] {
        let sql = format!("CREATE FUNCTION f() RETURNS int SET search_path TO {begin} AS 'select 1'; COMMIT; SELECT 1");
        let expected = [StatementKind::Other, StatementKind::End, StatementKind::Other];
        assert_eq!(kinds(&sql), expected, "{sql}");
    }
}

#[test]
fn says_what_a_statement_is() {
    for (sql, kind) in [
        ("-- x\nBEGIN", StatementKind::Begin),
        ("start transaction read write", StatementKind::Begin),
        ("/* c */ commit work", StatementKind::End),
        ("END", StatementKind::End),
        ("ROLLBACK", StatementKind::End),
        ("COMMIT AND CHAIN", StatementKind::Chain),
        ("ROLLBACK TO SAVEPOINT a", StatementKind::Other),
        ("SAVEPOINT a", StatementKind::Other),
        ("PREPARE TRANSACTION 'x'", StatementKind::Prepare),
        ("PREPARE p AS SELECT 1", StatementKind::Other),
        ("COPY t FROM STDIN", StatementKind::CopyClient(FROM_STDIN)),
        (
            "COPY t (a, b) FROM stdin WITH (FORMAT csv)",
            StatementKind::CopyClient(FROM_STDIN),
        ),
        ("COPY t FROM '/file'", StatementKind::Other),
        (
            "COPY (SELECT 1 FROM stdin) TO stdout (FORMAT csv)",
            StatementKind::CopyClient(TO_STDOUT),
        ),
        ("COPY t TO '/file'", StatementKind::Other),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
            StatementKind::Outside("CREATE INDEX CONCURRENTLY"),
        ),
        ("CREATE INDEX \"CONCURRENTLY\" ON t (a)", StatementKind::Other),
        (
            "drop index concurrently i",
            StatementKind::Outside("DROP INDEX CONCURRENTLY"),
        ),
        (
            "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
            StatementKind::Outside("REINDEX CONCURRENTLY"),
        ),
        ("REINDEX TABLE t", StatementKind::Other),
        ("VACUUM (ANALYZE) t", StatementKind::Outside("VACUUM")),
        ("ALTER SYSTEM SET a = 1", StatementKind::Outside("ALTER SYSTEM")),
        (
            "ALTER DATABASE d SET TABLESPACE x",
            StatementKind::Outside("ALTER DATABASE SET TABLESPACE"),
        ),
        ("ALTER DATABASE d SET work_mem = '1MB'", StatementKind::Other),
        ("CLUSTER", StatementKind::Outside("CLUSTER of all tables")),
        ("CLUSTER t USING i", StatementKind::Other),
        ("ALTER TYPE e ADD VALUE 'x'", StatementKind::Other),
        (
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
            StatementKind::Outside("DETACH PARTITION CONCURRENTLY"),
        ),
    ] {
        assert_eq!(kinds(sql), [kind], "{sql}");
    }
}

#[test]
fn the_number_of_statements_is_bounded() {
    assert_eq!(split(&";".repeat(MAX_STATEMENTS)).unwrap().len(), MAX_STATEMENTS);
    for many in [";".repeat(MAX_STATEMENTS + 1), "-- c\n;".repeat(MAX_STATEMENTS + 1)] {
        let refused = split(&many).unwrap_err();
        assert!(refused.what.contains("250,000 statements; divide it"), "{refused:?}");
    }
    // A word that cannot be a keyword is not copied.
    assert_eq!(kinds(&"x".repeat(10 << 20)), [StatementKind::Other]);
}

#[test]
fn refuses_what_a_server_would_not_read() {
    for (sql, at) in [
        ("SELECT 1;\n\\d t", 10),
        ("SELECT 'a", 7),
        ("SELECT E'a\\'", 7),
        ("/* /* */", 0),
        ("DO $x$ $y$", 3),
        ("SELECT \"a", 7),
    ] {
        assert_eq!(split(sql).unwrap_err().at, at, "{sql}");
    }
}

#[test]
fn rows_after_a_copy_are_told_at_the_copy() {
    for rows in ["1\ta\n\\.\n", "1\tit's\n", "1\ta;b\n2\t\\N;\n"] {
        let sql = format!("SELECT 1;\nCOPY t (a, b) FROM stdin;\n{rows}");
        let refused = split(&sql).unwrap_err();
        assert_eq!((refused.at, refused.what), (10, ROWS_FOLLOW), "{sql}");
    }
    assert_eq!(split("COPY t TO STDOUT;\n\\d").unwrap_err().at, 18);
}

proptest! {
    #[test]
    fn pieces_join_to_the_script(sql in r#"([a-zé \n;'"$()/*-]|--|/\*|\*/|\$x\$|BEGIN|ATOMIC|END|E'|\\)*"#) {
        if let Ok(pieces) = split(&sql) {
            let mut at = 0;
            for piece in &pieces {
                prop_assert_eq!(piece.span.start, at);
                prop_assert!(piece.span.contains(&piece.start) || piece.kind == StatementKind::Empty);
                at = piece.span.end;
            }
            prop_assert_eq!(at, sql.len());
        }
    }

    #[test]
    fn whole_statements_are_found_again(parts in proptest::collection::vec("[a-z ]{0,8}('[^'\\\\]{0,5}')?( \\$t\\$[;'a-z ]{0,5}\\$t\\$)?(/\\*[; a-z]{0,4}\\*/)?", 1..6)) {
        let wanted: Vec<_> = parts.iter().map(|part| format!("{part};")).collect();
        let script = wanted.concat();
        let pieces = split(&script).unwrap();
        let found: Vec<_> = pieces.iter().map(|piece| &script[piece.span.clone()]).collect();
        prop_assert_eq!(found, wanted);
    }
}
