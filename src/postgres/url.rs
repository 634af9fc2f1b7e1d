//! Reads a database URL: every part of it is honoured or refused by name, and there is no default for host, user or
//! database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::channel;
use super::error::Error;
use super::login::{Login, SessionOptions, SessionPath, Tls};
use super::session_settings;
use super::url_parameters::{self, Parts, decode};
use super::url_text;

/// The most bytes of a file of root certificates: a system's whole bundle is smaller.
const ROOTS: u64 = 1 << 20;

/// PostgreSQL's port.
const PORT: u16 = 5432;

/// The longest that a URL's `connect_timeout` lets a login take.
const LONGEST: Duration = Duration::from_secs(30);

/// A socket is a file of the operator's pod, which holds no server.
const SOCKET: &str = "it names a Unix socket, which cannot be used: name the server's host and port";

const SEVERAL: &str = "it names several hosts, and one is used: name the host of the server that takes writes";

/// libpq would take the database that is named as the user is.
const NO_DATABASE: &str =
    "no database is named: write its name behind the port, postgresql://USER:PASSWORD@HOST:5432/DATABASE";

const ENCODE: &str = "it does not parse; are special characters in the user and the password percent-encoded?";

const NO_PORT: &str =
    "its port is no number from 1 to 65535; a : or @ in the password must be percent-encoded: %3A, %40";

impl Login {
    /// Reads a `postgres://` or `postgresql://` URL. A parameter comes before the part of the URL that says the same,
    /// as in libpq. The default port is 5432, as in libpq; a host, a user and a database must be named.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], which never repeats the URL.
    pub fn parse(url: &SecretString) -> Result<Self, Error> {
        parse(url.expose_secret(), true)
    }

    /// As [`Login::parse`], where the file that `sslrootcert` names cannot be read, because it is on a volume of the operator's pod:
    /// no session is opened with this login.
    ///
    /// # Errors
    /// As [`Login::parse`].
    pub fn parse_elsewhere(url: &SecretString) -> Result<Self, Error> {
        parse(url.expose_secret(), false)
    }
}

/// `loads`: whether the file of `sslrootcert` is read.
fn parse(text: &str, loads: bool) -> Result<Login, Error> {
    let text = url_text::plain(text)?;
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Error::invalid_url(url_text::no_url(text)));
    };
    if !["postgres", "postgresql"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(Error::invalid_url("it must begin with postgres:// or postgresql://"));
    }
    if rest.contains('#') {
        return Err(Error::invalid_url("a # in the password must be written %23"));
    }
    let (main, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = main.split_once('/').unwrap_or((main, ""));
    // The rest of a password behind its first / or ?.
    if path.contains('@') || authority.contains('@') && query.contains('@') {
        return Err(Error::invalid_url(
            "an @, / or ? in the user or the password must be percent-encoded: %40, %2F, %3F",
        ));
    }
    let mut parts = Parts::default();
    let place = match authority.rsplit_once('@') {
        Some((login, place)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            parts.user = given(user)?;
            parts.password = given(password)?;
            place
        }
        None => authority,
    };
    (parts.host, parts.port) = place_of(place)?;
    parts.database = given(path)?;
    // What looks like a parameter may be the rest of a password.
    let parameters = url_parameters::read(query, authority.contains('@') || !query.contains('@'))?;
    login(parameters.or(parts), loads)
}

/// A part that is not empty.
fn given(text: &str) -> Result<Option<String>, Error> {
    Ok(Some(decode(text)?).filter(|text| !text.is_empty()))
}

