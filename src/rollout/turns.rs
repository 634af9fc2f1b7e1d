//! Who is being migrated now, by this process: the one place where a migration gets its turn.
//!
//! Of two passes at the same moment, only so many get one as there is room for. A turn is taken before
//! the intent is written into the status, and given back when the work ends, however it ends.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::migrate;

/// Whoever waits asks again within 30 s; one that does not is gone.
const STALE: Duration = Duration::from_mins(2);

/// Who asks for a turn.
#[derive(Clone, Debug)]
pub struct Request {
    /// UID of the Orchestra.
    pub uid: String,
    /// The Orchestra, to be woken when its turn comes. Who is not woken waits in no queue.
    pub object: Option<ObjectRef<Orchestra>>,
    /// Server whose budget it is on.
    pub server: String,
    /// Digest of the source.
    pub revision: String,
}

/// How the last turn of an Orchestra ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is applied.
    Applied,
    /// The migrations failed.
    Failed,
    /// Nothing was begun: it waits for a person's approval.
    Held,
    /// It ended for another reason, and is begun again.
    Cut,
}

impl Outcome {
    /// What the end of some work means.
    pub fn of(ended: Result<(), &Error>) -> Self {
        match ended {
            Ok(()) => Self::Applied,
            // It would take as long again.
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
    state: Mutex<State>,
}

/// What is known of turns at one moment.
#[derive(Default)]
pub struct State {
    /// Servers of those at work, by UID.
    running: HashMap<String, String>,
    waiting: HashMap<String, Waiting>,
    last: HashMap<String, (String, Outcome)>,
    /// Value of the retry annotation of each class that was acted on.
    retried: HashMap<String, String>,
    /// Those of them that have not had their turn since.
    again: HashSet<String>,
    asked: u64,
}

struct Waiting {
    number: u64,
    at: Instant,
    request: Request,
}

impl State {
    /// Whether an Orchestra has its turn, or waits for its server.
    pub fn is_engaged(&self, uid: &str) -> bool {
        self.running.contains_key(uid) || self.waiting.contains_key(uid)
    }

    /// How its last turn for this source ended.
    pub fn outcome(&self, uid: &str, revision: &str) -> Option<Outcome> {
        let (of, outcome) = self.last.get(uid)?;
        (of == revision).then_some(*outcome)
    }

    /// Whether this process knows of it: what a status says of a turn is then older than this.
    pub fn knows(&self, uid: &str) -> bool {
        self.is_engaged(uid) || self.last.contains_key(uid)
    }

    /// Whether it is to be tried again at once.
    pub fn is_asked_again(&self, uid: &str) -> bool {
        self.again.contains(uid)
    }

    /// Of those that wait for a server, the first ones that there is room for.
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
    /// Nobody is at work. At most `per_server` are at once on one server; those that may go on are
    /// told to `wake`.
    pub fn new(per_server: usize, wake: UnboundedSender<ObjectRef<Orchestra>>) -> Self {
        Self {
            per_server,
            wake,
            state: Mutex::default(),
        }
    }

    /// Migrations that one server bears at once.
    pub fn per_server(&self) -> usize {
        self.per_server
    }

    /// Looks at one moment.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock())
    }

    /// Asks for a turn. `admit` says whether it may have one at all, and if so how many migrations
    /// that this process knows nothing of are under way on the server. Without room on the server it
    /// waits in the order of asking.
    pub fn ask(self: &Arc<Self>, request: Request, admit: impl FnOnce(&State) -> Option<usize>) -> Answer {
        let mut state = self.lock();
        if state.running.contains_key(&request.uid) {
            return Answer::Queued;
        }
        let Some(strangers) = admit(&state) else {
            state.waiting.remove(&request.uid);
            return Answer::Refused;
        };
        state.waiting.retain(|_, is| is.at.elapsed() < STALE);
        let number = state.waiting.get(&request.uid).map_or(state.asked, |is| is.number);
        state.asked += 1;
        let ahead = |is: &&Waiting| is.request.server == request.server && is.number < number;
        let before = state.waiting.values().filter(ahead).count();
        if state.load(&request.server) + strangers + before >= self.per_server {
            if request.object.is_none() {
                return Answer::Queued;
            }
            let waiting = Waiting {
                number,
                at: Instant::now(),
                request: request.clone(),
            };
            state.waiting.insert(request.uid, waiting);
            return Answer::Queued;
        }
        state.waiting.remove(&request.uid);
        state.again.remove(&request.uid);
        state.running.insert(request.uid.clone(), request.server);
        Answer::Now(Turn {
            turns: self.clone(),
            uid: request.uid,
            revision: request.revision,
            outcome: Outcome::Cut,
        })
    }

    /// Whether an Orchestra has a place in a queue for this source and others are before it, so that it need
    /// not ask again.
    pub fn still_waits(&self, uid: &str, revision: &str) -> bool {
        let state = self.lock();
        let State { running, waiting, .. } = &*state;
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

    /// Gives up the place in a queue: what it waited for cannot be used now.
    pub fn leave(&self, uid: &str) {
        let mut state = self.lock();
        if let Some(waiting) = state.waiting.remove(uid) {
            self.go_on(&state, &waiting.request.server);
        }
    }

    /// Forgets an Orchestra.
    pub fn forget(&self, uid: &str) {
        self.leave(uid);
        let mut state = self.lock();
        state.last.remove(uid);
        state.again.remove(uid);
    }

    /// Source whose migration failed in its last turn.
    pub fn failed(&self, uid: &str) -> Option<String> {
        let state = self.lock();
        let (revision, outcome) = state.last.get(uid)?;
        (*outcome == Outcome::Failed).then(|| revision.clone())
    }

    /// Whether a class asks anew for what failed to be tried again at once: `failed`, by their UIDs.
    pub fn asks_again(&self, class: &str, value: &str, failed: impl IntoIterator<Item = String>) -> bool {
        let mut state = self.lock();
        let before = state.retried.insert(class.into(), value.into());
        let anew = before.as_deref() != Some(value);
        if anew {
            state.again.extend(failed);
        }
        anew
    }

    /// Wakes Orchestras that may begin.
    pub fn wake(&self, objects: impl IntoIterator<Item = ObjectRef<Orchestra>>) {
        for object in objects {
            // Nobody listens any more only when the operator is shutting down.
            let _ = self.wake.send(object);
        }
    }

    fn go_on(&self, state: &State, server: &str) {
        let room = self.per_server.saturating_sub(state.load(server));
        self.wake(state.next(server, room));
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What an Orchestra that asks is told.
#[derive(Debug)]
pub enum Answer {
    /// It is its turn.
    Now(Turn),
    /// It waits for its server, and is woken.
    Queued,
    /// It is not its turn.
    Refused,
}

/// A turn, held while the work goes on. Dropping it lets the next go on.
pub struct Turn {
    turns: Arc<Turns>,
    uid: String,
    revision: String,
    outcome: Outcome,
}

impl Turn {
    /// Says how the work ended; without a word it was cut off.
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
        let mut state = self.turns.lock();
        state
            .last
            .insert(self.uid.clone(), (self.revision.clone(), self.outcome));
        if let Some(server) = state.running.remove(&self.uid) {
            self.turns.go_on(&state, &server);
        }
    }
}

#[cfg(test)]
mod tests;
