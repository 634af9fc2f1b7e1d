//! Leader election by Lease: of all operators that share one, one acts.
//!
//! Every write is a compare-and-swap on `metadata.resourceVersion`, so two can never win. Whether a
//! lease has run out is judged by our own clock since the record last changed, as client-go does:
//! the clocks of two machines are never compared. A holder that could not renew in time ends before
//! anybody else may take over.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::Error;
use crate::api::condition::Reason;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a record that does not change keeps others waiting; written in whole seconds.
    pub duration: Duration,
    /// How long the holder tries to renew before it ends.
    pub renew_deadline: Duration,
    /// Pace of looking and renewing.
    pub retry: Duration,
}

impl Timing {
    /// The proportions of client-go (15 s, 10 s and 2 s), for a duration of a second or more.
    ///
    /// A Lease counts whole seconds, so part of a second is left out.
    pub fn of(duration: Duration) -> Self {
        let duration = Duration::from_secs(duration.as_secs().max(1));
        Self {
            duration,
            renew_deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
        }
    }
}

/// What to do about the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// There is none: create it.
    Create,
    /// It is nobody's, or ran out: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// It is somebody else's.
    Wait,
}

/// The next move, for who holds the record (nobody: an empty name) and how long it has not changed.
fn next(holder: Option<&str>, us: &str, unchanged: Duration, duration: Duration) -> Move {
    match holder {
        None => Move::Create,
        Some("") => Move::Take,
        Some(holder) if holder == us => Move::Renew,
        Some(_) if unchanged >= duration => Move::Take,
        Some(_) => Move::Wait,
    }
}

/// A lease that this process wants to hold.
#[derive(Clone)]
pub struct Lease {
    api: Api<Record>,
    name: String,
    identity: String,
    timing: Timing,
}

impl Lease {
    /// A lease by its name; `identity` is this process alone.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.into(),
            identity: identity.into(),
            timing,
        }
    }

    /// Waits until the lease is ours, and keeps renewing it.
    ///
    /// # Errors
    /// When the API server forbids it. What passes by itself is tried again.
    pub async fn acquire(&self) -> Result<Held, Error> {
        let mut seen: Option<(Option<String>, Instant)> = None;
        let mut told = None;
        loop {
            let asked = Instant::now();
            match self.step_within(self.timing.renew_deadline, &mut seen).await {
                Ok((Move::Wait, holder)) => {
                    if told != holder {
                        tracing::info!(
                            holder = holder.as_deref(),
                            lease = self.name,
                            "another operator leads; standing by"
                        );
                        told = holder;
                    }
                }
                Ok(_) => return Ok(self.clone().hold(asked)),
                Err(error) if error.is_conflict() => {}
                Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_forbidden() => {
                    return Err(Error::Kubernetes(kube::Error::Api(status)));
                }
                Err(error) => tracing::warn!(%error, "the lease cannot be read or written; trying again"),
            }
            sleep(self.timing.retry).await;
        }
    }

    /// As [`Lease::step`], but an answer that is late is none.
    async fn step_within(
        &self,
        limit: Duration,
        seen: &mut Option<(Option<String>, Instant)>,
    ) -> Result<(Move, Option<String>), Error> {
        let late = || Error::transient(Reason::KubernetesUnavailable, format!("no answer in {limit:?}"));
        timeout(limit, self.step(seen)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Looks at the record once, and makes the move that it allows.
    async fn step(&self, seen: &mut Option<(Option<String>, Instant)>) -> Result<(Move, Option<String>), Error> {
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
        // What the holder wrote about its own pace counts, not ours.
        let written = spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds)
            .and_then(|s| u64::try_from(s).ok());
        let duration = written.map_or(self.timing.duration, Duration::from_secs);
        let step = next(holder, &self.identity, since.elapsed(), duration);
        let holder = holder.map(ToString::to_string);
        match (step, record) {
            (Move::Wait, _) => {}
            (_, Some(record)) => self.write(record, step == Move::Take).await?,
            (_, None) => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                };
                let record = Record {
                    metadata,
                    spec: Some(self.spec(LeaseSpec::default(), true)),
                };
                self.api.create(&PostParams::default(), &record).await?;
            }
        }
        Ok((step, holder))
    }

    /// Replaces the record; the version that was read goes with it, so a newer one is a conflict.
    async fn write(&self, mut record: Record, takes: bool) -> Result<(), Error> {
        record.spec = Some(self.spec(record.spec.unwrap_or_default(), takes));
        self.api.replace(&self.name, &PostParams::default(), &record).await?;
        Ok(())
    }

    /// Makes the record nobody's, if it is still ours.
    async fn give_back(&self) -> Result<(), Error> {
        let Some(mut record) = self.api.get_opt(&self.name).await? else {
            return Ok(());
        };
        let spec = record.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            self.api.replace(&self.name, &PostParams::default(), &record).await?;
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

    fn hold(self, since: Instant) -> Held {
        let (tell, lost) = watch::channel(false);
        let lease = self.clone();
        let renewal = tokio::spawn(async move {
            self.renew(since).await;
            tell.send_replace(true);
        });
        Held { lease, lost, renewal }
    }

    /// Renews until it fails for too long, or somebody else holds the lease.
    ///
    /// A renewal counts from when it was asked for, not from its answer: others count from the
    /// write, which may be long before a late answer.
    async fn renew(&self, mut since: Instant) {
        loop {
            let left = self.timing.renew_deadline.saturating_sub(since.elapsed());
            sleep(self.timing.retry.min(left)).await;
            let left = self.timing.renew_deadline.saturating_sub(since.elapsed());
            if left.is_zero() {
                tracing::error!("the lease could not be renewed in {:?}", self.timing.renew_deadline);
                return;
            }
            let asked = Instant::now();
            match self.step_within(left, &mut None).await {
                Ok((Move::Wait, holder)) => {
                    tracing::error!(?holder, "another operator holds the lease");
                    return;
                }
                Ok(_) => since = asked,
                Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
            }
        }
    }
}

/// The lease, while it is ours. Dropped, it is renewed no more, and runs out.
pub struct Held {
    lease: Lease,
    lost: watch::Receiver<bool>,
    renewal: JoinHandle<()>,
}

impl Held {
    /// Resolves when the lease may be somebody else's: whoever acts must end at once.
    pub async fn lost(&mut self) {
        // An error means that the renewal itself is gone, which comes to the same.
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Gives the lease back, so that a standby need not wait until it runs out. When that fails it
    /// runs out by itself.
    pub async fn release(self) {
        self.renewal.abort();
        let released = async {
            // A renewal that was under way may still arrive and be the newer one: once more, then.
            match self.lease.give_back().await {
                Err(error) if error.is_conflict() => self.lease.give_back().await,
                outcome => outcome,
            }
        };
        match timeout(self.lease.timing.renew_deadline, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be given back; it runs out by itself"),
            Err(_) => tracing::warn!("the lease could not be given back in time; it runs out by itself"),
        }
    }
}

impl Drop for Held {
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
