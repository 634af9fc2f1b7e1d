//! A source that is gone, or cannot be read, while everything that was read from it earlier is applied: a warning, which
//! does not stop its tenant.

use sha2::{Digest as _, Sha256};

use super::Pass;
use crate::api::MigrationStatus;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::source::SourcePlace;

/// A source that cannot be read, of a tenant to which all of it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The reason of the warning.
    pub reason: Reason,
    /// The problem, and what a person can do.
    pub message: String,
    /// Digest of where it is.
    pub place: String,
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
        Error::Source(failed) if failed.is_gone() && has_all(pass, purpose, &digest(place)) => {
            tracing::info!(error = %failed, "a source cannot be read; its content is already applied");
            Ok(Unavailable {
                reason: failed.reason(),
                message: format!(
                    "{failed}. All scripts that were read from it earlier are applied, and the database is in use"
                ),
                place: digest(place),
                unwatched: failed.is_outside(),
            })
        }
        _ => Err(error),
    }
}

/// The warning of a source of migrations that was emptied after they were applied.
pub fn emptied(pass: &Pass, place: &SourcePlace) -> Option<Unavailable> {
    let applied = pass.object.migrations().is_some_and(|is| is.applied > 0);
    (applied && has_all(pass, Purpose::Migrations, &digest(place))).then(|| Unavailable {
        reason: Reason::SourceNotFound,
        message: format!(
            "{place} no longer contains migrations: restore them. All migrations it contained are applied, and the database \
             is in use"
        ),
        place: digest(place),
        unwatched: place.source.oci.is_some() || place.source.folder.is_some(),
    })
}

/// Whether everything is applied that was read from the source: the status was settled for this spec, or the source was
/// already reported as gone then.
fn has_all(pass: &Pass, purpose: Purpose, place: &str) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let known = status.unavailable_sources.iter().flatten();
    let same = pass.object.is_settled() || known.into_iter().any(|known| known == place);
    let applied = match purpose {
        Purpose::Migrations => pass.object.migrations().is_some_and(is_whole),
        Purpose::Template => pass.object.migrations().is_none_or(is_whole) && !status.has_failed_seed(),
        Purpose::Seed => status.seed.is_some() && !status.has_failed_seed(),
    };
    same && applied && pass.is_serving()
}

fn is_whole(migrations: &MigrationStatus) -> bool {
    migrations.pending == 0 && !migrations.failed && migrations.failure.is_none()
}

/// The warning of a template that is no longer in the class.
///
/// # Errors
/// The error, when the template may contain something that is not applied.
pub fn without_template(pass: &Pass, error: Error) -> Result<Unavailable, Error> {
    let template = pass.object.spec.template();
    let place = format!("template {}", template.map(|it| it.name.as_str()).unwrap_or_default());
    if !has_all(pass, Purpose::Template, &place) {
        return Err(error);
    }
    Ok(Unavailable {
        reason: error.reason(),
        message: format!("{error}. All scripts that were read from it earlier are applied, and the database is in use"),
        place,
        unwatched: true,
    })
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

    #[test]
    fn one_artifact_for_both_is_told_once() {
        let source = Unavailable {
            reason: Reason::SourceDenied,
            message: "refused".into(),
            place: String::new(),
            unwatched: true,
        };
        let told = told(&[source.clone(), source]);
        assert_eq!(told, Some((Reason::SourceDenied, "refused".into())));
        assert_eq!(super::told(&[]), None);
    }
}
