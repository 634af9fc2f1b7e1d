//! `psql` and `url`: the login of an Orchestra, from its connection Secret.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, bail, ensure};
use clap_complete::engine::ArgValueCandidates;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use super::complete;
use super::scope::Scope;
use crate::cli::changed::named;
use crate::cli::words::FoundExit;
use crate::postgres::RESERVED;
use crate::text::line;

/// What is printed instead of a password.
const HIDDEN: &str = "xxxxx";

/// The port of a URL that names none.
const POSTGRESQL: u16 = 5432;

/// Characters of a host's name that are shown.
const LONGEST_NAME: usize = 255;

/// Arguments of `psql`.
#[derive(clap::Args, Debug)]
pub struct PsqlArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Arguments of psql, after `--`.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// Arguments of `url`.
#[derive(clap::Args, Debug)]
pub struct UrlArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Key of the connection Secret that holds the URL.
    #[arg(long, default_value = "DATABASE_URL")]
    pub key: String,
    /// Print the password as well. Everyone who sees your terminal, or its log, has it then.
    #[arg(long)]
    pub show_password: bool,
}

/// The values of the connection Secret.
struct Values(BTreeMap<String, SecretString>);

impl Values {
    async fn read(scope: &Scope, name: &str) -> anyhow::Result<Self> {
        let orchestra = scope.orchestra(name).await?;
        let published = orchestra.status.as_ref().and_then(|status| status.secret_ref.as_ref());
        let Some(published) = published else {
            bail!(
                "{} has no login yet: kubectl orchestra status {name} says what it waits for",
                named(&orchestra)
            );
        };
        let secrets: Api<Secret> = Api::namespaced(scope.client.clone(), &scope.namespace);
        let secret = secrets.get(&published.name).await?;
        let values = secret.data.unwrap_or_default().into_iter().filter_map(|(key, value)| {
            let text = String::from_utf8(value.0).ok()?;
            Some((key, SecretString::from(text)))
        });
        Ok(Self(values.collect()))
    }

    fn get(&self, key: &str) -> anyhow::Result<&SecretString> {
        self.0
            .get(key)
            .with_context(|| format!("the connection Secret has no key {key}"))
    }

    fn text(&self, key: &str) -> anyhow::Result<&str> {
        Ok(self.get(key)?.expose_secret())
    }
}

/// A URL with its password hidden, wherever it stands.
fn masked(url: &Url) -> Url {
    let mut masked = url.clone();
    if masked.password().is_some() {
        // This fails only for a URL without a host, which has no password either.
        let _ = masked.set_password(Some(HIDDEN));
    }
    let hide = |name: &str| matches!(name, "password" | "sslpassword");
    if url.query_pairs().any(|(name, _)| hide(&name)) {
        let pairs = url.query_pairs();
        let shown = pairs.map(|(name, value)| {
            if hide(&name) {
                (name, HIDDEN.into())
            } else {
                (name, value)
            }
        });
        masked.query_pairs_mut().clear().extend_pairs(shown);
    }
    masked
}

/// The connection URL.
///
/// # Errors
/// When there is no login, the Secret cannot be read, or its key is no URL.
pub async fn url(scope: &Scope, arguments: &UrlArguments) -> anyhow::Result<String> {
    let values = Values::read(scope, &arguments.name).await?;
    let value = values.get(&arguments.key)?;
    // The parser's error may contain the password.
    let url = Url::parse(value.expose_secret())
        .ok()
        .filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(url) = url else {
        bail!("key {} of the connection Secret is not a database URL", arguments.key);
    };
    Ok(if arguments.show_password {
        value.expose_secret().to_owned()
    } else {
        masked(&url).to_string()
    })
}

/// Files that only their owner can read, and that are removed with this value.
struct Private(PathBuf);

