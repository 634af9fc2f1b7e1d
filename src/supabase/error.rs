//! Errors of the Management API, and who can resolve them.

use std::time::Duration;

use super::operation::Operation;
use super::said::Said;
use crate::api::condition::Reason;
use crate::error::ErrorClass;

/// When a deletion is tried again that came too early.
const DELETION_RETRY: Duration = Duration::from_secs(30);

/// A failed call of the Management API. Texts of the API are cut to 300 characters, and never hold the token or a
/// password of the request. No text holds a number of seconds: it is written to a status, and each change of a status
/// triggers its controller. The callers of the shared poll get clones of one error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting of the operator is wrong.
    #[error("{message}")]
    Settings {
        /// The problem, and how to correct it.
        message: String,
    },
    /// The token cannot be sent as a header.
    #[error("the Management API token is empty or holds characters that no token has; check its Secret")]
    TokenMalformed,
    /// The operator's own rate limit, or its interval between two listings. Nothing was sent.
    #[error("waiting until the rate limit of the Management API allows another request")]
    Throttled {
        /// When to try again.
        after: Duration,
    },
    /// The creation is queued behind those of older Orchestras. Nothing was sent.
    #[error(
        "queued{}: the Management API limits how many projects can be created in a minute, and older Orchestras go first",
        if *long { " for more than a minute" } else { "" }
    )]
    Queued {
        /// When to try again.
        after: Duration,
        /// It has waited for more than a minute.
        long: bool,
    },
    /// 429.
    #[error("the Management API limits the requests of {operation}; the operator continues when it allows more")]
    RateLimited {
        /// The operation.
        operation: Operation,
        /// When to try again.
        after: Duration,
    },
    /// 401 of the API itself.
    #[error(
        "the Management API rejected the token ({message}): it is wrong, expired or revoked; put a new one into the token Secret"
    )]
    TokenRejected {
        /// The API's message.
        message: String,
    },
    /// 403.
    #[error("the token may not {operation} ({message}){}", missing_permissions(missing))]
    PermissionDenied {
        /// The operation.
        operation: Operation,
        /// The API's message.
        message: Said,
        /// The permissions that a scoped token lacks.
        missing: Vec<String>,
    },
    /// The limit of free projects is reached.
    #[error(
        "the limit of free projects is reached ({message}): pause or delete one that nobody uses, or upgrade the organization"
    )]
    FreeProjectLimit {
        /// The API's message.
        message: String,
    },
    /// Overdue invoices or service restrictions.
    #[error("the organization cannot create or run projects ({message}): settle its billing in the Supabase dashboard")]
    BillingRestricted {
        /// The API's message.
        message: String,
    },
    /// The region takes no further project: it has no room, or is switched off.
    #[error("the region takes no further project ({message}): allow the class more regions, or wait")]
    RegionAtCapacity {
        /// The API's message.
        message: String,
    },
    /// The password's length is not one that the API accepts.
    #[error("the Management API refused the password that the operator made ({message}): report this as a bug")]
    PasswordRefused {
        /// The API's message.
        message: String,
    },
    /// A project of that name exists, or an answer that is a conflict may mean so: perhaps created by an earlier request
    /// whose answer was lost.
    #[error("a project of this name may exist in the organization ({message}); looking it up")]
    NameTaken {
        /// The API's message.
        message: Said,
    },
    /// The organization does not exist, or this token may not see it.
    #[error("the organization was not found ({message}): check its slug, and that the token's user is a member")]
    OrganizationNotFound {
        /// The API's message, or the operator's.
        message: Said,
    },
    /// A project that is being set up cannot be deleted yet.
    #[error("the project cannot be deleted yet; trying again in 30 s")]
    NotReadyForDeletion,
    /// The project does not exist, or no longer.
    #[error("the project does not exist ({message})")]
    Gone {
        /// The API's message.
        message: String,
    },
    /// A part of the project does not answer yet, as happens for minutes after its creation.
    #[error("the project is not ready for {operation} ({message})")]
    NotReady {
        /// The operation.
        operation: Operation,
        /// The API's message, or the operator's.
        message: String,
    },
    /// The API refused the request as wrong.
    #[error("the Management API refused to {operation} (HTTP {status}: {message}){}", address_hint(*status, *outside, message))]
    Refused {
        /// The operation.
        operation: Operation,
        /// The HTTP status.
        status: u16,
        /// The API's message.
        message: Said,
        /// Whether a proxy in front of the API has answered, and not the API.
        outside: bool,
    },
    /// 5xx: the API or a proxy in front of it failed.
    #[error("the Management API failed to {operation} (HTTP {status}: {message})")]
    Unavailable {
        /// The operation.
        operation: Operation,
        /// The HTTP status.
        status: u16,
        /// The API's message.
        message: String,
    },
    /// No complete answer: no connection, a broken one, or a timeout.
    #[error("no answer from the Management API to {operation}: {cause}")]
    Unreachable {
        /// The operation.
        operation: Operation,
        /// The cause, without address and content.
        cause: String,
    },
    /// A success whose body does not match the operation.
    #[error("the Management API answered {operation} with an undocumented body: {cause}")]
    Undecodable {
        /// The operation.
        operation: Operation,
        /// The position of the error, without content.
        cause: String,
    },
    /// The listing changed while it was read, so it may lack a project.
    #[error("the list of projects changed while it was read; reading it again")]
    ListingChanged,
    /// The API counts more projects than it lists, each time it is asked.
    #[error(
        "the Management API counts more projects in the organization than it lists, each time it is asked, so that a project \
         may be missing from the list; no project is created meanwhile, so that none is paid for twice. The operator continues \
         when the two agree; if this lasts, ask the provider's support"
    )]
    ListingIncomplete,
    /// The API masked the secret key.
    #[error(
        "the Management API masked the key {name}: the token needs the permission api_gateway_keys_read to reveal it"
    )]
    KeyMasked {
        /// Which key.
        name: String,
    },
    /// The project's own API has not accepted a new API key.
    #[error("the project's own API does not accept the new API keys yet ({cause})")]
    KeyNotAccepted {
        /// The HTTP status, or why there was no answer.
        cause: String,
    },
    /// The project has keys, and none of one kind: it is young, or somebody has deleted them.
    #[error("the project has no {kind} API key: unless it is new, make one in the Supabase dashboard, under API keys")]
    KeyMissing {
        /// Which kind of key is missing: `publishable` or `secret`.
        kind: String,
    },
    /// Only legacy keys are left, and the project's legacy keys are disabled.
    #[error(
        "the project's legacy API keys are disabled, and it has no usable {kind} key: make one in the Supabase dashboard, under API keys"
    )]
    KeysDisabled {
        /// Which kind of key is missing: `publishable` or `secret`.
        kind: String,
    },
    /// The API names a host that a password may not be sent to.
    #[error(
        "the Management API names {host} as a database host, which is not trusted with a password; add its domain to the trusted hosts if it is yours"
    )]
    UntrustedHost {
        /// Which host or user.
        host: String,
    },
}

