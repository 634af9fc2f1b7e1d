//! Programs that are built once with Go, from a module of tools whose `go.mod` fixes their version.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure as must};

use super::binaries::on_path;

/// How long a build may take, with its downloads.
const LIMIT: Duration = Duration::from_mins(10);

/// A program, and where it comes from.
pub(crate) struct Program {
    /// Folder of the module of tools.
    pub module: &'static str,
    /// Go package of the program.
    pub package: &'static str,
    /// Module that holds it, whose version names the folder in the cache.
    pub requires: &'static str,
    /// Name of the program.
    pub name: &'static str,
}

/// The folder that keeps what was built: `$ORCHESTRA_SANDBOX_CACHE`, else
/// `$XDG_CACHE_HOME/orchestra-sandbox`, else `~/.cache/orchestra-sandbox`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("ORCHESTRA_SANDBOX_CACHE") {
        return Ok(dir.into());
    }
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => env::home_dir()
            .context("no home directory: set ORCHESTRA_SANDBOX_CACHE")?
            .join(".cache"),
    };
    Ok(base.join("orchestra-sandbox"))
}

/// The version of a module that a `go.mod` requires, such as `v1.36.3`.
pub(super) fn required(go_mod: &Path, module: &str) -> Result<String> {
    let text = fs::read_to_string(go_mod).with_context(|| format!("read {}", go_mod.display()))?;
    text.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("require ")
                .strip_prefix(module)?
                .strip_prefix(' ')
        })
        .find_map(|rest| rest.split_whitespace().next().filter(|word| word.starts_with('v')))
        .map(str::to_owned)
        .with_context(|| format!("{} does not require {module}", go_mod.display()))
}

/// The program in the cache, built when it is not there. A file lock lets only one process build.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub(crate) fn ensure(program: &Program) -> Result<PathBuf> {
    let version = required(&Path::new(program.module).join("go.mod"), program.requires)?;
    let dir = cache_dir()?.join(format!("{}-{version}", program.name));
    let path = dir.join(program.name);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let lock = File::create(dir.join(".lock"))?;
    lock.lock()?;
    if path.is_file() {
        return Ok(path);
    }
    let go = on_path("go").with_context(|| {
        format!(
            "Go is not installed to build {}: install Go 1.26 or later (https://go.dev/doc/install)",
            program.name
        )
    })?;
    let building = dir.join("building");
    let log = dir.join("build.log");
    let mut command = Command::new(go);
    command
        .args(["build", "-ldflags", "-s -w", "-o"])
        .arg(&building)
        .arg(program.package)
        .current_dir(program.module)
        .env("CGO_ENABLED", "0")
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    let status = within(LIMIT, &mut command)?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    must!(
        status.success(),
        "go build of {} failed with {status}: {}",
        program.name,
        said.trim()
    );
    fs::rename(building, &path)?;
    Ok(path)
}

fn within(limit: Duration, command: &mut Command) -> Result<ExitStatus> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    while began.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    bail!("{command:?} took longer than {} s", limit.as_secs());
}
