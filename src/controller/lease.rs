//! Leader election by Lease: of all operators that share a Lease, one acts.
//!
//! Every write is a compare-and-swap on `metadata.resourceVersion`, so two operators can never both win. The holder
//! renews with one request: it replaces the record with the version that its last write returned, and
//! reads the record again only after a conflict or an error. Another operator judges whether a Lease has expired by its
//! own clock, since it saw the record change last, as client-go does: the clocks of two machines are never compared. A
//! holder that cannot renew in time ends before another operator may take over.
//!
//! No crate serves: kube has no leader election, and kube-leader-election 0.44 writes by a merge patch without a
//! `resourceVersion`, compares `renewTime` with the local clock, reads before every renewal, and needs kube 4.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::Api;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::Error;
use super::write::post_parameters;
use crate::api::condition::Reason;
use crate::api::names::FIELD_MANAGER;

/// Durations of the election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long other operators wait while the record does not change. The record holds it in whole seconds.
    pub duration: Duration,
    /// How long the holder tries to renew before it ends.
    pub renew_deadline: Duration,
    /// Interval between two attempts to take or to renew the Lease.
    pub retry: Duration,
}

impl Timing {
    /// The proportions of client-go (15 s, 10 s and 2 s), for a duration of a second or more.
    ///
    /// A Lease counts whole seconds, so a fraction of a second is dropped.
    pub fn of(duration: Duration) -> Self {
        let duration = Duration::from_secs(duration.as_secs().max(1));
        Self {
            duration,
            renew_deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
        }
    }
}

/// The step of an operator after it has read the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// There is no record: create it.
    Create,
    /// The record has no holder, or has expired: take it.
    Take,
    /// This operator is the holder: renew.
    Renew,
    /// Another operator is the holder.
    Wait,
}

/// The next move. `holder` is absent when there is no record, and empty when the record has no holder;
/// `unchanged` is how long the record has not changed.
fn next(holder: Option<&str>, us: &str, unchanged: Duration, duration: Duration) -> Move {
    match holder {
        None => Move::Create,
        Some("") => Move::Take,
        Some(holder) if holder == us => Move::Renew,
        Some(_) if unchanged >= duration => Move::Take,
        Some(_) => Move::Wait,
    }
}

/// The result of an attempt.
enum LeaseHolder {
    /// This operator holds the Lease; the record as its write returned it.
    Ours(Box<Record>),
    /// Another operator holds the Lease.
    Theirs(String),
}

/// A Lease that this process wants to hold.
#[derive(Clone)]
pub struct Lease {
    api: Api<Record>,
    name: String,
    identity: String,
    timing: Timing,
}

impl Lease {
    /// A Lease by its name. `identity` must be unique to this process.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.into(),
            identity: identity.into(),
            timing,
        }
    }

    /// Waits until this operator holds the Lease, and then keeps renewing it.
    ///
    /// # Errors
    /// When the API server forbids access to the Lease. Every other error is retried.
    pub async fn acquire(&self) -> Result<LeaseGuard, Error> {
        let mut seen: Option<(Option<String>, Instant)> = None;
        let mut logged = None;
        loop {
            let asked = Instant::now();
            match within(self.timing.renew_deadline, self.attempt(&mut seen)).await {
                Ok(LeaseHolder::Theirs(holder)) => {
                    if logged.as_ref() != Some(&holder) {
                        tracing::info!(holder, lease = self.name, "another operator leads; standing by");
                        logged = Some(holder);
                    }
                }
                Ok(LeaseHolder::Ours(record)) => return Ok(self.clone().hold(asked, record)),
                // Another operator was faster, with a change or with a new Lease.
                Err(error) if error.is_conflict() || error.is_already_exists() => {}
                Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_forbidden() => {
                    return Err(Error::Kubernetes(kube::Error::Api(status)));
                }
                Err(error) => tracing::warn!(%error, "the Lease cannot be read or written; retrying"),
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Reads the record once, and makes the move that it allows.
    ///
    /// `seen` is the version that was read last, and when it was read first.
    async fn attempt(&self, seen: &mut Option<(Option<String>, Instant)>) -> Result<LeaseHolder, Error> {
        let record = self.api.get_opt(&self.name).await?;
        let version = record
            .as_ref()
            .and_then(|record| record.metadata.resource_version.clone());
        let since = match seen {
            Some((known, since)) if *known == version => *since,
            _ => seen.insert((version, Instant::now())).1,
        };
        let spec = record.as_ref().map(|record| record.spec.clone().unwrap_or_default());
        let holder = spec
            .as_ref()
            .map(|spec| spec.holder_identity.as_deref().unwrap_or_default());
        // The duration that the holder has written counts, not our own setting.
        let written = spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds)
            .and_then(|s| u64::try_from(s).ok());
        let duration = written.map_or(self.timing.duration, Duration::from_secs);
        let step = next(holder, &self.identity, since.elapsed(), duration);
        let written = match (step, record) {
            (Move::Wait, _) => return Ok(LeaseHolder::Theirs(holder.unwrap_or_default().to_owned())),
            (_, Some(record)) => self.write(record, step == Move::Take).await?,
            (_, None) => self.create().await?,
        };
        Ok(LeaseHolder::Ours(Box::new(written)))
    }

    /// Renews with one request while `known`, the record that our last write returned, is current.
    ///
    /// The API server refuses the write with a conflict when anybody has written since; the record is then read at
    /// once, and shows whether this operator still holds the Lease. `known` is emptied before the request: after
    /// any error, also when the answer comes too late, the next attempt reads the record first.
    async fn renew_once(&self, known: &mut Option<Box<Record>>) -> Result<LeaseHolder, Error> {
        if let Some(record) = known.take() {
            match self.write(*record, false).await {
                Ok(written) => return Ok(LeaseHolder::Ours(Box::new(written))),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        self.attempt(&mut None).await
    }

    async fn create(&self) -> Result<Record, Error> {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            ..ObjectMeta::default()
        };
        let record = Record {
            metadata,
            spec: Some(self.spec(LeaseSpec::default(), true)),
        };
        Ok(self.api.create(&post_parameters(FIELD_MANAGER), &record).await?)
    }

    /// Replaces the record and returns the new one. The request names the version of `record`, so the API server
    /// answers with a conflict when the stored record is newer.
    async fn write(&self, mut record: Record, takes: bool) -> Result<Record, Error> {
        record.spec = Some(self.spec(record.spec.unwrap_or_default(), takes));
        Ok(self
            .api
            .replace(&self.name, &post_parameters(FIELD_MANAGER), &record)
            .await?)
    }

    /// Removes this operator from the record, if it is still the holder.
    async fn give_back(&self) -> Result<(), Error> {
        let Some(mut record) = self.api.get_opt(&self.name).await? else {
            return Ok(());
        };
        let spec = record.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            self.api
                .replace(&self.name, &post_parameters(FIELD_MANAGER), &record)
                .await?;
        }
        Ok(())
    }

    fn spec(&self, old: LeaseSpec, takes: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: if takes { Some(now.clone()) } else { old.acquire_time },
            renew_time: Some(now),
            lease_transitions: if takes {
                Some(old.lease_transitions.unwrap_or(0) + 1)
            } else {
                old.lease_transitions
            },
            ..old
        }
    }

    fn hold(self, since: Instant, record: Box<Record>) -> LeaseGuard {
        let (tell, lost) = watch::channel(false);
        let lease = self.clone();
        let renewal = tokio::spawn(async move {
            self.renew(since, record).await;
            tell.send_replace(true);
        });
        LeaseGuard { lease, lost, renewal }
    }

    /// Renews until no renewal succeeds within the deadline, or another operator holds the Lease.
    ///
    /// The deadline counts from when a renewal was sent, not from its answer: other operators count from the
    /// write, which may be long before a late answer.
    async fn renew(&self, mut since: Instant, record: Box<Record>) {
        let mut known = Some(record);
        loop {
            let left = self.timing.renew_deadline.saturating_sub(since.elapsed());
            sleep(self.timing.retry.min(left)).await;
            let left = self.timing.renew_deadline.saturating_sub(since.elapsed());
            if left.is_zero() {
                tracing::error!(
                    lease = self.name,
                    "the Lease could not be renewed in {:?}",
                    self.timing.renew_deadline
                );
                return;
            }
            let asked = Instant::now();
            match within(left, self.renew_once(&mut known)).await {
                Ok(LeaseHolder::Theirs(holder)) => {
                    tracing::error!(holder, lease = self.name, "another operator holds the Lease");
                    return;
                }
                Ok(LeaseHolder::Ours(record)) => (since, known) = (asked, Some(record)),
                Err(error) => tracing::warn!(%error, "the Lease could not be renewed; retrying"),
            }
        }
    }
}

