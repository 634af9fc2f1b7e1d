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
use tokio::sync::Mutex as Turn;

use super::cluster::{Wish, each, may};
use crate::api::Orchestra;
use crate::api::slim::Slim;
use crate::views::listing::{ListedTenant, listed, sorted};

/// An older list is read again, while it is still shown.
const FRESH: Duration = Duration::from_secs(10);

/// An older list is not shown.
const STALE: Duration = Duration::from_mins(1);

/// Time limit of reading a list again while the former one is shown.
const REFRESH: Duration = Duration::from_secs(40);

/// The most lists that are kept: one for each namespace that somebody looks at.
const SCOPES: usize = 64;

/// A list as it was at a time.
#[derive(Clone)]
pub struct Snapshot {
    /// The tenants in their order.
    pub tenants: Arc<Vec<ListedTenant>>,
    /// When they were read.
    pub at: Instant,
}

#[derive(Default)]
struct Scope {
    kept: Mutex<Option<Snapshot>>,
    /// Whoever has it reads the list; the others wait for that list.
    turn: Turn<()>,
}

impl Scope {
    fn kept(&self, younger: Duration) -> Option<Snapshot> {
        self.kept.lock().clone().filter(|kept| kept.at.elapsed() < younger)
    }

    async fn load(&self, client: &Client, namespace: &str) -> Result<Snapshot, kube::Error> {
        let _turn = self.turn.lock().await;
        if let Some(kept) = self.kept(FRESH)
            && may(client, Wish::ours("list", "orchestras", namespace)).await
        {
            return Ok(kept);
        }
        let api: Api<Slim<Orchestra>> = match namespace {
            "" => Api::all(client.clone()),
            namespace => Api::namespaced(client.clone(), namespace),
        };
        let at = Instant::now();
        let mut tenants = Vec::new();
        each(&api, |Slim(orchestra)| tenants.push(listed(&orchestra))).await?;
        let snapshot = Snapshot {
            tenants: Arc::new(sorted(tenants)),
            at,
        };
        *self.kept.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// The lists by namespace; that of all namespaces has the empty one.
#[derive(Default)]
pub struct Snapshots(Mutex<HashMap<String, Arc<Scope>>>);

impl Snapshots {
    fn scope(&self, namespace: &str) -> Arc<Scope> {
        let mut scopes = self.0.lock();
        if scopes.len() >= SCOPES {
            scopes.retain(|_, scope| scope.kept(STALE).is_some());
        }
        if scopes.len() >= SCOPES {
            scopes.clear();
        }
        scopes.entry(namespace.to_owned()).or_default().clone()
    }

    /// The tenants of a namespace, or of all, if the visitor may list them.
    ///
    /// # Errors
    /// When the API server refuses, or does not answer.
    pub async fn tenants(&self, client: &Client, namespace: &str) -> Result<Snapshot, kube::Error> {
        let scope = self.scope(namespace);
        let Some(kept) = scope.kept(STALE) else {
            return scope.load(client, namespace).await;
        };
        if !may(client, Wish::ours("list", "orchestras", namespace)).await {
            // The API server tells why.
            return scope.load(client, namespace).await;
        }
        if kept.at.elapsed() >= FRESH && scope.turn.try_lock().is_ok() {
            let (client, namespace) = (client.clone(), namespace.to_owned());
            tokio::spawn(async move {
                // The next visitor reads what could not be read now.
                let _ = tokio::time::timeout(REFRESH, scope.load(&client, &namespace)).await;
            });
        }
        Ok(kept)
    }
}
