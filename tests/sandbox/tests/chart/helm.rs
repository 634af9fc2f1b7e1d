//! The real helm, where it is found: the programs that `HELM` names, with colons between them, else `helm` in `PATH`. It is
//! not built here, because that takes minutes: `go install helm.sh/helm/v4/cmd/helm@v4.3.1`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{chart, project, read, rendered};

/// Each helm that there is.
pub fn all() -> Vec<PathBuf> {
    let named = env::var_os("HELM").map(|named| env::split_paths(&named).collect::<Vec<_>>());
    let in_path = || {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|folder| folder.join("helm"))
            .find(|file| file.is_file())
    };
    let found = named.unwrap_or_else(|| in_path().into_iter().collect());
    if found.is_empty() {
        orchestra_sandbox::left_out(
            "helm is neither in HELM nor in PATH; the checked-in renders are compared with kustomize without it",
        );
    }
    found
}

/// Runs helm, and gives what it prints.
pub fn run(helm: &Path, arguments: &[&str]) -> String {
    let output = Command::new(helm).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {said}", helm.display());
    String::from_utf8(output.stdout).unwrap()
}

/// The chart with values from a file, as helm renders it for a cluster without the Prometheus operator.
pub fn template(helm: &Path, values: &Path, more: &[&str]) -> String {
    let (chart, values) = (chart(), format!("--values={}", values.display()));
    let mut arguments = vec![
        "template",
        "orchestra-operator",
        chart.to_str().unwrap(),
        "--namespace=orchestra-system",
        "--kube-version=1.33.0",
        &values,
    ];
    arguments.extend(more);
    run(helm, &arguments)
}

#[test]
fn helm_has_nothing_to_object() {
    for helm in all() {
        let chart = chart();
        let said = run(&helm, &["lint", "--strict", chart.to_str().unwrap()]);
        assert!(said.contains("0 chart(s) failed"), "{said}");
        let refused = |set: &str| {
            let arguments = [
                "template",
                "orchestra-operator",
                chart.to_str().unwrap(),
                "--namespace=system",
                "--kube-version=1.33.0",
                "--set",
                set,
            ];
            let output = Command::new(&helm).args(arguments).output().unwrap();
            assert!(!output.status.success(), "{set}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        // Nothing of the alerts and dashboards is read as a template.
        let monitored = template(
            &helm,
            &project().join("tests/sandbox/tests/chart/values/monitoring.yaml"),
            &["--set=dashboard.enabled=true,prometheusRule.enabled=true"],
        );
        for entry in fs::read_dir(project().join("deploy/monitoring")).unwrap() {
            let path = entry.unwrap().path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = read(&path);
                let maps = rendered::objects(&monitored);
                let name = format!("orchestra-operator-{name}");
                let map = maps
                    .values()
                    .find_map(|object| object["data"][&name].as_str().map(str::to_owned));
                assert_eq!(map.unwrap_or_default().trim(), text.trim(), "{name}");
            }
            if name == "prometheusrule.yaml" {
                let rules: serde_json::Value = serde_saphyr::from_str(&read(&path)).unwrap();
                let all = rendered::objects(&monitored);
                let rendered = all.values().find(|object| object["kind"] == "PrometheusRule").unwrap();
                assert_eq!(rendered["spec"], rules["spec"]);
            }
        }
        let said = refused("replicaCount=2");
        assert!(said.contains("replicaCount"), "{said}");
        let said = refused("watchNamespaces={tenants,system}");
        assert!(said.contains("the operator's own namespace"), "{said}");
    }
}