/// An answer that takes longer than `limit` is an error. The request may still reach the API server.
async fn within(
    limit: Duration,
    attempt: impl Future<Output = Result<LeaseHolder, Error>>,
) -> Result<LeaseHolder, Error> {
    let late = || Error::transient(Reason::KubernetesUnavailable, format!("no answer in {limit:?}"));
    timeout(limit, attempt).await.unwrap_or_else(|_| Err(late()))
}

/// A Lease that this operator holds. Dropping it ends the renewals, and the Lease expires.
pub struct LeaseGuard {
    lease: Lease,
    lost: watch::Receiver<bool>,
    renewal: JoinHandle<()>,
}

impl LeaseGuard {
    /// Resolves when another operator may hold the Lease: this operator must end at once.
    pub async fn lost(&mut self) {
        // An error means that the renewal task itself has ended, which has the same consequence.
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Releases the Lease, so that a standby need not wait until it expires. When that fails, the Lease expires
    /// by itself.
    pub async fn release(self) {
        self.renewal.abort();
        let released = async {
            // A renewal that was in flight may be written between our read and our write: try once more then.
            match self.lease.give_back().await {
                Err(error) if error.is_conflict() => self.lease.give_back().await,
                outcome => outcome,
            }
        };
        match timeout(self.lease.timing.renew_deadline, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be released; it expires by itself"),
            Err(_) => tracing::warn!("the Lease could not be released in time; it expires by itself"),
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_free_or_expired_lease_is_taken() {
        let limit = Duration::from_secs(15);
        let (fresh, almost) = (Duration::ZERO, limit.saturating_sub(Duration::from_nanos(1)));
        let ages = [fresh, almost, limit, limit * 2];
        for (holder, moves) in [
            (None, [Move::Create; 4]),
            (Some(""), [Move::Take; 4]),
            (Some("us"), [Move::Renew; 4]),
            (Some("them"), [Move::Wait, Move::Wait, Move::Take, Move::Take]),
        ] {
            assert_eq!(ages.map(|age| next(holder, "us", age, limit)), moves, "{holder:?}");
        }
    }

    #[test]
    fn a_holder_ends_before_anybody_else_may_take_over() {
        for (asked, seconds) in [(15_000, 15), (3_000, 3), (2_999, 2), (1_500, 1), (200, 1)] {
            let timing = Timing::of(Duration::from_millis(asked));
            assert_eq!(timing.duration, Duration::from_secs(seconds), "what the record says");
            assert!(timing.renew_deadline + timing.retry < timing.duration);
        }
        let timing = Timing::of(Duration::from_secs(15));
        assert_eq!((timing.renew_deadline.as_secs(), timing.retry.as_secs()), (10, 2));
    }
}
