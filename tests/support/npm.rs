//! Real tools from npm, as judges.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The folder in which tools are kept.
pub fn cache() -> PathBuf {
    std::env::var_os("ORCHESTRA_SANDBOX_CACHE").map_or_else(
        || {
            PathBuf::from(std::env::var_os("HOME").expect("HOME or ORCHESTRA_SANDBOX_CACHE must be set"))
                .join(".cache/orchestra-sandbox")
        },
        PathBuf::from,
    )
}

/// The packages of a folder of `tests/`, installed once for each state of its files.
pub fn installed(folder: &str, files: &[&str]) -> PathBuf {
    obtainable(folder, files).unwrap()
}

/// The same, or why they cannot be had.
pub fn obtainable(folder: &str, files: &[&str]) -> Result<PathBuf, String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(from.join(file)).unwrap());
    }
    let key = hash
        .finalize()
        .iter()
        .take(8)
        .fold(String::new(), |key, byte| format!("{key}{byte:02x}"));
    let cache = cache();
    let done = cache.join(format!("{folder}-{key}"));
    if done.exists() {
        return Ok(done);
    }
    std::fs::create_dir_all(&cache).unwrap();
    let fresh = tempfile::tempdir_in(&cache).unwrap();
    for file in files {
        std::fs::copy(from.join(file), fresh.path().join(file)).unwrap();
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(fresh.path())
        .output()
        .map_err(|_| "npm is not installed; this test needs Node.js 20 or later with npm".to_owned())?;
    if !npm.status.success() {
        return Err(format!("npm ci: {}", String::from_utf8_lossy(&npm.stderr)));
    }
    // The first one is kept; both are equal.
    if std::fs::rename(fresh.path(), &done).is_ok() {
        let _ = fresh.keep();
    }
    Ok(done)
}
