//! A map whose entries expire when they are not used for a while, so that memory is bounded by the objects in use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many values are never looked through.
const FEW: usize = 1000;

/// Values that are kept while they are used.
#[derive(Debug)]
pub struct Recent<V> {
    values: HashMap<String, (Instant, V)>,
    /// How long a value is kept that is not used.
    kept: Duration,
    /// The number of values at which they are looked through.
    look: usize,
}

impl<V> Recent<V> {
    /// No values. One that is not written for `kept` may be forgotten.
    pub fn new(kept: Duration) -> Self {
        Self {
            values: HashMap::new(),
            kept,
            look: FEW,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// The value of a key, or a new one, to be changed.
    pub fn get_or(&mut self, key: &str, new: impl FnOnce() -> V) -> &mut V {
        self.sweep(Instant::now());
        let (used, value) = self
            .values
            .entry(key.to_owned())
            .or_insert_with(|| (Instant::now(), new()));
        *used = Instant::now();
        value
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: &str, value: V) {
        self.sweep(Instant::now());
        self.values.insert(key.to_owned(), (Instant::now(), value));
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &str) {
        self.values.remove(key);
    }

    fn sweep(&mut self, now: Instant) {
        if self.values.len() >= self.look {
            let kept = self.kept;
            self.values
                .retain(|_, (used, _)| now.saturating_duration_since(*used) < kept);
            self.look = FEW.max(self.values.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_for_long_is_forgotten_once_there_is_much_of_it() {
        let hour = Duration::from_hours(1);
        let mut recent = Recent::new(hour);
        for number in 0..FEW {
            recent.insert(&number.to_string(), number);
        }
        recent.sweep(Instant::now());
        assert_eq!((recent.values.len(), recent.look), (FEW, 2 * FEW));
        *recent.get_or("1", || 0) += 1;
        recent.remove("2");
        assert_eq!((recent.get("1"), recent.get("2")), (Some(&2), None));
        recent.look = 0;
        recent.sweep(Instant::now() + hour);
        assert!(recent.values.is_empty() && recent.look == FEW);
    }
}
