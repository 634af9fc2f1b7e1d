//! Several default classes: the youngest is used, as with StorageClasses, and the status of each says so.

use kube::ResourceExt;

use super::annotated;
use crate::api::{DEFAULT_CLASS_ANNOTATION, ENVIRONMENT_ANNOTATION, OrchestraClass};
use crate::class::Context;

/// The message of a default class about the other default classes, whatever else is wrong with it; none when it is the only
/// one.
pub fn warning_of_several(ctx: &Context, class: &OrchestraClass) -> Option<String> {
    if !annotated(class, DEFAULT_CLASS_ANNOTATION) {
        return None;
    }
    let mut others: Vec<_> = ctx
        .core
        .stores
        .classes
        .state_filter(|other| annotated(other, DEFAULT_CLASS_ANNOTATION) && other.name_any() != class.name_any())
        .iter()
        .map(|other| other.name_any())
        .collect();
    others.sort();
    let taken = super::resolve(ctx, None).ok()?;
    if others.is_empty() {
        return None;
    }
    let rivals = ctx
        .core
        .stores
        .classes
        .state_filter(|other| annotated(other, DEFAULT_CLASS_ANNOTATION) && other.name_any() != taken.name_any());
    Some(format!(
        "Class {} is marked as the default one, too. Orchestras without className use {}, because {}. Keep the annotation \
         {DEFAULT_CLASS_ANNOTATION} on one class only",
        others.join(", "),
        taken.name_any(),
        why(&taken, rivals.iter().map(AsRef::as_ref))
    ))
}

/// Why this one is used and not the others: the same order as in [`super::resolve`].
fn why<'a>(taken: &OrchestraClass, mut rivals: impl Iterator<Item = &'a OrchestraClass>) -> &'static str {
    let from_environment = |class: &OrchestraClass| annotated(class, ENVIRONMENT_ANNOTATION);
    let rival = rivals
        .by_ref()
        .filter(|other| from_environment(other) == from_environment(taken));
    let rivals: Vec<_> = rival.map(ResourceExt::creation_timestamp).collect();
    if rivals.is_empty() {
        "the others are made from the operator's environment"
    } else if rivals.iter().all(|other| *other < taken.creation_timestamp()) {
        "it is the newest"
    } else {
        "it sorts last by name among the newest classes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_one_that_decided() {
        let class = |second: i64, environment: bool| {
            let mut class = OrchestraClass::new("a", crate::api::OrchestraClassSpec::default());
            let at = jiff::Timestamp::from_second(second).unwrap_or_default();
            class.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
            if environment {
                let annotation = (ENVIRONMENT_ANNOTATION.to_owned(), "true".to_owned());
                class.metadata.annotations = Some([annotation].into());
            }
            class
        };
        for (taken, rival, says) in [
            (class(2, false), class(1, false), "it is the newest"),
            (
                class(1, false),
                class(1, false),
                "it sorts last by name among the newest classes",
            ),
            (
                class(1, false),
                class(2, true),
                "the others are made from the operator's environment",
            ),
        ] {
            assert_eq!(why(&taken, [&rival].into_iter()), says);
        }
    }
}
