//! What all controllers share: wiring, retry by error class, status writing, lease.

pub mod background;
pub mod backoff;
pub mod conditions;
mod core;
pub mod error;
pub mod latest;
pub mod lease;
pub mod reconcile;
pub mod refusals;
pub mod status;
pub mod write;

pub use self::core::{Core, Settings, Stores};
