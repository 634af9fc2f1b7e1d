//! The queue for Jobs, where a class or a server has room for fewer Jobs than are wanted. Namespaces take turns, as with
//! migrations, so that a namespace with hundreds of OrchestraBackups delays only itself; and one Job at a time runs for an
//! Orchestra.
//!
//! Places are kept in memory. A backup that waits asks again within seconds (`ROOM` in `act.rs`), so that the queue is filled
//! again soon after a restart; only the order of the places is lost.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::rollout::turns::fair::{self, TurnPlace};

/// A backup that has not asked for this long loses its place.
const STALE: Duration = Duration::from_mins(1);

/// A backup that wants a Job, or has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// UID of the OrchestraBackup.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// The Orchestra that is backed up; none for a removal of data.
    pub orchestra: Option<String>,
    /// The label of its class.
    pub class: String,
    /// The label of the server that is read from; none for a removal of data.
    pub server: Option<String>,
}

/// How many Jobs there may be at once.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// Of a class.
    pub class: usize,
    /// Limits for a class on one server.
    pub server: usize,
}

/// The queues of all classes.
#[derive(Default)]
pub struct JobQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    /// Places, by UID: the number, when it was last asked, and what for.
    waiting: HashMap<String, (u64, Instant, Asker)>,
    /// The number of the next place.
    asked: u64,
    /// When a namespace was last given a Job of a class, counted in places.
    given: HashMap<(String, String), u64>,
}

impl JobQueue {
    /// Takes a place, or keeps the one that it has.
    pub fn join(&self, asker: Asker) {
        let mut state = self.0.lock();
        state.waiting.retain(|_, (_, at, _)| at.elapsed() < STALE);
        state.asked += 1;
        let number = state
            .waiting
            .get(&asker.uid)
            .map_or(state.asked, |(number, ..)| *number);
        state.waiting.insert(asker.uid.clone(), (number, Instant::now(), asker));
    }

    /// Leaves the queue.
    pub fn leave(&self, uid: &str) {
        self.0.lock().waiting.remove(uid);
    }

    /// Notes that the Job of a backup was made.
    pub fn was_given(&self, asker: &Asker) {
        let mut state = self.0.lock();
        state.waiting.remove(&asker.uid);
        state.asked += 1;
        let now = state.asked;
        state.given.insert((asker.class.clone(), asker.namespace.clone()), now);
    }

    /// Whether a Job may be made for this backup, while these Jobs of its class are there.
    pub fn is_next(&self, asker: &Asker, running: &[Asker], limits: JobLimits) -> bool {
        let state = self.0.lock();
        let number = state.waiting.get(&asker.uid).map_or(u64::MAX, |(number, ..)| *number);
        let others = state
            .waiting
            .values()
            .filter(|(_, at, other)| at.elapsed() < STALE && other.class == asker.class && other.uid != asker.uid);
        let others = others.map(|(number, _, other)| (*number, other));
        let given = |namespace: &str| {
            let key = (asker.class.clone(), namespace.to_owned());
            state.given.get(&key).copied().unwrap_or_default()
        };
        is_next((number, asker), others.collect(), running, limits, given)
    }
}

