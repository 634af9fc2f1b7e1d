//! Turns to migrate: which databases this process is migrating now. Every migration takes its turn here.
//!
//! The limit of a server holds also for passes that ask at the same moment. A turn is taken before the intent is
//! written into the status, and returned when the work ends, however it ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::migrate;

/// An Orchestra that waits asks again within 30 s. After this time it has lost its place.
const STALE: Duration = Duration::from_mins(2);

/// A request for a turn.
#[derive(Clone, Debug)]
pub struct Request {
    /// UID of the Orchestra, or name of a database without a claim.
    pub uid: String,
    /// The Orchestra that is woken when its turn comes. A request without one takes no place in the queue.
    pub object: Option<ObjectRef<Orchestra>>,
    /// The database server of the migration.
    pub server: String,
    /// Digest of the source.
    pub revision: String,
}

/// How the last turn of an Orchestra ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All migrations are applied.
    Applied,
    /// The migrations failed.
    Failed,
    /// No migration was started: they wait for a person's approval.
    Held,
    /// The turn ended for another reason, and the work is started again.
    Cut,
}

impl Outcome {
    /// The outcome of work that ended with this result.
    pub fn of(ended: Result<(), &Error>) -> Self {
        match ended {
            Ok(()) => Self::Applied,
            // Another attempt would take as long.
            Err(Error::Migrate(migrate::Error::Timeout(_))) => Self::Failed,
            Err(error) if error.is_passing() => Self::Cut,
            Err(_) => Self::Failed,
        }
    }
}

/// All turns.
pub struct Turns {
    per_server: usize,
    wake: UnboundedSender<ObjectRef<Orchestra>>,
    ledger: Mutex<Ledger>,
}

/// The turns, queues and outcomes at one moment.
#[derive(Default)]
pub struct Ledger {
    /// The server of each turn that is taken, by UID.
    running: HashMap<String, String>,
    /// Places in the queues of servers, by UID.
    waiting: HashMap<String, Waiting>,
    /// Source and outcome of the last turn, by UID.
    last: HashMap<String, (String, Outcome)>,
    /// The value of the retry annotation that was acted on last, by class.
    retried: HashMap<String, String>,
    /// UIDs of Orchestras that are to be tried again and have had no turn since.
    again: HashSet<String>,
    /// Number of the next place in a queue.
    asked: u64,
}

struct Waiting {
    number: u64,
    at: Instant,
    request: Request,
}

impl Ledger {
    /// Whether an Orchestra has a turn, or waits in the queue of its server.
    pub fn is_engaged(&self, uid: &str) -> bool {
        self.running.contains_key(uid) || self.waiting.contains_key(uid)
    }

    /// How its last turn for this source ended.
    pub fn outcome(&self, uid: &str, revision: &str) -> Option<Outcome> {
        let (of, outcome) = self.last.get(uid)?;
        (of == revision).then_some(*outcome)
    }

    /// Whether this process knows of it: the ledger is then newer than the status.
    pub fn knows(&self, uid: &str) -> bool {
        self.is_engaged(uid) || self.last.contains_key(uid)
    }

    /// Whether it is to be tried again at once.
    pub fn is_asked_again(&self, uid: &str) -> bool {
        self.again.contains(uid)
    }

    /// The first ones in the queue of a server that there is room for.
    fn next(&self, server: &str, room: usize) -> Vec<ObjectRef<Orchestra>> {
        let mut waiting: Vec<_> = self.waiting.values().filter(|is| is.request.server == server).collect();
        waiting.sort_by_key(|is| is.number);
        waiting
            .into_iter()
            .take(room)
            .filter_map(|is| is.request.object.clone())
            .collect()
    }

    fn load(&self, server: &str) -> usize {
        self.running.values().filter(|at| *at == server).count()
    }
}

impl Turns {
    /// No turn is taken. At most `per_server` are taken at once on one server; Orchestras whose turn has come are
    /// sent to `wake`.
    pub fn new(per_server: usize, wake: UnboundedSender<ObjectRef<Orchestra>>) -> Self {
        Self {
            per_server,
            wake,
            ledger: Mutex::default(),
        }
    }

    /// Migrations that may run on one server at once.
    pub fn per_server(&self) -> usize {
        self.per_server
    }

    /// Reads the ledger.
    pub fn look<T>(&self, at: impl FnOnce(&Ledger) -> T) -> T {
        at(&self.lock())
    }

