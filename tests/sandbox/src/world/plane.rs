//! The control plane of a world. The first one of a process applies the operator's manifests; each further one begins with a
//! copy of etcd's data in which they are applied already, which costs half the time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex;

use super::TENANTS;
use crate::control_plane::{ControlPlane, Options};
use crate::folder::Folder;

/// etcd's folder in a control plane's.
const ETCD: &str = "etcd";

/// By the project's folder: nothing where its first control plane was started, then what the further ones begin with.
static BEGINNINGS: Mutex<BTreeMap<PathBuf, Option<Arc<Folder>>>> = Mutex::const_new(BTreeMap::new());

/// Starts a control plane with the manifests of `deploy/kustomize` and the namespace of tenants.
pub(super) async fn start(dir: PathBuf, options: Options, project: &Path) -> Result<ControlPlane> {
    let beginning = beginning(project).await?;
    let bare = Options {
        controller_manager: false,
        ..options
    };
    let mut plane = if let Some(beginning) = beginning {
        let etcd = dir.join(ETCD);
        tokio::task::spawn_blocking(move || beginning.write(&etcd)).await??;
        ControlPlane::start(dir, bare).await?
    } else {
        let plane = ControlPlane::start(dir, bare).await?;
        furnish(&plane, project)?;
        plane
    };
    // It learns of new kinds every 30 s only, so they are there before it.
    if options.controller_manager {
        plane.start_controller_manager().await?;
    }
    Ok(plane)
}

async fn beginning(project: &Path) -> Result<Option<Arc<Folder>>> {
    let mut beginnings = BEGINNINGS.lock().await;
    let Some(made) = beginnings.get_mut(project) else {
        beginnings.insert(project.to_owned(), None);
        return Ok(None);
    };
    if made.is_none() {
        *made = Some(Arc::new(make(project).await?));
    }
    Ok(made.clone())
}

async fn make(project: &Path) -> Result<Folder> {
    let dir = tempfile::Builder::new().prefix("orchestra-plane-").tempdir()?;
    let plane = ControlPlane::start(dir.path(), Options::default()).await?;
    furnish(&plane, project)?;
    // Each control plane has a key of its own for them.
    let secrets = plane.etcd_raw("/registry/secrets/").await?;
    ensure!(
        secrets.is_empty(),
        "deploy/kustomize has a Secret, which no other control plane can read"
    );
    // What etcd has acknowledged is in its log, wherever it is ended.
    drop(plane);
    Folder::read(&dir.path().join(ETCD))
}

fn furnish(plane: &ControlPlane, project: &Path) -> Result<()> {
    let manifests = project.join("deploy/kustomize");
    plane.apply(&manifests).context("the operator's manifests")?;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {TENANTS}\n");
    std::fs::write(file.path(), namespace)?;
    plane.apply(file.path()).map(drop)
}