/// Host and port.
fn place_of(place: &str) -> Result<(Option<String>, Option<String>), Error> {
    if place.contains(',') {
        return Err(Error::invalid_url(SEVERAL));
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(address) => {
            let (host, rest) = address.split_once(']').ok_or_else(|| Error::invalid_url(ENCODE))?;
            let port = rest.strip_prefix(':').or(rest.is_empty().then_some(""));
            (host, port.ok_or_else(|| Error::invalid_url(ENCODE))?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if port.contains(':') {
        return Err(Error::invalid_url(
            "it does not parse: an IPv6 address must be written in brackets, [::1]:5432",
        ));
    }
    Ok((given(host)?, given(port)?))
}

fn login(parts: Parts, loads: bool) -> Result<Login, Error> {
    let host = parts.host.ok_or_else(|| Error::invalid_url("no host is named"))?;
    let user = parts.user.ok_or_else(|| Error::invalid_url("no user is named"))?;
    let database = parts.database.ok_or_else(|| Error::invalid_url(NO_DATABASE))?;
    check_host(&host)?;
    let port = match parts.port.as_deref() {
        None => PORT,
        Some(port) if port.contains(',') => return Err(Error::invalid_url(SEVERAL)),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(Error::invalid_url(NO_PORT)),
        },
    };
    let (tls, file) = security(parts.tls.as_deref(), parts.roots.as_deref())?;
    let roots = file.filter(|_| loads).map(|file| root_certificates(Path::new(file)));
    let path = path(parts.options.as_deref(), parts.schema.as_deref())?;
    Ok(Login {
        host,
        port,
        database,
        user,
        password: parts.password.unwrap_or_default().into(),
        tls,
        roots: roots.transpose()?,
        session: SessionOptions {
            options: parts.options.map(Into::into),
            path,
            timeout: parts.timeout.as_deref().map(timeout).transpose()?.flatten(),
            may_be_pooled: false,
        },
    })
}

fn check_host(host: &str) -> Result<(), Error> {
    if host.contains(',') {
        return Err(Error::invalid_url(SEVERAL));
    }
    if host.starts_with(['/', '@']) {
        return Err(Error::invalid_url(SOCKET));
    }
    let fits = |char: char| char.is_alphanumeric() || ".-_:%".contains(char);
    if !host.chars().all(fits) {
        return Err(Error::invalid_url("its host is neither a name nor an address"));
    }
    Ok(())
}

/// How the server is checked, and the file of root certificates. libpq checks the authority whenever it has root certificates,
/// also with `require`.
fn security<'a>(mode: Option<&str>, file: Option<&'a str>) -> Result<(Tls, Option<&'a str>), Error> {
    let mode =
        match mode {
            None => None,
            Some("allow") => {
                return Err(Error::invalid_url(
                    "sslmode=allow cannot be used, because it prefers clear text: write prefer, require or verify-full",
                ));
            }
            Some(mode) => Some(mode.parse::<Tls>().map_err(|_| {
                Error::invalid_url("sslmode must be disable, prefer, require, verify-ca or verify-full")
            })?),
        };
    let Some(file) = file else {
        return Ok((mode.unwrap_or_default(), None));
    };
    let tls = match (mode, file) {
        (None, "system") => Tls::VerifyFull,
        (Some(Tls::Require | Tls::VerifyCa), "system") => {
            return Err(Error::invalid_url("sslrootcert=system needs sslmode=verify-full"));
        }
        (Some(Tls::Require), _) => Tls::VerifyCa,
        (Some(tls), _) if tls.verifies() => tls,
        _ => {
            return Err(Error::invalid_url(
                "sslrootcert needs sslmode=verify-full or verify-ca: without it no certificate is checked",
            ));
        }
    };
    Ok((tls, Some(file).filter(|file| *file != "system")))
}

/// Reads the certificates of the file of `sslrootcert`, on a volume of the operator's pod. The file may hold more, and the
/// certificates are published.
fn root_certificates(file: &Path) -> Result<Arc<str>, Error> {
    let small = std::fs::metadata(file).is_ok_and(|is| is.is_file() && is.len() <= ROOTS);
    let text = small.then(|| std::fs::read_to_string(file).ok()).flatten();
    let text = text.ok_or_else(|| Error::invalid_url("the file that sslrootcert names cannot be read"))?;
    channel::certificates_alone(&text)
}

/// What the parameters `options` and `schema` say of the path of every session. Prisma Client names its tables with the
/// schema of its URL, which other clients refuse, so that the published URL could not name another one than Prisma's default.
fn path(given: Option<&str>, schema: Option<&str>) -> Result<SessionPath, Error> {
    let by_options = given.map_or(Ok(false), session_settings::set_path)?;
    match schema {
        None if by_options => Ok(SessionPath::ByOptions),
        None => Ok(SessionPath::Default),
        Some("public") if by_options => Err(Error::invalid_url(
            "schema and options both set the search_path: remove one of them",
        )),
        Some("public") => Ok(SessionPath::Public),
        Some(_) => Err(Error::invalid_url(
            "schema must be public, in small letters, or left out; for another schema set the path of every session: \
             options=-c%20search_path%3DNAME",
        )),
    }
}

/// Zero and less mean no limit in libpq; then the operator's own applies.
fn timeout(seconds: &str) -> Result<Option<Duration>, Error> {
    let seconds: i32 = seconds
        .trim()
        .parse()
        .map_err(|_| Error::invalid_url("connect_timeout must be a number of seconds"))?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    Ok(seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST)))
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
