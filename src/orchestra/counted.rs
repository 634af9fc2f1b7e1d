//! Whether a tenant got its connection Secret, or needed a person before that: for the metrics.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::condition::{ConditionType, Reason, is_true, reason_of};
use crate::api::{Orchestra, OrchestraStatus};
use crate::telemetry::provisioning::Provisioning;

/// The outcome of the provisioning, up to the first connection Secret, according to a new status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstEnd {
    /// The Secret is published for the first time.
    Published,
    /// It was not published, and a person must act now.
    Stalled(Reason),
}

/// What a new status means for an Orchestra that has the old one.
fn outcome(object: &Orchestra, new: &OrchestraStatus) -> Option<FirstEnd> {
    if object.metadata.deletion_timestamp.is_some() || object.is_published() {
        return None;
    }
    if new.secret_ref.is_some() {
        return Some(FirstEnd::Published);
    }
    let stalled = is_true(&new.conditions, ConditionType::Stalled) && !object.is_stalled();
    stalled
        .then(|| reason_of(&new.conditions, ConditionType::Stalled))
        .flatten()
        .map(FirstEnd::Stalled)
}

/// What is counted once the new status is written.
#[derive(Debug)]
pub struct CountedEnd {
    outcome: FirstEnd,
    class: Option<String>,
    /// Since the Orchestra was created.
    took: Duration,
}

impl CountedEnd {
    /// What the write of a new status means for an Orchestra that has the old one; none when there is nothing to count.
    pub fn by(object: &Orchestra, new: &OrchestraStatus) -> Option<Self> {
        let outcome = outcome(object, new)?;
        let created = object.metadata.creation_timestamp.as_ref();
        let took = created.map(|created| Timestamp::now().duration_since(created.0));
        Some(Self {
            outcome,
            class: new.class_name.clone(),
            took: took.and_then(|took| Duration::try_from(took).ok()).unwrap_or_default(),
        })
    }

    /// Counts it.
    pub fn count(&self, metrics: &Provisioning) {
        let class = self.class.as_deref();
        match self.outcome {
            FirstEnd::Published => metrics.succeeded(class, self.took),
            FirstEnd::Stalled(reason) => metrics.failed(class, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OrchestraSpec, PublishedSecret};
    use crate::controller::conditions::{Conditions, Standing};

    fn status((published, standing, reason): (bool, Standing, Reason)) -> OrchestraStatus {
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
        let ready = (true, Settled, Reason::Ready);
        let seeding = (false, Reconciling, Reason::Seeding);
        let failed = |published| (published, Stalled, Reason::SeedFailed);
        let stalled = Some(FirstEnd::Stalled(Reason::SeedFailed));
        for (old, new, counted) in [
            (None, seeding, None),
            (None, failed(false), stalled),
            (Some(seeding), ready, Some(FirstEnd::Published)),
            (Some(seeding), failed(false), stalled),
            (Some(failed(false)), failed(false), None),
            (Some(failed(false)), ready, Some(FirstEnd::Published)),
            (Some(ready), ready, None),
            (Some(ready), failed(true), None),
        ] {
            let mut object = Orchestra::new("one", OrchestraSpec::default());
            object.status = old.map(status);
            let new = status(new);
            assert_eq!(outcome(&object, &new), counted, "{old:?} {new:?}");
            object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                Timestamp::UNIX_EPOCH,
            ));
            assert_eq!(outcome(&object, &new), None, "it is being deleted");
        }
    }
}
