//! PostgreSQL's client programs, of the server's major version, and how they are run: no secret is on a command line or in
//! the environment, and a program that is dropped before its end is killed with all of its children.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::error::{Error, Result};
use super::outcome::OutcomeReason;
use super::said::failure;
use super::stop::StopSignal;
use crate::postgres::{APPLICATION, Login, Tls, to_pem};
use crate::text;

/// Folders that contain clients of several versions, each version in `DIR/17/bin`.
const CLIENTS: &str = "ORCHESTRA_PG_CLIENTS";
/// The major versions whose archives were tried.
const KNOWN: std::ops::RangeInclusive<u32> = 15..=18;
/// The most bytes of a client's messages that are kept.
const MESSAGES: usize = 1 << 14;

/// The clients of one major version.
#[derive(Clone, Debug)]
pub struct Clients {
    bin: PathBuf,
    /// Their major version.
    pub major: u32,
    /// The output of `pg_dump --version`.
    pub version: String,
    /// Whether their libpq can refuse to send a password in clear text: 16 or later, whatever their own version. Debian's
    /// packages of all versions share the newest one.
    requires_auth: bool,
}

impl Clients {
    /// The clients for servers of a major version: of the folders that `ORCHESTRA_PG_CLIENTS` names, separated by colons, and
    /// of those where the packages of Debian and of the PostgreSQL project put them.
    ///
    /// # Errors
    /// [`OutcomeReason::Incompatible`], when the version is not known or its clients are not there.
    pub async fn find(major: u32) -> Result<Self> {
        if !KNOWN.contains(&major) {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                format!(
                    "the server runs PostgreSQL {major}; this operator backs up versions {} to {}: use an operator version \
                     that supports {major}",
                    KNOWN.start(),
                    KNOWN.end()
                ),
            ));
        }
        let named = std::env::var_os(CLIENTS).unwrap_or_default();
        let named = std::env::split_paths(&named).map(|folder| folder.join(format!("{major}/bin")));
        let packaged = [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
        ];
        let mut found = named.chain(packaged.map(PathBuf::from));
        let bin = found.find(|bin| bin.join("pg_dump").is_file() && bin.join("pg_restore").is_file());
        let Some(bin) = bin else {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                format!(
                    "the clients of PostgreSQL {major} are not installed: use the image of backups, or name a folder with \
                     {major}/bin/pg_dump in {CLIENTS}"
                ),
            ));
        };
        let output = Command::new(bin.join("pg_dump")).arg("--version").output().await;
        let output = output.map_err(|error| cannot_run("pg_dump", &error))?;
        let version = text::line(&String::from_utf8_lossy(&output.stdout), 100);
        let says = version.split_whitespace().find_map(|word| {
            let number = word.split(|c: char| !c.is_ascii_digit()).next()?;
            number.parse::<u32>().ok()
        });
        if says != Some(major) {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                format!(
                    "{} is not a client of PostgreSQL {major}; it reports {version:?}",
                    bin.display()
                ),
            ));
        }
        let requires_auth = knows_require_auth(&bin).await?;
        Ok(Self {
            bin,
            major,
            version,
            requires_auth,
        })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// Asks libpq with a value that no version accepts: it refuses it before it connects, by the value or by the name. The question
/// names a user: without one, libpq refuses it because the image has no account of the process.
fn question(bin: &Path) -> Command {
    let mut command = Command::new(bin.join("pg_dump"));
    command
        .args([
            "--no-password",
            "--dbname=host=/nonexistent user=none require_auth=unknown",
        ])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}

async fn knows_require_auth(bin: &Path) -> Result<bool> {
    let asked = question(bin).output().await;
    let asked = asked.map_err(|error| cannot_run("pg_dump", &error))?;
    Ok(String::from_utf8_lossy(&asked.stderr).contains("invalid require_auth value"))
}

/// The ways of authentication that libpq may use. A server whose identity is not verified gets no password in clear text or
/// as MD5, as in the operator's own sessions: only the name in its certificate identifies a server.
fn required_auth(tls: Tls) -> Option<&'static str> {
    (tls != Tls::VerifyFull).then_some("scram-sha-256")
}

fn cannot_run(program: &str, error: &std::io::Error) -> Error {
    Error::new(OutcomeReason::Incompatible, format!("{program} cannot be run: {error}"))
}

/// A login as clients read it: variables of the environment, and files that only this account may read.
#[derive(Debug)]
pub struct ClientSession {
    clients: Clients,
    login: Login,
    files: tempfile::TempDir,
}

impl ClientSession {
    /// Writes the files.
    ///
    /// # Errors
    /// [`OutcomeReason::UntrustedServer`], when the clients would send the password in clear text to a server whose
    /// identity is not verified; when the files cannot be written, or the login's certificates cannot be read.
    pub fn new(clients: Clients, login: &Login) -> Result<Self> {
        if required_auth(login.tls).is_some() && !clients.requires_auth {
            return Err(Error::new(
                OutcomeReason::UntrustedServer,
                format!(
                    "the libpq of {} is older than 16, and would send the password in clear text to any server that asks for \
                     it: write sslmode=verify-full into the database's URL, or use an image whose clients have libpq 16 or later",
                    clients.version
                ),
            ));
        }
        let failed = |error: std::io::Error| {
            Error::new(
                OutcomeReason::InvalidOrder,
                format!("cannot write into the temporary folder: {error}"),
            )
        };
        let files = tempfile::Builder::new()
            .prefix("orchestra-job-")
            .tempdir()
            .map_err(failed)?;
        let password = login.password.expose_secret().replace('\\', "\\\\").replace(':', "\\:");
        private(&files.path().join("passfile"), &format!("*:*:*:*:{password}\n")).map_err(failed)?;
        if login.tls.verifies() {
            private(&files.path().join("roots.pem"), &roots(login)?).map_err(failed)?;
        }
        Ok(Self {
            clients,
            login: login.clone(),
            files,
        })
    }

