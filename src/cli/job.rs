//! `orchestra-backup`: the program of a pod that works on a backup, and of a person who reads a store. It is not part of the
//! operator's own program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{SignalKind, signal};

use super::catalog;
use crate::archive::store::{Folder, StoreSecrets};
use crate::archive::{self, Environment, Error, Order, Outcome, OutcomeReason, Progress, Stopper, Work, order};
use crate::postgres::Login;
use crate::telemetry;
use crate::telemetry::logs::LogFormat;

/// The fewest bytes of the key of a backup's manifest.
const KEY: usize = 32;
/// The most bytes of a file beside the order.
const FILE: u64 = 1 << 20;
/// Time limit of the cleanup after SIGTERM. The kubelet kills after 30 s.
const CLEANING: Duration = Duration::from_secs(20);

/// Does the work of one pod on a backup: makes it, restores it, verifies it or deletes it.
///
/// The operator starts it in a Job. It reads its order and the secrets of the order from a folder, and writes an outcome
/// as JSON into the file that `ORCHESTRA_OUTCOME` names. Exits with 0 when the work is done.
#[derive(Parser, Debug)]
#[command(name = "orchestra-backup", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What a person does with a store; without a command, the work of a pod.
    #[command(subcommand)]
    pub command: Option<StoreCommand>,
    /// Folder of the order and its secrets: `order.json`, `database-url`, `keeper-url`, `database-ca.pem`, `s3-access-key-id`,
    /// `s3-secret-access-key`, `store-ca.pem`, `age-identity`, `manifest-key`.
    #[arg(long, default_value = "/job")]
    pub order: PathBuf,
    /// File that the outcome is written to.
    #[arg(long, env = "ORCHESTRA_OUTCOME", default_value = "/dev/termination-log")]
    pub outcome: PathBuf,
    /// Format of the logs on standard error.
    #[arg(long, env = "ORCHESTRA_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Filter of the logs.
    #[arg(long, env = "ORCHESTRA_LOG", default_value = "info")]
    pub log: String,
}

/// Commands for people.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// List the backups in a store, and with `--recreate` print `OrchestraBackups` for a cluster that has lost them.
    ///
    /// Reads the store, and no cluster. The credentials of a bucket come from the environment: `AWS_ACCESS_KEY_ID`
    /// and `AWS_SECRET_ACCESS_KEY`. Of each backup only the manifest is read; its archives are compared by their sizes.
    /// Archives without a manifest are no backup: they are counted and named. A manifest that was modified, or is in a folder
    /// of another backup, is refused and named, and the command exits with 1 after the list.
    ///
    /// JSON and YAML: `{backups, incomplete, refused, foreignObjects}`. A backup is `{namespace, name, uid,
    /// orchestra, class, cluster, snapshotTime, bytes, encrypted, serverMajor, tables, path, manifestDigest}`.
    List(catalog::Arguments),
}

/// Runs the program to its end.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(StoreCommand::List(arguments)) = &arguments.command {
        return match super::block_on(catalog::run(arguments)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail("orchestra-backup: ", &error),
        };
    }
    let logs = telemetry::logs::init(arguments.log_format, &arguments.log);
    let ended = logs.map_err(Into::into).and_then(|()| super::block_on(run(&arguments)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail("orchestra-backup: ", &error),
    }
}

/// Does the work, and writes its outcome.
///
/// # Errors
/// When the work fails, or its outcome cannot be written.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let outcome = match work(&arguments.order).await {
        Ok(outcome) => outcome,
        Err(error) => error.into(),
    };
    tracing::info!(reason = %outcome.reason, message = outcome.message, "the Job ended");
    if let Err(error) = std::fs::write(&arguments.outcome, outcome.to_json()) {
        bail!(
            "the outcome cannot be written to {}: {error}",
            arguments.outcome.display()
        );
    }
    match outcome.reason {
        OutcomeReason::Done => Ok(()),
        reason => bail!("{reason}: {}", outcome.message),
    }
}

