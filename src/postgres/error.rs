//! Errors of a database.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::error::DatabaseError;

use super::quoted::of_query;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::text;

/// Characters of a SQLSTATE.
const SQLSTATE: usize = 5;
/// SQLSTATE `program_limit_exceeded`.
pub(super) const TOO_LARGE: &str = "54000";
/// What the relay sends to sqlx instead of a message that is too long.
pub(super) const TOO_LONG: &str = "the server sent a message of more than 4 MiB";

/// An error of a connection or of one of the operator's own statements. No message holds a URL, a password or the
/// text of a statement. Texts of the server are on one line, capped and without control characters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or the connection broke.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate is not one that the login accepts.
    #[error(
        "the server's certificate is not trusted ({0}), so no password was sent: check that the address is right and \
         that the certificate's authority is known (sslrootcert of a pool entry, --supabase-ca-file for hosted projects)"
    )]
    UntrustedServer(String),
    /// A server whose identity is not verified asked for the password.
    #[error(
        "the server asks for the password {asked}, and no certificate of its host was checked, so nothing was sent: write \
         sslmode=verify-full into the URL, or have the server use scram-sha-256{}",
        port_of_a_pooler(*.port)
    )]
    InsecureLogin {
        /// The form of the password.
        asked: &'static str,
        /// The port in an entry's URL.
        port: Option<u16>,
    },
    /// The server refused the user or the password.
    #[error("the database refused the login: {message} (SQLSTATE {sqlstate})")]
    LoginFailed {
        /// `28P01` or another code of class 28.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
    /// The hosted pooler does not know the project yet ("Tenant or user not found").
    #[error("the pooler does not know the project or the user yet")]
    UnknownTenant,
    /// The server refused a statement.
    #[error("the database refused: {message} (SQLSTATE {sqlstate})")]
    Refused {
        /// The five characters of PostgreSQL's appendix A.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
    /// A table of the operator's or of a migration tool's was changed by somebody else than its owner: it is neither trusted
    /// nor written.
    #[error("{0}")]
    Untrusted(String),
    /// No answer within the limit.
    #[error("no answer from the database within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A message of the server that is longer than the relay passes on.
    #[error(
        "the server sent a message of more than 4 MiB, which exceeds the operator's limit: change what raises or \
         selects a text or a row of that length, which can be a script or a function that it calls"
    )]
    TooLong,
    /// An answer to a query of the operator's own that is longer than it holds in memory.
    #[error(
        "the database or its server has more than {most} {what}, or long texts in them, and the operator reads no more: \
         remove those that nobody needs"
    )]
    TooMany {
        /// The objects of which there are too many.
        what: &'static str,
        /// The most rows that are read.
        most: usize,
    },
    /// The text is not a database URL that can be used. The text itself is not repeated.
    #[error("not a usable database URL: {0}")]
    InvalidUrl(Cow<'static, str>),
    /// The URL does not lead to a server, but to a pooler whose sessions last for one transaction.
    #[error(
        "the URL leads to a transaction pooler, which gives every transaction another session of the server, so that \
         locks and settings do not last between transactions: give the URL of the server itself, or of the pooler in \
         session mode"
    )]
    TransactionPooler,
    /// A pooler in between does not pass the settings of the URL on to the server, or not as those of the login.
    #[error(
        "a pooler in between does not give the sessions the settings of the URL's options or schema ({0}): give the URL of \
         the server itself, or remove them from the URL and set them for the login: ALTER ROLE … IN DATABASE … SET \
         search_path = public"
    )]
    OptionsLost(String),
    /// A pooler may be in between, and gives no second session, which the check of its mode needs.
    #[error(
        "cannot tell whether a transaction pooler is in between, because a second session is refused: {0}; let the \
         login have two sessions at the pooler and at the server (CONNECTION LIMIT 2 or more), or give the URL of the \
         server itself, where one is enough"
    )]
    NoSecondSession(String),
    /// A role name that PostgreSQL would change or refuse.
    #[error("not a usable role name: {0}")]
    InvalidRole(&'static str),
}

