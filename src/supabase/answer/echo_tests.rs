//! Long texts, and names of people and tenants in them.

use Operation::{CreateProject, GetProject, ListProjects, RestoreProject};

use super::*;
use crate::api::condition::Reason;

/// A creation of this project for this organization.
fn reason(operation: Operation, status: u16, message: &str, (project, organization): (&str, &str)) -> Reason {
    let body = serde_json::json!({ "message": message }).to_string();
    let echo = Echo {
        names: &[project, organization],
        region: Some("eu-central-1"),
    };
    let error = FailedAnswer::read(status, body.as_bytes(), &[], echo).classify(operation, Duration::ZERO);
    assert!(error.to_string().chars().count() < 600, "{error}");
    error.reason()
}

#[test]
fn the_whole_text_is_judged_and_its_beginning_shown() {
    let members: Vec<_> = (0..15).map(|n| format!("member-number-{n}@tenants.example")).collect();
    let limit = format!(
        "Members of this organization ({}) have gone beyond their limit of free projects",
        members.join(", ")
    );
    let name = format!("n{}", "-1".repeat(124));
    let taken = format!("Could not create project: a project with the name {name} already exists");
    let closed = format!(
        "{} takes no projects: eu-central-1 is closed",
        "The provider ".repeat(40)
    );
    assert!(limit.len() > CAP && taken.len() > CAP);
    for (status, message, expected) in [
        (400, &limit, Reason::QuotaExceeded),
        (403, &limit, Reason::QuotaExceeded),
        (429, &limit, Reason::QuotaExceeded),
        (400, &taken, Reason::OutcomeUnknown),
        (400, &closed, Reason::RequestRefused),
    ] {
        let known = ("another", "acme");
        assert_eq!(reason(CreateProject, status, message, known), expected, "{message}");
        assert_eq!(
            reason(CreateProject, status, message, (&name, "acme")),
            expected,
            "{message}"
        );
    }
    let echo = Echo {
        names: &[],
        region: Some("eu-central-1"),
    };
    let body = serde_json::json!({ "message": closed }).to_string();
    let error = FailedAnswer::read(400, body.as_bytes(), &[], echo).classify(CreateProject, Duration::ZERO);
    assert!(!error.to_string().contains("eu-central-1"), "{error}");
    let error = crate::supabase::regions::RegionState::Unknown.explain(error);
    assert_eq!(error.reason(), Reason::RegionAtCapacity);
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn names_of_tenants_and_organizations_are_not_the_words_of_the_provider() {
    let cluster = "0a1b2c3d4e5f-orchdb-0f3c6a3e";
    for name in [
        "invoices",
        "free-limit",
        "overdue",
        "unpaid",
        "password-least",
        "capacity",
        "quota-of-projects",
    ] {
        let project = format!("tenants-{name}-{cluster}");
        let organization = format!("acme-{name}");
        let known = (project.as_str(), organization.as_str());
        for (operation, status, message, expected) in [
            (
                CreateProject,
                400,
                format!("Project with name {project} already exists in your organization."),
                Reason::OutcomeUnknown,
            ),
            (
                CreateProject,
                409,
                format!(
                    "Project with name {} already exists in {organization}.",
                    project.to_uppercase()
                ),
                Reason::OutcomeUnknown,
            ),
            (
                CreateProject,
                400,
                format!("'{}...' is not a good name", &project[..20]),
                Reason::RequestRefused,
            ),
            (
                CreateProject,
                404,
                format!("Organization {organization} not found"),
                Reason::OrganizationNotFound,
            ),
            (
                ListProjects,
                404,
                format!("Organization {organization} not found"),
                Reason::OrganizationNotFound,
            ),
            (
                RestoreProject,
                403,
                format!("You may not restore {project} of {organization}"),
                Reason::PermissionDenied,
            ),
            (
                CreateProject,
                403,
                format!("{name}+1@{organization}.example may not do this in {organization}"),
                Reason::PermissionDenied,
            ),
            (
                GetProject,
                404,
                format!("Project {project} not found"),
                Reason::DatabaseLost,
            ),
            // What the provider says itself counts as before.
            (
                CreateProject,
                400,
                format!("{organization} has overdue invoices, so {project} is not created"),
                Reason::BillingRestricted,
            ),
            (
                CreateProject,
                409,
                "The limit of free projects is reached".to_owned(),
                Reason::QuotaExceeded,
            ),
            (
                CreateProject,
                409,
                format!("The name {project} is taken: settle the unpaid invoices of {organization} to reuse it"),
                Reason::OutcomeUnknown,
            ),
        ] {
            assert_eq!(reason(operation, status, &message, known), expected, "{message}");
        }
    }
}