impl Private {
    fn new() -> anyhow::Result<Self> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = base.join(format!("kubectl-orchestra-{:016x}", rand::random::<u64>()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // A failure is not reported: the folder is the user's own.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A line of a password file for any server: it is read by one psql only.
fn password_line(password: &str) -> String {
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

/// The parameters of the URL that psql gets. Whoever writes the Orchestra may replace the URL by a template, and the other
/// parameters of libpq name files, services, credentials and addresses of the machine on which psql runs.
const PASSED_ON: [&str; 6] = [
    "sslmode",
    "sslrootcert",
    "options",
    "application_name",
    "connect_timeout",
    "target_session_attrs",
];

/// The parameters of a URL as libpq reads them, which takes `+` for itself, and `ssl=true` for `sslmode=require`.
fn parameters(url: &Url) -> Vec<(String, String)> {
    let pairs = url.query().unwrap_or_default().split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let read = pairs.map(|(name, value)| match (decoded(name), decoded(value)) {
        (name, value) if name == "ssl" && value == "true" => ("sslmode".to_owned(), "require".to_owned()),
        pair => pair,
    });
    read.collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A host as it is compared: an address in one notation and without brackets, a name in small letters.
fn normal(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().map(|address| address.to_string());
    address.unwrap_or_else(|_| bare.to_lowercase())
}

/// Host and port to which a URL leads. As in libpq, the parameters come first.
fn place(url: &Url) -> (String, String) {
    let parameters = parameters(url);
    let named = |name: &str| {
        let found = parameters.iter().rev().find(|(parameter, _)| parameter == name);
        found.map(|(_, value)| value.clone())
    };
    let host = named("host").unwrap_or_else(|| decoded(url.host_str().unwrap_or_default()));
    let port = named("port").unwrap_or_else(|| url.port().unwrap_or(POSTGRESQL).to_string());
    (normal(&host), port)
}

/// The URL for psql: without a password, to the place that the Secret's own keys name, as their user.
fn for_psql(values: &Values) -> anyhow::Result<String> {
    let url = Url::parse(values.text("uri")?)
        .ok()
        .filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(url) = url else {
        bail!("key uri of the connection Secret is not a database URL: does connection.template replace it?");
    };
    let host = normal(values.text("host")?);
    let fits = |sign: char| sign.is_alphanumeric() || ".-_:%".contains(sign);
    // libpq would take another one for a Unix socket of this machine, or for several hosts.
    ensure!(
        !host.is_empty() && host.chars().all(fits),
        "key host of the connection Secret is neither a name nor an address: does connection.template replace it?"
    );
    let Ok(port) = values.text("port")?.parse::<u16>() else {
        bail!("key port of the connection Secret is not a port: does connection.template replace it?");
    };
    let found = place(&url);
    ensure!(
        found == (host.clone(), port.to_string()),
        "key uri of the connection Secret leads to {} port {}, and its keys host and port to {} port {port}: psql is not started. \
         Correct connection.template, which replaces some of them",
        line(&found.0, LONGEST_NAME),
        line(&found.1, LONGEST_NAME),
        line(&host, LONGEST_NAME),
    );
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let host = if let Ok(IpAddr::V6(address)) = host.parse() {
        format!("[{address}]")
    } else {
        encode(&host)
    };
    let has_roots = values.0.contains_key("ca.crt");
    let is_passed = |name: &str| PASSED_ON.contains(&name) && !(has_roots && name == "sslrootcert");
    let passed: Vec<_> = parameters(&url)
        .into_iter()
        .filter(|(name, _)| is_passed(name))
        .map(|(name, value)| format!("{name}={}", encode(&value)))
        .collect();
    let mark = if passed.is_empty() { "" } else { "?" };
    let (user, database) = (encode(values.text("user")?), encode(values.text("dbname")?));
    let parameters = passed.join("&");
    Ok(format!(
        "postgresql://{user}@{host}:{port}/{database}{mark}{parameters}"
    ))
}

/// Runs psql with the login, and ends with its exit code.
///
/// # Errors
/// When there is no login, its keys lead to different places, psql cannot be started, or it fails.
pub async fn psql(scope: &Scope, arguments: &PsqlArguments) -> anyhow::Result<()> {
    let values = Values::read(scope, &arguments.name).await?;
    let url = for_psql(&values)?;
    let private = Private::new()?;
    let password = password_line(values.get("password")?.expose_secret());
    let mut command = Command::new("psql");
    command.env("PGPASSFILE", private.write("pgpass", &password)?);
    if let Some(roots) = values.0.get("ca.crt") {
        let file: &Path = &private.write("ca.crt", roots.expose_secret())?;
        command.env("PGSSLROOTCERT", file);
    }
    command.env_remove("PGPASSWORD").arg(url);
    command.args(&arguments.arguments).kill_on_drop(true);
    drop(values);
    let ended = wait(command).await;
    drop(private);
    match ended?.code() {
        Some(0) => Ok(()),
        Some(code) => Err(ended_with(u8::try_from(code).unwrap_or(u8::MAX))),
        None => bail!("psql was killed"),
    }
}

fn ended_with(code: u8) -> anyhow::Error {
    let message = String::new();
    FoundExit { code, message }.into()
}

/// Runs psql to its end. Ctrl-C is psql's own, to cancel a query; a signal to end ends both, and the files are removed.
async fn wait(mut command: Command) -> anyhow::Result<ExitStatus> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let (mut ends, mut hangups) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut child = command
        .spawn()
        .context("psql cannot be started: install PostgreSQL's client, and have psql in PATH")?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupts.recv() => {}
            _ = ends.recv() => break,
            _ = hangups.recv() => break,
        }
    }
    child.kill().await?;
    bail!("ended by a signal")
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
