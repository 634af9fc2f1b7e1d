//! Code that a definition names, and that runs without being called by name.

use super::code_tests::{DELETE, all_are_found, plpgsql};
use super::finding::FindingKind::*;

#[test]
fn code_of_definitions_is_read() {
    all_are_found(vec![
        (
            format!(
                "{} CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = 'purge')",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
        (
            format!(
                "{} CREATE TYPE r AS RANGE (subtype = int, subtype_diff = purge)",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
        (
            format!(
                "{} CREATE FUNCTION h(i int DEFAULT purge()) RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT h()",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
        (
            format!(
                "{} CREATE RULE r AS ON INSERT TO empty WHERE purge() = 1 DO INSTEAD NOTHING",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
        (
            format!("{} SELECT (m).purge FROM members m", plpgsql(DELETE)),
            vec![DeleteAll],
        ),
        (
            "UPDATE pg_settings SET setting = 'other' WHERE name = 'search_path'".into(),
            vec![Opaque],
        ),
        ("ALTER EXTENSION citext ADD FUNCTION purge()".into(), vec![Opaque]),
        (
            format!(
                "{} SELECT * FROM crosstab('SELECT purge()') AS c (a text, b text)",
                plpgsql(DELETE)
            ),
            vec![DeleteAll],
        ),
    ]);
}
