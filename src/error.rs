//! The class of an error: who can act on it. The class alone decides when an object is reconciled again.

use std::time::Duration;

use strum::{Display, IntoStaticStr};

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
