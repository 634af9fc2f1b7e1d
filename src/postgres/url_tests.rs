#![allow(clippy::unwrap_used)]
use super::*;

fn parse(url: &str) -> Result<Login, Error> {
    super::parse(url, true)
}

fn read(url: &str) -> Login {
    parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[test]
fn a_parameter_comes_before_the_part_that_says_the_same() {
    let login = read("postgresql:///scores?host=db.example.internal&port=5433&user=librarian&password=tri%26al%2B+");
    assert_eq!((login.host.as_str(), login.port), ("db.example.internal", 5433));
    assert_eq!((login.user.as_str(), login.database.as_str()), ("librarian", "scores"));
    assert_eq!(login.password.expose_secret(), "tri&al++");
    let login = read("postgresql://a:b@localhost:1/c?host=h&port=2&user=u&password=p&dbname=d&sslmode=disable");
    assert_eq!((login.host.as_str(), login.port, login.user.as_str()), ("h", 2, "u"));
    assert_eq!((login.password.expose_secret(), login.database.as_str()), ("p", "d"));
    assert_eq!(login.tls, Tls::Disable);
    let login = read("postgres://u:p@[::1]:6000/a/b?connect_timeout=3&options=-c%20work_mem%3D1MB&ssl=true");
    assert_eq!(
        (login.host.as_str(), login.port, login.database.as_str()),
        ("::1", 6000, "a/b")
    );
    assert_eq!(login.session.timeout, Some(Duration::from_secs(3)));
    assert_eq!(
        (login.session.options.as_deref(), login.tls),
        (Some("-c work_mem=1MB"), Tls::Require)
    );
    let again = read(login.url().expose_secret());
    assert_eq!((again.session.options, again.tls), (login.session.options, login.tls));
    let login = read("postgres://u:@h:/d?host=&connect_timeout=0");
    assert_eq!(
        (login.host.as_str(), login.port, login.database.as_str()),
        ("h", 5432, "d")
    );
    assert_eq!(login.session, SessionOptions::default());
    assert_eq!(read("postgres://u:p@ss@h/d").password.expose_secret(), "p@ss");
}

#[test]
fn what_means_nothing_to_one_session_is_accepted() {
    for parameter in [
        "connection_limit=1",
        "pgbouncer=false",
        "channel_binding=prefer",
        "target_session_attrs=read-write",
        "application_name=x",
        "application_name=",
        "sslcrl=",
        "channel_binding=",
        "client_encoding=UTF8",
        "gssencmode=disable",
        "keepalives_idle=30",
    ] {
        read(&format!("postgres://u:p@h/d?{parameter}"));
    }
}

#[test]
fn the_path_of_every_session_is_said_by_options_or_as_prismas_schema() {
    for (parameters, path, options) in [
        ("", SessionPath::Default, None),
        ("schema=public", SessionPath::Public, None),
        ("schema=public&schema=public", SessionPath::Public, None),
        (
            "options=-c%20work_mem%3D1MB&schema=public",
            SessionPath::Public,
            Some("-c work_mem=1MB"),
        ),
        (
            "options=-c%20search_path%3Dapp",
            SessionPath::ByOptions,
            Some("-c search_path=app"),
        ),
    ] {
        let login = read(&format!("postgres://u:p@h/d?{parameters}"));
        let session = &login.session;
        assert_eq!(
            (session.path, session.options.as_deref()),
            (path, options),
            "{parameters}"
        );
        // A pooler may refuse options, so the published URL has only those of its entry.
        let again = read(login.url().expose_secret());
        assert_eq!(again.session.options, login.session.options);
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
fn what_is_not_honoured_is_refused_by_name() {
    for (url, says) in [
        (
            "postgresql://a:hush@localhost/s?host=/cloudsql/example:eu:main&schema=public",
            "Unix socket",
        ),
        (
            "postgresql://a:hush@localhost:5432/s?host=/var/run/postgresql",
            "Unix socket",
        ),
        ("postgresql://a:hush@%2Fvar%2Frun/s", "Unix socket"),
        ("postgresql://a:hush@/s?host=%2Ftmp", "Unix socket"),
        (
            "postgresql://a:hush@db-a.example.internal:5432,db-b.example.internal:5432/s?target_session_attrs=read-write",
            "several hosts",
        ),
        (
            "postgresql://a:hush@db-a.example.internal,db-b.example.internal/s?target_session_attrs=read-write",
            "several hosts",
        ),
        ("postgresql://a:hush@db-a:5432,db-b:5432/s", "several hosts"),
        ("postgresql://a:hush@db-a,db-b/s", "several hosts"),
        ("postgresql://a:hush@h/s?host=a,b", "several hosts"),
        ("postgresql://a:hush@h/s?port=1,2", "several hosts"),
        (
            "postgresql://a:hush@h/s?pgbouncer=true&connection_limit=1",
            "pgbouncer=true",
        ),
        ("postgresql://a:hush@h/s?schema=app", "schema must be public"),
        ("postgresql://a:hush@h/s?schema=PUBLIC", "schema must be public"),
        ("postgresql://a:hush@h/s?schema=", "schema must be public"),
        (
            "postgresql://a:hush@h/s?schema=public&options=-c%20Search-Path%3Dapp",
            "both set the search_path",
        ),
        (
            "postgresql://a:hush@h/s?schema=public&schema=app",
            "schema appears twice",
        ),
        ("postgresql://a:hush@h/s?sslmode=allow", "sslmode=allow"),
        (
            "postgresql://a:hush@h/s?channel_binding=require",
            "channel_binding=require",
        ),
        (
            "postgresql://a:hush@h/s?target_session_attrs=standby",
            "target_session_attrs",
        ),
        ("postgresql://a:hush@h/s?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://a:hush@h/s?service=s", "service"),
        ("postgresql://a:hush@h/s?passfile=/x", "passfile"),
        ("postgresql://a:hush@h/s?sslcert=/x", "client certificate"),
        (
            "postgresql://a:hush@h/s?sslmode=require&sslcert=./server-ca.pem",
            "Prisma's sslcert is an authority's certificate: write sslmode=verify-full and sslrootcert",
        ),
        (
            "postgresql://a:hush@h/s?sslmode=require&sslaccept=strict&sslcert=./server-ca.pem",
            "sslaccept is Prisma's: for strict write sslmode=verify-full",
        ),
        (
            "postgresql://a:hush@h/s?sslaccept=accept_invalid_certs",
            "otherwise remove it",
        ),
        ("postgresql://a:hush@h/s?sslnegotiation=direct", "sslnegotiation"),
        ("postgresql://a:hush@h/s?require_auth=none", "require_auth"),
        ("postgresql://a:hush@h/s?currentSchema=x", "currentSchema"),
        (
            "postgresql://a:hush@h/s?options=-c%20role%3Dpostgres",
            "must not set the role",
        ),
        ("postgresql://a:hush@h/s?options=-ecrole%3Dx", "settings only"),
        (
            "postgresql://a:hush@h/s?options=--session-authorization%3Dx",
            "must not set the role",
        ),
        ("postgresql://a:hush@h/s?connect_timeout=soon", "connect_timeout"),
        (
            "postgresql://a:hush@h/s?sslmode=require&sslmode=disable",
            "sslmode appears twice",
        ),
        ("postgresql://a:hush@h/s?foo=", "the parameter foo cannot be used"),
        ("postgresql:///s?host=h&user=a&password=x&hush=", "%26"),
        ("postgresql:///s?user=a", "no host"),
        ("postgresql://h/s", "no user"),
        ("postgresql://app:hush@db.example:5432", "no database is named"),
        ("postgresql://app:hush@db.example:5432/", "no database is named"),
        (
            "postgresql://app:hush@db.example?sslmode=require",
            "no database is named",
        ),
        ("postgresql://app:hush@db.example?dbname=", "no database is named"),
        (
            "postgresql:///s?host=h&user=a&password=hush&require_auth=none",
            "the parameter require_auth cannot be used",
        ),
        (
            "postgresql:///s?host=h&user=a&password=hush&sslcrl=/x",
            "the parameter sslcrl cannot be used",
        ),
        ("postgresql://a:hush@::1/s", "brackets"),
        ("postgresql://a:hush@h:0/s", "its port is no number from 1 to 65535"),
        ("postgresql://a:hush@h:65536/s", "its port is no number from 1 to 65535"),
        ("postgresql://a:hush@h:5432x/s", "its port is no number from 1 to 65535"),
        ("postgresql://a:hu:sh@h:x/s", "%3A, %40"),
        ("postgresql://a:1/hush@h/s", "%2F"),
        ("postgresql://me@corp:12?hush@h/s", "%3F"),
        ("postgresql://me@corp:12/hush@h/s", "%2F"),
        ("postgresql:///s?host=h&user=a&password=x&hush=1", "%26"),
        ("postgresql:///s?host=h&user=a&password=x&hush", "%26"),
        ("postgresql://a:hush@h h/s", "neither a name nor an address"),
    ] {
        let error = parse(url).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("hush"), "{url}: {text}");
    }
}

#[test]
fn what_a_secret_holds_instead_of_a_url_is_told() {
    let url = "postgresql://ada:hush@h/d";
    let utf16: Vec<u8> = url.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin = [b"postgresql://ada:hush".as_slice(), &[0xe5], b"@h/d"].concat();
    for (text, says) in [
        (format!("\u{feff}{url}"), "byte order mark"),
        (String::from_utf8_lossy(&utf16).into_owned(), "UTF-16"),
        (String::from_utf8_lossy(&latin).into_owned(), "not UTF-8"),
        (format!("\"{url}\""), "without quotes"),
        (format!("'{url}'\n"), "without quotes"),
        (
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, url),
            "base64 once more",
        ),
        (format!("{url}\n{url}"), "one line"),
        (" \n".to_owned(), "empty"),
        ("host=h user=ada password=hush".to_owned(), "keywords"),
        (format!("DATABASE_URL={url}"), "postgresql://"),
        (format!("jdbc:{url}"), "postgresql://"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("hush"), "{error}");
    }
    read(&format!("  {url}\r\n"));
}

/// As GNU's `base64` does.
fn wrapped(text: &str) -> String {
    let digits = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let lines = digits.as_bytes().chunks(76).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
}

#[test]
fn base64_is_recognised_however_it_is_written() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let url = format!("postgresql://ada:hush?>~@h.example.internal:5432/{}\n", "d".repeat(53));
    assert!(url.len() > 100);
    let utf16: Vec<u8> = url.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [
        wrapped(&url),
        wrapped(&url).replace('\n', "\r\n"),
        wrapped(&wrapped(&url)),
        wrapped(&format!("\"{url}\"")),
        STANDARD_NO_PAD.encode(&url),
        URL_SAFE.encode(&url),
        URL_SAFE_NO_PAD.encode(&url),
        URL_SAFE_NO_PAD.encode(&utf16),
    ] {
        let error = parse(&text).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("base64 once more"), "{text}: {told}");
        assert!(!told.contains("hush") && !told.contains(text.trim()), "{told}");
    }
    for other in ["aHVzaA==", "hush", "postgres"] {
        let error = parse(other).unwrap_err().to_string();
        assert!(
            error.contains("must begin with postgres://") && !error.contains("hush"),
            "{error}"
        );
    }
}

