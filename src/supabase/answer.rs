//! Turns a failed HTTP answer into an [`Error`]: by its message first and by its status second, since the API does not
//! document the status of a refusal.

use std::time::Duration;

use serde_json::Value;

use super::error::Error;
use super::operation::{Operation, Scope};
use crate::text;

/// The most characters of the API's text that are repeated.
const CAP: usize = 300;

/// The content of a failed answer.
pub(super) struct Answer {
    pub status: u16,
    pub message: String,
    missing: Vec<String>,
    /// Whether the API itself has answered, and not a proxy in front of it.
    is_json: bool,
}

impl Answer {
    /// Reads a body: the API's `{"message": text or list}`, `{"error": {"message"}}`, or the text of a proxy in
    /// front of it. `secrets` are redacted.
    pub fn read(status: u16, body: &[u8], secrets: &[&str]) -> Self {
        let raw = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let (message, missing) = match &json {
            Some(object) => {
                let message = [&object["message"], &object["error"]["message"], &object["error"]]
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
            secrets.iter().filter(|secret| !secret.is_empty()).fold(text, blot)
        };
        let message = capped(&clean(message));
        let message = if message.is_empty() {
            "no message".to_owned()
        } else {
            message
        };
        let missing = missing.into_iter().take(20).map(|name| capped(&clean(name))).collect();
        Self {
            status,
            message,
            missing,
            is_json: json.is_some(),
        }
    }

    /// The error of the answer. `pause` is the time after which to come back after a 429.
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
            403 if is_json => Error::PermissionDenied {
                operation,
                message,
                missing,
            },
            409 if operation == Operation::CreateProject => Error::NameTaken { message },
            // «Cannot GET …» means that the route does not exist: the address is wrong, and the project may exist.
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

/// The refusals that are known by their wording. The same wording has come with different statuses.
fn by_message(operation: Operation, message: &str) -> Option<Error> {
    let lower = message.to_lowercase();
    let says = |words: &str| lower.contains(words);
    let message = message.to_owned();
    let error = if says("maximum limits for the number of active free projects") || says("project limit)") {
        Error::FreeProjectLimit { message }
    } else if says("overdue invoice") || says("service restrictions") {
        Error::BillingRestricted { message }
    } else if says("already exists in your organization") || says("name already in use") {
        Error::NameTaken { message }
    } else if operation == Operation::CreateProject && says("capacity") {
        Error::RegionAtCapacity { message }
    } else if says("db_pass must be") || says("password must be longer") || says("password must be shorter") {
        Error::PasswordRefused { message }
    } else if says("not ready for deletion") {
        Error::NotReadyForDeletion
    } else if says("resource has been removed") && operation.scope() == Scope::Project {
        Error::Gone { message }
    } else if says("organization not found") {
        Error::OrganizationNotFound { message }
    } else if says("must be active and healthy") || says("no longer in a paused state") {
        Error::NotReady { operation, message }
    } else {
        return None;
    };
    Some(error)
}

fn not_found(operation: Operation, message: String) -> Error {
    match operation.scope() {
        Scope::Organization | Scope::User => Error::OrganizationNotFound { message },
        // For a while after its creation a project may lack a part.
        Scope::Project if operation.is_part_of_a_project() => Error::NotReady { operation, message },
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

/// A text of the API on one line, without control characters, of at most 300 characters.
pub(super) fn capped(text: &str) -> String {
    text::line(text, CAP)
}

#[cfg(test)]
mod tests;
