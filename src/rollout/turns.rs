//! Turns to migrate: which databases this process is migrating now. Every migration takes its turn here.
//!
//! Turns are fair between namespaces ([`fair`]): the Orchestras of one cannot block those of all others.
//!
//! The limit of a server holds also for passes that ask at the same moment. A turn is taken before the intent is
//! written into the status, and returned when the work ends, however it ends.

pub(crate) mod fair;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::migrate;
use fair::TurnPlace;

/// An Orchestra that waits asks again within 30 s. After this time it has lost its place.
const STALE: Duration = Duration::from_mins(2);

/// A request for a turn.
#[derive(Clone, Debug)]
pub struct TurnRequest {
    /// UID of the Orchestra, or name of a database without a claim.
    pub uid: String,
    /// The Orchestra that is triggered when its turn comes. A request without one takes no place in the queue.
    pub object: Option<ObjectRef<Orchestra>>,
    /// The database server of the migration.
    pub server: String,
    /// Digest of the source.
    pub revision: String,
}

impl TurnRequest {
    /// The namespace that the turn counts for; empty for a database without a claim.
    fn namespace(&self) -> &str {
        let object = self.object.as_ref();
        object
            .and_then(|object| object.namespace.as_deref())
            .unwrap_or_default()
    }
}

/// The load of a server, as an admitted request finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Migrations of earlier processes that may still be running there.
    pub inherited: usize,
    /// Orchestras of other namespaces may have databases there.
    pub shared: bool,
}

/// How the last turn of an Orchestra ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// All migrations are applied.
    Applied,
    /// The migrations failed.
    Failed,
    /// No migration was started: they wait for a person's approval.
    AwaitsApproval,
    /// The turn ended for another reason, and the work is started again.
    Cut,
}

impl TurnOutcome {
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
    /// The request of each turn that is taken, by UID.
    running: HashMap<String, TurnRequest>,
    /// Places in the queues of servers, by UID.
    waiting: HashMap<String, WaitingTurn>,
    /// Source and outcome of the last turn, by UID.
    last: HashMap<String, (String, TurnOutcome)>,
    /// The last handled value of the retry annotation, by class.
    retried: HashMap<String, String>,
    /// UIDs of Orchestras that are to be tried again and have had no turn since.
    again: HashSet<String>,
    /// Number of the next place in a queue.
    asked: u64,
    /// When a namespace was last given a turn on a server, counted in places of queues.
    given: HashMap<(String, String), u64>,
}

struct WaitingTurn {
    number: u64,
    /// When it asked for the first time.
    since: Instant,
    /// When it asked last.
    at: Instant,
    request: TurnRequest,
}

impl Ledger {
    /// Whether an Orchestra has a turn, or waits in the queue of its server.
    pub fn is_engaged(&self, uid: &str) -> bool {
        self.running.contains_key(uid) || self.waiting.contains_key(uid)
    }

    /// How its last turn for this source ended.
    pub fn outcome(&self, uid: &str, revision: &str) -> Option<TurnOutcome> {
        let (of, outcome) = self.last.get(uid)?;
        (of == revision).then_some(*outcome)
    }

    /// Whether this process knows the Orchestra: the ledger is then newer than the status.
    pub fn knows(&self, uid: &str) -> bool {
        self.is_engaged(uid) || self.last.contains_key(uid)
    }

    /// Whether it is to be tried again at once.
    pub fn is_asked_again(&self, uid: &str) -> bool {
        self.again.contains(uid)
    }

    /// UIDs of those in the queue of a server whose turn is next, when there is room for so many. `asker` counts as
    /// waiting with this number.
    fn next(&self, server: &str, room: usize, asker: Option<(&TurnRequest, u64)>) -> HashSet<String> {
        let mut taken = HashMap::new();
        for request in self.running.values().filter(|is| is.server == server) {
            *taken.entry(request.namespace()).or_default() += 1;
        }
        let others = self.waiting.iter().filter(|(uid, is)| {
            is.request.server == server && is.at.elapsed() < STALE && asker.is_none_or(|(asker, _)| asker.uid != **uid)
        });
        let others = others.map(|(_, is)| (&is.request, is.number));
        let places = others.chain(asker).map(|(request, number)| TurnPlace {
            uid: &request.uid,
            namespace: request.namespace(),
            number,
        });
        let given = |namespace: &str| {
            let key = (server.to_owned(), namespace.to_owned());
            self.given.get(&key).copied().unwrap_or_default()
        };
        let next = fair::next(places.collect(), taken, given, room);
        next.into_iter().map(ToOwned::to_owned).collect()
    }

    fn load(&self, server: &str) -> usize {
        self.running.values().filter(|is| is.server == server).count()
    }

    fn waiting_on(&self, server: &str) -> usize {
        self.waiting.values().filter(|is| is.request.server == server).count()
    }

    /// How many turns the namespace of a request holds on its server.
    fn taken(&self, request: &TurnRequest) -> usize {
        let same = |is: &&TurnRequest| is.server == request.server && is.namespace() == request.namespace();
        self.running.values().filter(same).count()
    }

