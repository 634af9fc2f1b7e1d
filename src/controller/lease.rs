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

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a record that does not change keeps others waiting.
    pub duration: Duration,
    /// How long the holder tries to renew before it ends.
    pub renew_deadline: Duration,
    /// Pace of looking and renewing.
    pub retry: Duration,
}

impl Timing {
    /// The proportions of client-go: 15 s, 10 s and 2 s.
    pub fn of(duration: Duration) -> Self {
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
            match self.step(&mut seen).await {
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
                Ok(_) => return Ok(self.clone().hold()),
                Err(error) if error.is_conflict() => {}
                Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_forbidden() => {
                    return Err(Error::Kubernetes(kube::Error::Api(status)));
                }
                Err(error) => tracing::warn!(%error, "the lease cannot be read or written; trying again"),
            }
            sleep(self.timing.retry).await;
        }
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

    fn spec(&self, old: LeaseSpec, takes: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            // Whole seconds, and never less than what we keep to ourselves.
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs().max(1)).ok(),
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

    fn hold(self) -> Held {
        let (tell, lost) = watch::channel(false);
        let lease = self.clone();
        let renewal = tokio::spawn(async move {
            self.renew().await;
            tell.send_replace(true);
        });
        Held { lease, lost, renewal }
    }

    /// Renews until it fails for too long, or somebody else holds the lease.
    async fn renew(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < self.timing.renew_deadline {
            sleep(self.timing.retry).await;
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            match timeout(left, self.step(&mut None)).await {
                Ok(Ok((Move::Wait, holder))) => {
                    tracing::error!(?holder, "another operator holds the lease");
                    return;
                }
                Ok(Ok(_)) => renewed = Instant::now(),
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
                Err(_) => {}
            }
        }
        tracing::error!("the lease could not be renewed in {:?}", self.timing.renew_deadline);
    }
}

/// The lease, while it is ours.
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

    /// Gives the lease back, so that a standby need not wait until it runs out.
    pub async fn release(self) {
        self.renewal.abort();
        let record = match self.lease.api.get_opt(&self.lease.name).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "the lease could not be given back; it runs out by itself"),
        };
        let mut record = record;
        let Some(spec) = record
            .spec
            .as_mut()
            .filter(|spec| spec.holder_identity.as_ref() == Some(&self.lease.identity))
        else {
            return;
        };
        spec.holder_identity = None;
        if let Err(error) = self
            .lease
            .api
            .replace(&self.lease.name, &PostParams::default(), &record)
            .await
        {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_free_or_expired_lease_is_taken() {
        let (fresh, limit) = (Duration::from_secs(1), Duration::from_secs(15));
        assert_eq!(next(None, "us", fresh, limit), Move::Create);
        assert_eq!(next(Some(""), "us", fresh, limit), Move::Take);
        assert_eq!(next(Some("us"), "us", fresh, limit), Move::Renew);
        assert_eq!(next(Some("us"), "us", limit, limit), Move::Renew);
        assert_eq!(next(Some("them"), "us", fresh, limit), Move::Wait);
        assert_eq!(next(Some("them"), "us", limit, limit), Move::Take);
    }

    #[test]
    fn a_holder_ends_before_anybody_else_may_take_over() {
        let timing = Timing::of(Duration::from_secs(15));
        assert_eq!(timing.renew_deadline, Duration::from_secs(10));
        assert_eq!(timing.retry, Duration::from_secs(2));
        assert!(timing.renew_deadline + timing.retry < timing.duration);
    }
}
