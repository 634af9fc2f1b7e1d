//! Members that were enlisted a moment ago: a watch may lag behind the operator's own writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;

use crate::api::OrchestraDatabase;

/// How far the watch may lag behind. After that the watch alone counts.
const LAG: Duration = Duration::from_secs(10);

/// Members by name, from their creation until the watch shows them.
#[derive(Default)]
pub struct Recent(Mutex<HashMap<String, (Arc<OrchestraDatabase>, Instant)>>);

impl Recent {
    /// Keeps a member that was just created.
    pub fn insert(&self, member: OrchestraDatabase) {
        self.0
            .lock()
            .insert(member.name_any(), (Arc::new(member), Instant::now()));
    }

    /// The members of a pool that the watch does not show yet. Those that it shows are dropped.
    pub fn of(&self, pool: &str, watched: &Store<OrchestraDatabase>) -> Vec<Arc<OrchestraDatabase>> {
        let mut recent = self.0.lock();
        recent.retain(|name, (_, at)| at.elapsed() < LAG && watched.get(&ObjectRef::new(name)).is_none());
        let members = recent.values().map(|(member, _)| member);
        members.filter(|member| member.pool() == Some(pool)).cloned().collect()
    }

    /// Whether a member of this name was enlisted a moment ago.
    pub fn contains(&self, name: &str) -> bool {
        let recent = self.0.lock();
        recent.get(name).is_some_and(|(_, at)| at.elapsed() < LAG)
    }
}
