//! A backup of a tenant, where this machine has what its Job needs. The demo fetches and builds nothing for it.

use anyhow::Result;
use orchestra_sandbox::control_plane::find_controller_manager;
use orchestra_sandbox::jobs::{JobRunner, Options};
use orchestra_sandbox::postgres::find_clients;
use orchestra_sandbox::world::{SYSTEM, TENANTS, World};

use super::screen::{indented, kubectl, kubectl_as, say};

/// The name of the backup.
const NAME: &str = "first";

/// The class's store: a volume, which is a folder here.
const STORE: &str = r#"{"spec":{"backup":{"destination":{"persistentVolumeClaim":{"claimName":"backups"}}}}}"#;

/// Takes a backup of an Orchestra.
pub(super) fn take(world: &World, of: &str) -> Result<()> {
    // It runs the Job's program until this returns.
    let Some(_runner) = runner(world)? else {
        say(
            "Not on this machine yet: a Job needs the controller manager, orchestra-backup and the clients of PostgreSQL",
        );
        say(&format!("{}. After `make test` they are here.", world.api.version()));
        return Ok(());
    };
    kubectl(world, &["patch", "orchclass", "standard", "--type=merge", "-p", STORE])?;
    println!();
    let manifest = format!(
        "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraBackup\nmetadata: {{name: {NAME}, namespace: {TENANTS}}}\n\
         spec: {{orchestraRef: {{name: {of}}}}}\n"
    );
    let file = world.dir().join("backup.yaml");
    std::fs::write(&file, &manifest)?;
    indented(&manifest);
    let file = file.display().to_string();
    kubectl_as(world, &["apply", "-f", &file], &["apply", "-f", "backup.yaml"])?;
    let backup = format!("orchbackup/{NAME}");
    kubectl(
        world,
        &["-n", TENANTS, "wait", "--for=condition=Ready", &backup, "--timeout=60s"],
    )?;
    kubectl(world, &["-n", TENANTS, "get", "orchbackup"])?;
    Ok(())
}

/// A kubelet of processes; none where something is missing.
fn runner(world: &World) -> Result<Option<JobRunner>> {
    let program = std::env::current_exe()?.with_file_name("orchestra-backup");
    let major = world.api.version().split('.').next().unwrap_or_default();
    let clients = find_clients(major).filter(|_| program.is_file() && find_controller_manager().is_some());
    let Some(clients) = clients else { return Ok(None) };
    let options = Options {
        program,
        namespace: SYSTEM.into(),
        dir: world.dir().join("jobs"),
        env: vec![
            ("ORCHESTRA_PG_CLIENTS".into(), clients.display().to_string()),
            ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
        ],
    };
    Ok(Some(JobRunner::start(world.admin.clone(), options)))
}
