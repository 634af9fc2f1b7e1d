//! Several default classes: the youngest is used, as with StorageClasses, and the status of each says so.

use std::sync::Arc;

use kube::ResourceExt;

use super::{annotated, is_default, is_ending};
use crate::api::{DEFAULT_CLASS_ANNOTATION, ENVIRONMENT_ANNOTATION, OrchestraClass};
use crate::class::Context;

/// The message of a default class about the other default classes, whatever else is wrong with it; none when it is the only
/// one.
pub fn warning_of_several(ctx: &Context, class: &OrchestraClass) -> Option<String> {
    if !is_default(class) {
        return None;
    }
    let taken = super::resolve(ctx, None).ok()?;
    told(class, &taken, &ctx.core.stores.classes.state_filter(is_default))
}

/// The same, where `taken` is used, and `all` are marked as the default one.
fn told(class: &OrchestraClass, taken: &OrchestraClass, all: &[Arc<OrchestraClass>]) -> Option<String> {
    let used = format!("Orchestras without className use {}", taken.name_any());
    if is_ending(class) {
        let name = class.name_any();
        return Some(format!("Class {name} is being deleted and is no longer used. {used}"));
    }
    let others = all.iter().filter(|other| other.name_any() != class.name_any());
    let (ending, others): (Vec<_>, Vec<_>) = others.partition(|other| is_ending(other));
    let names = |classes: &[&Arc<OrchestraClass>]| {
        let mut names: Vec<_> = classes.iter().map(|class| class.name_any()).collect();
        names.sort();
        names.join(", ")
    };
    let mut said = Vec::new();
    if !others.is_empty() {
        let rivals = all.iter().map(|other| &**other);
        let rivals = rivals.filter(|other| !is_ending(other) && other.name_any() != taken.name_any());
        said.push(format!(
            "Class {} is marked as the default one, too. {used}, because {}. Keep the annotation {DEFAULT_CLASS_ANNOTATION} on \
             one class only",
            names(&others),
            why(taken, rivals)
        ));
    }
    if !ending.is_empty() {
        let ending = names(&ending);
        said.push(format!("Class {ending} is being deleted and is no longer used"));
    }
    (!said.is_empty()).then(|| said.join(". "))
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

    #[test]
    fn a_class_that_is_being_deleted_is_no_rival_and_says_so() {
        let class = |name: &str, second: i64, ending: bool| {
            let mut class = OrchestraClass::new(name, crate::api::OrchestraClassSpec::default());
            let at = jiff::Timestamp::from_second(second).unwrap_or_default();
            let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at);
            class.metadata.creation_timestamp = Some(at.clone());
            class.metadata.deletion_timestamp = ending.then_some(at);
            Arc::new(class)
        };
        let (old, new, gone) = (class("old", 1, false), class("new", 2, false), class("gone", 3, true));
        let gone_says = "Class gone is being deleted and is no longer used";
        assert_eq!(told(&old, &old, std::slice::from_ref(&old)), None);
        assert_eq!(
            told(&old, &old, &[gone.clone(), old.clone()]).as_deref(),
            Some(gone_says)
        );
        let both = told(&old, &new, &[gone.clone(), old.clone(), new.clone()]).unwrap_or_default();
        assert!(
            both.starts_with("Class new is marked as the default one, too."),
            "{both}"
        );
        assert!(both.contains("use new, because it is the newest."), "{both}");
        assert!(both.ends_with(gone_says), "{both}");
        let own = told(&gone, &new, &[gone.clone(), old, new.clone()]);
        let own_says = format!("{gone_says}. Orchestras without className use new");
        assert_eq!(own.as_deref(), Some(own_says.as_str()));
    }
}
