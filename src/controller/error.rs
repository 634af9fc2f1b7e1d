//! Errors are sorted by who can move them; the class alone decides the requeue.

use std::time::Duration;

use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::{migrate, postgres, source, supabase};

/// What can end a pass before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API failed or refused.
    #[error("the Kubernetes API did not do as asked: {0}")]
    Kubernetes(#[from] kube::Error),
    /// The Management API failed or refused.
    #[error(transparent)]
    Provider(#[from] supabase::Error),
    /// The database failed or refused.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Migrations or the seed failed.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    /// A source of scripts cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// What was seen leaves nothing to do.
    #[error("{message}")]
    Stop {
        /// Who can move it.
        class: ErrorClass,
        /// Why.
        reason: Reason,
        /// What a person should know, and do.
        message: String,
    },
}

impl Error {
    /// A stop that only a person can end.
    pub fn blocked(reason: Reason, message: impl Into<String>) -> Self {
        Self::Stop {
            class: ErrorClass::Blocked,
            reason,
            message: message.into(),
        }
    }

    /// A stop that ends by itself.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self::Stop {
            class: ErrorClass::Transient,
            reason,
            message: message.into(),
        }
    }

    /// Who can move it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Kubernetes(error) => kubernetes_class(error),
            Self::Provider(error) => error.class(),
            Self::Postgres(error) => error.class(),
            Self::Migrate(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Stop { class, .. } => *class,
        }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Kubernetes(_) => Reason::KubernetesUnavailable,
            Self::Provider(error) => error.reason(),
            Self::Postgres(error) => error.reason(),
            Self::Migrate(error) => error.reason(),
            Self::Source(error) => error.reason(),
            Self::Stop { reason, .. } => *reason,
        }
    }

    /// Whether it passes by itself, sooner or later.
    pub fn is_passing(&self) -> bool {
        matches!(self.class(), ErrorClass::Transient | ErrorClass::After(_))
    }

    /// Whether a write met a newer version of its object: nothing is wrong, the pass begins anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.is_conflict())
    }
}

/// The API server's own 429s are retried quickly: a burst of them must not stop everything for
/// minutes (API Priority and Fairness answers so under load).
fn kubernetes_class(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) if status.code == 429 => ErrorClass::After(Duration::from_secs(1)),
        kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => ErrorClass::Blocked,
        _ => ErrorClass::Transient,
    }
}
