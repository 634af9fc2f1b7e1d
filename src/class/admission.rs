//! Which Orchestras may claim through a class: those of the namespaces that it allows, and none once the class is
//! being deleted.

use kube::ResourceExt;
use kube::core::SelectorExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::api::condition::Reason;
use crate::api::{OrchestraClass, selector};
use crate::controller::error::Error;

/// Whether an Orchestra of this namespace may make a claim through the class now. An Orchestra that holds a claim
/// keeps its database and is not checked again.
pub fn admit(ctx: &Context, class: &OrchestraClass, namespace: &str) -> Result<(), Error> {
    let name = class.name_any();
    if namespace == ctx.core.settings.namespace {
        return Err(Error::blocked(
            Reason::NamespaceNotAllowed,
            format!(
                "namespace {namespace} is the operator's own: everyone who may create Orchestras there could reach tokens \
                 and owners' passwords. Create the Orchestra in another namespace"
            ),
        ));
    }
    if class.metadata.deletion_timestamp.is_some() {
        return Err(Error::blocked(
            Reason::ClassDeleting,
            format!("OrchestraClass {name} is being deleted and admits no new claims: use another class"),
        ));
    }
    let Some(allowed) = &class.spec.allowed_namespaces else {
        return Ok(());
    };
    let wanted = selector::parse(&allowed.selector).map_err(|wrong| wrong_selector(&name, &wrong))?;
    let labels = ctx.core.stores.namespaces.get(&ObjectRef::new(namespace));
    if labels.is_some_and(|found| wanted.matches(found.labels())) {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::NamespaceNotAllowed,
        format!(
            "class {name} does not admit namespace {namespace}: it admits namespaces with labels {wanted}. Add \
             these labels to the namespace, or use another class; the operator then continues"
        ),
    ))
}

/// Checks the class itself, before anybody claims through it.
pub fn check(class: &OrchestraClass) -> Result<(), Error> {
    let Some(allowed) = &class.spec.allowed_namespaces else {
        return Ok(());
    };
    selector::parse(&allowed.selector)
        .map(drop)
        .map_err(|wrong| wrong_selector(&class.name_any(), &wrong))
}

fn wrong_selector(class: &str, wrong: &str) -> Error {
    Error::blocked(
        Reason::SelectorInvalid,
        format!("class {class} admits no namespace, because its allowedNamespaces.selector is not valid: {wrong}"),
    )
}