    /// The clients.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// A file beside those of the login.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.files.path().join(name);
        let written = private(&path, text);
        written.map_err(|error| Error::new(OutcomeReason::InvalidOrder, format!("cannot write {name}: {error}")))?;
        Ok(path)
    }

    /// Starts a program with these arguments, in a process group of its own, and with these settings of its sessions.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(&self, program: &'static str, arguments: &[String], settings: &str) -> Result<Running> {
        let file = |name: &str| self.files.path().join(name);
        let mut options =
            "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0".to_owned();
        for more in [self.login.session.options.as_deref().unwrap_or_default(), settings] {
            options = format!("{options} {more}");
        }
        let mut command = Command::new(self.clients.program(program));
        command
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PGHOST", &self.login.host)
            .env("PGPORT", self.login.port.to_string())
            .env("PGUSER", &self.login.user)
            .env("PGDATABASE", &self.login.database)
            .env("PGPASSFILE", file("passfile"))
            .env("PGSSLMODE", self.login.tls.as_str())
            // psql and pg_dump before 16 stumble over it at a pooler.
            .env("PGGSSENCMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "15")
            .env("PGAPPNAME", APPLICATION)
            .env("PGOPTIONS", options.trim())
            .current_dir(self.files.path())
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.login.tls.verifies() {
            command.env("PGSSLROOTCERT", file("roots.pem"));
        }
        if let Some(required) = required_auth(self.login.tls) {
            command.env("PGREQUIREAUTH", required);
        }
        let mut child = command.spawn().map_err(|error| cannot_run(program, &error))?;
        let stderr = child.stderr.take();
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Running {
            program,
            messages: tokio::spawn(messages(stderr)),
            child,
            group,
        })
    }
}

/// A file that nobody else may read.
fn private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// What libpq is to trust: one file, so the system's certificates are written into it as well.
fn roots(login: &Login) -> Result<String> {
    let mut all = login.roots.as_deref().unwrap_or_default().to_owned();
    if login.tls == Tls::VerifyFull {
        all.push('\n');
        all.push_str(&to_pem(&rustls_native_certs::load_native_certs().certs));
    } else {
        login.check_authority()?;
    }
    Ok(all)
}

/// The end of a program's messages.
async fn messages(stderr: Option<tokio::process::ChildStderr>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 1 << 12];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * MESSAGES {
            kept.drain(..kept.len() - MESSAGES);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A program that runs. It is killed, with its whole process group, when this is dropped.
#[derive(Debug)]
pub struct Running {
    program: &'static str,
    child: Child,
    group: Option<Pid>,
    messages: JoinHandle<String>,
}

impl Running {
    /// Its standard output.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn output(&mut self) -> Result<fs::File> {
        let fd: Option<OwnedFd> = self.child.stdout.take().and_then(|pipe| pipe.into_owned_fd().ok());
        fd.map(fs::File::from).ok_or_else(|| self.no_pipe())
    }

    /// Its standard input.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn input(&mut self) -> Result<fs::File> {
        let fd: Option<OwnedFd> = self.child.stdin.take().and_then(|pipe| pipe.into_owned_fd().ok());
        fd.map(fs::File::from).ok_or_else(|| self.no_pipe())
    }

    fn no_pipe(&self) -> Error {
        Error::new(OutcomeReason::Incompatible, format!("{} has no pipe", self.program))
    }

    /// Waits for its end. Only exit code 0 is a success.
    ///
    /// # Errors
    /// Why it failed, from its messages; what [`StopSignal`] says, and then it is killed.
    pub async fn end(mut self, stop: &StopSignal) -> Result<()> {
        drop(self.child.stdin.take());
        let status = tokio::select! {
            status = self.child.wait() => status.map_err(|error| cannot_run(self.program, &error))?,
            error = stop.raised() => return Err(error),
        };
        self.group = None;
        let said = (&mut self.messages).await.unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(failure(self.program, &said, &status.to_string()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn an_unknown_major_version_is_refused_by_name() {
        for major in [9, 14, 19] {
            let error = Clients::find(major).await.unwrap_err();
            assert_eq!(error.reason, OutcomeReason::Incompatible);
            assert!(error.message.contains(&format!("PostgreSQL {major}")), "{error}");
        }
    }

    #[tokio::test]
    async fn libpq_is_asked_without_an_account_as_in_the_image() {
        let folders = KNOWN.map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
        let mut installed = folders.filter(|bin| bin.join("pg_dump").is_file());
        let Some(bin) = installed.next().filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: to ask as another user needs Debian's packages of PostgreSQL's clients, and root");
            return;
        };
        // An id that no system gives.
        let asked = question(&bin).uid(0x7fff_fff0).gid(0x7fff_fff0).output().await.unwrap();
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(said.contains("require_auth"), "{said}");
    }
}
