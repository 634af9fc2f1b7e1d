#![allow(clippy::unwrap_used)]
use super::*;

fn login(host: &str) -> Login {
    Login::parse(&format!("postgresql://tenant:hush-hush@{host}/one?sslmode=verify-full").into()).unwrap()
}

#[test]
fn a_connection_that_fails_is_told_by_its_kind_and_addresses() {
    use io::ErrorKind as Is;
    for (is, only_ipv6, kind) in [
        (Is::ConnectionRefused, false, FaultKind::Refused),
        // The address answers with a refusal, so IPv6 works.
        (Is::ConnectionRefused, true, FaultKind::Refused),
        (Is::TimedOut, false, FaultKind::TimedOut),
        (Is::TimedOut, true, FaultKind::Ipv6Only),
        (Is::NetworkUnreachable, true, FaultKind::Ipv6Only),
        (Is::HostUnreachable, true, FaultKind::Ipv6Only),
        (Is::AddrNotAvailable, true, FaultKind::Ipv6Only),
        (Is::NetworkUnreachable, false, FaultKind::Unreachable),
        (Is::HostUnreachable, false, FaultKind::Unreachable),
        (Is::PermissionDenied, false, FaultKind::Unreachable),
    ] {
        let fault = Fault::connect(&login("db.example"), &io::Error::from(is), only_ipv6);
        assert_eq!(fault.kind, kind, "{is:?} {only_ipv6}");
        assert!(fault.message.contains("db.example"), "{}", fault.message);
    }
    let told = Fault::connect(&login("[2001:db8::1]:6543"), &Is::ConnectionRefused.into(), true);
    assert!(told.message.contains("[2001:db8::1]:6543"), "{}", told.message);
}

