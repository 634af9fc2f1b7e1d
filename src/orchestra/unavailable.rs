//! A source that is gone, or cannot be read, while everything that was read from it earlier is applied: a warning, which
//! does not stop its tenant.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::inside::InsideFacts;
use super::observe::Observed;
use super::plan::WorkState;
use super::{Pass, migrating};
use crate::api::condition::Reason;
use crate::api::{MigrationStatus, Orchestra};
use crate::content;
use crate::controller::error::Error;
use crate::source::SourcePlace;

/// A source that cannot be read, of a tenant to which all of it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The reason of the warning.
    pub reason: Reason,
    /// The problem, and what a person can do.
    pub message: String,
    /// No watch reports its return.
    pub unwatched: bool,
}

/// The purpose that a source is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Migrations.
    Migrations,
    /// A seed.
    Seed,
    /// Both, of a template.
    Template,
}

/// The warning that replaces an error, where everything is applied.
///
/// # Errors
/// The error, when the source may contain something that is not applied.
pub fn excuse(pass: &Pass, purpose: Purpose, place: &SourcePlace, error: Error) -> Result<Unavailable, Error> {
    match &error {
        Error::Source(failed) if failed.is_gone() && has_all(&pass.object, purpose, &digest(place)) => {
            tracing::info!(error = %failed, "a source cannot be read; its content is already applied");
            Ok(Unavailable {
                reason: failed.reason(),
                message: format!(
                    "{failed}. All scripts that were read from it earlier are applied, and the database is in use"
                ),
                unwatched: failed.is_outside(),
            })
        }
        _ => Err(error),
    }
}

/// The warning of a source of migrations that was emptied after they were applied.
pub fn emptied(pass: &Pass, place: &SourcePlace) -> Option<Unavailable> {
    let applied = pass.object.migrations().is_some_and(|is| is.applied > 0);
    (applied && has_all(&pass.object, Purpose::Migrations, &digest(place))).then(|| {
        let message = format!(
            "{place} no longer contains migrations: restore them. All migrations it contained are applied, and the \
             database is in use"
        );
        holds_nothing(place, message)
    })
}

/// The warning of a source of migrations that has none yet.
pub fn empty(place: &SourcePlace) -> Unavailable {
    let message = format!("{place} is empty: add the first migration, and the operator applies it");
    holds_nothing(place, message)
}

fn holds_nothing(place: &SourcePlace, message: String) -> Unavailable {
    Unavailable {
        reason: Reason::SourceNotFound,
        message,
        unwatched: place.source.oci.is_some() || place.source.folder.is_some(),
    }
}

/// Whether everything is applied that the source at this place had when it was read last. The place is one from which all was
/// applied, whatever has happened to the Orchestra since: another spec, a pause, a failure of something else.
fn has_all(object: &Orchestra, purpose: Purpose, place: &str) -> bool {
    let Some(status) = &object.status else {
        return false;
    };
    let same = match &status.applied_sources {
        Some(applied) => applied.iter().any(|known| known == place),
        // The status of an earlier version, or one after a source that cannot be used.
        None => object.is_settled(),
    };
    let applied = match purpose {
        Purpose::Migrations => object.migrations().is_some_and(is_whole),
        Purpose::Template => object.migrations().is_none_or(is_whole) && !status.has_failed_seed(),
        Purpose::Seed => status.seed.is_some() && !status.has_failed_seed(),
    };
    same && applied && object.is_published()
}

fn is_whole(migrations: &MigrationStatus) -> bool {
    migrations.pending == 0 && !migrations.failed && migrations.failure.is_none()
}

/// The warning of a template that is no longer in the class.
///
/// # Errors
/// The error, when the template may contain something that is not applied.
pub fn without_template(pass: &Pass, error: Error) -> Result<Unavailable, Error> {
    let place = template(&pass.object).unwrap_or_default();
    if !has_all(&pass.object, Purpose::Template, &place) {
        return Err(error);
    }
    Ok(Unavailable {
        reason: error.reason(),
        message: format!("{error}. All scripts that were read from it earlier are applied, and the database is in use"),
        unwatched: true,
    })
}

