#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn the_page_follows_the_naming_rules() {
    let metrics = Metrics::default();
    let took = Duration::from_millis(30);
    metrics.reconciled("orchestra", PassOutcome::Done, took);
    metrics.reconcile_failed("orchestra", Reason::TokenRejected, ErrorClass::Blocked);
    metrics.management_request("create_project", "201", took);
    metrics.set_orchestras([("Ready", 2)]);
    metrics.set_orchestras([("Failed", 1)]);
    metrics.set_databases([("Bound", 2)]);
    metrics.set_expiring(3, 1);
    metrics.set_credential_ages([("left", Credential::Login, 9)]);
    metrics.set_credential_ages([("standard", Credential::OwnerPassword, 60)]);
    let queue = |orchestras: &[&str]| RequestQueue {
        operation: "create_project",
        orchestras: orchestras.iter().map(ToString::to_string).collect(),
    };
    metrics.set_queues(&[queue(&["a/gone"])]);
    metrics.set_queues(&[queue(&["a/one", "b/two"])]);
    metrics.set_leader(true);
    let page = metrics.encode().unwrap();
    for line in [
        r#"orchestra_reconciles_total{controller="orchestra",outcome="done"} 1"#,
        r#"orchestra_reconcile_duration_seconds_count{controller="orchestra"} 1"#,
        r#"orchestra_reconcile_errors_total{controller="orchestra",reason="TokenRejected",error_class="blocked"} 1"#,
        r#"orchestra_management_api_requests_total{operation="create_project",code="201"} 1"#,
        r#"orchestra_management_api_request_duration_seconds_count{operation="create_project"} 1"#,
        r#"orchestra_orchestras{phase="Failed"} 1"#,
        r#"orchestra_databases{phase="Bound"} 2"#,
        r#"orchestra_orchestras_expiring{state="warned"} 1"#,
        r#"orchestra_queue_depth{operation="create_project"} 2"#,
        r#"orchestra_queue_position{namespace="b",name="two"} 2"#,
        r#"orchestra_class_oldest_credential_age_seconds{class="standard",credential="owner_password"} 60"#,
        "orchestra_leader 1",
        "# UNIT orchestra_reconcile_duration_seconds seconds",
        "# EOF",
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains(r#"class="left""#), "a class without tenants must go");
    assert!(!page.contains("gone"), "who does not wait must go");
    assert!(!page.contains(r#"phase="Ready""#), "a phase without objects must go");
}
