#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::migrate::lexer::split;
use crate::migrate::seed::line_and_column;

fn files(files: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    let owned = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    owned.collect()
}

fn values(name: &str) -> SeedVariables {
    let mut variables = SeedVariables::default();
    variables.set("x", name, "x");
    variables.set("other", "o", "other");
    variables
}

#[test]
fn files_run_in_the_order_of_their_names() {
    let source = SeedSource::read(files(&[
        ("b/20_member.csv", "id\n1\n"),
        ("README.md", "\u{0}"),
        ("b/10_a.SQL", "SELECT 1"),
        ("a.sql", "SELECT 2"),
    ]))
    .unwrap();
    let names: Vec<_> = source.parts().iter().map(SeedPart::file).collect();
    assert_eq!(names, ["a.sql", "b/10_a.SQL", "b/20_member.csv"]);
}

#[test]
fn the_hash_of_a_file_is_that_of_its_content() {
    let hash = |file: &str, text: &str| SeedSource::read(files(&[(file, text)])).unwrap().parts()[0].hash();
    for (file, one, other) in [("a.sql", "SELECT 1", "SELECT 2"), ("1_a.csv", "id\n1\n", "id\n2\n")] {
        assert_ne!(hash(file, one), hash(file, other), "{file}");
        assert_eq!(hash(file, one), hash(file, one), "{file}");
    }
}

#[test]
fn refuses_with_place_and_cure() {
    for (file, text, says) in [
        ("a.txt", "", "the seed: it holds neither a .sql nor a .csv file"),
        (
            "a.sql",
            "\u{feff}SELECT 1",
            "a.sql:1:1: the file begins with a byte order mark",
        ),
        ("a.sql", "SELECT 1;\nCOMMIT", "a.sql:2:1: a seed is one transaction"),
        (
            "a.sql",
            "SELECT 1;\n  COPY t FROM STDIN",
            "a.sql:2:3: COPY … FROM STDIN needs psql; put the rows into a .csv",
        ),
        (
            "a.sql",
            "SELECT 1;\n  COPY t FROM STDIN;\nit's\n\\.\n",
            "a.sql:2:3: COPY … FROM STDIN needs psql: write INSERT, or put the rows into a .csv",
        ),
        (
            "a.sql",
            "SELECT 1;\n  COPY t TO STDOUT",
            "a.sql:2:3: COPY … TO STDOUT needs psql; remove it",
        ),
        (
            "a.sql",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql\n SET search_path TO begin, atomic AS 'select 1';\nCOMMIT; SELECT 1;",
            "a.sql:3:1: a seed is one transaction",
        ),
        (
            "a.sql",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 case; END; COMMIT; SELECT 1;",
            "a.sql:1:1: PostgreSQL reads several statements here",
        ),
        ("a.sql", "SELECT 1,\n  :x", "a.sql:2:3: a variable without quotes"),
    ] {
        let error = SeedSource::read(files(&[(file, text)])).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    let twice = SeedSource::read(files(&[("a.sql", ""), ("a.sql", "")])).unwrap_err();
    assert_eq!(twice.to_string(), "a.sql: this file of the seed appears twice");
}

#[test]
fn the_digest_is_over_files_and_the_values_that_they_use() {
    let plain = SeedSource::read(files(&[("a.sql", "SELECT ':x'")])).unwrap();
    assert_eq!(plain.digest(&values("1")), plain.digest(&values("2")));
    let uses = SeedSource::read(files(&[("a.sql", "SELECT :'x', :'x'"), ("t.csv", "a\n:'nothing'\n")])).unwrap();
    let (one, two) = (uses.digest(&values("1")).unwrap(), uses.digest(&values("2")).unwrap());
    assert!(one != two && one.starts_with("sha256:") && one.len() == 71, "{one}");
    let mut more = values("1");
    more.set("unused", "y", "unused");
    assert_eq!(uses.digest(&more).unwrap(), one);
    let unknown = uses.digest(&SeedVariables::default()).unwrap_err().to_string();
    assert!(
        unknown.starts_with("a.sql:1:8: the variable x is not known"),
        "{unknown}"
    );
}

#[test]
fn values_that_cannot_be_put_there_are_not_shown() {
    let script = |text: &str| Script::read("a.sql", text.as_bytes().to_vec()).unwrap();
    for (text, value, says) in [
        ("SELECT :'x'", "se\0cret", "the value of x holds a NUL character"),
        ("SELECT :\"x\"", "", "it has 0 bytes"),
        ("SELECT :\"x\"", &"secret".repeat(20), "it has 120 bytes"),
    ] {
        let error = script(text).render(&values(value)).unwrap_err().to_string();
        assert!(error.starts_with("a.sql:1:8: ") && error.contains(says), "{error}");
        assert!(!error.contains("cret"), "{error}");
    }
}

#[test]
fn places_are_those_of_the_file() {
    let script = Script::read("a.sql", b"SELECT :'x',\n  :\"x\", nope;".to_vec()).unwrap();
    let rendered = script.render(&values("two\nlines")).unwrap();
    assert_eq!(*rendered.text, "SELECT  'two\nlines',\n   \"two\nlines\", nope;");
    for (text, place) in [("nope", (2, 9)), ("lines'", (1, 8)), ("\"two", (2, 3)), (";", (2, 13))] {
        let at = rendered.text.find(text).unwrap();
        assert_eq!(line_and_column(script.text(), rendered.origin(at)), place, "{text}");
    }
}

proptest! {
    #[test]
    fn no_value_changes_what_the_statements_are(
        value in r#"([^\x00]|['"\\;$/*-]|--|\$\$|'\);|E'|:'x'){1,40}"#,
        before in r"[a-z(\[=|,&$EeUuBx@/*' -]{0,4}",
        quoting in "['\"]",
    ) {
        let text = format!("SELECT 1; SELECT {before}:{quoting}x{quoting}; SELECT 3");
        if let Ok(script) = Script::read("a.sql", text.clone().into_bytes())
            && let Ok(rendered) = script.render(&values(&value))
            && !script.variables.is_empty()
        {
            let (old, new) = (split(&text).unwrap(), split(&rendered.text).unwrap());
            let kinds = |pieces: &[crate::migrate::lexer::Piece]| pieces.iter().map(|piece| piece.kind).collect::<Vec<_>>();
            prop_assert_eq!(kinds(&old), kinds(&new));
        }
    }
}
