//! Refused logins. The pooler blocks an address whose logins keep failing, for up to two minutes and longer with each
//! attempt (Supavisor's circuit breaker), so the next login has to wait.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Refused logins by the name of the OrchestraDatabase.
#[derive(Default)]
pub struct Logins(Mutex<HashMap<String, Refused>>);

#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    wrong_password: bool,
}

impl Logins {
    /// Remembers a refused login.
    pub fn refused(&self, database: &str, wrong_password: bool) {
        let refused = Refused {
            at: Instant::now(),
            wrong_password,
        };
        self.0.lock().insert(database.into(), refused);
    }

    /// Forgets a refused login: the password was set, a login succeeded, or the database is gone.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }

    /// Whether the last login was refused for its password.
    pub fn wrong_password(&self, database: &str) -> bool {
        self.get(database).is_some_and(|refused| refused.wrong_password)
    }

    /// How long the next login has to wait.
    pub fn wait(&self, database: &str, spacing: Duration) -> Option<Duration> {
        let left = spacing.checked_sub(self.get(database)?.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    fn get(&self, database: &str) -> Option<Refused> {
        self.0.lock().get(database).copied()
    }
}
