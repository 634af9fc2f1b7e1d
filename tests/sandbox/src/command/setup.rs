//! `orchestra-sandbox setup`.

use clap::Args;
use orchestra_sandbox::control_plane::ensure_binaries;
use orchestra_sandbox::registry;

/// Finds the programs of the control plane and of the registry, and builds those that are nowhere (with Go, minutes).
#[derive(Args)]
pub struct Arguments {}

/// Prints where they are.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub async fn run(_: Arguments) -> anyhow::Result<()> {
    let found = tokio::task::spawn_blocking(ensure_binaries).await??;
    let registry = tokio::task::spawn_blocking(registry::ensure_program).await??;
    for program in [
        &found.etcd,
        &found.kube_apiserver,
        &found.kube_controller_manager,
        &found.kubectl,
        &registry,
    ] {
        println!("{}", program.display());
    }
    Ok(())
}
