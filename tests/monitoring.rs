//! Metrics, alerts, runbooks and the dashboard belong together: what one names, the others have.
//!
//! `UPDATE_METRICS=1 cargo test --test monitoring` writes the table of `docs/metrics.md` again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code, reason = "the stories use the rest of it")]
#[path = "support/metrics_page.rs"]
mod metrics_page;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use metrics_page::{documented, documented_table, families, names_in, table};
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::telemetry::backups::TenantBackup;
use orchestra_operator::telemetry::classes::{ClassFacts, RequestLimit};
use orchestra_operator::telemetry::fleet::TenantPhase;
use orchestra_operator::telemetry::metrics::{Credential, Metrics, PassOutcome, RequestQueue, TenantCredential};
use orchestra_operator::telemetry::orphans::OrphanFacts;
use orchestra_operator::telemetry::pools::PoolFacts;
use orchestra_operator::telemetry::tenants::{Connections, TenantFacts};
use orchestra_sandbox::prometheus::find_or_say;
use serde_json::Value;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The page of an operator to which everything has happened.
#[allow(clippy::too_many_lines, reason = "one list")]
fn page() -> String {
    let metrics = Metrics::default();
    let took = Duration::from_millis(30);
    let text = str::to_owned;
    metrics.reconciled("orchestra", PassOutcome::Done, took);
    metrics.reconcile_failed("orchestra", Reason::TokenRejected, ErrorClass::Blocked);
    metrics.set_unreadable([("orchestra", 1)]);
    metrics.management_request("create_project", "201", took);
    metrics.management_odd("list_projects", 1);
    metrics.queue_waited("create_project", took);
    metrics.set_queues(&[RequestQueue {
        operation: "create_project",
        orchestras: vec![text("tenants/one")],
    }]);
    metrics.set_orchestras([("Ready", 1)]);
    metrics.set_databases([("Bound", 1)]);
    metrics.set_expiring(1, 1);
    metrics.set_oldest_logins([("standard", 1)]);
    metrics.set_credential_ages([("standard", Credential::Login, 1)]);
    metrics.set_tenant_credentials(vec![TenantCredential {
        namespace: text("tenants"),
        name: text("one"),
        credential: Credential::Login,
        class: text("standard"),
        age: 1,
    }]);
    metrics.set_classes([ClassFacts {
        class: text("standard"),
        currency: text("USD"),
        projected: Some(1.0),
        limit: Some(2.0),
        used_percent: Some(50),
        schema_odd: Some(1),
        paused: 1,
        idle_seconds: Some(1),
        saved: Some(1.0),
        token_expires: Some(1),
        token_since: Some(1),
        requests: vec![RequestLimit {
            operation: "create_project",
            limit: 120,
            left: 60,
        }],
        tenants: 1,
        migrations: vec![("applied", 1)],
        migrations_pending: 1,
        rollout: vec![("updated", 1)],
        skew: Some((1, 0)),
    }]);
    metrics.set_pools([PoolFacts {
        pool: text("warm"),
        databases: vec![("available", 1)],
    }]);
    metrics.set_orphans([OrphanFacts {
        class: text("standard"),
        kind: "project",
        count: 1,
        currency: text("USD"),
        monthly: 1.0,
    }]);
    metrics.fleet().set_stalled([("class", Reason::TokenRejected)]);
    metrics.fleet().set_phases(vec![TenantPhase {
        class: text("standard"),
        namespace: text("tenants"),
        name: text("one"),
        phase: text("Ready"),
    }]);
    metrics.backups().attempted(Reason::BackedUp);
    metrics.backups().made(took);
    metrics.backups().set_phases([(text("Completed"), 1)]);
    metrics.backups().set_stored([(text("standard"), 1)]);
    metrics.backups().set_progress([(text("standard"), 1)]);
    metrics.backups().drilled(Reason::Verified);
    metrics.backups().restored(took);
    metrics.backups().set_unverified([text("standard")]);
    metrics.backups().set_overdue([text("standard")]);
    metrics.backups().set_troubles([(text("standard"), Reason::StoreFull)]);
    metrics.backups().set_ages(vec![TenantBackup {
        class: text("standard"),
        namespace: text("tenants"),
        name: text("one"),
        age: 1,
        scheduled: true,
        named: true,
    }]);
    metrics.provisioning().succeeded(Some("standard"), took);
    metrics.provisioning().at("uid", Some(Reason::Provisioning));
    metrics.provisioning().at("uid", None);
    metrics.tenants().probed("Ready", took);
    metrics.tenants().set_outages(["TlsFailed"]);
    metrics.tenants().set(vec![TenantFacts {
        class: text("standard"),
        namespace: text("tenants"),
        name: text("one"),
        bytes: 1,
        connections: vec![Connections {
            scope: "login",
            used: 1,
            limit: Some(60),
        }],
        oldest_transaction: 1.0,
    }]);
    metrics.encode().unwrap()
}

#[test]
fn the_table_of_metrics_is_what_the_code_has() {
    let path = "docs/metrics.md";
    let (have, want) = (read(path), table(&families(&page())));
    if std::env::var_os("UPDATE_METRICS").is_some() {
        let text = have.replace(&documented_table(&have), &want);
        std::fs::write(project(path), text).unwrap();
        return;
    }
    assert_eq!(
        documented_table(&have),
        want,
        "UPDATE_METRICS=1 cargo test --test monitoring writes the table of {path} anew"
    );
    assert_eq!(documented(&have).len(), want.lines().count() - 2);
}