    /// Asks for a turn. `admit` returns `None` when the request is refused, and otherwise the number of migrations
    /// of earlier processes that may still be running on the server. When the server has no room, the request
    /// takes a place in its queue, first come first served.
    pub fn ask(self: &Arc<Self>, request: Request, admit: impl FnOnce(&Ledger) -> Option<usize>) -> Answer {
        let mut ledger = self.lock();
        if ledger.running.contains_key(&request.uid) {
            return Answer::Queued;
        }
        let Some(inherited) = admit(&ledger) else {
            ledger.waiting.remove(&request.uid);
            return Answer::Refused;
        };
        ledger.waiting.retain(|_, is| is.at.elapsed() < STALE);
        let number = ledger.waiting.get(&request.uid).map_or(ledger.asked, |is| is.number);
        ledger.asked += 1;
        let ahead = |is: &&Waiting| is.request.server == request.server && is.number < number;
        let before = ledger.waiting.values().filter(ahead).count();
        if ledger.load(&request.server) + inherited + before >= self.per_server {
            if request.object.is_none() {
                return Answer::Queued;
            }
            let waiting = Waiting {
                number,
                at: Instant::now(),
                request: request.clone(),
            };
            ledger.waiting.insert(request.uid, waiting);
            return Answer::Queued;
        }
        ledger.waiting.remove(&request.uid);
        ledger.again.remove(&request.uid);
        ledger.running.insert(request.uid.clone(), request.server);
        Answer::Now(Turn {
            turns: self.clone(),
            uid: request.uid,
            revision: request.revision,
            outcome: Outcome::Cut,
        })
    }

    /// Whether an Orchestra has a place in a queue for this source and others are ahead of it, so that it need
    /// not ask again.
    pub fn still_waits(&self, uid: &str, revision: &str) -> bool {
        let ledger = self.lock();
        let Ledger { running, waiting, .. } = &*ledger;
        let place = waiting.get(uid).filter(|is| is.request.revision == revision);
        let Some((number, server)) = place.map(|is| (is.number, is.request.server.clone())) else {
            return false;
        };
        let load = running.values().filter(|at| **at == server).count();
        let ahead = |is: &&Waiting| is.request.server == server && is.number < number && is.at.elapsed() < STALE;
        load + waiting.values().filter(ahead).count() >= self.per_server
    }

    /// Keeps the place of an Orchestra in its queue: it still waits.
    pub fn stay(&self, uid: &str) {
        if let Some(place) = self.lock().waiting.get_mut(uid) {
            place.at = Instant::now();
        }
    }

    /// Gives up the place in a queue, because the Orchestra cannot use its turn now.
    pub fn leave(&self, uid: &str) {
        let mut ledger = self.lock();
        if let Some(waiting) = ledger.waiting.remove(uid) {
            self.go_on(&ledger, &waiting.request.server);
        }
    }

    /// Forgets an Orchestra.
    pub fn forget(&self, uid: &str) {
        self.leave(uid);
        let mut ledger = self.lock();
        ledger.last.remove(uid);
        ledger.again.remove(uid);
    }

    /// The source whose migration failed in the last turn.
    pub fn failed(&self, uid: &str) -> Option<String> {
        let ledger = self.lock();
        let (revision, outcome) = ledger.last.get(uid)?;
        (*outcome == Outcome::Failed).then(|| revision.clone())
    }

    /// Whether the retry annotation of a class has a new value. Then the Orchestras in `failed`, by UID, are to be
    /// tried again at once.
    pub fn asks_again(&self, class: &str, value: &str, failed: impl IntoIterator<Item = String>) -> bool {
        let mut ledger = self.lock();
        let before = ledger.retried.insert(class.into(), value.into());
        let anew = before.as_deref() != Some(value);
        if anew {
            ledger.again.extend(failed);
        }
        anew
    }

    /// Wakes Orchestras whose turn has come.
    pub fn wake(&self, objects: impl IntoIterator<Item = ObjectRef<Orchestra>>) {
        for object in objects {
            // Sending fails only while the operator is shutting down.
            let _ = self.wake.send(object);
        }
    }

    fn go_on(&self, ledger: &Ledger, server: &str) {
        let room = self.per_server.saturating_sub(ledger.load(server));
        self.wake(ledger.next(server, room));
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// The turn has come.
    Now(Turn),
    /// The server is busy. The Orchestra is woken when its turn comes.
    Queued,
    /// The rollout has not reached the Orchestra.
    Refused,
}

/// A turn. It is returned when it is dropped, and the next in the queue is woken.
pub struct Turn {
    turns: Arc<Turns>,
    uid: String,
    revision: String,
    outcome: Outcome,
}

impl Turn {
    /// Records how the work ended. A turn without a record was cut off.
    pub fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut ledger = self.turns.lock();
        ledger
            .last
            .insert(self.uid.clone(), (self.revision.clone(), self.outcome));
        if let Some(server) = ledger.running.remove(&self.uid) {
            self.turns.go_on(&ledger, &server);
        }
    }
}

#[cfg(test)]
mod tests;
