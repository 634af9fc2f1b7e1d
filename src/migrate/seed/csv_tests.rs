#![allow(clippy::unwrap_used)]
use super::*;

fn table(file: &str, text: &str) -> Result<SeedTable, String> {
    SeedTable::read(file, &text.as_bytes().to_vec().into()).map_err(|error| error.to_string())
}

#[test]
fn a_file_names_its_table_and_columns() {
    for (file, statement) in [
        ("20_Member.csv", r#"COPY "Member" ("id", "a b")"#),
        ("member.csv", r#"COPY "member" ("id", "a b")"#),
        ("more/020_app.pay-scale.CSV", r#"COPY "app"."pay-scale" ("id", "a b")"#),
        ("2026.csv", r#"COPY "2026" ("id", "a b")"#),
    ] {
        let read = table(file, "\u{feff}id,\"a b\"\r\n1,2\r\n").unwrap();
        assert_eq!(
            read.statement(),
            format!("{statement} FROM STDIN WITH (FORMAT csv, HEADER true)")
        );
    }
    let odd = table("t.csv", "\"a\"\"b); DROP TABLE t; --\",c\n").unwrap();
    assert!(
        odd.statement()
            .starts_with(r#"COPY "t" ("a""b); DROP TABLE t; --", "c") FROM"#)
    );
}

#[test]
fn refuses_with_place_and_cure() {
    for (file, text, says) in [
        ("10_.csv", "a\n", "10_.csv: the file name does not name a table"),
        ("a.b.c.csv", "a\n", "a.b.c.csv: the file name does not name a table"),
        ("t.csv", "", "t.csv:1:1: the first line must name the columns"),
        ("t.csv", "\na\n", "t.csv:1:1: the first line must name the columns"),
        (
            "t.csv",
            "a;b\n1;2\n",
            "t.csv:1:1: the columns must be separated by commas",
        ),
        ("t.csv", "a,,b\n", "t.csv:1:1: column 2 has no name"),
        ("t.csv", "a,b,a\n", "t.csv:1:1: the column a appears twice"),
        ("t.csv", "a\n1\0\n", "t.csv:2:2: a NUL"),
    ] {
        let error = table(file, text).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn rows_behind_the_end_of_the_data_are_refused() {
    for (text, place) in [
        ("a\n1\n\\.\n2\n", Some("t.csv:3:1: a line of \\. alone")),
        ("a\r\n\\.\r\n2", Some("t.csv:2:1: a line of \\. alone")),
        ("a\n1\n\\.\n\n", None),
        ("a\r\n\\.", None),
        ("a\n\"\\.\"\n2\n", None),
        ("a\n\"x\n\\.\ny\"\n2\n", None),
        ("a\n\\.x\n2\n", None),
    ] {
        let checked = table("t.csv", text).unwrap().check_end();
        let error = checked.err().map(|error| error.to_string());
        assert_eq!(error.is_some(), place.is_some(), "{text:?}");
        assert!(
            error.unwrap_or_default().starts_with(place.unwrap_or_default()),
            "{text:?}"
        );
    }
}

#[test]
fn the_servers_context_tells_the_place() {
    let read = table("10_pay.csv", "id,per: hour,name\n1,2,\"x\ny\"\n7,8,z\n").unwrap();
    for (context, place) in [
        (
            "COPY pay, line 3, column per: hour: \"a: b, line 9\"",
            (Some(3), Some("per: hour")),
        ),
        ("COPY pay, Zeile 12, Spalte id: »x«", (Some(12), Some("id"))),
        ("COPY pay, line 2: \"1,2,x\"", (Some(2), None)),
        (
            "PL/pgSQL function f() line 3 at RAISE\nCOPY pay, line 4: \"1\"",
            (Some(4), None),
        ),
        ("", (None, None)),
    ] {
        let found = read.place(context);
        assert_eq!((found.0, found.1.as_deref()), place, "{context}");
    }
    for (detail, place) in [
        ("Key (id)=(7) is not present in table \"x\".", (Some(4), Some("id"))),
        (
            "Key (id, name)=(1, x\ny) is not present in table \"x\".",
            (Some(2), None),
        ),
        ("Key (id)=(9) is not present in table \"x\".", (None, Some("id"))),
        ("Key (other)=(7) is not there", (None, None)),
        ("", (None, None)),
    ] {
        let found = read.with_key(detail);
        assert_eq!((found.0, found.1.as_deref()), place, "{detail}");
    }
}

#[test]
fn bad_json_is_the_rows_and_what_code_refuses_is_not() {
    let read = table("20_act.csv", "data\n").unwrap();
    let row = "COPY act, line 2, column data: \"{secret\"";
    for (context, source, inside) in [
        (row.to_owned(), "numutils.c", false),
        (String::new(), "ri_triggers.c", false),
        (format!("JSON data, line 1: {{secret\n{row}"), "jsonfuncs.c", false),
        (format!("JSON-Daten, Zeile 1: {{secret\n{row}"), "json.c", false),
        (row.to_owned(), "jsonfuncs.c", false),
        (row.replace("secret", "a\nsecret"), "jsonfuncs.c", false),
        (
            format!("JSON data, line 1: secret\nPL/pgSQL function f() line 1 at assignment\n{row}"),
            "jsonfuncs.c",
            true,
        ),
        (
            format!("PL/pgSQL function f() line 1 at RAISE\n{row}"),
            "pl_exec.c",
            true,
        ),
    ] {
        assert_eq!(read.is_inside(&context, source), inside, "{context}");
    }
}

#[test]
fn messages_hold_no_values() {
    for (sqlstate, inside, message, shown) in [
        (
            "22P02",
            false,
            "invalid input syntax for type integer: \"a\" \"secret\"",
            "invalid input syntax for type integer: \"…\"",
        ),
        (
            "22003",
            false,
            "Wert »99 secret« ist außerhalb des gültigen Bereichs",
            "Wert \"…\" ist außerhalb des gültigen Bereichs",
        ),
        (
            "22P04",
            false,
            "missing data for column \"name\"",
            "missing data for column \"name\"",
        ),
        (
            "23505",
            false,
            "duplicate key value violates unique constraint \"k\"",
            "duplicate key value violates unique constraint \"k\"",
        ),
        ("P0001", true, "no secret", "a trigger or a function refused the row"),
        ("23514", true, "no secret", "a trigger or a function refused the row"),
    ] {
        assert_eq!(without_values(sqlstate, inside, message), shown);
    }
}
