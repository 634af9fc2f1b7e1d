#![allow(clippy::unwrap_used)]
use super::*;
use crate::postgres::Error;

fn parse(url: &str) -> Result<Login, Error> {
    Login::parse(&url.to_owned().into())
}

#[test]
fn reads_what_users_write() {
    let login = parse("postgresql://postgres.ref:p%40ss%2F%23@db.example.com:6543/my%20db?pgbouncer=false&connection_limit=1&sslmode=require&schema=public").unwrap();
    assert_eq!((login.host.as_str(), login.port), ("db.example.com", 6543));
    assert_eq!(
        (login.user.as_str(), login.database.as_str()),
        ("postgres.ref", "my db")
    );
    assert_eq!(login.password.expose_secret(), "p@ss/#");
    assert_eq!(login.tls, Tls::Require);
    assert_eq!(
        login.url().expose_secret(),
        "postgresql://postgres.ref:p%40ss%2F%23@db.example.com:6543/my%20db?sslmode=require"
    );
    assert!(!format!("{login:?}").contains("p@ss"));
}

#[test]
fn comes_back_the_same_from_its_own_url() {
    for url in [
        "postgres://a:b@[::1]/c",
        "postgres://a@127.0.0.1:1/c?sslmode=verify-full",
        "postgres://%22:%00a@h/d",
    ] {
        let Ok(login) = parse(url) else { continue };
        let again = Login::parse(&login.url()).unwrap();
        assert_eq!(format!("{login:?}"), format!("{again:?}"));
        assert_eq!(login.password.expose_secret(), again.password.expose_secret());
    }
}

#[test]
fn roots_are_read_where_the_server_is_verified_and_exposed_entries_are_known() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/postgres/certificates/supabase-root-2021-ca.pem"
    );
    // As in libpq, a known authority is checked with `require`, too.
    for (mode, checks) in [
        ("require", Tls::VerifyCa),
        ("verify-ca", Tls::VerifyCa),
        ("verify-full", Tls::VerifyFull),
    ] {
        let login = parse(&format!("postgres://a@h/c?sslmode={mode}&sslrootcert={file}")).unwrap();
        assert_eq!((login.published_roots().is_some(), login.tls), (true, checks), "{mode}");
    }
    // A client's key in the file is not published.
    let combined = tempfile::NamedTempFile::new().unwrap();
    let certificates = std::fs::read_to_string(file).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n";
    std::fs::write(combined.path(), format!("{key}{certificates}")).unwrap();
    let with = |file: &str| parse(&format!("postgres://a@h/c?sslmode=verify-full&sslrootcert={file}"));
    let published = with(combined.path().to_str().unwrap()).unwrap();
    let published = published.published_roots().unwrap();
    assert_eq!(
        published.lines().collect::<Vec<_>>(),
        certificates.lines().collect::<Vec<_>>()
    );
    std::fs::write(combined.path(), key).unwrap();
    let error = with(combined.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("not PEM of X.509 certificates"), "{error}");
    let system = parse("postgres://a@h/c?sslrootcert=system").unwrap();
    assert_eq!((system.roots.is_none(), system.tls), (true, Tls::VerifyFull));
    for weak in [
        "sslrootcert=system&sslmode=require",
        "sslrootcert=system&sslmode=verify-ca",
        "sslrootcert=/x",
        "sslrootcert=/x&sslmode=prefer",
    ] {
        assert!(parse(&format!("postgres://a@h/c?{weak}")).is_err(), "{weak}");
    }
    for (url, exposed) in [
        ("postgres://a@h/c", true),
        ("postgres://a@h/c?sslmode=disable", true),
        ("postgres://a@10.0.0.1/c?sslmode=prefer", true),
        ("postgres://a@h/c?sslmode=require", false),
        ("postgres://a@127.8.9.1/c?sslmode=disable", false),
        ("postgres://a@[::1]/c", false),
        ("postgres://a@localhost/c", false),
        ("postgres://a@localhost.example/c", true),
    ] {
        assert_eq!(parse(url).unwrap().is_exposed(), exposed, "{url}");
    }
}

#[test]
fn says_what_is_wrong_without_the_url() {
    for (url, says) in [
        ("mysql://u:hunter2@h/d", "postgres://"),
        ("hunter2", "parse"),
        ("postgres://u:hunter2@/d", "no"),
        ("postgres://:hunter2@h/d", "no user"),
        ("postgres://u:hunter2@h/d?sslmode=maybe", "sslmode"),
        ("postgres://u:x@h/d#hunter2", "%23"),
        ("postgres://u:hunter2@h:port/d", "its port is no number"),
        (
            "postgres://u:hunter2@h/d?sslmode=verify-ca&sslrootcert=/nowhere",
            "sslrootcert",
        ),
        (
            "postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/",
            "sslrootcert",
        ),
    ] {
        let error = parse(url).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("hunter2"), "{url}: {text}");
    }
}

#[test]
fn a_path_with_the_schema_of_the_user_stays_with_the_user() {
    let login = |options: &str| parse(&format!("postgres://a:p@h/d?options={options}")).unwrap();
    for (options, theirs) in [
        ("-c%20search_path%3D%22%24user%22,public", None),
        ("-csearch_path%3D$user", None),
        ("--search-path%3Dapp,%5C$USER", None),
        (
            "-c%20work_mem%3D1MB%20--Search_Path%3D$user%20-cgeqo%3Doff",
            Some("-c work_mem=1MB -cgeqo=off"),
        ),
        // The last one of several counts: none is left.
        ("-c%20search_path%3Dapp%20-c%20search_path%3D$user", None),
    ] {
        let owner = login(options);
        assert_eq!(owner.session.path, SessionPath::ByOptions);
        let tenant = owner.as_user("t", "x".to_owned().into());
        assert_eq!(
            (tenant.session.options.as_deref(), tenant.session.path),
            (theirs, SessionPath::Default),
            "{options}"
        );
        let published = tenant.url();
        assert_eq!(published.expose_secret().contains("options="), theirs.is_some());
        // Another password of the owner is still the owner's.
        assert_eq!(owner.as_user("a", "x".to_owned().into()).session, owner.session);
    }
    let owner = login("-c%20search_path%3Dapp%20-c%20work_mem%3D1MB");
    assert_eq!(owner.as_user("t", "x".to_owned().into()).session, owner.session);
}
