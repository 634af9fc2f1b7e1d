//! Prometheus and its `promtool`: of `PATH`, or of Debian's package `prometheus`, which is unpacked into the sandbox's
//! cache. It is not installed, because the package would start a server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::{cache_dir, on_path};

/// The two programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub prometheus: PathBuf,
    /// The tool that checks rules and metrics.
    pub promtool: PathBuf,
}

impl Programs {
    fn on_path() -> Option<Self> {
        Some(Self {
            prometheus: on_path("prometheus")?,
            promtool: on_path("promtool")?,
        })
    }

    fn below(dir: &Path) -> Option<Self> {
        let program = |name: &str| Some(dir.join("usr/bin").join(name)).filter(|path| path.is_file());
        Some(Self {
            prometheus: program("prometheus")?,
            promtool: program("promtool")?,
        })
    }

    /// Finds the programs, and unpacks Debian's package where they are nowhere. A file lock lets one process do it.
    ///
    /// # Errors
    /// When they are nowhere, and the package cannot be had; the error says what to install.
    pub fn find() -> Result<Self> {
        if let Some(found) = Self::on_path() {
            return Ok(found);
        }
        let dir = cache_dir()?.join("prometheus");
        if let Some(found) = Self::below(&dir) {
            return Ok(found);
        }
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let lock = File::create(dir.join(".lock"))?;
        lock.lock()?;
        if Self::below(&dir).is_none() {
            unpack(&dir).context(
                "prometheus and promtool are not in PATH, and Debian's package prometheus cannot be unpacked: install both",
            )?;
        }
        Self::below(&dir).context("Debian's package prometheus has no prometheus or no promtool")
    }
}

/// Downloads and unpacks the package. The lists of packages of the system are used, and where there are none, ones that
/// are fetched into the folder.
fn unpack(dir: &Path) -> Result<()> {
    let building = dir.join("building");
    if building.exists() {
        fs::remove_dir_all(&building)?;
    }
    let state = building.join("state");
    fs::create_dir_all(state.join("lists/partial"))?;
    fs::create_dir_all(state.join("archives/partial"))?;
    let own = [
        "-o".to_owned(),
        format!("Dir::State::lists={}", state.join("lists").display()),
        "-o".to_owned(),
        format!("Dir::Cache={}", state.display()),
    ];
    let apt = |options: &[String], arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "APT::Sandbox::User=root"]);
        run(command.args(options).args(arguments).current_dir(&building))
    };
    if apt(&[], &["download", "prometheus"]).is_err() {
        apt(&own, &["update"])?;
        apt(&own, &["download", "prometheus"])?;
    }
    let mut entries = fs::read_dir(&building)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = entries
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get has downloaded no package")?;
    run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(&package)
        .arg(building.join("root")))?;
    fs::rename(building.join("root/usr"), dir.join("usr"))?;
    fs::remove_dir_all(&building)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| program.clone())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", said.trim());
    }
    Ok(())
}
