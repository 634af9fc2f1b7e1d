//! The address of a database, and a login to it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use strum::{EnumString, IntoStaticStr};
use url::Url;

use super::error::Error;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The most bytes of a file of root certificates: a system's whole bundle is smaller.
const ROOTS: u64 = 1 << 20;

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
    /// Root certificates in PEM that are trusted beside the system's.
    pub roots: Option<Arc<str>>,
}

impl Login {
    /// Reads a `postgres://` or `postgresql://` URL. Of its parameters only `sslmode` is read and, where that asks for
    /// a verified server, the file that `sslrootcert` names; those of a client library (`connection_limit`,
    /// `pool_timeout`, `pgbouncer`, `schema`, …) are ignored. The default database name is the user's name, as in
    /// libpq.
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
        let tls: Tls = url
            .query_pairs()
            .find(|(key, _)| key == "sslmode")
            .map(|(_, mode)| {
                mode.parse()
                    .map_err(|_| invalid("sslmode must be disable, prefer, require, verify-ca or verify-full"))
            })
            .transpose()?
            .unwrap_or_default();
        let file = url.query_pairs().find(|(key, _)| key == "sslrootcert");
        let roots = match file {
            Some((_, file)) if tls.verifies() && file != "system" => Some(root_certificates(Path::new(&*file))?),
            _ => None,
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(5432),
            database: if database.is_empty() { user.clone() } else { database },
            user,
            password: decode(url.password().unwrap_or_default())?.into(),
            tls,
            roots,
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

    /// The root certificates for whoever uses [`Login::url`]; none where the URL does not ask for a verified server.
    pub fn published_roots(&self) -> Option<&Arc<str>> {
        self.roots.as_ref().filter(|_| self.tls.verifies())
    }

    /// Whether the traffic may leave this machine without TLS, or with a server that anybody could be.
    pub fn is_exposed(&self) -> bool {
        let loopback = match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        };
        matches!(self.tls, Tls::Disable | Tls::Prefer) && !loopback
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

/// Reads the file of `sslrootcert`, on a volume of the operator's pod.
fn root_certificates(file: &Path) -> Result<Arc<str>, Error> {
    let small = std::fs::metadata(file).is_ok_and(|is| is.is_file() && is.len() <= ROOTS);
    let text = small.then(|| std::fs::read_to_string(file).ok()).flatten();
    let text = text.ok_or(Error::InvalidUrl("the file that sslrootcert names cannot be read"))?;
    Ok(text.into())
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
            roots: _,
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
    fn roots_are_read_where_the_server_is_verified_and_exposed_entries_are_known() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/postgres/certificates/supabase-root-2021-ca.pem"
        );
        for (mode, read) in [("require", false), ("verify-ca", true), ("verify-full", true)] {
            let login = parse(&format!("postgres://a@h/c?sslmode={mode}&sslrootcert={file}")).unwrap();
            assert_eq!(login.published_roots().is_some(), read, "{mode}");
            let system = parse(&format!("postgres://a@h/c?sslmode={mode}&sslrootcert=system")).unwrap();
            assert!(system.roots.is_none());
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
            ("postgres://u:hunter2@h:port/d", "parse"),
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
}