fn is_next(
    asker: (u64, &Asker),
    others: Vec<(u64, &Asker)>,
    running: &[Asker],
    limits: JobLimits,
    given: impl Fn(&str) -> u64,
) -> bool {
    let on = |server: &String| running.iter().filter(|job| job.server.as_ref() == Some(server)).count();
    let could = |(_, one): &(u64, &Asker)| {
        let is_delayed_by = |job: &Asker| {
            let reads = one.orchestra.is_some() && job.orchestra == one.orchestra && job.namespace == one.namespace;
            reads || job.uid == one.uid
        };
        let has_server = one.server.as_ref().is_none_or(|server| on(server) < limits.server);
        has_server && !running.iter().any(is_delayed_by)
    };
    if !could(&asker) {
        return false;
    }
    let mut all: Vec<_> = others.into_iter().chain([asker]).filter(could).collect();
    all.sort_by_key(|(number, _)| *number);
    // Of one Orchestra only the first counts.
    let mut seen = HashSet::new();
    all.retain(|(_, one)| {
        let orchestra = one.orchestra.as_ref();
        orchestra.is_none_or(|orchestra| seen.insert((&one.namespace, orchestra)))
    });
    let chosen = |among: &dyn Fn(&Asker) -> bool, room: usize| {
        let mut taken = HashMap::new();
        for job in running.iter().filter(|job| among(job)) {
            *taken.entry(job.namespace.as_str()).or_default() += 1;
        }
        let places = all.iter().filter(|(_, one)| among(one)).map(|(number, one)| TurnPlace {
            uid: &one.uid,
            namespace: &one.namespace,
            number: *number,
        });
        fair::next(places.collect(), taken, &given, room).contains(&asker.1.uid.as_str())
    };
    let of_server = asker.1.server.as_ref().is_none_or(|server| {
        let room = limits.server.saturating_sub(on(server));
        chosen(&|one| one.server.as_ref() == Some(server), room)
    });
    of_server && chosen(&|_| true, limits.class.saturating_sub(running.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(namespace: &str, orchestra: &str, number: u64, server: &str) -> Asker {
        Asker {
            uid: format!("{namespace}-{orchestra}-{number}"),
            namespace: namespace.into(),
            orchestra: Some(orchestra.into()),
            class: "c".into(),
            server: Some(server.into()),
        }
    }

    const LIMITS: JobLimits = JobLimits { class: 2, server: 2 };

    #[test]
    fn a_namespace_that_fills_the_queue_delays_itself_alone() {
        let queue = JobQueue::default();
        for number in 0..300 {
            queue.join(asker("greedy", &format!("o{number}"), number, "s"));
        }
        let other = asker("quiet", "o", 0, "s");
        let (first, second) = (asker("greedy", "o0", 0, "s"), asker("greedy", "o1", 1, "s"));
        // Nobody else asks, so it gets all the room.
        assert!(queue.is_next(&first, &[], LIMITS) && queue.is_next(&second, &[], LIMITS));
        queue.join(other.clone());
        assert!(queue.is_next(&first, &[], LIMITS) && queue.is_next(&other, &[], LIMITS));
        assert!(!queue.is_next(&second, &[], LIMITS));
        assert!(!queue.is_next(&second, std::slice::from_ref(&first), LIMITS));
        assert!(queue.is_next(&other, std::slice::from_ref(&first), LIMITS));
        // The namespace that was served longer ago is next.
        queue.was_given(&first);
        queue.was_given(&other);
        queue.join(asker("quiet", "p", 1, "s"));
        let one = JobLimits { class: 1, server: 1 };
        assert!(queue.is_next(&second, &[], one) && !queue.is_next(&asker("quiet", "p", 1, "s"), &[], one));
    }

    #[test]
    fn one_job_at_a_time_backs_up_an_orchestra_and_the_others_take_no_room() {
        let queue = JobQueue::default();
        let all = [
            asker("a", "o", 1, "s"),
            asker("a", "o", 2, "s"),
            asker("a", "p", 3, "s"),
        ];
        for one in &all {
            queue.join(one.clone());
        }
        let next = |running: &[Asker]| all.each_ref().map(|one| queue.is_next(one, running, LIMITS));
        assert_eq!(next(&[]), [true, false, true]);
        assert_eq!(next(&all[..1]), [false, false, true]);
        // Another namespace's Orchestra of that name is another one.
        assert!(queue.is_next(&asker("b", "o", 4, "s"), &all[..1], LIMITS));
        // Removals belong to no Orchestra.
        let removal = Asker {
            orchestra: None,
            server: None,
            ..asker("a", "o", 5, "s")
        };
        queue.leave("a-p-3");
        assert!(queue.is_next(&removal, &all[..1], LIMITS));
    }

    #[test]
    fn a_full_class_or_server_has_no_next_and_holds_up_no_other_server() {
        let queue = JobQueue::default();
        let running = [asker("a", "o", 1, "s"), asker("b", "p", 2, "s")];
        let (same, other) = (asker("c", "o", 3, "s"), asker("a", "q", 4, "t"));
        queue.join(same.clone());
        queue.join(other.clone());
        let wide = JobLimits { class: 3, server: 2 };
        assert!(!queue.is_next(&same, &running, wide));
        assert!(queue.is_next(&other, &running, wide));
        assert!(!queue.is_next(&other, &running, LIMITS));
    }
}
