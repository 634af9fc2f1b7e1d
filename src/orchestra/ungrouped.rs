//! Tenants whose logins could not become members of their groups yet, because a transaction of a neighbour on the server keeps a
//! group locked. Such a tenant gets its login all the same, and the operator tries again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use parking_lot::Mutex;

use super::Pass;
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::status::{News, tell};
use crate::postgres;

/// When the next attempt for each tenant is due, by the UID of its Orchestra.
#[derive(Default)]
pub struct Ungrouped(Mutex<HashMap<String, Instant>>);

impl Ungrouped {
    /// How long the next attempt has to wait; none where there is nothing to attempt.
    pub fn wait(&self, uid: &str) -> Option<Duration> {
        let due = *self.0.lock().get(uid)?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Whether the next attempt is due.
    pub fn is_due(&self, uid: &str) -> bool {
        self.wait(uid).is_some_and(|wait| wait.is_zero())
    }

    /// Forgets an Orchestra.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    fn note(&self, uid: &str, wait: Duration) {
        let now = Instant::now();
        self.0
            .lock()
            .insert(uid.to_owned(), now.checked_add(wait).unwrap_or(now));
    }
}

/// Remembers and tells what keeps the tenant's logins from being members of their groups; none: nothing does.
pub async fn keep(pass: &Pass, database: &OrchestraDatabase, locked: Option<postgres::Error>) {
    let (core, key) = (&pass.ctx.core, key(pass));
    let Some(locked) = locked else {
        pass.ctx.ungrouped.forget(pass.uid());
        core.backoff.reset(&key);
        return;
    };
    pass.ctx.ungrouped.note(pass.uid(), core.backoff.next(&key));
    let note = format!(
        "database {}: the tenant's login works, and is no member of its group yet, so that policies and grants which name the \
         group do not apply to it: {locked}",
        database.name_any()
    );
    tell(core, &pass.object, &News::warning(Reason::DatabaseRefused, note)).await;
}

/// The key of attempts.
fn key(pass: &Pass) -> String {
    format!("group/{}", pass.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_due_when_its_wait_is_over() {
        let ungrouped = Ungrouped::default();
        assert!(!ungrouped.is_due("a") && ungrouped.wait("a").is_none());
        ungrouped.note("a", Duration::from_mins(1));
        assert!(!ungrouped.is_due("a") && ungrouped.wait("a").is_some());
        ungrouped.note("a", Duration::ZERO);
        assert!(ungrouped.is_due("a") && !ungrouped.is_due("b"));
        ungrouped.forget("a");
        assert!(!ungrouped.is_due("a"));
    }
}