async fn work(folder: &Path) -> archive::Result<Outcome> {
    let text = file(folder, "order.json", order::ORDER as u64)?.ok_or_else(|| missing("order.json"))?;
    let order = Order::parse(text.expose_secret())?;
    let (stopper, stop) = archive::stop();
    let progress = Progress::default();
    let store = open(folder, &order)?;
    match &order.work {
        Work::Delete { .. } => {
            store.remove().await?;
            return Ok(Outcome::done("the backup was removed"));
        }
        Work::Read(read) => return archive::inspect(&store, read).await,
        _ => {}
    }
    let context = Environment {
        login: login(folder, "database-url")?.ok_or_else(|| missing("database-url"))?,
        keeper: login(folder, "keeper-url")?,
        folder: store,
        stop,
        progress: progress.clone(),
    };
    let identity = file(folder, "age-identity", FILE)?;
    let work = async {
        match &order.work {
            Work::Backup(backup) => archive::backup(&context, backup, &manifest_key(folder)?).await,
            Work::Restore(restore) => archive::restore(&context, restore, identity).await,
            Work::Verify(verify) => archive::verify(&context, verify, identity).await,
            Work::Delete { .. } | Work::Read(_) => Ok(Outcome::done("nothing is left to do")),
        }
    };
    let mut work = std::pin::pin!(work);
    let telling = progress.tell(|line| println!("{line}"));
    let ended = tokio::select! {
        outcome = &mut work => return outcome,
        () = telling => return Err(Error::new(OutcomeReason::Interrupted, "the work ended early")),
        reason = told_to_end(&stopper, order.deadline_seconds) => reason,
    };
    // The work receives the signal and cleans up; a store that does not answer must not keep the pod.
    match tokio::time::timeout(CLEANING, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ended,
            "the Job was interrupted and could not clean up in time: the store may contain partial files, which are not a usable backup",
        )),
    }
}

/// Waits for SIGTERM or the deadline, and stops the work.
async fn told_to_end(stopper: &Stopper, deadline: u64) -> OutcomeReason {
    let asked = async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let reason = tokio::select! {
        () = asked => OutcomeReason::Interrupted,
        () = tokio::time::sleep(Duration::from_secs(deadline)) => OutcomeReason::DeadlineExceeded,
    };
    stopper.stop(reason);
    reason
}

fn open(folder: &Path, order: &Order) -> archive::Result<Folder> {
    let ca = file(folder, "store-ca.pem", FILE)?;
    let secrets = StoreSecrets {
        access_key_id: file(folder, "s3-access-key-id", FILE)?,
        secret_access_key: file(folder, "s3-secret-access-key", FILE)?,
        ca: ca.map(|pem| pem.expose_secret().to_owned()),
    };
    Folder::open(&order.store, &secrets, order.work.path())
}

fn login(folder: &Path, name: &str) -> archive::Result<Option<Login>> {
    let Some(url) = file(folder, name, FILE)? else {
        return Ok(None);
    };
    let url: SecretString = url.expose_secret().trim().to_owned().into();
    let mut login = Login::parse(&url)?;
    if let Some(pem) = file(folder, "database-ca.pem", FILE)? {
        login.roots = Some(pem.expose_secret().into());
    }
    Ok(Some(login))
}

/// The key that seals the manifest of a backup.
fn manifest_key(folder: &Path) -> archive::Result<SecretString> {
    let key = file(folder, "manifest-key", FILE)?.ok_or_else(|| missing("manifest-key"))?;
    if key.expose_secret().len() < KEY {
        let message =
            format!("manifest-key has fewer than {KEY} bytes: put a longer random text into the Job's Secret");
        return Err(Error::new(OutcomeReason::InvalidOrder, message));
    }
    Ok(key)
}

/// A file of the order's folder, if it exists.
fn file(folder: &Path, name: &str, most: u64) -> archive::Result<Option<SecretString>> {
    let path = folder.join(name);
    let unusable = |cause: &str| Error::new(OutcomeReason::InvalidOrder, format!("{}: {cause}", path.display()));
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&error.to_string())),
        Ok(found) if found.len() > most => return Err(unusable(&format!("it has more than {most} bytes"))),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unusable(&error.to_string()))?;
    Ok(Some(text.into()))
}

fn missing(name: &str) -> Error {
    Error::new(
        OutcomeReason::InvalidOrder,
        format!("{name} is not in the folder of the order: mount the Job's Secret there (--order)"),
    )
}