    /// Gives a turn.
    fn give(&mut self, request: TurnRequest) {
        self.waiting.remove(&request.uid);
        self.again.remove(&request.uid);
        let uses = |server: &str, namespace: &str| {
            let mut all = self.running.values().chain(self.waiting.values().map(|is| &is.request));
            all.any(|is| is.server == server && is.namespace() == namespace)
        };
        let given: HashMap<_, _> = std::mem::take(&mut self.given);
        self.given = given
            .into_iter()
            .filter(|((server, namespace), _)| uses(server, namespace))
            .collect();
        let key = (request.server.clone(), request.namespace().to_owned());
        self.given.insert(key, self.asked);
        self.running.insert(request.uid.clone(), request);
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

    /// Asks for a turn. `admit` returns `None` when the request is refused, and otherwise what it finds on the
    /// server. When the server has no room for it, the request takes a place in its queue.
    pub fn ask(self: &Arc<Self>, request: TurnRequest, admit: impl FnOnce(&Ledger) -> Option<Load>) -> TurnAnswer {
        let mut ledger = self.lock();
        if ledger.running.contains_key(&request.uid) {
            return TurnAnswer::Queued;
        }
        let Some(load) = admit(&ledger) else {
            ledger.waiting.remove(&request.uid);
            return TurnAnswer::Refused;
        };
        ledger.waiting.retain(|_, is| is.at.elapsed() < STALE);
        let place = ledger.waiting.get(&request.uid);
        let since = place.map_or_else(Instant::now, |is| is.since);
        let number = place.map_or(ledger.asked, |is| is.number);
        ledger.asked += 1;
        let taken = ledger.load(&request.server) + load.inherited;
        let next = ledger.next(&request.server, self.room(taken), Some((&request, number)));
        let may = fair::may_take_more(ledger.taken(&request), self.per_server, load.shared);
        // A database without a claim goes after all that wait.
        let last = request.object.is_some() || next.len() == ledger.waiting_on(&request.server) + 1;
        if !(may && last && next.contains(&request.uid)) {
            if request.object.is_none() {
                return TurnAnswer::Queued;
            }
            let waiting = WaitingTurn {
                number,
                since,
                at: Instant::now(),
                request: request.clone(),
            };
            ledger.waiting.insert(request.uid, waiting);
            return TurnAnswer::Queued;
        }
        ledger.give(request.clone());
        TurnAnswer::Now(Turn {
            turns: self.clone(),
            uid: request.uid,
            revision: request.revision,
            outcome: TurnOutcome::Cut,
        })
    }

    /// Whether an Orchestra has a place in a queue for this source and others are ahead of it, so that it need
    /// not ask again.
    pub fn still_waits(&self, uid: &str, revision: &str) -> bool {
        let ledger = self.lock();
        let place = ledger.waiting.get(uid).filter(|is| is.request.revision == revision);
        place.is_some_and(|is| {
            let (request, server) = (&is.request, &is.request.server);
            let room = self.room(ledger.load(server));
            !ledger.next(server, room, Some((request, is.number))).contains(uid)
        })
    }

    /// Whether a new request would have to wait for its turn on this server.
    pub fn is_full(&self, server: &str) -> bool {
        let ledger = self.lock();
        ledger.waiting_on(server) > 0 || self.room(ledger.load(server)) == 0
    }

    /// How long an Orchestra has waited for its turn.
    pub fn waited(&self, uid: &str) -> Option<Duration> {
        self.lock().waiting.get(uid).map(|place| place.since.elapsed())
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
        (*outcome == TurnOutcome::Failed).then(|| revision.clone())
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

    /// Triggers Orchestras whose turn has come.
    pub fn wake(&self, objects: impl IntoIterator<Item = ObjectRef<Orchestra>>) {
        for object in objects {
            // Sending fails only while the operator is shutting down.
            let _ = self.wake.send(object);
        }
    }

    fn go_on(&self, ledger: &Ledger, server: &str) {
        let next = ledger.next(server, self.room(ledger.load(server)), None);
        let waiting = next.iter().filter_map(|uid| ledger.waiting.get(uid));
        self.wake(waiting.filter_map(|is| is.request.object.clone()));
    }

    fn room(&self, taken: usize) -> usize {
        self.per_server.saturating_sub(taken)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

/// The answer to a request.
#[derive(Debug)]
pub enum TurnAnswer {
    /// The turn has come.
    Now(Turn),
    /// The server is busy. The Orchestra is triggered when its turn comes.
    Queued,
    /// The rollout has not reached the Orchestra.
    Refused,
}

/// A turn. It is returned when it is dropped, and the next in the queue is triggered.
pub struct Turn {
    turns: Arc<Turns>,
    uid: String,
    revision: String,
    outcome: TurnOutcome,
}

impl Turn {
    /// Records how the work ended. A turn without a record was interrupted.
    pub fn ended(&mut self, outcome: TurnOutcome) {
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
        if let Some(request) = ledger.running.remove(&self.uid) {
            self.turns.go_on(&ledger, &request.server);
        }
    }
}

#[cfg(test)]
mod tests;