/// The format that `promtool check metrics` reads: `OpenMetrics` names a counter without `_total` in its comments.
fn text_format(page: &str) -> String {
    let counters: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::new();
    for line in page
        .lines()
        .filter(|line| !line.starts_with("# UNIT") && *line != "# EOF")
    {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                let _ = writeln!(text, "# {what} {name}_total {rest}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

fn promtool(arguments: &[&str], input: &str) -> Option<String> {
    let programs = find_or_say(&format!("promtool {}", arguments.join(" ")))?;
    let mut child = Command::new(programs.promtool)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    Some(said)
}

#[test]
fn the_names_follow_the_rules_of_prometheus() {
    let text = text_format(&page());
    if let Some(said) = promtool(&["check", "metrics"], &text) {
        assert!(said.trim().is_empty(), "{said}");
    }
}

/// The alerts of the rules.
fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/monitoring/rules.yaml");
    let groups = rules["groups"].as_array().unwrap();
    let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    all.cloned().collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn both_forms_of_the_rules_are_equal() {
    let (plain, resource) = (
        yaml("deploy/monitoring/rules.yaml"),
        yaml("deploy/monitoring/prometheusrule.yaml"),
    );
    assert_eq!(resource["kind"], "PrometheusRule");
    assert_eq!(resource["spec"], plain);
}

#[test]
fn each_alert_fires_once_and_is_silent_once() {
    let cases = yaml("tests/monitoring/alerts.yaml");
    let mut found = BTreeSet::new();
    for case in cases["tests"].as_array().unwrap() {
        for test in case["alert_rule_test"].as_array().unwrap() {
            let fires = !test["exp_alerts"].as_array().unwrap().is_empty();
            found.insert((test["alertname"].as_str().unwrap().to_owned(), fires));
        }
    }
    let all = alerts();
    let wanted = all
        .iter()
        .flat_map(|alert| [true, false].map(|fires| (name(alert).to_owned(), fires)));
    assert_eq!(found, wanted.collect());
    promtool(&["check", "rules", "deploy/monitoring/rules.yaml"], "");
    promtool(&["test", "rules", "tests/monitoring/alerts.yaml"], "");
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let index = read("docs/runbooks/README.md");
    let mut names = BTreeSet::from(["README".to_owned()]);
    for alert in alerts() {
        let (name, notes) = (name(&alert), &alert["annotations"]);
        let page = read(&format!("docs/runbooks/{name}.md"));
        let headings: Vec<_> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        let wanted = [
            title.as_str(),
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
        ];
        assert_eq!(headings, wanted, "{name}");
        let page = format!("{}/blob/main/docs/runbooks/{name}.md", env!("CARGO_PKG_REPOSITORY"));
        assert_eq!(notes["runbook_url"], page);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        let summary = notes["summary"].as_str().unwrap();
        assert!(!summary.contains("{{") && notes["description"].is_string(), "{name}");
        let row = format!("| [{name}]({name}.md) | {severity} | {summary} |");
        assert!(index.contains(&row), "{row} is not in docs/runbooks/README.md");
        names.insert(name.to_owned());
    }
    let files = std::fs::read_dir(project("docs/runbooks")).unwrap();
    let files = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), names);
}

#[test]
fn alerts_dashboard_and_runbooks_name_metrics_that_are_there() {
    let known: BTreeSet<_> = documented(&read("docs/metrics.md"))
        .into_iter()
        .map(|family| family.name)
        .collect();
    let mut texts = vec![
        read("deploy/monitoring/rules.yaml"),
        read("deploy/monitoring/dashboard.json"),
    ];
    for file in std::fs::read_dir(project("docs/runbooks")).unwrap() {
        texts.push(std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    for text in &texts {
        for name in names_in(text) {
            assert!(known.contains(&name), "{name} is not in docs/metrics.md");
        }
    }
}

/// The repository is named in Cargo.toml. What installs, warns or explains names the same one, and images of its owner.
#[test]
fn all_addresses_are_of_one_repository() {
    let (owner, name) = env!("CARGO_PKG_REPOSITORY")
        .strip_prefix("https://github.com/")
        .and_then(|path| path.split_once('/'))
        .unwrap();
    let mut files = vec![project("README.md"), project("src/run/arguments.rs")];
    let mut folders = vec![project("deploy"), project("docs"), project("tests/monitoring")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    let mut found = BTreeSet::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for host in ["github.com/", "ghcr.io/"] {
            for (at, _) in text.match_indices(host) {
                let rest = &text[at + host.len()..];
                let path = rest.split(|end: char| !(end.is_ascii_alphanumeric() || "-_/.".contains(end)));
                let path = path.into_iter().next().unwrap_or_default();
                let Some((its, rest)) = path.split_once('/') else {
                    continue;
                };
                if rest.starts_with(name) {
                    assert_eq!(its, owner, "{}: {host}{path}", file.display());
                    found.insert(host);
                }
            }
        }
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels with one id");
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(rows, ["Fleet", "One tenant", "Cost"]);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "class", "namespace", "name"]));
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

#[test]
fn the_service_monitor_selects_the_operator() {
    let (service, monitor) = (
        yaml("deploy/kustomize/base/service.yaml"),
        yaml("deploy/monitoring/servicemonitor.yaml"),
    );
    let deployment = yaml("deploy/kustomize/base/deployment.yaml");
    let (pod, wanted) = (&deployment["spec"]["template"], &service["spec"]["selector"]);
    assert_eq!(&pod["metadata"]["labels"], wanted);
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    let port = &service["spec"]["ports"][0];
    assert!(ports.iter().any(|it| it["name"] == port["targetPort"]), "{port}");
    assert_eq!(monitor["kind"], "ServiceMonitor");
    assert_eq!(
        monitor["spec"]["selector"]["matchLabels"],
        service["metadata"]["labels"]
    );
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["port"], port["name"]);
    assert_eq!(
        (&endpoint["path"], &endpoint["honorLabels"]),
        (&"/metrics".into(), &true.into())
    );
}
