//! What goes wrong on purpose.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Operation;

/// One thing that goes wrong with a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The request has no effect and is answered with this status.
    Status {
        /// The HTTP status, for instance 429 or 503.
        status: u16,
        /// `Retry-After` in seconds; no such header when absent.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The request has no effect and the API refuses it in these words.
    Refuse {
        /// The HTTP status, for instance 400 or 403.
        status: u16,
        /// The `message` of the body.
        message: String,
    },
    /// The request has no effect and the proxy in front answers 502 with an HTML page.
    HtmlBadGateway,
    /// The effect takes place, and the answer takes this much longer, in milliseconds.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Waits for [`Faults::release`] before the effect. The effect comes even if the client has
    /// gone meanwhile, as it may on the real API.
    HoldBefore,
    /// Waits for [`Faults::release`] after the effect, before the answer.
    HoldAfter,
    /// The connection closes without an effect.
    CloseBefore,
    /// The effect takes place and the connection closes without an answer.
    LoseResponse,
    /// The effect takes place and the answer breaks off in the middle of its body.
    Truncate,
    /// The effect takes place and the answer is this one nevertheless.
    AnswerAfter {
        /// The HTTP status, for instance 500.
        status: u16,
        /// The message.
        message: String,
    },
    /// The request arrives twice, as from a proxy that sends it again; the second answer counts.
    Twice,
}

/// The faults of a stand-in; clones share them. Each request takes one fault of its operation,
/// in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    queued: HashMap<Operation, Vec<Queued>>,
    /// The subjects of the requests that are held, by number.
    held: HashMap<Operation, HashMap<u64, String>>,
    next_hold: u64,
}

#[derive(Debug)]
struct Queued {
    /// Part of the name of the project that it is meant for; empty for any.
    subject: String,
    times: u32,
    fault: Fault,
}

impl Faults {
    /// Lets the next `times` requests of the operation meet the fault.
    pub fn add(&self, operation: Operation, times: u32, fault: Fault) {
        self.add_for("", operation, times, fault);
    }

    /// Lets the next `times` requests of the operation about a project meet the fault; `subject` is
    /// a part of the project's name.
    pub fn add_for(&self, subject: &str, operation: Operation, times: u32, fault: Fault) {
        if times > 0 {
            let subject = subject.to_owned();
            let queued = Queued { subject, times, fault };
            self.table().queued.entry(operation).or_default().push(queued);
        }
    }

    /// How many times faults for this subject have not been met yet.
    pub fn left(&self, subject: &str) -> u32 {
        let table = self.table();
        let queued = table.queued.values().flatten();
        queued.filter(|it| it.subject == subject).map(|it| it.times).sum()
    }

    /// Forgets the faults not met yet and releases every held request.
    pub fn clear(&self) {
        let mut table = self.table();
        table.queued.clear();
        table.held.clear();
        drop(table);
        self.0.changed.notify_waiters();
    }

    /// Waits until a request of the operation is held.
    pub async fn wait_until_held(&self, operation: Operation) {
        self.wait(|table| table.held.get(&operation).is_some_and(|held| !held.is_empty()))
            .await;
    }

    /// Whether a request about this project is held; `subject` is a part of its name.
    pub fn holds(&self, subject: &str) -> bool {
        let table = self.table();
        table
            .held
            .values()
            .flat_map(HashMap::values)
            .any(|name| name.contains(subject))
    }

    /// Lets every held request about this project continue; `subject` is a part of its name.
    pub fn release_for(&self, subject: &str) {
        for held in self.table().held.values_mut() {
            held.retain(|_, name| !name.contains(subject));
        }
        self.0.changed.notify_waiters();
    }

    /// How many requests of the operation are held now.
    pub fn held(&self, operation: Operation) -> usize {
        self.table().held.get(&operation).map_or(0, HashMap::len)
    }

    /// Lets every held request of the operation continue.
    pub fn release(&self, operation: Operation) {
        self.table().held.remove(&operation);
        self.0.changed.notify_waiters();
    }

    /// The fault that a request of the operation about this project meets, which is thereby used.
    pub(super) fn take(&self, operation: Operation, project: &str) -> Option<Fault> {
        let mut table = self.table();
        let queue = table.queued.get_mut(&operation)?;
        let place = queue.iter().position(|it| project.contains(&it.subject))?;
        let queued = &mut queue[place];
        let fault = queued.fault.clone();
        queued.times -= 1;
        if queued.times == 0 {
            queue.remove(place);
        }
        Some(fault)
    }

    /// Holds a request of the operation about this project until it is released.
    pub(super) async fn hold(&self, operation: Operation, project: &str) {
        let number = {
            let mut table = self.table();
            table.next_hold += 1;
            let number = table.next_hold;
            table
                .held
                .entry(operation)
                .or_default()
                .insert(number, project.to_owned());
            number
        };
        self.0.changed.notify_waiters();
        let holds = |table: &Table| {
            table
                .held
                .get(&operation)
                .is_some_and(|held| held.contains_key(&number))
        };
        self.wait(|table| !holds(table)).await;
    }

    async fn wait(&self, reached: impl Fn(&Table) -> bool) {
        loop {
            let mut change = std::pin::pin!(self.0.changed.notified());
            change.as_mut().enable();
            if reached(&self.table()) {
                return;
            }
            change.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock()
    }
}
