//! `orchestra-sandbox setup`.

use anyhow::Result;
use orchestra_sandbox::control_plane::ensure_binaries;

/// Finds the programs of the control plane, or builds them once into the cache.
///
/// # Errors
/// When one is missing and cannot be built.
pub async fn run() -> Result<()> {
    tokio::task::spawn_blocking(ensure_binaries).await??;
    Ok(())
}