impl Error {
    /// Who can resolve it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable(_) | Self::UnknownTenant | Self::Timeout(_) | Self::NoSecondSession(_) => {
                ErrorClass::Transient
            }
            // The hosted pooler reports its own limits as XX000, and PostgreSQL two concurrent changes of one
            // catalog row.
            Self::Refused { sqlstate, .. } if is_transient(sqlstate) || sqlstate == "XX000" => ErrorClass::Transient,
            Self::LoginFailed { .. }
            | Self::Refused { .. }
            | Self::TooLong
            | Self::TooMany { .. }
            | Self::Untrusted(_)
            | Self::UntrustedServer(_)
            | Self::TransactionPooler
            | Self::OptionsLost(_)
            | Self::InsecureLogin { .. } => ErrorClass::Blocked,
            Self::InvalidUrl(_) | Self::InvalidRole(_) => ErrorClass::Invalid,
        }
    }

    /// The reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::NoSecondSession(_) => Reason::DatabaseUnreachable,
            Self::LoginFailed { .. } | Self::UnknownTenant => Reason::LoginFailed,
            Self::UntrustedServer(_) | Self::InsecureLogin { .. } => Reason::UntrustedHost,
            Self::Refused { .. } | Self::TooLong | Self::TooMany { .. } | Self::Untrusted(_) | Self::InvalidRole(_) => {
                Reason::DatabaseRefused
            }
            Self::InvalidUrl(_) | Self::TransactionPooler | Self::OptionsLost(_) => Reason::InvalidEntry,
        }
    }

    /// Whether the server says that the password is wrong (28P01).
    pub fn is_wrong_password(&self) -> bool {
        matches!(self, Self::LoginFailed { sqlstate, .. } if sqlstate == "28P01")
    }

    pub(crate) fn refused(sqlstate: &str, message: &str) -> Self {
        Self::Refused {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
        }
    }

    pub(super) fn invalid_url(what: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidUrl(what.into())
    }

    pub(super) fn unreachable(cause: &str) -> Self {
        Self::Unreachable(text::line(cause, text::MESSAGE))
    }

    pub(super) fn untrusted_server(cause: &str) -> Self {
        Self::UntrustedServer(text::line(cause, text::MESSAGE))
    }
}

/// What to do about a port that a transaction pooler usually has: Supavisor's and `PgBouncer`'s.
fn port_of_a_pooler(port: Option<u16>) -> String {
    let Some(port @ (6543 | 6432)) = port else {
        return String::new();
    };
    format!(
        "; port {port} may be that of a transaction pooler, which cannot be an entry: use the port of the server itself \
         (usually 5432) or of a pooler in session mode"
    )
}

/// A result whose error is that of a database.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether a statement that failed with this SQLSTATE may be retried: a connection failure, a serialization failure,
/// a deadlock, a lock that is not available, a shutdown, insufficient resources.
pub(crate) fn is_transient(sqlstate: &str) -> bool {
    matches!(sqlstate, "40001" | "40P01" | "55P03")
        || ["08", "53", "57P0"].iter().any(|class| sqlstate.starts_with(class))
}

/// Whether the relay has ended the session because of a message that is too long.
pub(crate) fn is_too_long(error: &dyn DatabaseError) -> bool {
    error.code().as_deref() == Some(TOO_LARGE) && error.message() == TOO_LONG
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let sqlstate = text::line(&error.code().unwrap_or_default(), SQLSTATE);
                let message = text::line(&of_query(&sqlstate, error.message()), text::MESSAGE);
                let lower = message.to_ascii_lowercase();
                if is_too_long(&*error) {
                    Self::TooLong
                } else if lower.contains("tenant or user not found")
                    || lower.contains("tenant/user") && lower.contains("not found")
                {
                    Self::UnknownTenant
                } else if sqlstate.starts_with("28") {
                    Self::LoginFailed { sqlstate, message }
                } else {
                    Self::Refused { sqlstate, message }
                }
            }
            sqlx::Error::Io(error) => Self::unreachable(&error.to_string()),
            other => Self::unreachable(&other.to_string()),
        }
    }
}
