//! The state of a token: to whom it belongs, and whether the API accepts it. Every answer updates it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The state of one token, as the answers to its requests show it.
#[derive(Debug, Default)]
pub struct TokenState {
    user: Mutex<Option<String>>,
    rejected: AtomicBool,
    verdicts: watch::Sender<u64>,
}

impl TokenState {
    /// A state in which nothing is known. Each change of the verdict adds one to `verdicts`.
    pub(super) fn telling(verdicts: watch::Sender<u64>) -> Self {
        Self {
            verdicts,
            ..Self::default()
        }
    }

    /// UUID of the user whom the token belongs to (header `x-gotrue-id`), once an answer has named it.
    pub fn user(&self) -> Option<String> {
        self.user.lock().clone()
    }

    /// Whether the API rejects the token: it has answered 401, and no request has succeeded since.
    pub fn is_rejected(&self) -> bool {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Updates the state by an answer of the API itself: 401 is a rejection and a success an acceptance. Other answers say nothing about
    /// the token.
    pub(super) fn learn(&self, status: u16, user: Option<&str>) {
        let rejected = match status {
            401 => true,
            200..300 => false,
            _ => return,
        };
        if let Some(user) = user.filter(|user| !rejected && uuid::Uuid::try_parse(user).is_ok()) {
            *self.user.lock() = Some(user.to_owned());
        }
        if self.rejected.swap(rejected, Ordering::Relaxed) != rejected {
            self.verdicts.send_modify(|changes| *changes += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "6f1f3b5e-63d1-4f7a-9a3a-0f3d8a3f6c11";

    #[test]
    fn a_rejection_is_told_once_and_ends_with_a_success() {
        let verdicts = watch::Sender::default();
        let told = verdicts.subscribe();
        let state = TokenState::telling(verdicts);
        for (status, rejected, changes) in [
            (200, false, 0),
            (401, true, 1),
            (401, true, 1),
            (403, true, 1),
            (429, true, 1),
            (502, true, 1),
            (201, false, 2),
            (404, false, 2),
        ] {
            state.learn(status, None);
            assert_eq!((state.is_rejected(), *told.borrow()), (rejected, changes), "{status}");
        }
    }

    #[test]
    fn the_user_is_the_one_that_a_success_names() {
        let state = TokenState::default();
        state.learn(401, Some(USER));
        state.learn(200, Some("not a uuid"));
        assert_eq!(state.user(), None);
        state.learn(200, Some(USER));
        state.learn(200, None);
        assert_eq!(state.user().as_deref(), Some(USER));
    }
}
