//! Turns a failed HTTP answer into an [`Error`]: first by its status and by the server that answered, and last by its text.

use std::time::Duration;

use serde_json::Value;

use super::error::Error;
use super::operation::{LimitScope, Operation};
use super::redact::redact;
use super::said::{CAP, Said, capped};
use super::words::{Echo, Topic};
use crate::text;

/// The most characters of a body that are looked at.
const READ: usize = 4000;
/// How deep a message may be wrapped in objects, lists and JSON in text.
const DEPTH: usize = 6;

/// The content of a failed answer.
pub(super) struct FailedAnswer {
    pub status: u16,
    pub said: Said,
    missing: Vec<String>,
    from: From,
}

/// The party that has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The API, with an object.
    Api,
    /// Probably the API, with a text in JSON or a list.
    Text,
    /// A proxy or another server in front of the API.
    Outside,
}

impl FailedAnswer {
    /// Reads a body: the API's `{"message": text or list}` and its relatives, also wrapped in a JSON string, or the
    /// text of a proxy in front of it. `secrets` are redacted, and what it repeats of the request is not judged.
    pub fn read(status: u16, body: &[u8], secrets: &[&str], echo: Echo<'_>) -> Self {
        let raw = String::from_utf8_lossy(body);
        let raw = raw.trim_start_matches('\u{feff}');
        let json = unwrapped(serde_json::from_str(raw).ok());
        let (said, from) = match &json {
            Some(value @ Value::Object(_)) => (text_of(value, DEPTH), From::Api),
            Some(Value::String(text)) => (Some(text.clone()), From::Text),
            Some(list @ Value::Array(_)) => match text_of(list, DEPTH) {
                Some(said) => (Some(said), From::Text),
                None => (None, From::Outside),
            },
            _ => (page(raw), From::Outside),
        };
        let clean = |text: &str| redact(&text::line(text, READ), secrets);
        let message = clean(said.as_deref().unwrap_or(raw));
        let message = if message.is_empty() {
            "no message".to_owned()
        } else {
            message
        };
        let object = match &json {
            Some(Value::Array(items)) => items.iter().find(|item| item.is_object()),
            json => json.as_ref().filter(|json| json.is_object()),
        };
        let object = object.unwrap_or(&Value::Null);
        let codes = [
            &object["code"],
            &object["error_code"],
            &object["errorCode"],
            &object["error"]["code"],
        ];
        let code: Vec<_> = codes.into_iter().filter_map(Value::as_str).collect();
        let missing = list(&object["missing_permissions"]);
        Self {
            status,
            said: Said::of(&message, &text::line(&code.join(" "), CAP), echo),
            missing: missing.iter().take(20).map(|name| capped(&clean(name))).collect(),
            from,
        }
    }

    /// Whether a proxy or another server has answered, and not the API.
    pub fn is_from_outside(&self) -> bool {
        self.from == From::Outside
    }

    /// The error of the answer, first by its status and structure, and last by its text. `pause` is the time after
    /// which to come back after a 429.
    pub fn classify(self, operation: Operation, pause: Duration) -> Error {
        let topic = self.topic(operation);
        let is_limit = topic == Some(Topic::ProjectLimit);
        match self.status {
            401 if !self.is_from_outside() => Error::TokenRejected {
                message: self.said.to_string(),
            },
            // A limit of projects has come with the status of a limit of requests.
            429 if !(is_limit && self.from == From::Api) => Error::RateLimited {
                operation,
                after: pause,
            },
            408 | 425 | 499 | 500.. => Error::Unavailable {
                operation,
                status: self.status,
                message: self.said.to_string(),
            },
            _ if self.status < 400 || self.status == 407 => self.refused(operation),
            _ if self.from == From::Outside => self.of_a_proxy(operation),
            403 if !self.missing.is_empty() => self.denied(operation),
            _ => match topic.filter(|topic| self.may_be(*topic)) {
                Some(topic) => of_topic(topic, operation, self.said),
                None => self.by_status(operation),
            },
        }
    }

    /// The topic by the words. A conflict that speaks of the name is about nothing else, whatever it says of the
    /// organization.
    fn topic(&self, operation: Operation) -> Option<Topic> {
        let words = self.said.words();
        if self.status == 409 && operation == Operation::CreateProject && words.is_name_taken() {
            return Some(Topic::NameTaken);
        }
        words.topic(operation)
    }

    /// A text alone never means that a project is gone: not with a status that is about rights, payment or a conflict.
    fn may_be(&self, topic: Topic) -> bool {
        topic != Topic::Removed || matches!(self.status, 400 | 404 | 410)
    }

