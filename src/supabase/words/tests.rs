use Operation::{CreateProject, DeleteProject, GetApiKeys, GetProject, RestoreProject};

use super::*;

/// The words of an answer to a creation in Frankfurt.
fn words(text: &str) -> Words {
    let echo = Echo {
        region: Some("eu-central-1"),
        ..Echo::default()
    };
    Words::of(text, "", echo)
}

fn topic(operation: Operation, text: &str) -> Option<Topic> {
    words(text).topic(operation)
}

#[test]
fn a_limit_of_projects_is_known_in_many_words() {
    for text in [
        "The following organization members have reached their maximum limits for the number of active free projects \
         within organizations where they are an administrator or owner: me (2 project limit). To continue, upgrade.",
        "Members of this organization have gone beyond their limit of free projects: t.rehearser (limit: 2 free projects)",
        "The organization has members who have exceeded their free project limits: ada (Limit: 2 free projects)",
        "You have hit the limit for the amount of free active projects you can create on your account",
        "Free plan allows only two projects",
        "Free projects: quota exceeded",
        "No free projects remaining in this organization",
        "You have used both of your free projects",
        "There are no free project slots available",
        "2 of 2 free projects are in use",
        "The project capacity of your plan is reached",
        "Your plan has no projects left",
        "You cannot have more than 2 active projects",
        "Too many projects in this organization",
        "Maximum number of projects reached",
        "project quota exceeded",
        "Project limit reached. Please upgrade your plan.",
        "Upgrade to create another project on this tier",
        "Free project limit exceeded, try again in 10 minutes",
        "The limit for free projects is reached, please retry after 60 seconds",
        "Your requests exceed the limit of free projects",
        "Free-tier quota exceeded: retry in 30 minutes",
        "You are on the Free Plan: too many projects. Wait a few minutes after you have paused one",
    ] {
        assert_eq!(topic(CreateProject, text), Some(Topic::ProjectLimit), "{text}");
        assert_eq!(topic(RestoreProject, text), Some(Topic::ProjectLimit), "{text}");
        assert_eq!(topic(GetApiKeys, text), None, "{text}");
    }
    for code in [
        "free_project_limit_exceeded",
        "PROJECT_LIMIT_REACHED",
        "ProjectLimitReached",
    ] {
        let words = Words::of("Bad Request", code, Echo::default());
        assert_eq!(words.topic(CreateProject), Some(Topic::ProjectLimit), "{code}");
    }
}

#[test]
fn other_limits_are_none_of_projects() {
    for text in [
        "The project name exceeds the maximum length of 256 characters",
        "name must be shorter than or equal to 256 characters",
        "Rate limit exceeded for projects",
        "Too many requests for this project, limit 120 per minute",
        "Too many requests: the free plan allows 120 per minute for a project",
        "Rate limit exceeded for free projects, retry after 60 seconds",
        "The free plan allows names of at most 40 letters",
        "The size exceeds the limit of the free tier for 60 seconds",
        "Projects of this plan may not have an instance size of 4xlarge: upgrade",
        "This plan allows projects in two regions only",
        "Project creation in the Supabase dashboard is disabled for this Vercel-managed organization.",
        "property release_channel should not exist",
        "name should not contain a . string",
        "region_selection.code must be one of the following values",
        "Failed to create project",
    ] {
        assert_eq!(topic(CreateProject, text), None, "{text}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn the_other_topics() {
    for (operation, text, expected) in [
        (
            CreateProject,
            "There are overdue invoices in the organization(s)",
            Topic::Billing,
        ),
        (CreateProject, "Your last invoice is unpaid", Topic::Billing),
        (
            RestoreProject,
            "This organization is currently under service restrictions.",
            Topic::Billing,
        ),
        (
            CreateProject,
            "Project with name n already exists in your organization.",
            Topic::NameTaken,
        ),
        (CreateProject, "Project name already in use", Topic::NameTaken),
        (
            CreateProject,
            "Project names have to be unique: this name is taken",
            Topic::NameTaken,
        ),
        (
            CreateProject,
            "The selected region is at capacity, please choose another one.",
            Topic::Capacity,
        ),
        (
            CreateProject,
            "There is no free capacity for this project in the selected region",
            Topic::Capacity,
        ),
        (
            CreateProject,
            "We are out of capacity for new projects, feel free to try again",
            Topic::Capacity,
        ),
        (
            CreateProject,
            "db_pass must be longer than or equal to 4 characters",
            Topic::Password,
        ),
        (CreateProject, "Password is too weak", Topic::Password),
        (
            DeleteProject,
            "Project not ready for deletion.",
            Topic::DeletionTooEarly,
        ),
        (DeleteProject, "The project is still coming up", Topic::DeletionTooEarly),
        (GetProject, "Resource has been removed", Topic::Removed),
        (GetApiKeys, "This project was deleted", Topic::Removed),
        (CreateProject, "Organization not found", Topic::NoOrganization),
        (GetApiKeys, "Project must be active and healthy.", Topic::NotReady),
        (
            RestoreProject,
            "This project is no longer in a paused state, it is PAUSING",
            Topic::NotReady,
        ),
    ] {
        assert_eq!(topic(operation, text), Some(expected), "{text}");
    }
}

#[test]
fn a_region_that_is_off_is_told_from_one_that_there_is_not() {
    let off = |text: &str| words(text).is_region_off();
    for text in [
        "New projects are paused in eu-central-1 for now",
        "We do not take new projects in this region at the moment",
        "eu-central-1 is having a nap",
        "Region disabled",
        "This region is temporarily disabled, please choose one of the other regions",
        "You must choose another region, eu-central-1 is paused",
        "You must choose another region, eu-central-1 takes no projects",
        "eu-central-1 has no instances left",
        "No instances of this size are left in eu-central-1",
        "There is a shortage of instances in eu-central-1",
        "Instances are currently not available in eu-central-1",
        "eu-central-1 is disabled, choose one of the following: eu-west-3, eu-north-1",
        "eu-central-1 is paused, valid regions are eu-west-3 and eu-north-1",
    ] {
        assert!(off(text), "{text}");
    }
    for text in [
        "region_selection.code must be one of the following values",
        "invalid region eu-central-1",
        "region_selection.code must be one of the following values: eu-west-3, eu-north-1",
        "region must be a string",
        "region_selection.code must match /^[a-z]/",
        "region should be one of the following values",
        "property region should not exist",
        "Instance size nano is not available in eu-central-1",
        "Instance size nano is unavailable in eu-central-1",
        "Invalid region: eu-central-1 is disabled",
        "The region does not exist",
        "New projects are paused in eu-central-2",
    ] {
        assert!(!off(text), "{text}");
    }
}

#[test]
fn a_missing_route_is_no_missing_project() {
    let route = |text: &str| words(text).is_about_route();
    for text in [
        "Cannot GET /v1/projects/x",
        "no Route matched with those values",
        "no healthy upstream",
        "default backend - 404",
        "blocked",
        "",
    ] {
        assert!(route(text), "{text}");
    }
    for text in [
        "Project not found",
        "Not found",
        "Resource has been removed",
        "Not Found",
    ] {
        assert!(!route(text), "{text}");
    }
}
