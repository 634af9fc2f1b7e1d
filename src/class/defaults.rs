//! Several default classes: the youngest is used, as with StorageClasses, and the status of each says so.

use kube::ResourceExt;

use super::annotated;
use crate::api::{DEFAULT_CLASS_ANNOTATION, OrchestraClass};
use crate::class::Context;

/// The message of a class that can meet claims.
pub fn describe(ctx: &Context, class: &OrchestraClass) -> String {
    let well = "claims can be met";
    if !annotated(class, DEFAULT_CLASS_ANNOTATION) {
        return well.into();
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
    let Ok(taken) = super::resolve(ctx, None) else {
        return well.into();
    };
    if others.is_empty() {
        return well.into();
    }
    format!(
        "{well}. Class {} is marked as the default one, too: Orchestras without className use {}, the youngest. Leave \
         the annotation {DEFAULT_CLASS_ANNOTATION} on one class",
        others.join(", "),
        taken.name_any()
    )
}
