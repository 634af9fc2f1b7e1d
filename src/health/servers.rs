//! Servers that nobody reaches: what one probe has found is true of every other database at the same host and port, so
//! that a server that is down is asked by one after the other, and not by all of its tenants.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::postgres::{Fault, Login};

/// How long a failure counts for the other databases of a server.
const SHARED: Duration = Duration::from_secs(5);

/// The last failures by host and port.
#[derive(Default)]
pub struct Servers(Mutex<HashMap<String, (Instant, Fault)>>);

impl Servers {
    /// The failure of a moment ago, if there is one.
    pub fn failed(&self, server: &str, now: Instant) -> Option<Fault> {
        let known = self.0.lock();
        let (at, fault) = known.get(server)?;
        (now.saturating_duration_since(*at) < SHARED).then(|| fault.clone())
    }

    /// Remembers how a probe of a server ended.
    pub fn note(&self, server: &str, outcome: Option<&Fault>, now: Instant) {
        let mut known = self.0.lock();
        known.retain(|_, (at, _)| now.saturating_duration_since(*at) < SHARED);
        match outcome.filter(|fault| fault.kind.is_of_server()) {
            Some(fault) => drop(known.insert(server.to_owned(), (now, fault.clone()))),
            None => drop(known.remove(server)),
        }
    }
}

/// The name of the server of a login.
pub fn server(login: &Login) -> String {
    format!("{}:{}", login.host, login.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::FaultKind as Kind;

    #[test]
    fn a_server_that_nobody_reaches_is_asked_once_in_a_while() {
        let (servers, now) = (Servers::default(), Instant::now());
        let fault = |kind| Fault {
            kind,
            message: String::new(),
        };
        servers.note("db:5432", Some(&fault(Kind::Refused)), now);
        assert!(servers.failed("db:5432", now).is_some());
        assert!(
            servers.failed("db:6543", now).is_none(),
            "another port is another server"
        );
        assert!(servers.failed("db:5432", now + SHARED).is_none());
        servers.note("db:5432", None, now);
        assert!(servers.failed("db:5432", now).is_none(), "it is reached again");
        // What one login is refused says nothing of the next.
        servers.note("db:5432", Some(&fault(Kind::Login)), now);
        assert!(servers.failed("db:5432", now).is_none());
    }
}