/// The digests of the places from which everything is applied, as this look has found; the old ones where it has not found
/// out. While a rollout keeps older migrations, those of the new place are not applied.
pub fn applied(pass: &Pass, observed: &Observed) -> Option<Vec<String>> {
    let status = pass.object.status.as_ref();
    let old = status.and_then(|status| status.applied_sources.clone());
    let InsideFacts { inside, wanted, .. } = &observed.inside;
    let done = (inside.migrations, inside.seed) == (WorkState::Done, WorkState::Done);
    if !done || wanted.unavailable.is_none() || wanted.is_without_template() {
        return old;
    }
    let tenant = observed.tenant(&pass.object);
    let migrations = migrating::spec(pass, &tenant).map(|spec| digest(&spec.place));
    let seed = content::seed_place(&pass.ctx.content, &tenant).map(|place| digest(&place));
    let known = |place: &String| wanted.kept.is_none() || old.iter().flatten().any(|known| known == place);
    let places = migrations.into_iter().chain(template(&pass.object)).filter(known);
    Some(places.chain(seed).collect::<BTreeSet<_>>().into_iter().collect())
}

/// The template that an Orchestra names, as a place.
fn template(object: &Orchestra) -> Option<String> {
    let template = object.spec.template()?;
    Some(format!("template {}", template.name))
}

/// Digest of where a source is.
fn digest(place: &SourcePlace) -> String {
    let source = serde_json::to_string(&place.source).unwrap_or_default();
    let whole = format!("{}\n{}\n{source}", place.namespace, place.by_class);
    format!("sha256:{}", hex::encode(Sha256::digest(whole)))
}

/// Reason and message of the condition for all unavailable sources.
pub fn told(sources: &[Unavailable]) -> Option<(Reason, String)> {
    let first = sources.first()?;
    let mut messages: Vec<_> = sources.iter().map(|source| source.message.as_str()).collect();
    messages.dedup();
    Some((first.reason, messages.join("; ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::ScriptSource;

    #[test]
    fn a_place_is_the_same_only_with_the_same_source() {
        let place = |folder: &str, namespace: &str| SourcePlace {
            namespace: namespace.into(),
            by_class: false,
            source: ScriptSource {
                folder: Some(folder.into()),
                ..ScriptSource::default()
            },
        };
        assert_eq!(digest(&place("a", "tenants")), digest(&place("a", "tenants")));
        for other in [place("b", "tenants"), place("a", "others")] {
            assert_ne!(digest(&place("a", "tenants")), digest(&other));
        }
    }

    fn tenant(status: &serde_json::Value) -> Orchestra {
        let object = serde_json::json!({
            "metadata": {"name": "a", "namespace": "tenants", "generation": 3}, "spec": {}, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn status(reason: &str, (applied, pending): (Option<&[&str]>, i32)) -> serde_json::Value {
        let ready = if matches!(reason, "Ready" | "Paused") {
            "True"
        } else {
            "False"
        };
        serde_json::json!({
            "observedGeneration": 3, "secretRef": {"name": "a-connection"}, "appliedSources": applied, "seed": "sha256:s",
            "migrations": {"source": "sha256:m", "applied": 2, "pending": pending},
            "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        })
    }

    #[test]
    fn a_place_from_which_all_was_applied_stays_so_through_pauses_and_failures() {
        let all = [Purpose::Migrations, Purpose::Seed, Purpose::Template];
        for reason in ["Ready", "Paused", "SecretConflict", "Updating", "ProviderUnavailable"] {
            let mut object = tenant(&status(reason, (Some(&["here"]), 0)));
            assert!(all.iter().all(|of| has_all(&object, *of, "here")), "{reason}");
            assert!(!all.iter().any(|of| has_all(&object, *of, "elsewhere")), "{reason}");
            // The spec changed, and the operator was not there.
            object.metadata.generation = Some(4);
            assert!(all.iter().all(|of| has_all(&object, *of, "here")), "{reason}");
            // No Secret was ever published.
            object.status.as_mut().unwrap().secret_ref = None;
            assert!(!all.iter().any(|of| has_all(&object, *of, "here")), "{reason}");
        }
        let pending = tenant(&status("Ready", (Some(&["here"]), 1)));
        assert!(!has_all(&pending, Purpose::Migrations, "here"));
        // Without the field, only a settled tenant is known to have all.
        let known = |reason: &str| has_all(&tenant(&status(reason, (None, 0))), Purpose::Migrations, "here");
        assert_eq!(
            [known("Ready"), known("Paused"), known("SourceInvalid")],
            [true, false, false]
        );
        assert!(!has_all(
            &tenant(&status("Ready", (Some(&[]), 0))),
            Purpose::Seed,
            "here"
        ));
    }

    #[test]
    fn one_artifact_for_both_is_told_once() {
        let source = Unavailable {
            reason: Reason::SourceDenied,
            message: "refused".into(),
            unwatched: true,
        };
        let told = told(&[source.clone(), source]);
        assert_eq!(told, Some((Reason::SourceDenied, "refused".into())));
        assert_eq!(super::told(&[]), None);
    }
}
