//! The control plane of a world. A world that has ended leaves it to the next one, which makes all that is stored there what
//! it was: that takes a tenth of a second, where a start takes seven seconds of a processor.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use super::TENANTS;
use crate::control_plane::{ControlPlane, Options, Stored, dies_with_us};
use crate::folder::Broom;

/// What a world has that asks for nothing else: quick rather than small, and with the controllers.
pub(super) const USUAL: Options = Options {
    controller_manager: true,
    lavish: true,
    audit: false,
};

/// What worlds have left, the longest ago first.
static LEFT: Mutex<VecDeque<Running>> = Mutex::new(VecDeque::new());

/// A world's control plane. Dropping it leaves it to another world, where that is possible, and ends it otherwise.
pub struct Plane {
    /// There until it is dropped.
    running: Option<Running>,
}

struct Running {
    plane: ControlPlane,
    project: PathBuf,
    /// What the next world begins with; nothing where the control plane is an unusual one.
    beginning: Option<Stored>,
    /// A process that may still write to it has a copy.
    user: Arc<()>,
    _dir: TempDir,
    /// Nothing drops what no world has taken before the process ends.
    _broom: Broom,
}

impl Plane {
    /// Starts one with the manifests of `deploy/kustomize` and the namespace of tenants, or takes one that was left.
    pub(super) async fn start(options: Options, project: &Path) -> Result<Self> {
        if options == USUAL {
            while let Some(mut left) = take(project) {
                let Some(beginning) = &mut left.beginning else { continue };
                match left.plane.put_back(beginning).await {
                    Ok(()) => return Ok(Self { running: Some(left) }),
                    Err(error) => eprintln!("a control plane is not used again: {error:#}"),
                }
            }
        }
        let dir = tempfile::Builder::new().prefix("orchestra-plane-").tempdir()?;
        let broom = Broom::of(dir.path())?;
        let plane = start(dir.path().join("plane"), options, project).await?;
        let beginning = if options == USUAL && dies_with_us() {
            Some(plane.stored().await?)
        } else {
            None
        };
        let running = Running {
            plane,
            project: project.to_owned(),
            beginning,
            user: Arc::default(),
            _dir: dir,
            _broom: broom,
        };
        Ok(Self { running: Some(running) })
    }

    /// While this lives, no other world gets this control plane.
    pub(super) fn user(&self) -> Option<Arc<()>> {
        self.running.as_ref().map(|running| running.user.clone())
    }
}

#[allow(
    clippy::expect_used,
    reason = "the field is empty inside of the drop alone, where nobody has a reference"
)]
impl Deref for Plane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        let running = self.running.as_ref();
        &running.expect("it is taken out by the drop alone").plane
    }
}

#[allow(clippy::expect_used, reason = "as for Deref")]
impl DerefMut for Plane {
    fn deref_mut(&mut self) -> &mut ControlPlane {
        let running = self.running.as_mut();
        &mut running.expect("it is taken out by the drop alone").plane
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let left = self.running.take();
        // The state after a failure is not known.
        let whole = |running: &Running| running.beginning.is_some() && running.plane.api_server_id().is_some();
        if let Some(left) = left.filter(|left| whole(left) && !std::thread::panicking()) {
            left_ones().push_back(left);
        }
    }
}

fn left_ones() -> MutexGuard<'static, VecDeque<Running>> {
    LEFT.lock()
}

fn take(project: &Path) -> Option<Running> {
    let mut left = left_ones();
    let free = |running: &Running| running.project == project && Arc::strong_count(&running.user) == 1;
    let at = left.iter().position(free)?;
    left.remove(at)
}

async fn start(dir: PathBuf, options: Options, project: &Path) -> Result<ControlPlane> {
    let bare = Options {
        controller_manager: false,
        ..options
    };
    let mut plane = ControlPlane::start(dir, bare).await?;
    furnish(&plane, project)?;
    // It learns of new kinds every 30 s only, so they are there before it.
    if options.controller_manager {
        plane.start_controller_manager().await?;
    }
    Ok(plane)
}

fn furnish(plane: &ControlPlane, project: &Path) -> Result<()> {
    let manifests = project.join("deploy/kustomize");
    plane.apply(&manifests).context("the operator's manifests")?;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {TENANTS}\n");
    std::fs::write(file.path(), namespace)?;
    plane.apply(file.path())?;
    let mut established = plane.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    let output = established.output()?;
    ensure!(
        output.status.success(),
        "kubectl wait: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
