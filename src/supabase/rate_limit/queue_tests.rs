//! Many Orchestras in a queue, against a server that counts as the real one does.
#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::core::{LimitKey, LimiterCore};
use super::tests::place;
use super::*;
use crate::supabase::operation::Priority;

/// A server that opens a window with the first request after the end of the last one, and states its end in whole
/// seconds, rounded up.
struct Server {
    limit: u32,
    window: Duration,
    began: Option<Instant>,
    used: u32,
}

impl Server {
    /// Counts a request: what is left, the seconds until the window ends, and whether it is refused.
    fn count(&mut self, now: Instant) -> (u32, u64, bool) {
        let began = self.began.filter(|began| now < *began + self.window);
        if began.is_none() {
            self.used = 0;
        }
        let began = began.unwrap_or(now);
        self.began = Some(began);
        self.used += 1;
        let left = began + self.window - now;
        let reset = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        (self.limit.saturating_sub(self.used), reset, self.used > self.limit)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The server's answer comes in: what was left, and the seconds until the end.
    Answer(WindowSlot, u32, u64),
    /// The request of this waiter comes to the server.
    Count(WindowSlot, usize),
    /// One that waits asks again.
    Ask(usize),
}

#[derive(Clone, Copy, Debug)]
struct Scene {
    count: usize,
    limit: u32,
    /// Length of a window in seconds.
    window: u64,
    /// The longest travel time to the server, and the longest time of an answer, in milliseconds. Each
    /// request has its own.
    way: u64,
    work: u64,
    /// Milliseconds between the first requests of two waiters; 0 if all ask at once.
    apart: u64,
}

/// The result of a scene.
struct QueueOutcome {
    /// The order in which they were served, and how long that took.
    order: Vec<usize>,
    took: Duration,
    /// Refused requests among those that were sent before the first answer reported the limit, and among all others.
    early: u32,
    refused: u32,
    /// How often one had to ask, at most.
    asked: usize,
}

/// A time up to `most` milliseconds that looks random, and is the same for the same waiter.
fn some(n: usize, most: u64) -> Duration {
    let mixed = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    Duration::from_millis(mixed % (most + 1))
}

/// Lets the waiters of a scene ask, each again after the time that it is given; those in `gone` never ask again.
fn play(scene: Scene, gone: &[usize]) -> QueueOutcome {
    let Scene { count, limit, .. } = scene;
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let key: LimitKey = (Operation::CreateProject, "acme".to_owned());
    let mut server = Server {
        limit,
        window: Duration::from_secs(scene.window),
        began: None,
        used: 0,
    };
    // Waiters that ask at once ask the youngest first, which is not the order in which they are served.
    let first = |n: usize| match scene.apart {
        0 => Duration::from_micros((count - n) as u64),
        apart => Duration::from_millis(n as u64 * apart),
    };
    let mut events: BinaryHeap<_> = (0..count).map(|n| Reverse((first(n), Event::Ask(n)))).collect();
    let (mut order, mut took, mut asked) = (Vec::new(), Duration::ZERO, vec![0_usize; count]);
    let (mut early, mut refused) = (0, 0);
    while let Some(Reverse((at, event))) = events.pop() {
        let now = start + at;
        match event {
            Event::Answer(grant, remaining, reset) => {
                let taught = LimitHeaders {
                    limit: Some(limit),
                    remaining: Some(remaining),
                    reset: Some(Duration::from_secs(reset)),
                    retry_after: None,
                };
                core.learn(&key, grant, taught, now);
                core.done(&key);
            }
            Event::Count(grant, n) => {
                let (remaining, reset, is_refused) = server.count(now);
                let which = if grant.number == 0 { &mut early } else { &mut refused };
                *which += u32::from(is_refused);
                let answer = Event::Answer(grant, remaining, reset);
                events.push(Reverse((at + some(n * 7, scene.work), answer)));
            }
            Event::Ask(n) => {
                asked[n] += 1;
                match core.take(Priority::Create, &key, Some(&place(n)), now) {
                    Ok(grant) => {
                        order.push(n);
                        took = at;
                        events.push(Reverse((at + some(n, scene.way), Event::Count(grant, n))));
                    }
                    Err(_) if gone.contains(&n) => {}
                    Err(wait) => events.push(Reverse((at + wait.after + Duration::from_millis(1), Event::Ask(n)))),
                }
            }
        }
        assert!(at < Duration::from_hours(24), "they wait for ever");
    }
    QueueOutcome {
        order,
        took,
        early,
        refused,
        asked: asked.into_iter().max().unwrap_or_default(),
    }
}

/// How many requests may go out before the first answer has reported the limit: ten at once, and one a second from then on.
fn unknowing(scene: Scene) -> u32 {
    10 + u32::try_from((scene.way + scene.work) / 1000).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn all_are_served_in_few_windows_and_none_is_refused(
        count in 1_usize..700, limit in 5_u32..200, window in 5_u64..90, way in 0_u64..400, work in 0_u64..500,
    ) {
        let scene = Scene { count, limit, window, way, work, apart: 0 };
        let QueueOutcome { order, took, early, refused, asked } = play(scene, &[]);
        prop_assert_eq!(order.len(), count);
        prop_assert_eq!(refused, 0);
        prop_assert!(early <= unknowing(scene).saturating_sub(limit), "{} were refused", early);
        let windows = count.div_ceil(limit as usize);
        prop_assert!(asked <= 16 + 3 * windows, "somebody had to ask {} times", asked);
        // Before the first answer a few requests are sent a second, and each end is stated up to a second late.
        let most = Duration::from_millis((windows as u64 - 1) * (window * 1000 + 2500) + 6000 + 10 * count as u64);
        prop_assert!(took <= most, "{:?} for {} windows of {} s", took, windows, window);
        // Nobody waited yet when the first window was given away; of the rest, a waiter that is older by more than a
        // window's worth goes first.
        let waited: Vec<_> = order.iter().skip(limit as usize + 10).copied().collect();
        let mut fair = waited.clone();
        fair.sort_unstable();
        for (place, n) in waited.iter().enumerate() {
            let due = fair.partition_point(|other| other < n);
            prop_assert!(place.abs_diff(due) <= limit as usize + 10, "{} came at {}, due at {}", n, place, due);
        }
    }

    // Windows then end in the middle of the requests, and answers arrive windows later.
    #[test]
    fn none_is_refused_however_late_the_answers_are(
        count in 1_usize..700, limit in 10_u32..200, window in 5_u64..60, way in 0_u64..15000, work in 0_u64..15000,
        apart in 1_u64..300,
    ) {
        let scene = Scene { count, limit, window, way, work, apart };
        let QueueOutcome { order, early, refused, .. } = play(scene, &[]);
        prop_assert_eq!(order.len(), count);
        prop_assert_eq!(refused, 0);
        prop_assert!(early <= unknowing(scene).saturating_sub(limit), "{} were refused", early);
    }
}

// Late answers of two successive windows cannot be distinguished: a request that may be in the open one counts there.
#[test]
fn an_answer_that_may_be_about_the_open_window_counts_in_it() {
    for (count, limit, window, way, work, apart) in [(392, 18, 5, 292, 7531, 167), (586, 13, 7, 177, 7829, 296)] {
        let scene = Scene {
            count,
            limit,
            window,
            way,
            work,
            apart,
        };
        let QueueOutcome { order, refused, .. } = play(scene, &[]);
        assert_eq!((order.len(), refused), (count, 0), "{scene:?}");
    }
}

#[test]
fn those_who_never_come_back_hold_up_nobody_for_long() {
    let gone: Vec<_> = (0..60).collect();
    let scene = Scene {
        count: 300,
        limit: 50,
        window: 20,
        way: 50,
        work: 50,
        apart: 0,
    };
    let QueueOutcome {
        order, took, refused, ..
    } = play(scene, &gone);
    assert_eq!(refused, 0);
    assert!(order.len() >= 240, "{}", order.len());
    assert!(took < Duration::from_mins(4), "{took:?}");
}
