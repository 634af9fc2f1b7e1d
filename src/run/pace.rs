//! Fewer passes: an item that comes many times in a burst is passed on once.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep_until};

/// Passes each item on at once, and then at most once in a period: an item that is repeated within the period is passed on
/// at its end. So the last one is never lost, and a burst of a thousand equal items leads to two.
pub fn paced<T>(items: impl Stream<Item = T> + Send + 'static, period: Duration) -> impl Stream<Item = T> + Send
where
    T: Eq + Hash + Clone + Send + 'static,
{
    let state = Paced {
        items: items.boxed(),
        period,
        told: HashMap::new(),
    };
    stream::unfold(state, async |mut state| Some((state.next().await?, state)))
}

struct Paced<T> {
    items: BoxStream<'static, T>,
    period: Duration,
    /// When each item was passed on last, and whether it has come again since.
    told: HashMap<T, (Instant, bool)>,
}

impl<T: Eq + Hash + Clone> Paced<T> {
    async fn next(&mut self) -> Option<T> {
        loop {
            let period = self.period;
            let waiting = self.told.iter().filter(|(_, (_, again))| *again);
            let due = waiting.min_by_key(|(_, (at, _))| *at);
            let due = due.map(|(item, (at, _))| (item.clone(), *at + period));
            let item = match due {
                Some((item, at)) => tokio::select! {
                    biased;
                    () = sleep_until(at) => {
                        self.told.insert(item.clone(), (Instant::now(), false));
                        return Some(item);
                    }
                    item = self.items.next() => item,
                },
                None => self.items.next().await,
            };
            let (item, now) = (item?, Instant::now());
            match self.told.get_mut(&item) {
                Some((at, again)) if now < *at + period => *again = true,
                _ => {
                    self.told.retain(|_, (at, again)| *again || now < *at + period);
                    self.told.insert(item.clone(), (now, false));
                    return Some(item);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_burst_is_passed_on_at_its_beginning_and_its_end() {
        let began = Instant::now();
        let burst = stream::iter((0..2000).map(|number| if number % 2 == 0 { "a" } else { "b" }));
        let passed_on = paced(burst.chain(stream::pending()), PERIOD).map(|item| (item, began.elapsed()));
        let seen: Vec<_> = passed_on.take_until(tokio::time::sleep(PERIOD * 5)).collect().await;
        let items: Vec<_> = seen.iter().map(|(item, _)| *item).collect();
        let mut last = items[2..].to_vec();
        last.sort_unstable();
        assert_eq!(
            (&items[..2], last.as_slice()),
            (&["a", "b"][..], &["a", "b"][..]),
            "{seen:?}"
        );
        assert!(seen[2..].iter().all(|(_, at)| *at >= PERIOD), "{seen:?}");
    }

    #[tokio::test]
    async fn what_comes_rarely_is_passed_on_at_once() {
        let began = Instant::now();
        let rare = stream::iter(0..3).then(|_| tokio::time::sleep(PERIOD * 2));
        let seen = paced(rare, PERIOD).count().await;
        assert!(
            seen == 3 && began.elapsed() < PERIOD * 12,
            "{seen} {:?}",
            began.elapsed()
        );
    }
}
