#![allow(clippy::unwrap_used)]
use super::*;
use crate::api::ConfigMapReference;

fn files(paths: &[&str]) -> Files {
    let mut files = Files::default();
    for path in paths {
        match path.strip_suffix('/') {
            Some(folder) => files.insert_folder(folder).unwrap(),
            None => files.insert(path, b"SELECT 1".to_vec()).unwrap(),
        }
    }
    files
}

fn names(found: FoundFiles) -> String {
    found.into_iter().map(|(path, _)| path).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_folder_that_can_be_meant_is_found() {
    for (given, found, format) in [
        (&["1_a.sql", "2_b.sql"][..], "1_a.sql 2_b.sql", None),
        (
            &["a/db/1_a.sql", "a/db/2_b.sql", "a/", "a/db/"],
            "1_a.sql 2_b.sql",
            None,
        ),
        (&["a/1_a.sql", "2_b.sql"], "2_b.sql a/1_a.sql", None),
        (&["1_a/migration.sql"], "1_a/migration.sql", None),
        (&["m/1_a/migration.sql"], "1_a/migration.sql", None),
        (
            &["m/1_a/migration.sql", "m/1_a/README.md"],
            "1_a/README.md 1_a/migration.sql",
            None,
        ),
        (&["m/1_a/migration.sql", "m/2_b/"], "1_a/migration.sql 2_b/", None),
        (&["m/._1_a.sql", "m/1_a.sql", ".DS_Store"], "1_a.sql", None),
        (
            &["app/prisma/migrations/1_a/migration.sql", "app/src/x.ts", "README.md"],
            "1_a/migration.sql",
            Some(Format::Prisma),
        ),
        (
            &["supabase/migrations/1_a.sql", "supabase/seed.sql"],
            "1_a.sql",
            Some(Format::Supabase),
        ),
        (&["notsupabase/migrations/1_a.sql"], "1_a.sql", None),
        (&["supabase/migrations"], "migrations", None),
        (
            &["prisma/migrations/1_a/migration.sql", "prisma/seed.sql", "package.json"],
            "1_a/migration.sql",
            Some(Format::Prisma),
        ),
        (&[], "", None),
    ] {
        let (is, told) = migrations(&files(given), None, None).unwrap();
        assert_eq!((names(is).as_str(), told), (found, format), "{given:?}");
    }
}

#[test]
fn several_projects_need_a_word() {
    let both = files(&["prisma/migrations/1/migration.sql", "supabase/migrations/1_a.sql"]);
    let several = migrations(&both, None, None).unwrap_err();
    assert_eq!(several, Flaw::Several("prisma/migrations, supabase/migrations".into()));
    for (path, wanted, found) in [
        (Some("supabase/migrations"), Some(Format::Supabase), "1_a.sql"),
        (Some("supabase/migrations"), None, "1_a.sql"),
        (Some("./prisma/migrations/"), None, ""),
        (Some("prisma/migrations/"), None, "1/migration.sql"),
    ] {
        match migrations(&both, path, wanted) {
            Ok((is, told)) => {
                assert_eq!(names(is), found);
                assert!(told.is_some());
            }
            Err(Flaw::NoPath { there, .. }) => assert_eq!((there.as_str(), found), ("prisma, supabase", "")),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(migrations(&files(&["a/prisma/migrations/x", "b/prisma/migrations/y"]), None, None).is_err());
}

#[test]
fn nothing_that_could_be_a_migration_is_left_out() {
    let archive = "prisma/migrations/1_a/migration.sql";
    for (given, wanted, path) in [
        // An archive beside further keys of the ConfigMap.
        (&[archive, "2_b.sql"][..], None, "2_b.sql"),
        (&[archive, "2_b.sql"], Some(Format::Prisma), "2_b.sql"),
        // Two archives of different layout.
        (&[archive, "2_b/migration.sql"], None, "2_b/migration.sql"),
        // The format does not decide about the other tool's scripts.
        (
            &[archive, "supabase/migrations/1_b.sql"],
            Some(Format::Prisma),
            "supabase/migrations/1_b.sql",
        ),
    ] {
        let Err(Flaw::Outside { path: told, folder }) = migrations(&files(given), None, wanted) else {
            panic!("{given:?}");
        };
        assert_eq!((told.as_str(), folder.as_str()), (path, "prisma/migrations"));
        let (named, _) = migrations(&files(given), Some("prisma/migrations"), wanted).unwrap();
        assert_eq!(names(named), "1_a/migration.sql");
    }
    for packed in ["all.zip", "2_b.sql.gz", "more.tar.xz"] {
        let refused = migrations(&files(&["1_a.sql", packed]), None, None);
        assert_eq!(refused.unwrap_err(), Flaw::Packed(packed.into()));
    }
}

#[test]
fn a_seed_lies_in_one_folder() {
    for (given, path, found) in [
        (&["seeds/a.sql", "seeds/b.sql"][..], None, Some("a.sql b.sql")),
        (&["a.sql", "data/rows.txt"], None, Some("a.sql data/rows.txt")),
        (&["a.sql", "data/rows.csv"], None, None),
        (
            &["data/10_a.sql", "data/20_rows.csv"],
            None,
            Some("10_a.sql 20_rows.csv"),
        ),
        (&["a.sql", "data/b.sql"], None, None),
        (&["supabase/seed.sql", "supabase/migrations/1_a.sql"], None, None),
        (
            &["supabase/seed.sql", "supabase/migrations/1_a.sql"],
            Some("supabase/seed.sql"),
            Some("seed.sql"),
        ),
        (&["a.sql"], Some("b.sql"), None),
    ] {
        let is = seed(&files(given), path).ok().map(names);
        assert_eq!(is.as_deref(), found, "{given:?}");
    }
}

#[test]
fn settings_of_sqlx_are_found_above_the_path() {
    for (given, path, found) in [
        (
            &["sqlx.toml", "migrations/1_a.sql"][..],
            Some("migrations"),
            "sqlx.toml",
        ),
        (
            &["sqlx.toml", "app/sqlx.toml", "app/db/1_a.sql", "b/sqlx.toml"],
            Some("app/db/"),
            "app/sqlx.toml sqlx.toml",
        ),
        (&["db/sqlx.toml", "db/1_a.sql"], Some("db/1_a.sql"), "db/sqlx.toml"),
        // Beside the scripts it is one of the files that are read.
        (&["db/sqlx.toml", "db/1_a.sql"], Some("db"), ""),
        (&["sqlx.toml", "1_a.sql"], None, ""),
        (&["my-sqlx.toml", "db/1_a.sql"], Some("db"), ""),
    ] {
        assert_eq!(names(settings_above(&files(given), path)), found, "{given:?}");
    }
}

#[test]
fn the_script_of_one_prisma_migration_keeps_no_name_without_its_folder() {
    let all = files(&["prisma/migrations/1_a/migration.sql", "prisma/migrations/1_a/down.sql"]);
    for (path, found) in [
        ("prisma/migrations/1_a", "down.sql migration.sql"),
        ("prisma/migrations/1_a/migration.sql", "migration.sql"),
    ] {
        let (is, format) = migrations(&all, Some(path), None).unwrap();
        let refused = crate::migrate::Source::read(format, is.clone())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("<folder>.sql"), "{refused}");
        assert_eq!(names(is), found);
    }
}

#[test]
fn files_without_a_migration_are_told_unless_there_are_none() {
    let maps = ScriptSource {
        config_map_ref: Some(ConfigMapReference { name: "schema".into() }),
        ..ScriptSource::default()
    };
    let of = |given: &[&str], path: Option<&str>, maps: &ScriptSource| {
        let source = ScriptSource {
            path: path.map(str::to_owned),
            ..maps.clone()
        };
        let (found, _) = migrations(&files(given), path, Some(Format::Sqlx)).unwrap();
        without_migration(&found, &source).map(|flaw| flaw.to_string())
    };
    let said = of(&["1_a.down.sql", "README.md"], None, &maps).unwrap();
    assert!(
        said.starts_with("it contains no migration, only 1_a.down.sql, README.md: kubectl "),
        "{said}"
    );
    let said = of(&["README.md"], None, &ScriptSource::default()).unwrap();
    assert!(
        said.ends_with("only README.md: add one, or set path to the folder that holds them"),
        "{said}"
    );
    let said = of(&["a/b/", "c.sql"], Some("a/b"), &maps).unwrap();
    assert!(said.starts_with("it contains no migration at path a/b: "), "{said}");
    for (given, path) in [
        (&[][..], None),
        (&[".gitkeep"], None),
        (&["._a.sql", ".DS_Store"], None),
        (&["a/.gitkeep", "c.sql"], Some("a")),
    ] {
        assert_eq!(of(given, path, &maps), None, "{given:?}");
    }
}

/// As the keys of `binaryData` of a ConfigMap, beside one script.
fn with_binary(key: &str, bytes: &[u8]) -> Files {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::ConfigMap;
    let map = ConfigMap {
        data: Some([("1_a.sql".to_owned(), "SELECT 1".to_owned())].into()),
        binary_data: Some([(key.to_owned(), ByteString(bytes.to_vec()))].into()),
        ..ConfigMap::default()
    };
    let mut files = Files::default();
    super::super::config_map::add(map, &mut files).unwrap();
    files
}

const FORMATS: [Option<Format>; 4] = [None, Some(Format::Prisma), Some(Format::Supabase), Some(Format::Sqlx)];

#[test]
fn a_binary_key_is_text_or_an_archive_or_refused() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0];
    let rest: &[u8] = &[0xb7, 0x00, 0x91, 0x3c];
    for (key, bytes, is_packed) in [
        ("more", gzip, true),
        ("m.tar.Z", &[0x1f, 0x9d, 0x90], true),
        ("m.rar", b"Rar!\x1a\x07\0", true),
        ("m.lz4", rest, true),
        ("2_b.sql.gz", gzip, true),
        ("more.zip", b"PK\x03\x04\x14\0", true),
        ("part-ab", rest, false),
        ("diagram.png", b"\x89PNG\r\n\x1a\n\0", false),
    ] {
        let files = with_binary(key, bytes);
        let flaw = if is_packed { Flaw::Packed } else { Flaw::Binary };
        for format in FORMATS {
            for path in [None, Some(key)] {
                let refused = migrations(&files, path, format).unwrap_err();
                assert_eq!(refused, flaw(key.into()), "{format:?} {path:?}");
            }
            let named = migrations(&files, Some("1_a.sql"), format).unwrap();
            assert_eq!(names(named.0), "1_a.sql");
        }
        assert_eq!(seed(&files, None).unwrap_err(), flaw(key.into()));
        assert!(seed(&files, Some("1_a.sql")).is_ok());
    }
    // Text is no concern, and a script or a table is refused with its line when it is parsed.
    for (key, bytes) in [
        ("2_b.sql", &b"SELECT 2"[..]),
        ("2_b.sql", b"SELECT '\xe9'"),
        ("README.md", b"BZh is how bzip2 begins"),
        ("20_Member.csv", b"name\nZo\xeb\n"),
    ] {
        let files = with_binary(key, bytes);
        assert!(migrations(&files, None, None).is_ok(), "{key}");
        assert!(seed(&files, None).is_ok(), "{key}");
    }
}

