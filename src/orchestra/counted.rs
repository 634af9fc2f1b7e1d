//! Whether a tenant was given its connection Secret, or a person must help it before that: for the metrics.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::condition::{ConditionType, Reason, is_true, reason_of};
use crate::api::{Orchestra, OrchestraStatus};
use crate::telemetry::provisioning::Provisioning;

/// How the way to the first connection Secret has gone with a status that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The Secret is published for the first time.
    Published,
    /// It was not published, and a person must act now.
    Stalled(Reason),
}

/// What a new status means for an Orchestra that has the old one.
fn outcome(object: &Orchestra, new: &OrchestraStatus) -> Option<Outcome> {
    if object.metadata.deletion_timestamp.is_some() || object.is_published() {
        return None;
    }
    if new.secret_ref.is_some() {
        return Some(Outcome::Published);
    }
    let stalled = is_true(&new.conditions, ConditionType::Stalled) && !object.is_stalled();
    stalled
        .then(|| reason_of(&new.conditions, ConditionType::Stalled))
        .flatten()
        .map(Outcome::Stalled)
}

/// Counts what the write of a new status means; `before` is the Orchestra as it was.
pub fn count(metrics: &Provisioning, before: &Orchestra, new: &OrchestraStatus) {
    let class = new.class_name.as_deref();
    match outcome(before, new) {
        Some(Outcome::Published) => {
            let created = before.metadata.creation_timestamp.as_ref().map(|time| time.0);
            let took = created.map(|created| Timestamp::now().duration_since(created));
            let took = took.and_then(|took| Duration::try_from(took).ok()).unwrap_or_default();
            metrics.succeeded(class, took);
        }
        Some(Outcome::Stalled(reason)) => metrics.failed(class, reason),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OrchestraSpec, PublishedSecret};
    use crate::controller::conditions::{Conditions, Standing};

    fn status(published: bool, standing: Standing, reason: Reason) -> OrchestraStatus {
        let mut conditions = Conditions::new(&[], Some(1));
        conditions.stand(standing, reason, "");
        OrchestraStatus {
            secret_ref: published.then(PublishedSecret::default),
            conditions: conditions.finish(),
            ..OrchestraStatus::default()
        }
    }

    #[test]
    fn each_end_of_the_way_counts_once() {
        use Standing::{Reconciling, Settled, Stalled};
        let ready = || status(true, Settled, Reason::Ready);
        let seeding = || status(false, Reconciling, Reason::Seeding);
        let failed = |published| status(published, Stalled, Reason::SeedFailed);
        for (old, new, counted) in [
            (None, seeding(), None),
            (None, failed(false), Some(Outcome::Stalled(Reason::SeedFailed))),
            (Some(seeding()), ready(), Some(Outcome::Published)),
            (
                Some(seeding()),
                failed(false),
                Some(Outcome::Stalled(Reason::SeedFailed)),
            ),
            (Some(failed(false)), failed(false), None),
            (Some(failed(false)), ready(), Some(Outcome::Published)),
            (Some(ready()), ready(), None),
            (Some(ready()), failed(true), None),
        ] {
            let mut object = Orchestra::new("one", OrchestraSpec::default());
            object.status = old;
            assert_eq!(outcome(&object, &new), counted, "{:?} {new:?}", object.status);
            object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                Timestamp::UNIX_EPOCH,
            ));
            assert_eq!(outcome(&object, &new), None, "it is being deleted");
        }
    }
}
