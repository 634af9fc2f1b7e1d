//! Refused logins, counted for each database, whoever logs in. The hosted pooler blocks an address that keeps
//! failing, for up to two minutes and longer with each try (Supavisor's circuit breaker), so the next login has
//! to wait.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::recent::Recent;

/// Refused logins by the name of the OrchestraDatabase.
pub struct Logins(Mutex<Recent<Refusal>>);

/// How long a refused login is remembered after which none was tried.
const REMEMBERED: Duration = Duration::from_hours(24);

impl Default for Logins {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

#[derive(Clone, Copy)]
struct Refusal {
    at: Instant,
    wrong_owner_password: bool,
}

impl Logins {
    /// Remembers that a login was refused. `wrong_owner_password` says that the owner logged in and the server
    /// called its password wrong.
    pub fn refused(&self, database: &str, wrong_owner_password: bool) {
        let refusal = Refusal {
            at: Instant::now(),
            wrong_owner_password,
        };
        self.0.lock().insert(database, refusal);
    }

    /// Forgets a refused login: the password was set, a login succeeded, or the database is gone.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }

    /// Whether the last login was the owner's and was refused for its password.
    pub fn wrong_password(&self, database: &str) -> bool {
        self.get(database).is_some_and(|refusal| refusal.wrong_owner_password)
    }

    /// How long the next login has to wait.
    pub fn wait(&self, database: &str, spacing: Duration) -> Option<Duration> {
        let left = spacing.checked_sub(self.get(database)?.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    fn get(&self, database: &str) -> Option<Refusal> {
        self.0.lock().get(database).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_spaces_the_next_one_of_the_same_database() {
        let (logins, spacing) = (Logins::default(), Duration::from_secs(30));
        assert_eq!(logins.wait("a", spacing), None);
        logins.refused("a", true);
        assert!(logins.wait("a", spacing).is_some() && logins.wrong_password("a"));
        assert!(logins.wait("b", spacing).is_none() && !logins.wrong_password("b"));
        // The refused login of a tenant says nothing of the owner's password.
        logins.refused("a", false);
        assert!(logins.wait("a", spacing).is_some() && !logins.wrong_password("a"));
        assert_eq!(logins.wait("a", Duration::ZERO), None);
        logins.forget("a");
        assert_eq!(logins.wait("a", spacing), None);
    }
}
