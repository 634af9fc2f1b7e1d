//! Many who wait, against a server that counts as the real one does.
#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::core::{Core, Key};
use super::tests::turn;
use super::*;

/// A server that opens a window at the first request after the last one, and tells its end in whole
/// seconds, rounded up.
struct Server {
    limit: u32,
    window: Duration,
    began: Option<Instant>,
    used: u32,
    refused: u32,
}

impl Server {
    fn ask(&mut self, now: Instant) -> Taught {
        let began = self.began.filter(|began| now < *began + self.window);
        if began.is_none() {
            self.used = 0;
        }
        let began = began.unwrap_or(now);
        self.began = Some(began);
        self.used += 1;
        self.refused += u32::from(self.used > self.limit);
        let left = began + self.window - now;
        Taught {
            limit: Some(self.limit),
            remaining: Some(self.limit.saturating_sub(self.used)),
            reset: Some(Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))),
            retry_after: None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The server's answer to a request of this window comes in.
    Answer(u64, u32, u64),
    /// One that waits asks again.
    Ask(usize),
}

/// Lets `count` waiters ask at once, each again when it was told to; those `gone` never come back.
/// The order in which they were served, how long it took, and how many requests were refused.
fn play(count: usize, limit: u32, window: u64, latency: u64, gone: &[usize]) -> (Vec<usize>, Duration, u32) {
    let start = Instant::now();
    let mut core = Core::new(start);
    let key: Key = (Operation::CreateProject, "acme".to_owned());
    let mut server = Server {
        limit,
        window: Duration::from_secs(window),
        began: None,
        used: 0,
        refused: 0,
    };
    // The youngest ask first: the order in which they come is not the one in which they are served.
    let mut events: BinaryHeap<_> = (0..count)
        .map(|n| Reverse((Duration::from_micros((count - n) as u64), Event::Ask(n))))
        .collect();
    let (mut order, mut end, mut asked) = (Vec::new(), Duration::ZERO, vec![0_usize; count]);
    while let Some(Reverse((at, event))) = events.pop() {
        let now = start + at;
        match event {
            Event::Answer(generation, remaining, reset) => {
                let taught = Taught {
                    limit: Some(limit),
                    remaining: Some(remaining),
                    reset: Some(Duration::from_secs(reset)),
                    retry_after: None,
                };
                core.learn(&key, generation, taught, now);
                core.done(&key, generation, true, now);
            }
            Event::Ask(n) => {
                asked[n] += 1;
                match core.take(Priority::Create, &key, Some(&turn(n)), now) {
                    Ok(generation) => {
                        order.push(n);
                        end = at;
                        let taught = server.ask(now + Duration::from_millis(latency / 2));
                        let answer =
                            Event::Answer(generation, taught.remaining.unwrap(), taught.reset.unwrap().as_secs());
                        events.push(Reverse((at + Duration::from_millis(latency), answer)));
                    }
                    Err(_) if gone.contains(&n) => {}
                    Err(wait) => events.push(Reverse((at + wait.time + Duration::from_millis(1), Event::Ask(n)))),
                }
            }
        }
        assert!(at < Duration::from_hours(24), "they wait for ever");
    }
    let most = asked.iter().max().unwrap();
    assert!(
        *most <= 8 + 2 * count / limit as usize,
        "somebody had to ask {most} times"
    );
    (order, end, server.refused)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn all_are_served_in_few_windows_and_none_is_refused(
        count in 1_usize..700, limit in 5_u32..200, window in 5_u64..90, latency in 0_u64..900,
    ) {
        let (served, took, refused) = play(count, limit, window, latency, &[]);
        prop_assert_eq!(served.len(), count);
        // What goes out before the first answer cannot know better.
        prop_assert!(refused <= 10_u32.saturating_sub(limit), "{} were refused", refused);
        let windows = count.div_ceil(limit as usize) as u64;
        // Before the first answer a few go out a second, and each end is told up to a second late.
        let most = Duration::from_millis((windows - 1) * (window * 1000 + 1500) + 5000 + 5 * count as u64);
        prop_assert!(took <= most, "{:?} for {} windows of {} s", took, windows, window);
        // Nobody waited yet when the first window was given away; of the rest whoever is older by more
        // than a window's worth goes first.
        let waited: Vec<_> = served.iter().skip(limit as usize + 10).copied().collect();
        let mut fair = waited.clone();
        fair.sort_unstable();
        for (place, n) in waited.iter().enumerate() {
            let due = fair.partition_point(|other| other < n);
            prop_assert!(place.abs_diff(due) <= limit as usize + 10, "{} came at {}, due at {}", n, place, due);
        }
    }
}

#[test]
fn those_who_never_come_back_hold_up_nobody_for_long() {
    let gone: Vec<_> = (0..60).collect();
    let (served, took, refused) = play(300, 50, 20, 100, &gone);
    assert_eq!(refused, 0);
    assert!(served.len() >= 240, "{}", served.len());
    assert!(took < Duration::from_mins(4), "{took:?}");
}
