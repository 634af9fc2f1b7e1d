//! The address of a database, and a login to it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use strum::{EnumString, IntoStaticStr};

use super::error::Error;
use super::session_settings;

/// All characters except the unreserved ones of RFC 3986.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Tls {
    /// TLS is not used.
    Disable,
    /// TLS is used when the server offers it. The default, as in libpq.
    #[default]
    Prefer,
    /// TLS is used; the certificate is not checked.
    Require,
    /// TLS is used; the authority that the login names must have issued the certificate, for any host.
    VerifyCa,
    /// TLS is used; an authority of the system or of the login must have issued the certificate, for this host.
    VerifyFull,
}

impl Tls {
    /// The value as `sslmode` spells it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the server's certificate is checked before the password is sent.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// One login to one database. `Debug` shows everything but the password.
#[derive(Clone)]
pub struct Login {
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// Role, or `role.ref` at the hosted pooler.
    pub user: String,
    /// The role's password.
    pub password: SecretString,
    /// Whether and how to use TLS.
    pub tls: Tls,
    /// Root certificates in PEM that are trusted: beside the system's with [`Tls::VerifyFull`], and alone with
    /// [`Tls::VerifyCa`].
    pub roots: Option<Arc<str>>,
    /// How sessions are opened.
    pub session: SessionOptions,
}

/// What a URL says of the `search_path` of every session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionPath {
    /// Nothing: the settings of the login, the database and the server apply.
    #[default]
    Default,
    /// `options` set it.
    ByOptions,
    /// `schema=public`: Prisma sets the path to that schema alone (prisma-engines, quaint's connector of PostgreSQL).
    Public,
}

/// How the sessions of a login are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// libpq's `options`: settings of the session.
    pub options: Option<Arc<str>>,
    /// What the URL says of the `search_path`.
    pub path: SessionPath,
    /// The longest that connection and login may take, where the URL says it.
    pub timeout: Option<Duration>,
    /// A person wrote the URL, so it is checked for a pooler in transaction mode.
    pub may_be_pooled: bool,
}

impl SessionOptions {
    /// Those of another user's sessions. A `search_path` with `$user` would lead that user to another schema than the owner,
    /// and precede the setting of the tenant's role, which names the owner's schema as well: it is left out.
    fn of_another_user(&self) -> Self {
        match self.options.as_deref() {
            Some(options) if session_settings::names_user(options) => Self {
                options: session_settings::without_path(options).map(Into::into),
                path: SessionPath::Default,
                ..self.clone()
            },
            _ => self.clone(),
        }
    }
}

impl Login {
    /// The login as a URL that any client library reads. `sslmode` is left out if it is [`Tls::Prefer`]. `options` belong to
    /// the address of the database, and are kept; for `schema` and for a `search_path` with `$user`, the tenant's role has a
    /// setting.
    pub fn url(&self) -> SecretString {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            encode(&self.host)
        };
        let mode = Some(self.tls).filter(|tls| *tls != Tls::Prefer);
        let mode = mode.map(|tls| format!("sslmode={}", tls.as_str()));
        let options = self.session.options.as_ref();
        let options = options.map(|options| format!("options={}", encode(options)));
        let parameters: Vec<_> = mode.into_iter().chain(options).collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        let parameters = parameters.join("&");
        let (user, database) = (encode(&self.user), encode(&self.database));
        let password = encode(self.password.expose_secret());
        format!(
            "postgresql://{user}:{password}@{host}:{}/{database}{mark}{parameters}",
            self.port
        )
        .into()
    }

    /// The root certificates for users of [`Login::url`]; none where the URL does not ask for a verified server.
    pub fn published_roots(&self) -> Option<&Arc<str>> {
        self.roots.as_ref().filter(|_| self.tls.verifies())
    }

    /// Refuses [`Tls::VerifyCa`] without an authority of its own: any public authority's certificate for any host would be
    /// accepted.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn check_authority(&self) -> Result<(), Error> {
        let lacks = self.tls == Tls::VerifyCa && self.roots.is_none();
        if !lacks {
            return Ok(());
        }
        Err(Error::invalid_url(
            "sslmode=verify-ca does not check the server's name, so it needs sslrootcert with the file of your own \
             authority: write that, or sslmode=verify-full",
        ))
    }

    /// Whether the traffic may leave this machine without TLS, or to a server whose identity is not verified.
    pub fn is_exposed(&self) -> bool {
        let loopback = match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        };
        matches!(self.tls, Tls::Disable | Tls::Prefer) && !loopback
    }

    /// A login of a user to the same database. Another user's has no `search_path` with `$user` in its `options`.
    #[must_use]
    pub fn as_user(&self, user: impl Into<String>, password: SecretString) -> Self {
        let user = user.into();
        let session = if user == self.user {
            self.session.clone()
        } else {
            self.session.of_another_user()
        };
        Self {
            user,
            password,
            session,
            ..self.clone()
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            database,
            user,
            password: _,
            tls,
            roots: _,
            session: _,
        } = self;
        f.debug_struct("Login")
            .field("host", host)
            .field("port", port)
            .field("database", database)
            .field("user", user)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
