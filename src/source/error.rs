//! Reasons why a source cannot be read.

use std::fmt;
use std::time::Duration;

use super::flaw::Flaw;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::text;

/// When a source is asked for again while the memory for it is in use.
const BUSY: Duration = Duration::from_secs(5);

/// The cause for a source that changes while it is read.
const CHANGING: &str = "it is changing";

/// An error of a source. `Display` is one line for a person; it holds no content and no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A ConfigMap is missing.
    #[error("{0} does not exist: create it, and the operator continues by itself")]
    NotFound(String),
    /// A folder is missing. No watch reports its creation, so it is looked for again.
    #[error(
        "{0} does not exist below the operator's --sources-folder: create it, and the operator continues by itself"
    )]
    NoFolder(String),
    /// The registry has no such artifact.
    #[error("the registry has no {0}: push it, or correct the image, the tag or the digest")]
    NoArtifact(String),
    /// The content cannot be used.
    #[error("{place}: {flaw}")]
    Invalid {
        /// Which source.
        place: String,
        /// What is wrong with its files.
        flaw: Flaw,
    },
    /// It cannot be read at the moment.
    #[error("{place} cannot be read now: {what}")]
    Unavailable {
        /// Which source.
        place: String,
        /// What happened.
        what: String,
        /// When to try again, if the registry says so.
        after: Option<Duration>,
    },
    /// The memory for sources is in use.
    #[error("{place}: {flaw}")]
    Busy {
        /// Which source.
        place: String,
        /// [`Flaw::Busy`] or [`Flaw::Full`].
        flaw: Flaw,
    },
    /// Access is refused.
    #[error("{place}: {what}")]
    Denied {
        /// Which source.
        place: String,
        /// The party that refuses, and what to do.
        what: String,
    },
    /// The operator's flags do not allow it.
    #[error("{0}")]
    NotAllowed(String),
}

impl Error {
    pub(super) fn unavailable(place: &dyn fmt::Display, what: impl Into<String>) -> Self {
        Self::Unavailable {
            place: place.to_string(),
            what: text::line(&what.into(), text::MESSAGE),
            after: None,
        }
    }

    pub(super) fn denied(place: &dyn fmt::Display, what: impl Into<String>) -> Self {
        Self::Denied {
            place: place.to_string(),
            what: text::line(&what.into(), text::MESSAGE),
        }
    }

    pub(super) fn invalid(place: &dyn fmt::Display, flaw: Flaw) -> Self {
        let place = place.to_string();
        match flaw.brief() {
            flaw @ (Flaw::Busy | Flaw::Full) => Self::Busy { place, flaw },
            flaw => Self::Invalid { place, flaw },
        }
    }

    pub(super) fn moved(place: &dyn fmt::Display) -> Self {
        Self::Unavailable {
            place: place.to_string(),
            what: CHANGING.into(),
            after: Some(Duration::from_secs(1)),
        }
    }

    /// Whether the source, or the part that the operator reads, is missing or cannot be reached. A source that exists and is
    /// invalid may differ from what was applied once it is corrected.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Unavailable { what, .. } => what != CHANGING,
            Self::Invalid { flaw, .. } => matches!(flaw, Flaw::NoPath { .. } | Flaw::NoMigration { .. }),
            Self::NotFound(_) | Self::NoFolder(_) | Self::NoArtifact(_) | Self::Denied { .. } | Self::NotAllowed(_) => {
                true
            }
            Self::Busy { .. } => false,
        }
    }

    /// Whether the cause is outside the cluster's objects (a registry, a volume, the network): the source may come back
    /// unchanged.
    pub fn is_outside(&self) -> bool {
        matches!(
            self,
            Self::NoFolder(_)
                | Self::NoArtifact(_)
                | Self::Unavailable { .. }
                | Self::Busy { .. }
                | Self::Denied { .. }
                | Self::NotAllowed(_)
        )
    }

    /// The class, which says who can resolve the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::Invalid { .. } => ErrorClass::Invalid,
            Self::Unavailable { after: Some(after), .. } => ErrorClass::After(*after),
            Self::Busy { .. } => ErrorClass::After(BUSY),
            Self::Unavailable { after: None, .. } => ErrorClass::Transient,
            Self::NoFolder(_) | Self::NoArtifact(_) | Self::Denied { .. } | Self::NotAllowed(_) => ErrorClass::Blocked,
        }
    }

    /// The reason for conditions and events.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) | Self::NoFolder(_) | Self::NoArtifact(_) => Reason::SourceNotFound,
            Self::Invalid { .. } => Reason::SourceInvalid,
            Self::Unavailable { .. } | Self::Busy { .. } => Reason::SourceUnavailable,
            Self::Denied { .. } => Reason::SourceDenied,
            Self::NotAllowed(_) => Reason::SourceNotAllowed,
        }
    }
}