#[test]
fn what_a_server_refuses_is_told_by_its_sqlstate() {
    for (sqlstate, message, kind) in [
        (
            "28P01",
            "password authentication failed for user \"tenant\"",
            FaultKind::Login,
        ),
        ("28000", "role \"tenant\" is not permitted to log in", FaultKind::Login),
        (
            "28000",
            "no pg_hba.conf entry for host \"10.0.0.1\", user \"a\", database \"b\", no encryption",
            FaultKind::Tls,
        ),
        (
            "28000",
            "no pg_hba.conf entry for host \"10.0.0.1\", user \"a\", database \"b\", SSL off",
            FaultKind::Tls,
        ),
        ("28000", "no pg_hba.conf entry for host \"10.0.0.1\"", FaultKind::Login),
        ("3D000", "database \"one\" does not exist", FaultKind::Gone),
        ("53300", "sorry, too many clients already", FaultKind::Connections),
        (
            "53300",
            "too many connections for role \"tenant\"",
            FaultKind::LoginLimit,
        ),
        ("57P03", "the database system is starting up", FaultKind::Starting),
        (
            "57P01",
            "terminating connection due to administrator command",
            FaultKind::Starting,
        ),
        (
            "25006",
            "cannot execute INSERT in a read-only transaction",
            FaultKind::ReadOnly,
        ),
        ("42501", "permission denied for database \"one\"", FaultKind::Other),
        (
            "53100",
            "could not extend file: No space left on device",
            FaultKind::Other,
        ),
        (
            "55000",
            "database \"one\" is not currently accepting connections",
            FaultKind::Other,
        ),
    ] {
        let fault = Fault::refused(sqlstate, message);
        assert_eq!(fault.kind, kind, "{sqlstate} {message}");
        assert!(
            fault.message.contains(message) && fault.message.contains("To do: "),
            "{}",
            fault.message
        );
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_a_pooler_says_is_told_by_its_code_or_its_words() {
    for (sqlstate, message, kind) in [
        (
            "XX000",
            "(EMAXCONNSESSION) max clients reached in session mode",
            FaultKind::Connections,
        ),
        (
            "XX000",
            "(EMAXCLIENTCONN) max client connections reached, limit: 200",
            FaultKind::Connections,
        ),
        (
            "XX000",
            "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
            FaultKind::Connections,
        ),
        (
            "08P01",
            "no more connections allowed (max_client_conn)",
            FaultKind::Connections,
        ),
        (
            "XX000",
            "(ESSLREQUIRED) SSL connection is required for user: tenant",
            FaultKind::Tls,
        ),
        (
            "XX000",
            "(ECIRCUITBREAKER) too many authentication errors",
            FaultKind::Blocked,
        ),
        (
            "XX000",
            "(EADDRNOTALLOWED) address not in tenant allow_list: {1, 2, 3, 4}",
            FaultKind::Blocked,
        ),
        ("XX000", "(ECHECKOUTTIMEOUT) Pool checkout timeout", FaultKind::Pooler),
        (
            "XX000",
            "DbHandler exited. Check logs for more information",
            FaultKind::Pooler,
        ),
        ("08P01", "query_wait_timeout", FaultKind::Pooler),
        ("08P01", "SASL authentication failed", FaultKind::Login),
        ("08P01", "no such database: one", FaultKind::Gone),
        (
            "08P01",
            "server login has been failing, cached error: connect failed",
            FaultKind::Pooler,
        ),
    ] {
        let fault = Fault::refused(sqlstate, message);
        assert_eq!(fault.kind, kind, "{message}");
        assert!(fault.message.contains("pooler"), "{}", fault.message);
    }
    for (sqlstate, message, needs) in [
        ("28P01", "password authentication failed for user \"a\"", true),
        ("28000", "no pg_hba.conf entry for host \"10.0.0.1\"", false),
        ("53300", "sorry, too many clients already", false),
    ] {
        assert_eq!(Fault::refused(sqlstate, message).needs_login, needs, "{message}");
    }
    // A server that returns the same text in a row is not a pooler.
    assert_eq!(Fault::refused("22023", "max clients reached").kind, FaultKind::Other);
    let unknown = Fault::of(&login("db"), &Error::UnknownTenant);
    assert_eq!(
        (unknown.kind, unknown.kind.is_refused_login()),
        (FaultKind::Pooler, false)
    );
}

#[test]
fn what_tls_and_silence_are_told_as() {
    let login = login("db");
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
    for (unsecured, kind) in [
        (Unsecured::NotOffered, FaultKind::Tls),
        (Unsecured::Untrusted("expired".into()), FaultKind::Tls),
        (Unsecured::Handshake("no common version".into()), FaultKind::Tls),
        (Unsecured::Lost(lost()), FaultKind::Unreachable),
        (Unsecured::OtherProtocol, FaultKind::Unreachable),
    ] {
        assert_eq!(Fault::unsecured(&login, unsecured).kind, kind);
    }
    let insecure = Error::InsecureLogin {
        asked: "in clear text",
        port: None,
    };
    assert_eq!(Fault::of(&login, &insecure).kind, FaultKind::Tls);
    for fault in [
        Fault::silent(&login, Duration::from_secs(10)),
        Fault::of(&login, &Error::Unreachable("end of file".into())),
        Fault::name(&login, None),
        Fault::read_only(true),
        Fault::read_only(false),
    ] {
        assert!(!fault.message.contains("hush"), "{}", fault.message);
        assert!(!fault.kind.is_refused_login(), "{:?}", fault.kind);
    }
}

#[test]
fn every_text_is_one_line_and_bounded() {
    let long = format!("\u{1b}[2J{}\n{}", "x".repeat(5000), "y".repeat(5000));
    for sqlstate in ["28P01", "XX000", "99999"] {
        let message = Fault::refused(sqlstate, &long).message;
        assert!(message.len() < 800 && !message.contains(['\n', '\u{1b}']), "{message}");
    }
}

#[test]
fn what_to_do_names_the_annotation_as_it_is() {
    let named = format!("annotation {}", crate::api::names::ROTATE_ANNOTATION);
    for (sqlstate, needs_login) in [("28P01", true), ("42501", false)] {
        let fault = Fault::refused(sqlstate, "no");
        assert!(fault.message.contains(&named), "{}", fault.message);
        assert_eq!(fault.needs_login, needs_login, "{sqlstate}");
    }
}
