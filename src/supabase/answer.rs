//! From a failed HTTP answer to an [`Error`]: by message first and by status second, since the
//! API documents neither which refusal carries which status.

use std::time::Duration;

use serde_json::Value;

use super::budget::{Operation, Scope};
use super::error::Error;

/// The most characters of foreign text that we repeat.
const CAP: usize = 300;

/// What a failed answer says.
pub(super) struct Answer {
    pub status: u16,
    pub message: String,
    missing: Vec<String>,
    /// Whether the API itself spoke, rather than something in front of it.
    is_json: bool,
}

impl Answer {
    /// Reads a body: the API's `{"message": text or list}`, `{"error": {"message"}}`, or whatever
    /// a proxy in front of it writes. `secrets` are blotted out.
    pub fn read(status: u16, body: &[u8], secrets: &[&str]) -> Self {
        let raw = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let (message, missing) = match &json {
            Some(object) => {
                let message = [
                    &object["message"],
                    &object["error"]["message"],
                    &object["error"],
                ]
                .into_iter()
                .find_map(text);
                (
                    message.unwrap_or_else(|| raw.to_string()),
                    list(&object["missing_permissions"]),
                )
            }
            None => (raw.to_string(), Vec::new()),
        };
        let clean = |text: String| {
            let blot = |text: String, secret: &&str| text.replace(*secret, "[redacted]");
            secrets
                .iter()
                .filter(|secret| !secret.is_empty())
                .fold(text, blot)
        };
        let message = capped(&clean(message));
        let message = if message.is_empty() {
            "no message".to_owned()
        } else {
            message
        };
        let missing = missing
            .into_iter()
            .take(20)
            .map(|name| capped(&clean(name)))
            .collect();
        Self {
            status,
            message,
            missing,
            is_json: json.is_some(),
        }
    }

    /// The error it stands for. `pause` is when to come back after a 429.
    pub fn classify(self, operation: Operation, pause: Duration) -> Error {
        let Self {
            status,
            message,
            missing,
            is_json,
        } = self;
        match status {
            401 => return Error::TokenRejected { message },
            429 => {
                return Error::RateLimited {
                    operation,
                    after: pause,
                };
            }
            408 | 500.. => {
                return Error::Unavailable {
                    operation,
                    status,
                    message,
                };
            }
            _ => {}
        }
        if is_json && let Some(error) = by_message(operation, &message) {
            return error;
        }
        match status {
            402 => Error::BillingRestricted { message },
            403 => Error::PermissionDenied {
                operation,
                message,
                missing,
            },
            409 if operation == Operation::CreateProject => Error::NameTaken { message },
            // A route that does not exist is a wrong address, not a project that is gone.
            404 if is_json && !message.starts_with("Cannot ") => not_found(operation, message),
            400..500 if operation.is_part_of_a_project() => Error::NotReady { operation, message },
            _ => Error::Refused {
                operation,
                status,
                message,
            },
        }
    }
}

/// The refusals that the API is known to word; the same words came with different statuses.
fn by_message(operation: Operation, message: &str) -> Option<Error> {
    let lower = message.to_lowercase();
    let says = |words: &str| lower.contains(words);
    let message = message.to_owned();
    let error = if says("maximum limits for the number of active free projects")
        || says("project limit)")
    {
        Error::FreeProjectLimit { message }
    } else if says("overdue invoice") || says("service restrictions") {
        Error::BillingRestricted { message }
    } else if says("already exists in your organization") || says("name already in use") {
        Error::NameTaken { message }
    } else if says("not ready for deletion") {
        Error::NotReadyForDeletion
    } else if says("resource has been removed") && operation.scope() == Scope::Project {
        Error::Gone { message }
    } else if says("organization not found") {
        Error::OrganizationNotFound { message }
    } else if says("must be active and healthy") {
        Error::NotReady { operation, message }
    } else {
        return None;
    };
    Some(error)
}