#[test]
fn a_packed_file_is_known_by_its_content() {
    let mut tar = vec![b'a'; 600];
    tar[100] = 0;
    tar[257..262].copy_from_slice(b"ustar");
    for packed in [&[0x1f, 0x8b, 8, 0][..], &tar] {
        for others in [&["1_a.sql"][..], &["prisma/migrations/1_a/migration.sql"]] {
            let mut all = files(others);
            all.insert("more", packed.to_vec()).unwrap();
            let refused = migrations(&all, None, None).unwrap_err();
            assert!(
                matches!(&refused, Flaw::Packed(path) | Flaw::Outside { path, .. } if path == "more"),
                "{refused:?}"
            );
        }
        // In a folder of a project that speaks of something else, it is of no concern.
        let mut all = files(&["prisma/migrations/1_a/migration.sql"]);
        all.insert("assets/more", packed.to_vec()).unwrap();
        assert!(migrations(&all, None, None).is_ok());
        // Below the migrations, and among the files of a seed, it is.
        for (script, more) in [("1_a.sql", "sub/more"), ("1_a/migration.sql", "1_a/more")] {
            let mut all = files(&[script]);
            all.insert(more, packed.to_vec()).unwrap();
            assert_eq!(migrations(&all, None, None).unwrap_err(), Flaw::Packed(more.into()));
        }
        let mut all = files(&["10_a.sql"]);
        all.insert("rows/more", packed.to_vec()).unwrap();
        assert_eq!(seed(&all, None).unwrap_err(), Flaw::Packed("rows/more".into()));
    }
}

#[test]
fn no_rows_of_a_seed_are_left_out() {
    for (left_out, is_packed) in [
        ("20_part.csv.gz", true),
        ("more.tar.gz", true),
        ("20_part.zip", true),
        ("20_part.tsv", false),
        ("20_part.psql", false),
        ("20_part.csv.txt", false),
        ("more/20_part", false),
        ("part.xlsx", false),
    ] {
        let flaw = if is_packed { Flaw::Packed } else { Flaw::Unread };
        let all = files(&["10_member.csv", "README.md", left_out]);
        assert_eq!(seed(&all, None).unwrap_err(), flaw(left_out.into()));
        assert_eq!(names(seed(&all, Some("10_member.csv")).unwrap()), "10_member.csv");
        if !left_out.contains('/') {
            assert_eq!(seed(&all, Some(left_out)).unwrap_err(), flaw(left_out.into()));
        }
    }
}
