//! Where programs are kept and found.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder that keeps what was built or fetched: `$ORCHESTRA_SANDBOX_CACHE`, else
/// `$XDG_CACHE_HOME/orchestra-sandbox`, else `~/.cache/orchestra-sandbox`.
///
/// # Errors
/// When there is no home directory.
pub fn cache_dir() -> Result<PathBuf> {
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

/// The program of that name on `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
