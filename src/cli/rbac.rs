//! `orchestra-operator rbac`: prints the operator's service account and its rights.

use crate::run;

/// Kinds and objects that any installation needs.
const CLUSTER: &str = include_str!("rbac/cluster.yaml");

/// Rights in the namespaces of Orchestras.
const TENANTS: &str = include_str!("rbac/tenants.yaml");

/// Reading namespaces, of an operator for all of them.
const ALL_NAMESPACES: &str = include_str!("rbac/namespaces-all.yaml");

/// Reading namespaces, of an operator for a few.
const FEW_NAMESPACES: &str = include_str!("rbac/namespaces-few.yaml");

/// Flags of `orchestra-operator rbac`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Namespaces whose Orchestras the operator serves, as its own flag says; omitted: all. Repeatable, or
    /// separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Namespace of the operator.
    #[arg(long, default_value = "orchestra-system")]
    pub namespace: String,
    /// Name of the operator's Lease.
    #[arg(long, default_value = "orchestra-operator")]
    pub lease_name: String,
}

/// Returns the manifests: with namespaces, a Role in each of them, and none of the tenants' Secrets and ConfigMaps
/// elsewhere.
///
/// # Errors
/// When an operator cannot serve one of the namespaces.
pub fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let tenants = run::tenants(&arguments.watch_namespaces, &arguments.namespace)?;
    let shown = tenants.join(",");
    let (flags, namespaces) = if tenants.is_empty() {
        (String::new(), ALL_NAMESPACES.to_owned())
    } else {
        let few = FEW_NAMESPACES.replace("{tenants}", &tenants.join(", "));
        (format!(" --watch-namespaces {shown}"), few)
    };
    let mut text = format!("# The rights of the operator, as `orchestra-operator rbac{flags}` prints them.\n");
    text.push_str(&CLUSTER.replace("{namespaces}", namespaces.trim_end()));
    if tenants.is_empty() {
        let what = "The namespaces of Orchestras: all, and with them every Secret of the cluster. `--watch-namespaces` limits it.";
        text.push_str(&rights(what, "ClusterRole", "orchestra-operator-tenants", ""));
    }
    for tenant in &tenants {
        let scope = format!("namespace: {tenant}\n  ");
        let what = format!("The namespace {tenant}, whose Orchestras the operator serves.");
        text.push_str(&rights(&what, "Role", "orchestra-operator", &scope));
    }
    let text = text
        .replace("{namespace}", &arguments.namespace)
        .replace("{lease}", &arguments.lease_name);
    Ok(text.trim_end().to_owned())
}

fn rights(what: &str, kind: &str, name: &str, scope: &str) -> String {
    TENANTS
        .replace("{where}", what)
        .replace("{kind}", kind)
        .replace("{name}", name)
        .replace("{scope}", scope)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arguments(tenants: &[&str]) -> Arguments {
        Arguments {
            watch_namespaces: tenants.iter().map(|&name| name.to_owned()).collect(),
            namespace: "orchestra-system".into(),
            lease_name: "orchestra-operator".into(),
        }
    }

    #[test]
    fn the_manifests_are_fresh() {
        for (file, tenants) in [("kustomize/rbac.yaml", &[][..]), ("namespaced/rbac.yaml", &["tenants"])] {
            let path = format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
            let written = std::fs::read_to_string(path).unwrap();
            let printed = run(&arguments(tenants)).unwrap();
            assert!(written.trim_end() == printed, "deploy/{file} is stale: make rbac");
        }
    }

    #[test]
    fn a_namespace_that_cannot_be_served_is_refused() {
        for (name, says) in [
            ("orchestra-system", "the operator's own namespace"),
            ("Tenants", "no name of a namespace"),
            ("a]\nrules: [b", "no name of a namespace"),
        ] {
            let error = run(&arguments(&[name])).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
