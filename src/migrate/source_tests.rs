#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

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
            "a.sql:2:2: COPY … FROM STDIN needs psql: write INSERT, or put the rows into a .csv file of the seed",
        ),
        (
            "a.sql",
            b"SELECT 1;\n COPY t FROM stdin;\n",
            "a.sql:2:2: COPY … FROM STDIN needs psql; write INSERT",
        ),
        (
            "a.sql",
            b"SELECT 1;\n COPY (SELECT 1) TO STDOUT WITH CSV;\n",
            "a.sql:2:2: COPY … TO STDOUT needs psql; remove it",
        ),
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

/// As `kubectl create configmap --from-file=prisma/migrations/<name>/` packs them.
#[test]
fn the_files_of_one_prisma_migration_need_its_folder() {
    let (script, undo) = (("migration.sql", &b"SELECT 1"[..]), ("down.sql", &b"SELECT 2"[..]));
    for files in [&[script, undo][..], &[undo, script], &[script], &[undo]] {
        for format in [None, Some(MigrationFormat::Prisma)] {
            let given = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
            let error = Source::read(format, given.collect()).unwrap_err().to_string();
            assert!(
                error.contains("pack the") && error.contains("(tar czf), or name the key"),
                "{error}"
            );
        }
    }
    let error = source(&[script]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "migration.sql: the name of a Prisma migration is that of its folder, which is missing here: "
        ),
        "{error}"
    );
}

#[test]
fn settings_of_sqlx_that_change_its_history_are_refused() {
    let read = |format, settings: &str| {
        let files = [("1_a.sql", "SELECT 1"), ("sqlx.toml", settings)];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        Source::read(Some(format), files.to_vec())
    };
    for (settings, setting) in [
        ("[migrate]\ntable-name = \"app._sqlx_migrations\"\n", "table-name"),
        ("[migrate]\nignored-chars = [\"\\r\"]", "ignored-chars"),
        ("migrate = { create-schemas = [\"app\"] } # own", "create-schemas"),
    ] {
        let error = read(MigrationFormat::Sqlx, settings).unwrap_err().to_string();
        assert!(error.starts_with(&format!("sqlx.toml: it sets {setting}, ")), "{error}");
    }
    for settings in [
        "",
        "[common]\ndatabase-url-var = \"URL\"\n[migrate]\n# table-name = \"x\"\nmigrations-dir = \"db\"",
        "[macros.table-overrides.'a']\n",
    ] {
        assert_eq!(read(MigrationFormat::Sqlx, settings).unwrap().len(), 1, "{settings}");
    }
    // Other tools ignore it, or refuse it as every other file.
    assert_eq!(read(MigrationFormat::Supabase, "table-name").unwrap().len(), 1);
}

/// Files of one tool, in the ways that people name them.
fn files_of(format: MigrationFormat) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = match format {
        MigrationFormat::Prisma => "[0-9]{0,14}_?[a-z _]{1,12}",
        MigrationFormat::Supabase => "20[2-9][0-9]{11}_[a-z_]{0,12}",
        MigrationFormat::Sqlx => "[0-9]{1,14}_[a-z_]{1,12}",
    };
    let script = "(SELECT [0-9]{1,3};(\r\n|\n)?|-- é\n){0,4}".prop_map(String::into_bytes);
    proptest::collection::btree_map(name.prop_map(|name| format!("{name}.sql")), script, 0..12)
        .prop_map(|files| files.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// The order of files is not that of the source, each appears once, and its name, its checksum and the digest of all
    /// depend only on names and bytes.
    #[test]
    fn a_source_is_its_names_and_bytes(
        format in prop_oneof![Just(MigrationFormat::Prisma), Just(MigrationFormat::Supabase), Just(MigrationFormat::Sqlx)],
        seed in any::<u64>(),
        files in prop_oneof![Just(MigrationFormat::Prisma), Just(MigrationFormat::Supabase), Just(MigrationFormat::Sqlx)].prop_flat_map(files_of),
    ) {
        let Ok(source) = Source::read(Some(format), files.clone()) else { return Ok(()) };
        let mut shuffled = files.clone();
        shuffled.sort_by_key(|(name, _)| Sha256::digest(format!("{seed}{name}")).to_vec());
        let again = Source::read(Some(format), shuffled).unwrap();
        prop_assert_eq!(again.digest(), source.digest());
        let mut before: Option<&MigrationId> = None;
        for migration in source.migrations() {
            prop_assert!(before.is_none_or(|before| *before < migration.identity));
            before = Some(&migration.identity);
            let bytes = &files.iter().find(|(name, _)| *name == format!("{}.sql", migration.name)).unwrap().1;
            prop_assert_eq!(migration.script.as_bytes(), bytes.as_slice());
            let checksum = match format {
                MigrationFormat::Sqlx => hex::encode(Sha384::digest(bytes)),
                _ => hex::encode(Sha256::digest(bytes)),
            };
            prop_assert_eq!(&migration.checksum, &checksum);
        }
        if let Some((name, bytes)) = files.first()
            && source.migrations().iter().any(|migration| format!("{}.sql", migration.name) == *name)
        {
            let mut other = files.clone();
            other[0].1 = [bytes.as_slice(), b"\n-- more"].concat();
            prop_assert_ne!(Source::read(Some(format), other).unwrap().digest(), source.digest());
        }
    }

    /// A file that only one tool writes decides the format, whatever other files exist; without one, the format is not
    /// guessed.
    #[test]
    fn a_format_is_told_or_known_for_certain(files in files_of(MigrationFormat::Supabase)) {
        let with = |name: &str, text: &str| {
            let mut files = files.clone();
            files.push((name.to_owned(), text.as_bytes().to_vec()));
            Source::read(None, files).map(|source| source.format())
        };
        prop_assert_eq!(with("migration_lock.toml", "provider = \"postgresql\""), Ok(MigrationFormat::Prisma));
        prop_assert_eq!(with("1_a.up.sql", ""), Ok(MigrationFormat::Sqlx));
        prop_assert_eq!(with("1_a.sql", "-- no-transaction\nVACUUM"), Ok(MigrationFormat::Sqlx));
        let ambiguous = matches!(with("20990101000000_a.sql", ""), Err(SourceError::Ambiguous { .. }));
        prop_assert!(ambiguous);
    }

    /// Whatever the bytes are, reading them ends in a source or in an error.
    #[test]
    fn arbitrary_files_are_read_or_refused(files in proptest::collection::vec(("[a-z0-9_./-]{0,20}(\\.sql)?", any::<Vec<u8>>()), 0..6)) {
        for format in [None, Some(MigrationFormat::Prisma), Some(MigrationFormat::Supabase), Some(MigrationFormat::Sqlx)] {
            let _ = Source::read(format, files.clone());
        }
    }
}
