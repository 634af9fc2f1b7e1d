//! `psql` and `url`: the login of an Orchestra, from its connection Secret.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use super::complete;
use super::scope::{Scope, told};
use crate::cli::words::FoundExit;

/// What is printed instead of a password.
const HIDDEN: &str = "xxxxx";

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
                told(&orchestra)
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

/// The URL for psql: without a password, and without the parameters that only other programs know.
fn for_psql(url: &Url, has_roots: bool) -> Url {
    let mut bare = masked(url);
    let _ = bare.set_password(None);
    let foreign = |name: &str| {
        matches!(
            name,
            "password" | "sslpassword" | "pgbouncer" | "schema" | "connection_limit"
        )
    };
    let dropped = |name: &str| foreign(name) || (has_roots && name == "sslrootcert");
    let pairs: Vec<_> = url.query_pairs().filter(|(name, _)| !dropped(name)).collect();
    if pairs.is_empty() {
        bare.set_query(None);
    } else {
        bare.query_pairs_mut().clear().extend_pairs(pairs);
    }
    bare
}

/// Runs psql with the login, and ends with its exit code.
///
/// # Errors
/// When there is no login, psql cannot be started, or it fails.
pub async fn psql(scope: &Scope, arguments: &PsqlArguments) -> anyhow::Result<()> {
    let values = Values::read(scope, &arguments.name).await?;
    let Ok(url) = Url::parse(values.get("uri")?.expose_secret()) else {
        bail!("key uri of the connection Secret is not a database URL: does connection.template replace it?");
    };
    let private = Private::new()?;
    let password = password_line(values.get("password")?.expose_secret());
    let mut command = Command::new("psql");
    command.env("PGPASSFILE", private.write("pgpass", &password)?);
    let roots = values.0.get("ca.crt");
    if let Some(roots) = roots {
        let file: &Path = &private.write("ca.crt", roots.expose_secret())?;
        command.env("PGSSLROOTCERT", file);
    }
    command
        .env_remove("PGPASSWORD")
        .arg(for_psql(&url, roots.is_some()).as_str());
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const URL: &str =
        "postgresql://o.x:p%3Aw-d@db.example:6543/postgres?sslmode=verify-full&sslrootcert=ca.crt&pgbouncer=true";

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        let url = |text: &str| masked(&Url::parse(text).unwrap()).to_string();
        let shown = url(URL);
        assert!(
            shown.starts_with("postgresql://o.x:xxxxx@db.example:6543/postgres?sslmode"),
            "{shown}"
        );
        let shown = url("postgres://a@h/d?password=hush&sslmode=require&sslpassword=hush");
        assert!(!shown.contains("hush") && shown.contains("sslmode=require"), "{shown}");
        assert_eq!(url("postgres://a@h/d"), "postgres://a@h/d");
    }

    #[test]
    fn psql_gets_no_password_and_what_it_knows() {
        let url = Url::parse(URL).unwrap();
        assert_eq!(
            for_psql(&url, true).as_str(),
            "postgresql://o.x@db.example:6543/postgres?sslmode=verify-full"
        );
        assert!(
            for_psql(&url, false)
                .as_str()
                .ends_with("sslmode=verify-full&sslrootcert=ca.crt")
        );
        assert_eq!(password_line(r"a:b\c"), "*:*:*:*:a\\:b\\\\c\n");
    }

    #[test]
    fn the_files_are_the_users_own_and_do_not_stay() {
        let private = Private::new().unwrap();
        let (folder, file) = (private.0.clone(), private.write("pgpass", "x").unwrap());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        drop(private);
        assert!(!folder.exists());
    }
}
