//! Connection Secrets of former names: clients with the former name have the overlap to switch to the new one.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Pass;
use crate::api::{
    Binding, ConnectionMode, FormerSecret, Orchestra, OrchestraDatabase, OrchestraStatus, PublishedSecret,
};
use crate::controller::error::Error;
use crate::credentials::{Secrets, connection};

/// The most former Secrets that are kept; of more, the oldest is deleted at once.
const MOST: usize = 8;

/// The former Secrets once this one is published.
pub fn after(object: &Orchestra, published: Option<&PublishedSecret>, now: Timestamp) -> Option<Vec<FormerSecret>> {
    let status = object.status.as_ref()?;
    let mut former = status.former_secrets.clone().unwrap_or_default();
    let before = status.secret_ref.as_ref();
    if let (Some(before), Some(published)) = (before, published) {
        former.retain(|secret| secret.name != published.name);
        if before.name != published.name {
            let overlap = SignedDuration::try_from(object.spec.connection.overlap().as_std());
            let until = now.saturating_add(overlap.unwrap_or(SignedDuration::MAX));
            former.push(FormerSecret {
                name: before.name.clone(),
                until: Time(until.unwrap_or(Timestamp::MAX)),
            });
        }
    }
    if former.len() > MOST {
        former[0].until = Time(now);
    }
    Some(former).filter(|all| !all.is_empty())
}

/// No former Secret stays longer than the login in it, which ends at this time or earlier.
pub async fn end_by(pass: &mut Pass, until: Timestamp) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    for secret in new.former_secrets.iter_mut().flatten() {
        secret.until.0 = secret.until.0.min(until);
    }
    if pass.object.status.as_ref() != Some(&new) {
        pass.write_status(new, None).await?;
    }
    Ok(())
}

/// The Secret of the Service Binding specification, where it is one.
pub fn binding(object: &Orchestra, published: Option<&PublishedSecret>) -> Option<Binding> {
    let before = object.status.as_ref().and_then(|status| status.secret_ref.as_ref());
    let name = published.or(before)?.name.clone();
    object.spec.connection.is_binding().then_some(Binding { name })
}

/// The message of a Secret that is published. Until the login is `proven` in this mode, the Secret leads to a pooler.
pub fn told(object: &Orchestra, database: Option<&OrchestraDatabase>, proven: bool) -> &'static str {
    let hosted = database.is_some_and(|database| database.spec.inventory.is_none());
    if proven && hosted && object.spec.connection.mode == ConnectionMode::Direct {
        "the connection Secret is published; its host has an IPv6 address only, unless the project has the IPv4 add-on"
    } else {
        "the connection Secret is published"
    }
}

/// When the first of them is to be deleted.
pub fn first(status: Option<&OrchestraStatus>) -> Option<Timestamp> {
    let former = status?.former_secrets.iter().flatten();
    former.map(|secret| secret.until.0).min()
}

/// Deletes those whose overlap has ended.
pub async fn remove(pass: &mut Pass, now: Timestamp) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    let (gone, kept): (Vec<_>, Vec<_>) = new
        .former_secrets
        .take()
        .unwrap_or_default()
        .into_iter()
        .partition(|secret| secret.until.0 <= now);
    for secret in gone {
        // The name may be in use again.
        if secret.name != pass.object.secret_name() && secret.name != pass.secret_name() {
            let secrets = Secrets::connections(&pass.ctx.core, pass.namespace());
            connection::remove(&secrets, &pass.object, &secret.name).await?;
            tracing::info!(
                secret = secret.name,
                "the connection Secret of a former name was emptied; the garbage collector deletes it"
            );
        }
    }
    new.former_secrets = Some(kept).filter(|all| !all.is_empty());
    pass.write_status(new, None).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{OrchestraSpec, Rotation};

    fn published(name: &str) -> PublishedSecret {
        PublishedSecret {
            name: name.into(),
            ..PublishedSecret::default()
        }
    }

    fn object(secret: &str) -> Orchestra {
        let mut object = Orchestra::new("one", OrchestraSpec::default());
        object.spec.connection.rotation = Some(Rotation {
            overlap: Some("1h".parse().unwrap()),
            ..Rotation::default()
        });
        object.status = Some(OrchestraStatus {
            secret_ref: Some(published(secret)),
            ..OrchestraStatus::default()
        });
        object
    }

    #[test]
    fn a_former_secret_stays_for_the_overlap_and_comes_back_into_use() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut object = object("a");
        assert_eq!(after(&object, Some(&published("a")), now), None);
        assert_eq!(after(&object, None, now), None);
        let former = after(&object, Some(&published("b")), now).unwrap();
        assert_eq!((former[0].name.as_str(), former.len()), ("a", 1));
        assert_eq!(former[0].until.0, "2026-03-01T01:00:00Z".parse().unwrap());
        let status = object.status.as_mut().unwrap();
        (status.former_secrets, status.secret_ref) = (Some(former.clone()), Some(published("b")));
        assert_eq!(first(object.status.as_ref()), Some(former[0].until.0));
        // Reported once, and the time stays.
        let later = now + SignedDuration::from_mins(5);
        assert_eq!(after(&object, Some(&published("b")), later), Some(former));
        let back = after(&object, Some(&published("a")), later).unwrap();
        assert_eq!((back[0].name.as_str(), back.len()), ("b", 1));
    }

    #[test]
    fn they_are_bounded() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut object = object("s0");
        for n in 1..20 {
            let new = published(&format!("s{n}"));
            let former = after(&object, Some(&new), now);
            let all = former.iter().flatten();
            let due = all.clone().filter(|secret| secret.until.0 <= now).count();
            assert_eq!(due, usize::from(n > MOST), "{n}");
            let kept = all.filter(|secret| secret.until.0 > now).cloned().collect();
            let status = object.status.as_mut().unwrap();
            (status.former_secrets, status.secret_ref) = (Some(kept), Some(new));
        }
    }
}
