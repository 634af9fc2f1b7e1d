//! The clusters of a stand-in's projects.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::{Mutex, MutexGuard};
use sqlx::postgres::PgConnection;
use tempfile::TempDir;

use super::pooler::Pooler;
use super::{Switches, Template};
use crate::Postgres;

/// One project's cluster; to start, stop or query it, hold the lock.
type Slot = Arc<tokio::sync::Mutex<Option<Running>>>;

/// A project's processes; the pooler ends first.
struct Running {
    pooler: Option<Pooler>,
    server: Postgres,
}

/// Where a project is reached.
pub(crate) struct Place {
    pub(crate) server: SocketAddr,
    /// Its transaction pooler, where `PgBouncer` is installed.
    pub(crate) pooler: Option<SocketAddr>,
}

/// Clusters by their project's reference. Dropping it stops them.
pub(crate) struct Clusters {
    template: Template,
    slots: Mutex<HashMap<String, Slot>>,
    dir: TempDir,
}

impl Clusters {
    /// Prepares the template; no cluster runs yet.
    ///
    /// # Errors
    /// As [`Template::prepare`].
    pub(crate) async fn prepare() -> Result<Self> {
        let template = Template::prepare().await?;
        let dir = tempfile::Builder::new().prefix("orchestra-projects-").tempdir()?;
        // The account of the servers passes through it.
        crate::postgres::install::account(dir.path())?;
        Ok(Self {
            template,
            slots: Mutex::default(),
            dir,
        })
    }

    /// The version of the projects' servers.
    pub(crate) fn version(&self) -> &str {
        self.template.version()
    }

    /// Creates and starts a project's cluster.
    ///
    /// # Errors
    /// When it cannot be copied or does not start.
    pub(crate) async fn create(&self, reference: &str, password: &str, switches: Switches) -> Result<Place> {
        let slot = self.slot(reference);
        let mut slot = slot.lock().await;
        let address = SocketAddr::new(crate::loopback::address(), 5432);
        let folder = self.folder(reference);
        let server = self.template.cluster(&folder, address, (password, switches)).await?;
        let pooler = self.template.pooler(&folder, address)?;
        let place = Place {
            server: address,
            pooler: pooler.as_ref().map(Pooler::address),
        };
        *slot = Some(Running { pooler, server });
        Ok(place)
    }

    /// Stops a project's cluster; its data stay.
    pub(crate) async fn stop(&self, reference: &str) {
        let slot = self.slot(reference);
        let mut slot = slot.lock_owned().await;
        let stopped = tokio::task::spawn_blocking(move || {
            if let Some(running) = slot.as_mut() {
                running.pooler = None;
                running.server.stop();
            }
        });
        // It does not panic.
        let _ = stopped.await;
    }

    /// Starts a project's cluster again where it was.
    ///
    /// # Errors
    /// When it does not start, or there is none.
    pub(crate) async fn start(&self, reference: &str) -> Result<()> {
        let slot = self.slot(reference);
        let mut slot = slot.lock().await;
        let running = slot.as_mut().context("the project has no cluster")?;
        if !running.server.is_started() {
            running.server.restart().await?;
            let (folder, address) = (self.folder(reference), running.server.address());
            running.pooler = self.template.pooler(&folder, address)?;
        }
        Ok(())
    }

    /// Restarts every cluster that runs.
    ///
    /// # Errors
    /// When one does not start again.
    pub(crate) async fn restart(&self) -> Result<()> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        for slot in slots {
            let mut slot = slot.lock().await;
            if let Some(running) = slot.as_mut().filter(|running| running.server.is_started()) {
                running.server.restart().await?;
            }
        }
        Ok(())
    }

    /// Stops a project's cluster and removes its data.
    ///
    /// # Errors
    /// When the data cannot be removed.
    pub(crate) async fn delete(&self, reference: &str) -> Result<()> {
        let slot = self.slot(reference);
        let mut slot = slot.lock_owned().await;
        let folder = self.folder(reference);
        tokio::task::spawn_blocking(move || {
            drop(slot.take());
            std::fs::remove_dir_all(folder)
        })
        .await??;
        self.slots().remove(reference);
        Ok(())
    }

    /// A session of the superuser in the project's database.
    ///
    /// # Errors
    /// When the cluster does not run.
    pub(crate) async fn admin(&self, reference: &str) -> Result<PgConnection> {
        let slot = self.slot(reference);
        let slot = slot.lock().await;
        let running = slot.as_ref().context("the project has no cluster")?;
        running.server.connect_admin().await
    }

    fn slot(&self, reference: &str) -> Slot {
        Arc::clone(self.slots().entry(reference.to_owned()).or_default())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock()
    }

    fn folder(&self, reference: &str) -> PathBuf {
        self.dir.path().join(reference)
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        // Each waits for its process, so they stop side by side.
        let slots: Vec<_> = self.slots().drain().map(|(_, slot)| slot).collect();
        std::thread::scope(|scope| {
            for slot in slots {
                scope.spawn(move || drop(slot));
            }
        });
    }
}
