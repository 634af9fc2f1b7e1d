//! The queries that are asked of a restored copy: from a ConfigMap of the Orchestra, or of its class.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use crate::api::condition::Reason;
use crate::api::{AssertionsReference, ClassBackup};
use crate::archive::order::{ASSERTIONS, Assertion};
use crate::backup::Pass;
use crate::controller::error::Error;

/// The most bytes of one query.
const QUERY: usize = 64 << 10;

/// The most bytes of all: the order of a Job holds them, and is in a Secret.
const ALL: usize = 256 << 10;

/// Reads the assertions of a drill. Those of an Orchestra that is gone, or is another one of its name, are not asked.
///
/// # Errors
/// [`Reason::SourceNotFound`], [`Reason::AssertionsInvalid`]; when the Kubernetes API fails.
pub async fn read(pass: &Pass, class: &ClassBackup) -> Result<Vec<Assertion>, Error> {
    let core = pass.core();
    let namespace = pass.object.namespace().unwrap_or_default();
    let key = ObjectRef::new(&pass.object.spec.orchestra_ref.name).within(&namespace);
    let uid = pass.status().orchestra_uid;
    let orchestra = core
        .stores
        .orchestras
        .get(&key)
        .filter(|orchestra| orchestra.uid() == uid);
    let own = orchestra.and_then(|orchestra| orchestra.spec.backup.verify.clone());
    let (verify, namespace) = match own {
        Some(own) => (Some(own), namespace),
        None => (class.schedule.verify.clone(), core.settings.namespace.clone()),
    };
    let Some(assertions) = verify.and_then(|verify| verify.assertions) else {
        return Ok(Vec::new());
    };
    let named = assertions.config_map_ref;
    let api: Api<ConfigMap> = Api::namespaced(core.client.clone(), &namespace);
    let found = api.get_opt(&named.name).await?.ok_or_else(|| {
        Error::blocked(
            Reason::SourceNotFound,
            format!(
                "ConfigMap {namespace}/{}, which backup.verify.assertions names, does not exist: create it, and ask for the \
                 drill again",
                named.name
            ),
        )
    })?;
    of(found.data.unwrap_or_default(), &named).map_err(|why| {
        let message = format!(
            "ConfigMap {namespace}/{}, which backup.verify.assertions names, {why}",
            named.name
        );
        Error::blocked(Reason::AssertionsInvalid, message)
    })
}

/// The assertions of a ConfigMap's keys, in the order of their names.
fn of(mut data: BTreeMap<String, String>, named: &AssertionsReference) -> Result<Vec<Assertion>, String> {
    if let Some(key) = &named.key {
        let query = data.remove(key).ok_or_else(|| format!("has no key {key}"))?;
        data = BTreeMap::from([(key.clone(), query)]);
    }
    if data.is_empty() {
        return Err("has no key: give each query a key of its own".into());
    }
    if data.len() > ASSERTIONS {
        return Err(format!(
            "has {} keys: a drill has at most {ASSERTIONS} assertions",
            data.len()
        ));
    }
    if let Some((key, _)) = data.iter().find(|(_, query)| query.len() > QUERY) {
        return Err(format!(
            "has a key {key} of more than {} KiB: make its query shorter",
            QUERY >> 10
        ));
    }
    if let Some((key, _)) = data.iter().find(|(_, query)| query.trim().is_empty()) {
        return Err(format!("has a key {key} without a query"));
    }
    if data.values().map(String::len).sum::<usize>() > ALL {
        return Err(format!("has more than {} KiB of queries: make them shorter", ALL >> 10));
    }
    let all = data.into_iter().map(|(name, sql)| Assertion { name, sql });
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(data: &[(&str, String)], key: Option<&str>) -> Result<Vec<String>, String> {
        let data = data.iter().map(|(key, query)| ((*key).to_owned(), query.clone()));
        let named = AssertionsReference {
            name: "checks".into(),
            key: key.map(Into::into),
        };
        let told = |all: Vec<Assertion>| all.into_iter().map(|one| one.name).collect();
        of(data.collect(), &named).map(told)
    }

    #[test]
    fn each_key_is_an_assertion_and_all_are_bounded() {
        let query = || "SELECT true".to_owned();
        let two = [("b", query()), ("a", query())];
        assert_eq!(read(&two, None).unwrap(), ["a", "b"]);
        assert_eq!(read(&two, Some("b")).unwrap(), ["b"]);
        let names: Vec<_> = (0..=ASSERTIONS).map(|number| number.to_string()).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), query())).collect();
        let large: Vec<_> = names
            .iter()
            .take(5)
            .map(|name| (name.as_str(), "x".repeat(QUERY)))
            .collect();
        for (data, key, says) in [
            (&two[..], Some("c"), "has no key c"),
            (&[], None, "has no key"),
            (&many[..], None, "at most 100 assertions"),
            (&[("a", "x".repeat(QUERY + 1))], None, "key a of more than 64 KiB"),
            (&[("a", " \n".to_owned())], None, "key a without a query"),
            (&large[..], None, "more than 256 KiB"),
        ] {
            let told = read(data, key).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }
}
