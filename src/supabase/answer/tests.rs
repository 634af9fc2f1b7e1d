use Operation::{CreateProject, DeleteProject, GetApiKeys, GetPoolerConfig, GetProject, ListProjects};

use super::*;
use crate::api::condition::Reason;
use crate::error::ErrorClass;

fn error(operation: Operation, status: u16, body: &str) -> Error {
    let answer = FailedAnswer::read(status, body.as_bytes(), &["hunter2"], Echo::default());
    answer.classify(operation, Duration::from_secs(9))
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn refusals_are_sorted_by_words_and_then_by_status() {
    let limit = "The following organization members have reached their maximum limits for \
                 the number of active free projects within organizations where they are an \
                 administrator or owner: me (2 project limit).";
    let (blocked, transient) = (ErrorClass::Blocked, ErrorClass::Transient);
    let after = |seconds| ErrorClass::After(Duration::from_secs(seconds));
    for (operation, status, message, reason, class) in [
        (CreateProject, 401, "Unauthorized", Reason::TokenRejected, blocked),
        (
            GetProject,
            401,
            "Resource has been removed",
            Reason::TokenRejected,
            blocked,
        ),
        (
            CreateProject,
            403,
            "Forbidden action",
            Reason::PermissionDenied,
            blocked,
        ),
        (CreateProject, 400, limit, Reason::QuotaExceeded, blocked),
        (CreateProject, 403, limit, Reason::QuotaExceeded, blocked),
        (
            CreateProject,
            400,
            "There are overdue invoices in the organization(s)",
            Reason::BillingRestricted,
            blocked,
        ),
        (
            CreateProject,
            400,
            "This organization is currently under service restrictions.",
            Reason::BillingRestricted,
            blocked,
        ),
        (
            CreateProject,
            402,
            "Payment required",
            Reason::BillingRestricted,
            blocked,
        ),
        (
            CreateProject,
            400,
            "n already exists in your organization.",
            Reason::OutcomeUnknown,
            transient,
        ),
        (CreateProject, 409, "Conflict", Reason::OutcomeUnknown, transient),
        (
            CreateProject,
            404,
            "Organization not found",
            Reason::OrganizationNotFound,
            blocked,
        ),
        (ListProjects, 404, "Not found", Reason::OrganizationNotFound, blocked),
        (
            CreateProject,
            400,
            "name should not contain a .",
            Reason::RequestRefused,
            blocked,
        ),
        (
            DeleteProject,
            400,
            "Project not ready for deletion.",
            Reason::Deleting,
            after(30),
        ),
        (
            DeleteProject,
            400,
            "Resource has been removed",
            Reason::DatabaseLost,
            blocked,
        ),
        (
            GetProject,
            400,
            "Resource has been removed",
            Reason::DatabaseLost,
            blocked,
        ),
        (GetProject, 404, "Project not found", Reason::DatabaseLost, blocked),
        (
            GetProject,
            404,
            "Cannot GET /v1/projects/x",
            Reason::RequestRefused,
            blocked,
        ),
        (GetApiKeys, 404, "Project not found", Reason::Provisioning, transient),
        (
            GetApiKeys,
            400,
            "Project must be active and healthy.",
            Reason::Provisioning,
            transient,
        ),
        (GetPoolerConfig, 406, "Not acceptable", Reason::Provisioning, transient),
        (GetProject, 429, "Rate limit exceeded", Reason::RateLimited, after(9)),
        (GetProject, 500, "Failed", Reason::ProviderUnavailable, transient),
        (GetProject, 544, "Timed out", Reason::ProviderUnavailable, transient),
    ] {
        let body = serde_json::json!({ "message": message }).to_string();
        let error = error(operation, status, &body);
        assert_eq!((error.reason(), error.class()), (reason, class), "{status} {message}");
        assert_eq!(error.outcome_unknown(), status >= 500, "{status} {message}");
    }
}

#[test]
fn what_stands_before_the_api_never_says_gone() {
    let html = "<html>\n<head><title>404</title></head>\u{0} Resource has been removed</html>";
    for status in [400, 404, 502] {
        assert!(!error(GetProject, status, html).is_gone(), "{status}");
    }
    let error = error(CreateProject, 502, "error code: 502");
    assert!(error.outcome_unknown());
    assert_eq!(
        error.to_string(),
        "the Management API failed to create_project (HTTP 502: error code: 502)"
    );
}

#[test]
fn every_shape_of_body_yields_its_message() {
    for (body, message) in [
        (r#"{"message":"a"}"#, "a"),
        (r#"{"message":["a","b"]}"#, "a; b"),
        (r#"{"error":{"name":"BadRequestException","message":"a"}}"#, "a"),
        (r#"{"error":"a"}"#, "a"),
        (
            r#"{"error":{"code":"x","message":"a","issues":[{"message":"b"},{"message":"c"}]}}"#,
            "a: b; c",
        ),
        (r#"{"message":{"message":"a"}}"#, "a"),
        (r#"{"msg":"a","code":3}"#, "a"),
        (r#"{"errors":[{"detail":"a"},{"detail":"b"}]}"#, "a; b"),
        (r#"{"error":"invalid_request","error_description":"a"}"#, "a"),
        (r#"{"statusCode":400,"message":["a"],"error":"Bad Request"}"#, "a"),
        (r#""a""#, "a"),
        (r#""{\"message\":\"a\"}""#, "a"),
        (r#"{"message":"{\"error\":{\"message\":\"a\"}}"}"#, "a"),
        ("\u{feff}{\"message\":\"a\"}", "a"),
        (
            "<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>x</body>",
            "a web page: 403 Forbidden",
        ),
        (
            "<HTML><body><h1>Access  denied</h1>by policy</body></HTML>",
            "a web page: Access denied by policy",
        ),
        (r#"{"message":3}"#, r#"{"message":3}"#),
        ("  plain\r\n text ", "plain text"),
        ("", "no message"),
        ("[1]", "[1]"),
        (
            r#"{"message":"your db_pass hunter2 is weak"}"#,
            "your db_pass [redacted] is weak",
        ),
    ] {
        let answer = FailedAnswer::read(400, body.as_bytes(), &["hunter2"], Echo::default());
        assert_eq!(answer.said.to_string(), message);
    }
    let answer = FailedAnswer::read(400, &[0xff, b'x'], &[], Echo::default());
    assert_eq!(answer.said.to_string(), "\u{fffd}x");
}

#[test]
fn long_text_is_cut_between_characters() {
    let cut = capped(&"é".repeat(400));
    assert_eq!(cut.chars().count(), CAP + 1);
    assert!(cut.ends_with('…'));
    assert_eq!(capped(&"é".repeat(CAP)), "é".repeat(CAP));
}

#[test]
fn a_403_names_the_missing_permissions() {
    let body = r#"{"message":"Forbidden","missing_permissions":["organization_projects_create"]}"#;
    let text = error(CreateProject, 403, body).to_string();
    assert!(
        text.ends_with("make a token that also has: organization_projects_create"),
        "{text}"
    );
}
