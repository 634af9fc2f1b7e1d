#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const URL: &str =
    "postgresql://o.x:p%3Aw-d@db.example:6543/postgres?sslmode=verify-full&sslrootcert=ca.crt&pgbouncer=true";

#[test]
fn a_password_is_hidden_wherever_it_stands() {
    let url = |text: &str| masked(&Url::parse(text).unwrap()).to_string();
    let shown = url(URL);
    assert!(
        shown.starts_with("postgresql://o.x:xxxxx@db.example:6543/postgres?sslmode"),
        "{shown}"
    );
    let shown = url("postgres://a@h/d?password=hush&sslmode=require&sslpassword=hush");
    assert!(!shown.contains("hush") && shown.contains("sslmode=require"), "{shown}");
    assert_eq!(url("postgres://a@h/d"), "postgres://a@h/d");
}

/// What psql gets of a Secret with this URL, and these keys in place of those that the operator writes.
fn passed(uri: &str, others: &[(&str, &str)]) -> anyhow::Result<String> {
    let own = [
        ("uri", uri),
        ("host", "db.example"),
        ("port", "6543"),
        ("dbname", "postgres"),
        ("user", "o.x"),
        ("password", "p:w-d"),
    ];
    let keys = own.iter().chain(others);
    let keys = keys.map(|(key, value)| ((*key).to_owned(), SecretString::from(*value)));
    for_psql(&Values(keys.collect()))
}

#[test]
fn psql_gets_no_password_and_what_it_knows() {
    assert_eq!(
        passed(URL, &[("ca.crt", "PEM")]).unwrap(),
        "postgresql://o.x@db.example:6543/postgres?sslmode=verify-full"
    );
    let without = passed(URL, &[]).unwrap();
    assert!(
        without.ends_with("?sslmode=verify-full&sslrootcert=ca.crt"),
        "{without}"
    );
    assert_eq!(password_line(r"a:b\c"), "*:*:*:*:a\\:b\\\\c\n");
    let uri = "postgres://a:p@[2001:DB8::1]/d";
    let there = [
        ("host", "2001:db8:0::1"),
        ("port", "5432"),
        ("dbname", "o ne"),
        ("user", "a@b"),
    ];
    assert_eq!(
        passed(uri, &there).unwrap(),
        "postgresql://a%40b@[2001:db8::1]:5432/o%20ne"
    );
}

#[test]
fn psql_gets_no_parameter_that_names_something_of_the_users_machine() {
    let url = |parameters: &str| passed(&format!("postgres://a:p@db.example:6543/d?{parameters}"), &[]).unwrap();
    let bare = "postgresql://o.x@db.example:6543/postgres";
    for parameter in [
        "passfile=/home/ada/.pgpass",
        "%70assfile=/home/ada/.pgpass",
        "hostaddr=10.0.0.1",
        "service=admin",
        "servicefile=/home/ada/.pg_service.conf",
        "sslkey=/home/ada/key",
        "sslcert=/home/ada/cert",
        "sslpassword=x",
        "sslkeylogfile=/home/ada/.bashrc",
        "sslcrl=/home/ada/crl",
        "gssdelegation=1",
        "krbsrvname=admin",
        "requirepeer=ada",
        "user=postgres",
        "password=x",
        "dbname=service%3Dadmin",
        "replication=true",
        "pgbouncer=true",
    ] {
        assert_eq!(url(parameter), bare, "{parameter}");
    }
    for (given, kept) in [
        (
            "options=-c%20search_path%3Dapp,public",
            "options=-c%20search_path%3Dapp%2Cpublic",
        ),
        ("application_name=a+b&x=y", "application_name=a%2Bb"),
        ("connect_timeout=5&passfile=x", "connect_timeout=5"),
        ("passfile=x&target_session_attrs=any", "target_session_attrs=any"),
        ("ssl=true", "sslmode=require"),
    ] {
        assert_eq!(url(given), format!("{bare}?{kept}"), "{given}");
    }
}

#[test]
fn a_url_that_leads_elsewhere_than_the_other_keys_is_refused() {
    let refused = |uri: &str, others: &[(&str, &str)]| passed(uri, others).unwrap_err().to_string();
    for uri in [
        "postgres://a:hush@db.other:6543/d",
        "postgres://a:hush@db.example:5432/d",
        "postgres://a:hush@db.example/d",
        "postgres://a:hush@db.example:6543/d?host=db.other",
        "postgres://a:hush@db.example:6543/d?port=1",
        "postgres://a:hush@db.example:6543/d?host=/run/postgresql",
    ] {
        let told = refused(uri, &[]);
        assert!(
            told.contains("its keys host and port to db.example port 6543"),
            "{told}"
        );
        assert!(!told.contains("hush"), "{told}");
    }
    for host in [
        "",
        "/run/postgresql",
        "@postgresql",
        "db.example,db.other",
        "db/?passfile=x",
    ] {
        assert!(
            refused(URL, &[("host", host)]).contains("neither a name nor an address"),
            "{host}"
        );
    }
    assert!(refused(URL, &[("port", "1,2")]).contains("is not a port"));
    assert!(refused("mysql://db.example:6543/d", &[]).contains("is not a database URL"));
    assert!(passed("postgresql://a@DB.Example:6543/d", &[]).is_ok());
}

#[test]
fn the_files_are_the_users_own_and_do_not_stay() {
    let private = Private::new().unwrap();
    let (folder, file) = (private.0.clone(), private.write("pgpass", "x").unwrap());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    drop(private);
    assert!(!folder.exists());
}
