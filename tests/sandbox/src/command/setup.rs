//! `orchestra-sandbox setup`.

use clap::Args;
use orchestra_sandbox::control_plane::ensure_binaries;

/// Finds the programs of the control plane, and builds those that are nowhere (with Go, minutes).
#[derive(Args)]
pub struct Arguments {}

/// Prints where they are.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub async fn run(_: Arguments) -> anyhow::Result<()> {
    let found = tokio::task::spawn_blocking(ensure_binaries).await??;
    for program in [
        &found.etcd,
        &found.kube_apiserver,
        &found.kube_controller_manager,
        &found.kubectl,
    ] {
        println!("{}", program.display());
    }
    Ok(())
}
