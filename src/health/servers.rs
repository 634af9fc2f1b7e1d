//! Servers that cannot be reached: the result of one probe applies to every other database at the same host and port, so
//! that a server that is down is probed for one tenant at a time, and not for all of them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::postgres::{Fault, FaultKind, Login};

/// How long a failure counts for the other databases of a server.
const SHARED: Duration = Duration::from_secs(5);

/// The time within which two databases of a server without an answer mean that the server itself does not answer.
const ALIKE: Duration = Duration::from_mins(1);

/// How long a failure is remembered if the server is not probed again.
const REMEMBERED: Duration = Duration::from_mins(20);

/// The last failures by host and port, until the server answers.
#[derive(Default)]
pub struct FailedServers(Mutex<HashMap<String, Failure>>);

struct Failure {
    at: Instant,
    fault: Fault,
    /// The database that was probed.
    database: String,
    /// The failure applies to the other databases of the server as well.
    shared: bool,
}

impl FailedServers {
    /// The recent failure that applies to all databases of the server, if there is one.
    pub fn failed(&self, server: &str, now: Instant) -> Option<Fault> {
        let known = self.0.lock();
        let last = known.get(server).filter(|last| last.shared)?;
        (now.saturating_duration_since(last.at) < SHARED).then(|| last.fault.clone())
    }

    /// The servers whose probes take long to fail.
    pub fn slow(&self) -> HashSet<String> {
        let known = self.0.lock();
        let slow = known.iter().filter(|(_, last)| last.fault.kind.is_slow());
        slow.map(|(server, _)| server.clone()).collect()
    }

    /// Remembers how a probe of a database at a server ended.
    pub fn note(&self, server: &str, database: &str, outcome: Option<&Fault>, now: Instant) {
        let mut known = self.0.lock();
        known.retain(|_, last| now.saturating_duration_since(last.at) < REMEMBERED);
        let of_server = |fault: &&Fault| fault.kind.is_of_server() || fault.kind == FaultKind::Unreachable;
        let Some(fault) = outcome.filter(of_server) else {
            known.remove(server);
            return;
        };
        // A server that accepts connections and does not answer may do so for one database only.
        let met = |last: &Failure| {
            let again = last.fault.kind == fault.kind && now.saturating_duration_since(last.at) < ALIKE;
            again && (last.shared || last.database != database)
        };
        let failure = Failure {
            at: now,
            fault: fault.clone(),
            database: database.to_owned(),
            shared: fault.kind.is_of_server() || known.get(server).is_some_and(met),
        };
        known.insert(server.to_owned(), failure);
    }
}

/// The name of the server of a login.
pub fn server(login: &Login) -> String {
    format!("{}:{}", login.host, login.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_nobody_reaches_is_asked_once_in_a_while() {
        let (servers, now) = (FailedServers::default(), Instant::now());
        let fault = |kind| Fault {
            kind,
            message: String::new(),
            needs_login: false,
        };
        servers.note("db:5432", "one", Some(&fault(FaultKind::Refused)), now);
        assert!(servers.failed("db:5432", now).is_some());
        assert!(
            servers.failed("db:6543", now).is_none(),
            "another port is another server"
        );
        assert!(servers.failed("db:5432", now + SHARED).is_none());
        servers.note("db:5432", "one", None, now);
        assert!(servers.failed("db:5432", now).is_none(), "it is reached again");
        // A refused login says nothing about the next login.
        servers.note("db:5432", "one", Some(&fault(FaultKind::Login)), now);
        assert!(servers.failed("db:5432", now).is_none());
    }
    #[test]
    fn a_server_that_says_nothing_is_one_when_two_databases_have_met_it() {
        let (servers, now) = (FailedServers::default(), Instant::now());
        let silent = Fault {
            kind: FaultKind::Unreachable,
            message: String::new(),
            needs_login: false,
        };
        let met = |database, at| {
            servers.note("db:5432", database, Some(&silent), at);
            servers.failed("db:5432", at).is_some()
        };
        assert!(!met("one", now) && !met("one", now), "one database alone");
        assert!(met("two", now) && met("two", now));
        assert_eq!(servers.slow().len(), 1);
        servers.note("db:5432", "three", None, now);
        assert!(servers.slow().is_empty() && !met("one", now));
        assert!(!met("two", now + ALIKE), "too long ago");
    }
}