    /// The answer of a proxy is about the connection to the API, and not about a project.
    fn of_a_proxy(self, operation: Operation) -> Error {
        match self.status {
            400 | 404 | 406 | 409 | 422 if operation.is_part_of_a_project() => self.not_ready(operation),
            _ => self.refused(operation),
        }
    }

    fn by_status(self, operation: Operation) -> Error {
        let (words, message) = (self.said.words(), self.said.to_string());
        match self.status {
            402 => Error::BillingRestricted { message },
            403 => self.denied(operation),
            404 | 410 if operation == Operation::GetLegacyKeys => Error::Gone { message },
            404 | 410 if operation == Operation::DeleteApiKey && !words.is_about_route() => Error::Gone { message },
            404 | 410 if operation == Operation::CreateApiKey => self.refused(operation),
            404 | 410 if operation.is_part_of_a_project() => self.not_ready(operation),
            404 | 410 if words.is_about_route() => self.refused(operation),
            404 | 410 if operation == Operation::CreateProject && words.is_about_region() => self.refused(operation),
            404 | 410 if operation.scope() != LimitScope::Project => Error::OrganizationNotFound { message: self.said },
            // A text alone has to name the project.
            404 | 410 if self.from == From::Api || words.any(&["project", "resource"]) => Error::Gone { message },
            409 if operation == Operation::CreateProject => Error::NameTaken { message: self.said },
            // For a while after its creation a project may lack a part.
            400..500 if operation.is_part_of_a_project() => self.not_ready(operation),
            _ => self.refused(operation),
        }
    }

    fn not_ready(self, operation: Operation) -> Error {
        Error::NotReady {
            operation,
            message: self.said.to_string(),
        }
    }

    fn denied(self, operation: Operation) -> Error {
        Error::PermissionDenied {
            operation,
            message: self.said,
            missing: self.missing,
        }
    }

    fn refused(self, operation: Operation) -> Error {
        Error::Refused {
            operation,
            status: self.status,
            message: self.said,
            outside: self.from == From::Outside,
        }
    }
}

fn of_topic(topic: Topic, operation: Operation, said: Said) -> Error {
    let message = said.to_string();
    match topic {
        Topic::ProjectLimit => Error::FreeProjectLimit { message },
        Topic::Billing => Error::BillingRestricted { message },
        Topic::NameTaken => Error::NameTaken { message: said },
        Topic::Capacity => Error::RegionAtCapacity { message },
        Topic::Password => Error::PasswordRefused { message },
        Topic::DeletionTooEarly => Error::NotReadyForDeletion,
        Topic::Removed => Error::Gone { message },
        Topic::NoOrganization => Error::OrganizationNotFound { message: said },
        Topic::NotReady => Error::NotReady { operation, message },
    }
}

/// The value; for a text that is itself JSON, what that text holds.
pub(super) fn unwrapped(value: Option<Value>) -> Option<Value> {
    let inner = match &value {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let inner = inner.filter(|inner: &Value| inner.is_object() || inner.is_array());
    inner.or(value)
}

/// The message in an object, in whichever field it is; with the details, where they are apart from it.
fn text_of(value: &Value, depth: usize) -> Option<String> {
    const MESSAGE: [&str; 8] = [
        "message",
        "msg",
        "error_description",
        "error",
        "detail",
        "title",
        "description",
        "reason",
    ];
    const DETAILS: [&str; 3] = ["errors", "issues", "details"];
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) => match unwrapped(Some(value.clone())) {
            Some(inner @ (Value::Object(_) | Value::Array(_))) => text_of(&inner, depth),
            _ => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        },
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().take(20).filter_map(|item| text_of(item, depth)).collect();
            Some(texts.join("; ")).filter(|text| !text.is_empty())
        }
        Value::Object(object) => {
            let first = |names: &[&str]| names.iter().find_map(|name| text_of(object.get(*name)?, depth));
            match (first(&MESSAGE), first(&DETAILS)) {
                (Some(message), Some(details)) => Some(format!("{message}: {details}")),
                (message, details) => message.or(details),
            }
        }
        _ => None,
    }
}

/// The text of an HTML page: its title, or its text without tags.
fn page(raw: &str) -> Option<String> {
    let raw: String = raw.trim_start().chars().take(READ * 4).collect();
    if !raw.starts_with('<') {
        return None;
    }
    let lower = raw.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let start = at + raw[at..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(raw[start..end].to_owned()).filter(|title| !title.trim().is_empty())
    });
    let stripped = || {
        let mut inside = false;
        let keep = |c: char| {
            let was = inside;
            inside = c == '<' || (inside && c != '>');
            if was || inside { ' ' } else { c }
        };
        raw.chars().map(keep).collect()
    };
    Some(format!("a web page: {}", title.unwrap_or_else(stripped)))
}

fn list(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod echo_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
