//! Why an application cannot use a database. The kind is derived from the step that failed, the `io::ErrorKind` and the
//! SQLSTATE. Texts decide only where one SQLSTATE has several meanings, as with poolers.

use std::io;
use std::time::Duration;

use super::channel::Unsecured;
use super::error::Error;
use super::login::Login;
use crate::api::ROTATE_ANNOTATION;
use crate::api::condition::Reason;
use crate::text;

/// The most characters of a server's or a library's text that are repeated.
const WORDS: usize = 300;

/// Why an application cannot use a database, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// What is wrong, and what to do. It contains no password.
    pub message: String,
    /// A new login resolves it.
    pub needs_login: bool,
}

/// The kinds of problems that prevent applications from using a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The host's name does not resolve.
    Name,
    /// The host has only IPv6 addresses, and there is no route to them.
    Ipv6Only,
    /// Nothing listens at the address.
    Refused,
    /// The address does not answer.
    TimedOut,
    /// There is no route to the address, or nothing there answers.
    Unreachable,
    /// TLS.
    Tls,
    /// The server refuses the role or its password.
    Login,
    /// A pooler in between refuses.
    Pooler,
    /// A pooler in between refuses because of the client's address.
    Blocked,
    /// A limit of connections is reached.
    Connections,
    /// The login's own limit of connections, which its applications have reached: the server has let it in.
    LoginLimit,
    /// There is no such database.
    Gone,
    /// The server starts, stops or recovers.
    Starting,
    /// The database accepts no writes.
    ReadOnly,
    /// Anything else that the server refuses.
    Other,
}

impl FaultKind {
    /// The reason of conditions, events and metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Name => Reason::HostNotFound,
            Self::Ipv6Only => Reason::Ipv6Only,
            Self::Refused => Reason::ConnectionRefused,
            Self::TimedOut => Reason::ConnectionTimedOut,
            Self::Unreachable => Reason::DatabaseUnreachable,
            Self::Tls => Reason::TlsFailed,
            Self::Login => Reason::LoginFailed,
            Self::Pooler | Self::Blocked => Reason::PoolerRefused,
            Self::Connections | Self::LoginLimit => Reason::TooManyConnections,
            Self::Gone => Reason::DatabaseGone,
            Self::Starting => Reason::DatabaseStarting,
            Self::ReadOnly => Reason::DatabaseReadOnly,
            Self::Other => Reason::DatabaseRefused,
        }
    }

    /// Whether it counts as a refused login: too many of them, and the provider's pooler blocks the address.
    pub fn is_refused_login(self) -> bool {
        matches!(self, Self::Login | Self::Blocked)
    }

    /// Whether it is detected only after a while: such probes delay others.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::Name | Self::TimedOut | Self::Unreachable)
    }

    /// Whether it holds for every other database at the same host and port, because no session was started.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::Name | Self::Ipv6Only | Self::Refused | Self::TimedOut)
    }
}

impl Fault {
    fn new(kind: FaultKind, message: String) -> Self {
        Self {
            kind,
            message,
            needs_login: false,
        }
    }

    /// The host's name leads to no address.
    pub(super) fn name(login: &Login, error: Option<&io::Error>) -> Self {
        let cause = error.map(|error| format!(" ({})", words(&error.to_string())));
        let message = format!(
            "the host name {} does not resolve{}: check the cluster's DNS, and whether the server or the project still has \
             this name",
            login.host,
            cause.unwrap_or_default()
        );
        Self::new(FaultKind::Name, message)
    }

    /// No connection to the host. `only_ipv6`: it has no other addresses.
    pub(super) fn connect(login: &Login, error: &io::Error, only_ipv6: bool) -> Self {
        use io::ErrorKind as Is;
        let place = place(login);
        let no_way = matches!(
            error.kind(),
            Is::NetworkUnreachable | Is::HostUnreachable | Is::AddrNotAvailable | Is::Unsupported | Is::NetworkDown
        );
        match error.kind() {
            Is::ConnectionRefused => Self::new(
                FaultKind::Refused,
                format!(
                    "nothing accepts connections at {place}: start the server, or check its address, its port and the \
                     firewall"
                ),
            ),
            Is::TimedOut if only_ipv6 => Self::ipv6_only(login),
            _ if no_way && only_ipv6 => Self::ipv6_only(login),
            Is::TimedOut => Self::timed_out(login, None),
            _ => Self::new(
                FaultKind::Unreachable,
                format!(
                    "no connection to {place} ({}): check the network, NetworkPolicies and firewalls between the operator \
                     and the server",
                    words(&error.to_string())
                ),
            ),
        }
    }

