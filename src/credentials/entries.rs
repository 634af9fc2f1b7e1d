//! What is known of the entries of `OrchestraDatabases` of static pools: whether they still lead to their databases. The
//! pools' checks write it, and the database room reports it.

use std::collections::HashMap;

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
    /// It is transient.
    pub passing: bool,
}

/// The entries of `OrchestraDatabases`, by the name of the object. A restarted operator knows nothing until its first
/// checks.
pub struct Entries {
    known: Mutex<HashMap<String, Option<Trouble>>>,
    changed: UnboundedSender<ObjectRef<OrchestraDatabase>>,
    changes: Mutex<Option<UnboundedReceiver<ObjectRef<OrchestraDatabase>>>>,
}

impl Default for Entries {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            known: Mutex::default(),
            changed: sender,
            changes: Mutex::new(Some(receiver)),
        }
    }
}

impl Entries {
    /// Records the state of an OrchestraDatabase's entry, and triggers the OrchestraDatabase when it has changed.
    pub fn note(&self, database: &str, trouble: Option<Trouble>) {
        let before = self.known.lock().insert(database.to_owned(), trouble.clone());
        if before != Some(trouble) {
            // Nothing receives it while the operator is shutting down.
            let _ = self.changed.send(ObjectRef::new(database));
        }
    }

    /// What is wrong with the entry of an OrchestraDatabase; the outer none while that is not known.
    pub fn of(&self, database: &str) -> Option<Option<Trouble>> {
        self.known.lock().get(database).cloned()
    }

    /// Forgets an OrchestraDatabase that is gone.
    pub fn forget(&self, database: &str) {
        self.known.lock().remove(database);
    }

    /// The sender of `OrchestraDatabases` that are to be reconciled.
    pub fn waker(&self) -> UnboundedSender<ObjectRef<OrchestraDatabase>> {
        self.changed.clone()
    }

    /// The `OrchestraDatabases` that are to be reconciled. Only the first caller gets them.
    pub fn changes(&self) -> UnboundedReceiver<ObjectRef<OrchestraDatabase>> {
        self.changes.lock().take().unwrap_or_else(|| unbounded_channel().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_wakes_a_database() {
        let entries = Entries::default();
        let mut changes = entries.changes();
        let trouble = || {
            Some(Trouble {
                reason: Reason::EntryRemoved,
                message: "gone".into(),
                passing: false,
            })
        };
        assert_eq!(entries.of("orchdb-1"), None);
        for (noted, wakes) in [
            (None, true),
            (None, false),
            (trouble(), true),
            (trouble(), false),
            (None, true),
        ] {
            entries.note("orchdb-1", noted.clone());
            assert_eq!(entries.of("orchdb-1"), Some(noted));
            assert_eq!(changes.try_recv().is_ok(), wakes);
        }
        entries.forget("orchdb-1");
        assert_eq!(entries.of("orchdb-1"), None);
    }
}
