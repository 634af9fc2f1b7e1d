//! Errors of a pass. The class of an error says who can act on it, and alone decides the requeue.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::{migrate, postgres, source, supabase};

/// An error that ends a pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API failed or refused.
    #[error("the Kubernetes API failed or refused the request: {}", crate::error::kubernetes(.0))]
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
    /// The operator stops by its own decision.
    #[error("{message}")]
    Stop {
        /// The class, which says who can act on it.
        class: ErrorClass,
        /// Why.
        reason: Reason,
        /// The problem, and what a person can do.
        message: String,
    },
    /// The database refused a statement of the operator's own in a run of migrations; the message names the one that
    /// ran.
    #[error("{message}")]
    OfRun {
        /// The class, which says who can act on it.
        class: ErrorClass,
        /// Why.
        reason: Reason,
        /// The problem, and the script that ran.
        message: String,
    },
    /// What was refused is not tried again yet, and a person has asked for another attempt since.
    #[error("{refusal}")]
    Asked {
        /// The refusal.
        refusal: Box<Self>,
        /// How long the attempt has to wait.
        again: Duration,
    },
}

impl Error {
    /// A stop that only a person can resolve.
    pub fn blocked(reason: Reason, message: impl Into<String>) -> Self {
        Self::Stop {
            class: ErrorClass::Blocked,
            reason,
            message: message.into(),
        }
    }

    /// A stop that ends without a person.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self::Stop {
            class: ErrorClass::Transient,
            reason,
            message: message.into(),
        }
    }

    /// The error with the migration that ran, where it does not name it: the database refused a statement of the
    /// operator's own, which does not say what a script has changed.
    #[must_use]
    pub fn of_run(self, run: &migrate::Watch) -> Self {
        match run.ran() {
            Some(ran) if self.reason() == Reason::DatabaseRefused => Self::OfRun {
                class: self.class(),
                reason: self.reason(),
                message: format!("{ran}: {self}"),
            },
            _ => self,
        }
    }

    /// Whether a part of a script is committed that no history records.
    pub fn keeps_parts(&self) -> bool {
        matches!(self, Self::Migrate(error) if error.keeps_parts())
    }

    /// The class, which says who can act on it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Kubernetes(error) => kubernetes_class(error),
            Self::Provider(error) => error.class(),
            Self::Postgres(error) => error.class(),
            Self::Migrate(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Stop { class, .. } | Self::OfRun { class, .. } => *class,
            Self::Asked { refusal, .. } => refusal.class(),
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
            Self::Stop { reason, .. } | Self::OfRun { reason, .. } => *reason,
            Self::Asked { refusal, .. } => refusal.reason(),
        }
    }

    /// How long the attempt has to wait that a person has asked for; none when nobody has.
    pub fn again(&self) -> Option<Duration> {
        match self {
            Self::Asked { again, .. } => Some(*again),
            _ => None,
        }
    }

    /// Whether the message names the migration that ran.
    pub fn names_run(&self) -> bool {
        match self {
            Self::OfRun { .. } => true,
            Self::Asked { refusal, .. } => refusal.names_run(),
            _ => false,
        }
    }

    /// Whether it ends without a person.
    pub fn is_passing(&self) -> bool {
        matches!(self.class(), ErrorClass::Transient | ErrorClass::After(_))
    }

    /// Whether the API server refuses a request that it has understood, for example by an admission policy: it will refuse
    /// it again.
    pub fn is_refusal(&self) -> bool {
        const PASSING: [u16; 4] = [404, 408, 409, 429];
        matches!(self, Self::Kubernetes(kube::Error::Api(status))
            if (400..500).contains(&status.code) && !PASSING.contains(&status.code))
    }

    /// Whether another one has made the object meanwhile.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.is_already_exists())
    }

    /// Whether a write met a newer version of its object: nothing is wrong, and the pass starts again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.is_conflict())
    }

    /// Whether a write met no object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.is_not_found())
    }
}

/// Makes a panic an error: a server whose answer makes a library panic, or a defect, ends the work for one object and not
/// the controller of all objects. Locks are free again, since `parking_lot` has no poisoned locks. The panic's own text is
/// only in the log.
///
/// # Errors
/// Those of the work, and [`Reason::InternalError`].
pub async fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        Err(Error::transient(
            Reason::InternalError,
            "a defect of the operator ended the work, which starts again; the operator's log says where",
        ))
    })
}

/// A 429 of the API server is retried quickly: API Priority and Fairness sends many of them under load, and a
/// burst must not stop everything for minutes.
fn kubernetes_class(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) if status.code == 429 => ErrorClass::After(Duration::from_secs(1)),
        kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => ErrorClass::Blocked,
        _ => ErrorClass::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_refused_during_a_run_names_the_migration() {
        let refused = || Error::from(postgres::Error::refused("42501", "permission denied"));
        let run = migrate::Watch::default();
        assert!(refused().of_run(&run).to_string().starts_with("the database refused"));
        run.tell(&migrate::RunEvent::Started {
            name: "one",
            number: 1,
            of: 1,
            per_statement: false,
        });
        let told = refused().of_run(&run);
        assert_eq!((told.reason(), told.class()), (refused().reason(), refused().class()));
        let begins = "while migration one was applied: the database refused";
        assert!(told.to_string().starts_with(begins), "{told}");
        let other = Error::transient(Reason::DatabaseUnreachable, "no answer").of_run(&run);
        assert_eq!(other.to_string(), "no answer");
    }
}