    fn ipv6_only(login: &Login) -> Self {
        let message = format!(
            "{} has an IPv6 address only, and the operator has no way there: set connection.mode to SessionPooler, buy the \
             provider's IPv4 add-on, or give the operator and the applications IPv6",
            login.host
        );
        Self::new(FaultKind::Ipv6Only, message)
    }

    /// The address did not answer in time.
    pub(super) fn timed_out(login: &Login, after: Option<Duration>) -> Self {
        let after = after.map(|after| format!(" within {} s", after.as_secs()));
        let message = format!(
            "{} does not answer{}: check that its machine runs, and the network, NetworkPolicies and firewalls between the \
             operator and the server",
            place(login),
            after.unwrap_or_default()
        );
        Self::new(FaultKind::TimedOut, message)
    }

    /// The connection was accepted, and nothing was answered.
    pub(super) fn silent(login: &Login, after: Duration) -> Self {
        let message = format!(
            "{} accepts connections, and the session is not answered within {} s: the server, or the pooler in front of it, \
             is overloaded or hangs; look at its log and its load",
            place(login),
            after.as_secs()
        );
        Self::new(FaultKind::Unreachable, message)
    }

    /// The server's answer cannot be decoded.
    pub(super) fn unreadable(login: &Login) -> Self {
        let message = format!(
            "what answers at {} is not understood as PostgreSQL: check the address and the port",
            place(login)
        );
        Self::new(FaultKind::Unreachable, message)
    }

    /// The connection is not secured as the login says.
    pub(super) fn unsecured(login: &Login, unsecured: Unsecured) -> Self {
        match unsecured {
            Unsecured::Lost(error) => Self::closed(login, &error.to_string()),
            Unsecured::OtherProtocol => Self::unreadable(login),
            Unsecured::NotOffered => Self::new(
                FaultKind::Tls,
                format!(
                    "{} does not offer TLS, which sslmode={} of the published URL asks for: switch ssl on at the server",
                    place(login),
                    login.tls.as_str()
                ),
            ),
            Unsecured::Handshake(cause) => Self::new(
                FaultKind::Tls,
                format!(
                    "the TLS handshake with {} fails ({}): check the TLS settings and the certificate of the server",
                    place(login),
                    words(&cause)
                ),
            ),
            other => Self::of(login, &Error::from(other)),
        }
    }

    fn closed(login: &Login, cause: &str) -> Self {
        let message = format!(
            "{} closes the connection before the session is answered ({}): check the log of the server, and of any proxy or pooler \
             in front of it",
            place(login),
            words(cause)
        );
        Self::new(FaultKind::Unreachable, message)
    }

    /// The login or a statement failed.
    pub(super) fn of(login: &Login, error: &Error) -> Self {
        match error {
            Error::LoginFailed { sqlstate, message } | Error::Refused { sqlstate, message } => {
                Self::refused(sqlstate, message)
            }
            Error::UnknownTenant => Self::new(
                FaultKind::Pooler,
                "the pooler does not know the project or the user: look in the provider's dashboard whether the project is \
                 paused or was removed"
                    .into(),
            ),
            Error::UntrustedServer(_) | Error::InsecureLogin { .. } => Self::new(FaultKind::Tls, error.to_string()),
            Error::Unreachable(cause) => Self::closed(login, cause),
            Error::Timeout(after) => Self::silent(login, *after),
            other => Self::new(FaultKind::Other, other.to_string()),
        }
    }

    /// What a server or a pooler refuses.
    fn refused(sqlstate: &str, message: &str) -> Self {
        let said = words(message);
        if let Some(fault) = of_pooler(sqlstate, message) {
            return fault;
        }
        let replace = format!("replace the login with the annotation {ROTATE_ANNOTATION} of the Orchestra");
        let grant = format!("give back the right that was revoked: GRANT CONNECT ON DATABASE, or {replace}");
        let (kind, what, cure) = match sqlstate {
            "28000" if needs_tls(message) => (
                FaultKind::Tls,
                "the server accepts sessions with TLS only",
                "write sslmode=require or verify-full into the URL of the pool's entry",
            ),
            "28000" if message.contains("pg_hba.conf") => (
                FaultKind::Login,
                "the server's rules reject the login",
                "allow it in pg_hba.conf, from the addresses of the operator and the applications",
            ),
            _ if sqlstate.starts_with("28") => (
                FaultKind::Login,
                "the server refuses the login of the connection Secret",
                &*replace,
            ),
            "3D000" => (
                FaultKind::Gone,
                "the server has no such database",
                "create it again from a backup; only if its data may be lost, delete the Orchestra",
            ),
            "53300" if message.starts_with("too many connections for role") => (
                FaultKind::LoginLimit,
                "the applications have all connections that the login may have",
                CONNECTIONS,
            ),
            "53300" => (FaultKind::Connections, "no more connections are accepted", CONNECTIONS),
            "57P01" | "57P02" | "57P03" => (
                FaultKind::Starting,
                "the server starts, stops or recovers",
                "wait; if it lasts, look at the log of the server",
            ),
            "25006" => (FaultKind::ReadOnly, "the database takes no writes", READ_ONLY),
            "42501" => (FaultKind::Other, "the database refuses the login", &*grant),
            "53100" | "53200" => (
                FaultKind::Other,
                "the server is out of resources",
                "give it more disk or memory, or free some",
            ),
            _ => (
                FaultKind::Other,
                "the database refuses the session",
                "look at the log of the server",
            ),
        };
        Self {
            needs_login: cure == replace,
            ..Self::new(kind, format!("{what}: {said} (SQLSTATE {sqlstate}). To do: {cure}"))
        }
    }

