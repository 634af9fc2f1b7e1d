//! Where PostgreSQL is installed, and the account it runs as.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The folder that holds `initdb` and `postgres`: from `PATH`, or the newest version in the folders
/// that the packages of Debian, the PostgreSQL project (RPM) and Homebrew use.
pub(crate) fn find() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(bin) = std::env::split_paths(&path).find(|dir| is_install(dir)) {
        return Ok(bin);
    }
    let mut found: Vec<(u32, PathBuf)> = [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ]
    .into_iter()
    .flat_map(|(parent, prefix)| versions(Path::new(parent), prefix))
    .filter(|(_, bin)| is_install(bin))
    .collect();
    found.sort();
    match found.pop() {
        Some((_, bin)) => Ok(bin),
        None => bail!(
            "no PostgreSQL server (initdb, postgres) in PATH or the usual folders; install the \
             package postgresql (Debian, Ubuntu), postgresql-server (Fedora) or postgresql@17 (Homebrew)"
        ),
    }
}

fn is_install(bin: &Path) -> bool {
    bin.join("initdb").is_file() && bin.join("postgres").is_file()
}

fn versions(parent: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect()
}

/// The system account that the server runs as when we are root, which it refuses to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// `postgres`, else `nobody`, when we are root; nothing otherwise. Lets that account pass `dir`.
pub(crate) fn account(dir: &Path) -> anyhow::Result<Option<Account>> {
    std::fs::create_dir_all(dir)?;
    let probe = tempfile::tempfile_in(dir)?;
    if probe.metadata()?.uid() != 0 {
        return Ok(None);
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    let passwd = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let lookup = |wanted: &str| {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&wanted)).then_some(())?;
            Some(Account {
                uid: fields.get(2)?.parse().ok()?,
                gid: fields.get(3)?.parse().ok()?,
            })
        })
    };
    lookup("postgres")
        .or_else(|| lookup("nobody"))
        .map(Some)
        .context("PostgreSQL does not run as root, and there is neither a postgres nor a nobody account")
}

/// Makes `command` run as `account`; the groups of root are left with it.
pub(crate) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}
