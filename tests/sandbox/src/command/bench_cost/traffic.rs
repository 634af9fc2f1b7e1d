//! The operator's requests, as the API server has recorded them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use orchestra_sandbox::control_plane::{AuditLog, Request};
use orchestra_sandbox::world::{SYSTEM, World};

/// The operator is settled when it has sent nothing for this time.
const QUIET: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(250);

/// Reads the operator's part of the audit log.
pub(super) struct Traffic {
    log: AuditLog,
    user: String,
}

impl Traffic {
    pub(super) fn of(world: &World) -> Result<Self> {
        Ok(Self {
            log: world.plane.audit_log()?,
            user: format!("system:serviceaccount:{SYSTEM}:orchestra-operator"),
        })
    }

    /// Waits until the operator has sent nothing but leases and watches for [`QUIET`]; returns what it
    /// has sent since the last call.
    ///
    /// # Errors
    /// When it does not come to rest within `limit`.
    pub(super) async fn until_settled(&mut self, limit: Duration) -> Result<Vec<Request>> {
        let began = Instant::now();
        let (mut sent, mut last) = (Vec::new(), Instant::now());
        while last.elapsed() < QUIET {
            ensure!(
                began.elapsed() < limit,
                "the operator still sends requests after {limit:?}"
            );
            tokio::time::sleep(PACE).await;
            let new = self.read()?;
            if new.iter().any(counts) {
                last = Instant::now();
            }
            sent.extend(new);
        }
        Ok(sent)
    }

    /// Waits until the operator has written its lease; returns what it has sent since the last call.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub(super) async fn until_it_leads(&mut self, limit: Duration) -> Result<Vec<Request>> {
        let began = Instant::now();
        let mut sent = Vec::new();
        while !sent.iter().any(|request| is_lease(request) && request.is_write()) {
            ensure!(began.elapsed() < limit, "the operator does not lead after {limit:?}");
            tokio::time::sleep(PACE).await;
            sent.extend(self.read()?);
        }
        Ok(sent)
    }

    fn read(&mut self) -> Result<Vec<Request>> {
        let mut new = self.log.read()?;
        new.retain(|request| request.user == self.user);
        Ok(new)
    }
}

/// Whether a request is one for tenants: leases and watches are counted apart, and the operator asks for its rights once,
/// at its start.
pub(super) fn counts(request: &Request) -> bool {
    !is_lease(request) && request.verb != "watch" && request.resource != "selfsubjectaccessreviews"
}

/// Whether a request is one of the leader election.
pub(super) fn is_lease(request: &Request) -> bool {
    request.resource == "leases"
}
