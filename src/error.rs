//! The class of an error: who can act on it. The class alone decides when an object is reconciled again.

use std::time::Duration;

use strum::{Display, IntoStaticStr};

/// What the API server has answered, or what became of the request. kube's own text of an answer holds the whole of it in
/// Rust's debug format.
pub fn kubernetes(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match (status.message.as_str(), status.reason.as_str()) {
            ("", reason) => format!("{reason} ({})", status.code),
            (message, "") => format!("{message} ({})", status.code),
            (message, reason) => format!("{message} ({reason})"),
        },
        other => other.to_string(),
    }
}

/// The class of an error: who can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorClass {
    /// Passes by itself: retried with per-object exponential backoff, 1 s to 10 min.
    Transient,
    /// The other side said when to come back.
    After(Duration),
    /// A person must act: Stalled, a Warning event, and a retry at an ever slower pace.
    Blocked,
    /// Only a changed spec or source helps: Stalled until it changes.
    Invalid,
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_answer_of_the_api_server_is_told_without_debug_values() {
        for (message, reason, told) in [
            (
                "leases \"a\" already exists",
                "AlreadyExists",
                "leases \"a\" already exists (AlreadyExists)",
            ),
            ("too many requests", "", "too many requests (429)"),
            ("", "TooManyRequests", "TooManyRequests (429)"),
        ] {
            let status = Status::failure(message, reason).with_code(429);
            assert_eq!(kubernetes(&kube::Error::Api(Box::new(status))), told);
        }
    }
}
