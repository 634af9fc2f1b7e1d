#![allow(clippy::unwrap_used)]

use super::*;

fn source(files: &[(&str, &[u8])]) -> Result<Source, SourceError> {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    Source::read(Some(MigrationFormat::Prisma), files.collect())
}

#[test]
fn orders_by_bytes_and_knows_itself() {
    let files: [(&str, &[u8]); 4] = [
        ("2_b.sql", b"SELECT 2;\r\n"),
        ("migration_lock.toml", b"# comment\nprovider = \"postgresql\"\n"),
        ("1_a.sql", b""),
        ("README.md", b"\xff"),
    ];
    let one = source(&files).unwrap();
    assert_eq!((one.len(), one.last()), (2, Some("2_b")));
    assert_eq!(
        one.migrations()[0].checksum,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let mut other = files;
    other.reverse();
    assert_eq!(source(&other).unwrap().digest(), one.digest());
    other[1].1 = b"-- changed";
    assert_ne!(source(&other).unwrap().digest(), one.digest());
    assert!(one.digest().starts_with("sha256:"));
}

#[test]
fn chooses_the_mode() {
    for (script, mode) in [
        ("", Mode::Atomic),
        ("CREATE TABLE a (); CREATE TABLE b ();", Mode::Atomic),
        ("-- x\nCREATE INDEX CONCURRENTLY i ON t (a);;\n-- y", Mode::Whole),
        ("BEGIN; CREATE TABLE a (); COMMIT;", Mode::Whole),
        ("VACUUM", Mode::Whole),
    ] {
        let one = source(&[("a.sql", script.as_bytes())]).unwrap();
        assert_eq!(one.migrations()[0].mode, mode, "{script}");
    }
}

#[test]
fn refuses_with_place_and_cure() {
    for (name, bytes, says) in [
        (
            "a.sql",
            &b"\xef\xbb\xbfSELECT 1"[..],
            "a.sql:1:1: the file begins with a byte order mark",
        ),
        ("a.sql", b"SELECT 1;\n  \0", "a.sql:2:3: a NUL"),
        ("a.sql", b"SELECT 1;\n\xc3\xa9\xff", "a.sql:2:2: the text is not UTF-8"),
        ("a.sql", b"\\c db", "a.sql:1:1: a psql command"),
        (
            "a.sql",
            b"SELECT 1;\n COPY t FROM stdin;\n1\n\\.\n",
            "a.sql:4:1: a psql command",
        ),
        ("a.sql", b"SELECT 1;\n COPY t FROM stdin;\n", "a.sql:2:2: COPY"),
        (
            "a.sql",
            b"SELECT 1;\nBEGIN; SELECT 2;",
            "a.sql:2:1: this transaction is never committed",
        ),
        (
            "a.sql",
            b"BEGIN;\nVACUUM;\nCOMMIT;",
            "a.sql:2:1: VACUUM cannot run inside the transaction that the script begins",
        ),
        ("a.sql", b"SELECT 'x", "a.sql:1:8: a string without end"),
        ("a.txt", b"", "a.txt: a migration's key must be"),
        (".sql", b"", ".sql: a migration's key"),
        ("migration_lock.toml", b"provider = \"mysql\"", "`mysql`"),
        ("migration_lock.toml", b"", "names no provider"),
    ] {
        let error = source(&[(name, bytes)]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nwanted {says}");
    }
    assert!(
        source(&[("a.sql", b""), ("a.sql", b"")])
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    let long = format!("{}.sql", "x".repeat(256));
    assert!(source(&[(&long, b"")]).unwrap_err().to_string().contains("longer"));
}