fn not_found(operation: Operation, message: String) -> Error {
    match operation.scope() {
        Scope::Organization | Scope::User => Error::OrganizationNotFound { message },
        // Right after creation a part may be missing while the project is there.
        Scope::Project if operation.is_part_of_a_project() => {
            Error::NotReady { operation, message }
        }
        Scope::Project => Error::Gone { message },
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) => Some(list(value).join("; ")).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn list(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Foreign text on one line, without control characters, at most 300 characters.
pub(super) fn capped(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(CAP) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use Operation::{
        ApiKeys, CreateProject, DeleteProject, GetProject, ListProjects, PoolerConfig,
    };

    use super::*;
    use crate::api::condition::Reason;
    use crate::controller::error::Class;

    fn error(operation: Operation, status: u16, body: &str) -> Error {
        let answer = Answer::read(status, body.as_bytes(), &["hunter2"]);
        answer.classify(operation, Duration::from_secs(9))
    }

    #[test]
    fn refusals_are_sorted_by_words_and_then_by_status() {
        let limit = "The following organization members have reached their maximum limits for \
                     the number of active free projects within organizations where they are an \
                     administrator or owner: me (2 project limit).";
        let (blocked, transient) = (Class::Blocked, Class::Transient);
        let after = |seconds| Class::After(Duration::from_secs(seconds));
        for (operation, status, message, reason, class) in [
            (
                CreateProject,
                401,
                "Unauthorized",
                Reason::TokenRejected,
                blocked,
            ),
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
            (
                CreateProject,
                409,
                "Conflict",
                Reason::OutcomeUnknown,
                transient,
            ),
            (
                CreateProject,
                404,
                "Organization not found",
                Reason::OrganizationNotFound,
                blocked,
            ),
            (
                ListProjects,
                404,
                "Not found",
                Reason::OrganizationNotFound,
                blocked,
            ),
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
            (
                GetProject,
                404,
                "Project not found",
                Reason::DatabaseLost,
                blocked,
            ),
            (
                GetProject,
                404,
                "Cannot GET /v1/projects/x",
                Reason::RequestRefused,
                blocked,
            ),
            (
                ApiKeys,
                404,
                "Project not found",
                Reason::Provisioning,
                transient,
            ),
            (
                ApiKeys,
                400,
                "Project must be active and healthy.",
                Reason::Provisioning,
                transient,
            ),
            (
                PoolerConfig,
                406,
                "Not acceptable",
                Reason::Provisioning,
                transient,
            ),
            (
                GetProject,
                429,
                "Rate limit exceeded",
                Reason::RateLimited,
                after(9),
            ),
            (
                GetProject,
                500,
                "Failed",
                Reason::ProviderUnavailable,
                transient,
            ),
            (
                GetProject,
                544,
                "Timed out",
                Reason::ProviderUnavailable,
                transient,
            ),
        ] {
            let body = serde_json::json!({ "message": message }).to_string();
            let error = error(operation, status, &body);
            assert_eq!(
                (error.reason(), error.class()),
                (reason, class),
                "{status} {message}"
            );
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
            (
                r#"{"error":{"name":"BadRequestException","message":"a"}}"#,
                "a",
            ),
            (r#"{"error":"a"}"#, "a"),
            (r#"{"message":3}"#, r#"{"message":3}"#),
            ("  plain\r\n text ", "plain text"),
            ("", "no message"),
            ("[1]", "[1]"),
            (
                r#"{"message":"your db_pass hunter2 is weak"}"#,
                "your db_pass [redacted] is weak",
            ),
        ] {
            assert_eq!(
                Answer::read(400, body.as_bytes(), &["hunter2"]).message,
                message
            );
        }
        assert_eq!(Answer::read(400, &[0xff, b'x'], &[]).message, "\u{fffd}x");
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
        let body =
            r#"{"message":"Forbidden","missing_permissions":["organization_projects_create"]}"#;
        let text = error(CreateProject, 403, body).to_string();
        assert!(
            text.ends_with("make a token that also has: organization_projects_create"),
            "{text}"
        );
    }
}