impl Error {
    /// The class, which says who can resolve the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Throttled { after } | Self::Queued { after, .. } | Self::RateLimited { after, .. } => {
                ErrorClass::After(*after)
            }
            Self::NotReadyForDeletion => ErrorClass::After(DELETION_RETRY),
            Self::NameTaken { .. }
            | Self::NotReady { .. }
            | Self::KeyNotAccepted { .. }
            | Self::KeyMissing { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Undecodable { .. }
            | Self::ListingChanged
            | Self::ListingIncomplete => ErrorClass::Transient,
            Self::Settings { .. }
            | Self::TokenMalformed
            | Self::TokenRejected { .. }
            | Self::PermissionDenied { .. }
            | Self::FreeProjectLimit { .. }
            | Self::BillingRestricted { .. }
            | Self::RegionAtCapacity { .. }
            | Self::PasswordRefused { .. }
            | Self::OrganizationNotFound { .. }
            | Self::Gone { .. }
            | Self::Refused { .. }
            | Self::KeyMasked { .. }
            | Self::KeysDisabled { .. }
            | Self::UntrustedHost { .. } => ErrorClass::Blocked,
        }
    }

    /// The reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Settings { .. } | Self::Refused { .. } => Reason::RequestRefused,
            Self::TokenMalformed | Self::TokenRejected { .. } => Reason::TokenRejected,
            Self::Queued { .. } => Reason::Queued,
            Self::Throttled { .. } | Self::RateLimited { .. } => Reason::RateLimited,
            Self::PermissionDenied { .. } | Self::KeyMasked { .. } => Reason::PermissionDenied,
            Self::FreeProjectLimit { .. } => Reason::QuotaExceeded,
            Self::BillingRestricted { .. } => Reason::BillingRestricted,
            Self::RegionAtCapacity { .. } => Reason::RegionAtCapacity,
            Self::PasswordRefused { .. } => Reason::PasswordRefused,
            Self::NameTaken { .. } => Reason::OutcomeUnknown,
            Self::OrganizationNotFound { .. } => Reason::OrganizationNotFound,
            Self::NotReadyForDeletion => Reason::Deleting,
            Self::Gone { .. } => Reason::DatabaseLost,
            Self::NotReady { .. } | Self::KeyNotAccepted { .. } | Self::KeyMissing { .. } => Reason::Provisioning,
            Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Undecodable { .. }
            | Self::ListingChanged
            | Self::ListingIncomplete => Reason::ProviderUnavailable,
            Self::KeysDisabled { .. } => Reason::KeysDisabled,
            Self::UntrustedHost { .. } => Reason::UntrustedHost,
        }
    }

    /// Whether a write may have happened in spite of the error. Then the caller must look it up before it sends the
    /// write again.
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Undecodable { .. }
        )
    }

    /// What the API has said to a creation that it clearly refused, when neither its words nor a permission that it names
    /// tell what that is about. It may be about the region, of which the API's list tells.
    pub fn unclear_refusal(&self) -> Option<&Said> {
        match self {
            Self::Refused {
                operation: Operation::CreateProject,
                outside: false,
                message,
                ..
            } => Some(message),
            Self::PermissionDenied {
                operation: Operation::CreateProject,
                missing,
                message,
            } if missing.is_empty() => Some(message),
            Self::OrganizationNotFound { message } | Self::NameTaken { message } => {
                let topic = message.words().topic(Operation::CreateProject);
                Some(message).filter(|_| topic.is_none())
            }
            _ => None,
        }
    }

    /// Whether the project is known not to exist.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether a read may be retried at once.
    pub(super) fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unreachable { .. })
    }
}

/// A hint for answers that are not the API's own: the address or a proxy in front of it is wrong.
fn address_hint(status: u16, outside: bool, message: &Said) -> &'static str {
    match status {
        404 if !outside && message.words().is_about_region() => "",
        _ if outside => "; the API itself has not answered: check the Management API address and any proxy before it",
        300..400 | 403 | 404 | 405 | 407 => "; check the Management API address and any proxy before it",
        _ => "",
    }
}

fn missing_permissions(missing: &[String]) -> String {
    if missing.is_empty() {
        "; give its user the needed role, or take a token with more permissions".to_owned()
    } else {
        format!("; make a token that also has: {}", missing.join(", "))
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
