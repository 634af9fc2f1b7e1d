//! Errors are sorted by who can move them; the class alone decides the requeue.

use std::time::Duration;

/// Who can move an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Passes by itself: retried with per-object exponential backoff, 1 s to 10 min.
    Transient,
    /// The other side said when to come back.
    After(Duration),
    /// A person must act: Stalled, a Warning event, and a slow re-check.
    Blocked,
    /// Only a changed spec or source helps: Stalled until it changes.
    Invalid,
}
