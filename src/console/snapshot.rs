//! The list of tenants, read once for all visitors who may read it.
//!
//! A visitor's own token reads the list. For some seconds it serves others as well, but only those for whom the API server
//! says, at each view, that they may list the same objects.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::Api;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::cluster::{Wish, each, is_refused, may};
use super::form::NAMESPACE;
use crate::api::Orchestra;
use crate::api::names::is_object_name;
use crate::api::slim::Slim;
use crate::views::listing::{ListedTenant, listed, sorted};

/// An older list is read again, while it is still shown.
const FRESH: Duration = Duration::from_secs(10);

/// An older list is not shown.
const STALE: Duration = Duration::from_mins(1);

/// Time limit of reading a list again while the former one is shown.
const REFRESH: Duration = Duration::from_secs(40);

/// The most lists that are kept: one for each namespace that somebody looks at.
const SLOTS: usize = 64;

/// A list as it was at a time.
#[derive(Clone)]
pub struct TenantSnapshot {
    /// The tenants in their order.
    pub tenants: Arc<Vec<ListedTenant>>,
    /// When they were read.
    pub at: Instant,
}

/// The last list of one namespace, or of all.
#[derive(Default)]
struct SnapshotSlot {
    kept: Mutex<Option<TenantSnapshot>>,
    /// Held by the request that reads the list; others wait for that list.
    loading: AsyncMutex<()>,
}

impl SnapshotSlot {
    fn kept(&self, younger: Duration) -> Option<TenantSnapshot> {
        self.kept.lock().clone().filter(|kept| kept.at.elapsed() < younger)
    }

    async fn load(&self, client: &Client, namespace: &str, readers: &Semaphore) -> Result<TenantSnapshot, kube::Error> {
        let _loading = self.loading.lock().await;
        if let Some(kept) = self.kept(FRESH)
            && may(client, Wish::ours("list", "orchestras", namespace)).await
        {
            return Ok(kept);
        }
        let api: Api<Slim<Orchestra>> = match namespace {
            "" => Api::all(client.clone()),
            namespace => Api::namespaced(client.clone(), namespace),
        };
        // Nobody closes it.
        let _reader = readers.acquire().await;
        let at = Instant::now();
        let mut tenants = Vec::new();
        each(&api, |Slim(orchestra)| tenants.push(listed(&orchestra))).await?;
        let snapshot = TenantSnapshot {
            tenants: Arc::new(sorted(tenants)),
            at,
        };
        *self.kept.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// The lists by namespace; that of all namespaces has the empty one.
pub struct Snapshots {
    slots: Mutex<HashMap<String, Arc<SnapshotSlot>>>,
    readers: Arc<Semaphore>,
}

impl Snapshots {
    /// No list has been read yet. Other lists share the readers.
    pub fn new(readers: Arc<Semaphore>) -> Self {
        Self {
            slots: Mutex::default(),
            readers,
        }
    }

    fn slot(&self, namespace: &str) -> Arc<SnapshotSlot> {
        let mut slots = self.slots.lock();
        if slots.len() >= SLOTS {
            slots.retain(|_, slot| slot.kept(STALE).is_some());
        }
        if slots.len() >= SLOTS {
            slots.clear();
        }
        slots.entry(namespace.to_owned()).or_default().clone()
    }

    /// The tenants of a namespace, or of all, if the visitor may list them.
    ///
    /// # Errors
    /// When the API server refuses, or does not answer.
    pub async fn tenants(&self, client: &Client, namespace: &str) -> Result<TenantSnapshot, kube::Error> {
        let slot = self.slot(namespace);
        let Some(kept) = slot.kept(STALE) else {
            return slot.load(client, namespace, &self.readers).await;
        };
        if !may(client, Wish::ours("list", "orchestras", namespace)).await {
            // The API server tells why.
            return slot.load(client, namespace, &self.readers).await;
        }
        if kept.at.elapsed() >= FRESH && slot.loading.try_lock().is_ok() {
            let (client, namespace, readers) = (client.clone(), namespace.to_owned(), self.readers.clone());
            tokio::spawn(async move {
                // The next visitor reads what could not be read now.
                let _ = tokio::time::timeout(REFRESH, slot.load(&client, &namespace, &readers)).await;
            });
        }
        Ok(kept)
    }

    /// The tenants of the cluster or, for a visitor who may not list them all, those of a namespace.
    ///
    /// # Errors
    /// When the visitor may list neither, or the API server does not answer.
    pub async fn seen(&self, client: &Client, namespace: &str) -> Result<TenantSnapshot, kube::Error> {
        match self.tenants(client, "").await {
            Err(error) if is_refused(&error) && is_object_name(namespace, NAMESPACE) => {
                self.tenants(client, namespace).await
            }
            seen => seen,
        }
    }
}