#[test]
fn what_was_copied_behind_a_url_is_told() {
    for query in ["", "?sslmode=require"] {
        let url = format!("postgresql://ada:hush@h:5432/d{query}");
        for (end, says) in [
            ("\"", "ends with a quotation mark"),
            ("'", "ends with a quotation mark"),
            ("`", "ends with a quotation mark"),
            ("”", "ends with a quotation mark"),
            ("»", "ends with a quotation mark"),
            ("\"\n", "ends with a quotation mark"),
            (";", "ends with ;"),
            ("; \n", "ends with ;"),
            ("\";", "ends with ;"),
            (",", "ends with ,"),
            (">", "ends with >"),
            ("\\", "ends with \\"),
            ("\\n", "ends with \\n"),
            ("\u{200b}", "zero-width space"),
            ("\u{200b}\n", "zero-width space"),
            ("\u{2060}", "zero-width space"),
            ("\u{feff}", "zero-width space"),
        ] {
            let error = parse(&format!("{url}{end}")).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                error.to_string().contains(says) && !text.contains("hush"),
                "{end:?}: {text}"
            );
        }
        assert!(
            parse(&format!("\u{200b}{url}"))
                .unwrap_err()
                .to_string()
                .contains("zero-width")
        );
    }
    // Encoded characters belong to the name.
    assert_eq!(read("postgresql://ada:hush@h/d%22").database, "d\"");
    assert_eq!(read("postgresql://ada:hu'sh;@[::1]/d").host, "::1");
}

#[test]
fn where_no_session_is_opened_the_file_of_certificates_is_not_read() {
    let url = "postgresql://u:p@db.example/d?sslmode=verify-full&sslrootcert=/nowhere/ca.crt";
    assert!(parse(url).is_err());
    let login = Login::parse_elsewhere(&url.to_owned().into()).unwrap();
    assert_eq!((login.tls, login.roots), (Tls::VerifyFull, None));
}
