//! Which Orchestras may claim through a class: those of the namespaces that it names, and none once
//! it is being deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use kube::runtime::reflector::ObjectRef;

use crate::api::OrchestraClass;
use crate::api::condition::Reason;
use crate::controller::Context;
use crate::controller::error::Error;

/// Whether an Orchestra of this namespace may claim through the class now. One that holds a claim
/// already is not asked again: it keeps its database.
pub fn admit(ctx: &Context, class: &OrchestraClass, namespace: &str) -> Result<(), Error> {
    let name = class.name_any();
    if class.metadata.deletion_timestamp.is_some() {
        return Err(Error::blocked(
            Reason::ClassDeleting,
            format!("OrchestraClass {name} is being deleted and takes no new claims: use another class"),
        ));
    }
    let Some(allowed) = &class.spec.allowed_namespaces else {
        return Ok(());
    };
    let wanted = selector(&allowed.selector).map_err(|wrong| wrong_selector(&name, &wrong))?;
    let labels = ctx.stores.namespaces.get(&ObjectRef::new(namespace));
    if labels.is_some_and(|found| wanted.matches(found.labels())) {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::NamespaceNotAllowed,
        format!(
            "class {name} does not admit namespace {namespace}: it admits namespaces with labels {wanted}. Label the \
             namespace so, or use another class; the operator goes on by itself"
        ),
    ))
}

/// What is wrong with a class by itself, before anybody claims through it.
pub fn check(class: &OrchestraClass) -> Result<(), Error> {
    let Some(allowed) = &class.spec.allowed_namespaces else {
        return Ok(());
    };
    selector(&allowed.selector)
        .map(drop)
        .map_err(|wrong| wrong_selector(&class.name_any(), &wrong))
}

fn wrong_selector(class: &str, wrong: &str) -> Error {
    Error::blocked(
        Reason::SelectorInvalid,
        format!("class {class} admits no namespace, as its allowedNamespaces.selector is not valid: {wrong}"),
    )
}

/// The selector as it is matched, or what is wrong with it.
pub fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    for requirement in selector.match_expressions.iter().flatten() {
        valid(requirement)?;
    }
    Selector::try_from(selector.clone()).map_err(|error| error.to_string())
}

/// What the API server checks in a selector of its own kinds (`ValidateLabelSelectorRequirement` in
/// `k8s.io/apimachinery`); in a custom resource it takes any text.
fn valid(requirement: &LabelSelectorRequirement) -> Result<(), String> {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let any = values.as_ref().is_some_and(|values| !values.is_empty());
    match (operator.as_str(), any) {
        ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => Ok(()),
        ("In" | "NotIn", false) => Err(format!("operator {operator} of key {key} needs values")),
        ("Exists" | "DoesNotExist", true) => Err(format!("operator {operator} of key {key} takes no values")),
        _ => Err(format!(
            "operator {operator} of key {key} is none of In, NotIn, Exists and DoesNotExist"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn parsed(of: Value) -> Result<Selector, String> {
        selector(&serde_json::from_value(of).unwrap())
    }

    #[test]
    fn a_selector_matches_as_those_of_kubernetes_do() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
                .collect::<BTreeMap<_, _>>()
        };
        let (gold, plain) = (labels(&[("tier", "gold"), ("eu", "")]), labels(&[]));
        for (wanted, of_gold, of_plain) in [
            (json!({}), true, true),
            (json!({"matchLabels": {"tier": "gold"}}), true, false),
            (json!({"matchLabels": {"tier": "gold", "eu": "no"}}), false, false),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "x"]}]}),
                true,
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}),
                false,
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "eu", "operator": "Exists"}]}),
                true,
                false,
            ),
            (
                json!({"matchLabels": {"tier": "gold"}, "matchExpressions": [{"key": "eu", "operator": "DoesNotExist"}]}),
                false,
                false,
            ),
        ] {
            let selector = parsed(wanted.clone()).unwrap();
            assert_eq!(
                (selector.matches(&gold), selector.matches(&plain)),
                (of_gold, of_plain),
                "{wanted}"
            );
        }
    }

    #[test]
    fn a_wrong_selector_says_what_is_wrong() {
        for (operator, values, says) in [
            ("in", json!(["a"]), "operator in of key tier is none of In"),
            ("In", json!([]), "needs values"),
            ("Exists", json!(["a"]), "takes no values"),
        ] {
            let wrong = json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
            assert!(parsed(wrong).unwrap_err().contains(says), "{says}");
        }
    }
}
