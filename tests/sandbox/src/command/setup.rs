//! `orchestra-sandbox setup`.

use clap::Args;
use orchestra_sandbox::control_plane::ensure_binaries;
use orchestra_sandbox::prometheus::Programs;
use orchestra_sandbox::{judges, registry};

/// Finds the programs of the control plane, of the registry, the one that judges statuses, and Prometheus. Those that are
/// nowhere are built with Go (minutes), and Prometheus is unpacked from Debian's package. The last two may be missing: a
/// line says what is not tested then.
#[derive(Args)]
pub struct Arguments {}

/// Prints where they are.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub async fn run(_: Arguments) -> anyhow::Result<()> {
    let found = tokio::task::spawn_blocking(ensure_binaries).await??;
    let registry = tokio::task::spawn_blocking(registry::ensure_program).await??;
    let prometheus = tokio::task::spawn_blocking(|| Programs::find_or_say("metrics, alerts and the dashboard")).await?;
    let judges = tokio::task::spawn_blocking(|| judges::find_or_say("statuses as GitOps tools read them")).await?;
    for program in [
        &found.etcd,
        &found.kube_apiserver,
        &found.kube_controller_manager,
        &found.kubectl,
        &registry,
    ] {
        println!("{}", program.display());
    }
    if let Some(program) = judges {
        println!("{}", program.display());
    }
    if let Some(found) = prometheus {
        println!("{}\n{}", found.prometheus.display(), found.promtool.display());
    }
    Ok(())
}