    /// A session is answered, and would not accept writes.
    pub(super) fn read_only(standby: bool) -> Self {
        let message = if standby {
            "the server is a standby or is recovering, and takes no writes: wait, or let the URL lead to the primary server"
                .to_owned()
        } else {
            format!("the database takes no writes (default_transaction_read_only is on). To do: {READ_ONLY}")
        };
        Self::new(FaultKind::ReadOnly, message)
    }
}

const CONNECTIONS: &str = "let the applications keep fewer connections, or raise limits.connections of the class, the \
                           pooler's pool size or the server's max_connections";

const READ_ONLY: &str = "a hosted project is read-only when its disk is full: free space or enlarge the disk; on other servers, find out \
                         who set it (ALTER DATABASE, ALTER SYSTEM)";

/// The texts of PostgreSQL before and since 16 for a missing rule for connections without TLS.
fn needs_tls(message: &str) -> bool {
    message.contains("no encryption") || message.contains("SSL off")
}

/// What a pooler says. Supavisor gives nearly every refusal the SQLSTATE XX000 and begins with a code of its own in
/// parentheses (lib/supavisor/errors of its source); earlier versions have only texts. `PgBouncer` uses class 08, which a
/// server does not send.
fn of_pooler(sqlstate: &str, message: &str) -> Option<Fault> {
    let lower = message.to_ascii_lowercase();
    let code = message.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let code = code.map(|(code, _)| code).unwrap_or_default();
    let is_supavisor = sqlstate == "XX000";
    let is_full = code.starts_with("EMAXC")
        || (is_supavisor || sqlstate.starts_with("08"))
            && (lower.contains("max clients reached")
                || lower.contains("max client connections reached")
                || lower.contains("no more connections allowed"));
    let of_class_08 = |words: &str| sqlstate.starts_with("08") && lower.contains(words);
    let (kind, cure) = match code {
        _ if is_full => (FaultKind::Connections, CONNECTIONS),
        _ if of_class_08("authentication failed") || of_class_08("no such user") => (
            FaultKind::Login,
            "let the pooler know the login and its password (auth_query, auth_file)",
        ),
        _ if of_class_08("no such database") => (FaultKind::Gone, "name the database in the pooler's settings"),
        "ESSLREQUIRED" => (FaultKind::Tls, "let the URL ask for TLS (sslmode=verify-full)"),
        "ECIRCUITBREAKER" => (
            FaultKind::Blocked,
            "wait: the pooler blocks this address for a while after failed logins; find out who has a wrong password",
        ),
        "EADDRNOTALLOWED" => (
            FaultKind::Blocked,
            "add the addresses of the operator and the applications to the project's network restrictions",
        ),
        "ENOTFOUND" | "ETENANTNOTFOUND" | "EBANNED" => (
            if code == "EBANNED" {
                FaultKind::Blocked
            } else {
                FaultKind::Pooler
            },
            "look in the provider's dashboard whether the project is paused, restricted or was removed",
        ),
        _ if is_supavisor || sqlstate.starts_with("08") => (
            FaultKind::Pooler,
            "look at the pooler and at the server behind it; of a hosted project, in the provider's dashboard",
        ),
        _ => return None,
    };
    let said = words(message);
    Some(Fault::new(
        kind,
        format!("the pooler refuses the session: {said}. To do: {cure}"),
    ))
}

fn place(login: &Login) -> String {
    if login.host.contains(':') {
        format!("[{}]:{}", login.host, login.port)
    } else {
        format!("{}:{}", login.host, login.port)
    }
}

fn words(text: &str) -> String {
    text::line(text, WORDS)
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
