//! Label selectors of the spec, checked as the API server checks those of its own kinds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::Selector;

/// The selector for matching, or what is wrong with it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(selector: &LabelSelector) -> Result<Selector, String> {
    for requirement in selector.match_expressions.iter().flatten() {
        valid(requirement)?;
    }
    Selector::try_from(selector.clone()).map_err(|error| error.to_string())
}

/// The checks of the API server for a selector of its own kinds (`ValidateLabelSelectorRequirement` in
/// `k8s.io/apimachinery`); in a custom resource it takes any text.
fn valid(requirement: &LabelSelectorRequirement) -> Result<(), String> {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let any = values.as_ref().is_some_and(|values| !values.is_empty());
    match (operator.as_str(), any) {
        ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => Ok(()),
        ("In" | "NotIn", false) => Err(format!("operator {operator} of key {key} needs values")),
        ("Exists" | "DoesNotExist", true) => Err(format!("operator {operator} of key {key} takes no values")),
        _ => Err(format!(
            "operator {operator} of key {key} is invalid: use In, NotIn, Exists or DoesNotExist"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use kube::core::SelectorExt as _;

    fn parsed(of: Value) -> Result<Selector, String> {
        parse(&serde_json::from_value(of).unwrap())
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
            ("in", json!(["a"]), "operator in of key tier is invalid: use In"),
            ("In", json!([]), "needs values"),
            ("Exists", json!(["a"]), "takes no values"),
        ] {
            let wrong = json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
            assert!(parsed(wrong).unwrap_err().contains(says), "{says}");
        }
    }
}
