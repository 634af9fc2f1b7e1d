//! The parameters of a database URL: those of libpq, and those that client libraries have added.

use percent_encoding::percent_decode_str;

use super::error::Error;

/// Parameters of a client's own pool, cache, socket or name. They have no effect on a single session of the operator, which
/// has its own name.
const OF_THE_CLIENT: [&str; 13] = [
    "application_name",
    "connection_limit",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pool_timeout",
    "statement-cache-capacity",
    "statement_cache_size",
    "tcp_user_timeout",
];

/// Parameters with the values that every session of the operator has anyway.
const MET: [(&str, &[&str]); 13] = [
    ("channel_binding", &["prefer", "disable"]),
    ("client_encoding", &["utf8", "utf-8", "auto"]),
    ("gssencmode", &["disable", "prefer"]),
    ("load_balance_hosts", &["disable", "random"]),
    ("pgbouncer", &["false"]),
    ("replication", &["false", "off", "no", "0"]),
    ("ssl_min_protocol_version", &["tlsv1", "tlsv1.1", "tlsv1.2"]),
    ("sslcertmode", &["disable", "allow"]),
    ("sslcompression", &["0"]),
    ("sslnegotiation", &["postgres"]),
    ("sslsni", &["1"]),
    // Every session of the operator's writes, so a server that accepts no writes is refused.
    ("target_session_attrs", &["any", "read-write", "primary"]),
    ("uselibpqcompat", &["true"]),
];

/// Parameters with the advice for an unsupported value.
const REFUSED: [(&str, &str); 14] = [
    (
        "channel_binding",
        "channel_binding=require cannot be met: remove it, and write sslmode=verify-full, which checks the server as well",
    ),
    ("client_encoding", "client_encoding must be UTF8: remove it"),
    ("hostaddr", "hostaddr cannot be used: write the address as the host"),
    ("passfile", "passfile cannot be used: write the password into the URL"),
    (
        "pgbouncer",
        "pgbouncer=true says that it leads to a transaction pooler, where locks and settings do not last between \
         transactions: give the URL of the server itself, or of the pooler in session mode",
    ),
    ("replication", "replication cannot be used: remove it"),
    (
        "service",
        "service cannot be used: write host, user and database into the URL",
    ),
    ("ssl", "ssl must be true; for anything else write sslmode"),
    (
        "sslaccept",
        "sslaccept is Prisma's: for strict write sslmode=verify-full, with sslrootcert for an authority of your own; \
         otherwise remove it",
    ),
    ("sslcert", CLIENT_CERTIFICATE),
    ("sslkey", CLIENT_CERTIFICATE),
    ("sslpassword", CLIENT_CERTIFICATE),
    ("sslnegotiation", "sslnegotiation must be postgres or left out"),
    (
        "target_session_attrs",
        "target_session_attrs must be any, read-write or primary: the operator writes to the database",
    ),
];

/// Further parameters of libpq and of drivers. Their names are no secrets, wherever they stand.
const KNOWN: [&str; 31] = [
    "currentSchema",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_ca_file",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "prepareThreshold",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "servicefile",
    "socketTimeout",
    "socket_timeout",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslidentity",
    "sslkeylogfile",
    "sslsni",
];

const CLIENT_CERTIFICATE: &str = "sslcert and sslkey cannot be used, because the operator has no client certificate: log in \
     with a password; Prisma's sslcert is an authority's certificate: write sslmode=verify-full and sslrootcert";

/// The values that the parts and parameters of a URL give, as text.
#[derive(Default)]
pub(super) struct Parts {
    pub host: Option<String>,
    pub port: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: Option<String>,
    pub tls: Option<String>,
    pub roots: Option<String>,
    pub options: Option<String>,
    pub schema: Option<String>,
    pub timeout: Option<String>,
}

impl Parts {
    /// Missing values are taken from the other one.
    pub fn or(self, other: Self) -> Self {
        Self {
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            database: self.database.or(other.database),
            ..self
        }
    }
}

pub(super) fn decode(text: &str) -> Result<String, Error> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Error::invalid_url("percent-encoded text is not UTF-8"))?;
    if text.contains('\0') {
        return Err(Error::invalid_url("it holds a NUL"));
    }
    Ok(text.into_owned())
}

/// Reads the parameters. Messages contain their names only if `trusted`: otherwise they may be a part of a password.
pub(super) fn read(query: &str, trusted: bool) -> Result<Parts, Error> {
    let mut parts = Parts::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(|| {
            Error::invalid_url("a parameter has no value; in the password, & must be written %26 and ? %3F")
        })?;
        let (name, value) = (decode(name)?, decode(value)?);
        take(&mut parts, &name, value, trusted)?;
    }
    Ok(parts)
}

fn take(parts: &mut Parts, name: &str, value: String, trusted: bool) -> Result<(), Error> {
    let (name, value) = match (name, value.as_str()) {
        // As libpq does for JDBC's sake.
        ("ssl", "true") => ("sslmode", "require".to_owned()),
        _ => (name, value),
    };
    let has_password = parts.password.is_some();
    let place = match name {
        "host" => &mut parts.host,
        "port" => &mut parts.port,
        "user" => &mut parts.user,
        "password" => &mut parts.password,
        "dbname" => &mut parts.database,
        "sslmode" => &mut parts.tls,
        "sslrootcert" => &mut parts.roots,
        "options" => &mut parts.options,
        "schema" => &mut parts.schema,
        "connect_timeout" => &mut parts.timeout,
        // As in libpq, a parameter without a value counts as absent.
        _ if is_met(name, &value) || value.is_empty() && is_known(name) => return Ok(()),
        _ => return Err(refusal(name, trusted && !has_password)),
    };
    match place {
        Some(before) if *before != value => Err(Error::invalid_url(format!(
            "{name} appears twice, with different values"
        ))),
        _ => {
            // libpq takes an empty value for none; to Prisma, an empty schema is one.
            *place = Some(value).filter(|value| !value.is_empty() || name == "schema");
            Ok(())
        }
    }
}

fn is_met(name: &str, value: &str) -> bool {
    let met = MET.iter().filter(|(of, _)| *of == name);
    let mut values = met.flat_map(|(_, values)| *values);
    OF_THE_CLIENT.contains(&name) || values.any(|met| value.eq_ignore_ascii_case(met))
}

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || MET.iter().any(|(of, _)| *of == name) || REFUSED.iter().any(|(of, _)| *of == name)
}

fn refusal(name: &str, named: bool) -> Error {
    if let Some((_, advice)) = REFUSED.iter().find(|(of, _)| *of == name) {
        return Error::invalid_url(*advice);
    }
    if KNOWN.contains(&name) {
        return Error::invalid_url(format!("the parameter {name} cannot be used: remove it"));
    }
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    if named && name.len() <= 40 && name.chars().all(plain) {
        return Error::invalid_url(format!("the parameter {name} cannot be used: remove it"));
    }
    Error::invalid_url("a parameter cannot be used; in the password, & must be written %26 and ? %3F")
}
