//! The address of a database, and a login to it.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use strum::{EnumString, IntoStaticStr};
use url::Url;

use super::error::Error;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
    /// TLS is used; a known authority must have issued the certificate.
    VerifyCa,
    /// TLS is used; a known authority must have issued the certificate, for this host.
    VerifyFull,
}

impl Tls {
    /// The value as `sslmode` spells it.
    pub fn as_str(self) -> &'static str {
        self.into()
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
}

impl Login {
    /// Reads a `postgres://` or `postgresql://` URL. Of its parameters only `sslmode` is read; those of a client
    /// library (`connection_limit`, `pool_timeout`, `pgbouncer`, `schema`, …) are ignored. The default database name
    /// is the user's name, as in libpq.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], which never repeats the URL.
    pub fn parse(url: &SecretString) -> Result<Self, Error> {
        let invalid = Error::InvalidUrl;
        let url = Url::parse(url.expose_secret().trim())
            .map_err(|_| invalid("it does not parse; are special characters in the password percent-encoded?"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(invalid("it must begin with postgres:// or postgresql://"));
        }
        if url.fragment().is_some() {
            return Err(invalid("a # in the password must be written %23"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(invalid("no host"))?;
        let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
        if host.starts_with('/') {
            return Err(invalid("a Unix socket cannot be used"));
        }
        let user = decode(url.username())?;
        if user.is_empty() {
            return Err(invalid("no user"));
        }
        let database = decode(url.path().trim_start_matches('/'))?;
        let tls = url
            .query_pairs()
            .find(|(key, _)| key == "sslmode")
            .map(|(_, mode)| {
                mode.parse()
                    .map_err(|_| invalid("sslmode must be disable, prefer, require, verify-ca or verify-full"))
            })
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            host,
            port: url.port().unwrap_or(5432),
            database: if database.is_empty() { user.clone() } else { database },
            user,
            password: decode(url.password().unwrap_or_default())?.into(),
            tls,
        })
    }

    /// The login as a URL that any client library reads. `sslmode` is left out if it is [`Tls::Prefer`].
    pub fn url(&self) -> SecretString {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            encode(&self.host)
        };
        let mode = match self.tls {
            Tls::Prefer => String::new(),
            tls => format!("?sslmode={}", tls.as_str()),
        };
        let (user, database) = (encode(&self.user), encode(&self.database));
        let password = encode(self.password.expose_secret());
        format!("postgresql://{user}:{password}@{host}:{}/{database}{mode}", self.port).into()
    }

    /// A login of another user to the same database.
    #[must_use]
    pub fn as_user(&self, user: impl Into<String>, password: SecretString) -> Self {
        Self {
            user: user.into(),
            password,
            ..self.clone()
        }
    }
}

fn decode(text: &str) -> Result<String, Error> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Error::InvalidUrl("percent-encoded text is not UTF-8"))?;
    if text.contains('\0') {
        return Err(Error::InvalidUrl("it holds a NUL"));
    }
    Ok(text.into_owned())
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(url: &str) -> Result<Login, Error> {
        Login::parse(&url.to_owned().into())
    }

    #[test]
    fn reads_what_users_write() {
        let login = parse("postgresql://postgres.ref:p%40ss%2F%23@db.example.com:6543/my%20db?pgbouncer=true&connection_limit=1&sslmode=require&schema=public").unwrap();
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
            "postgres://%22:%00a@h",
        ] {
            let Ok(login) = parse(url) else { continue };
            let again = Login::parse(&login.url()).unwrap();
            assert_eq!(format!("{login:?}"), format!("{again:?}"));
            assert_eq!(login.password.expose_secret(), again.password.expose_secret());
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
            ("postgres://u:hunter2@h:port/d", "parse"),
        ] {
            let error = parse(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && !text.contains("hunter2"), "{url}: {text}");
        }
    }
}
