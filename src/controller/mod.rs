//! The parts that all controllers share: [`Core`], the reconcile loop, retry by error class, the status writer, our own
//! latest writes, background work, and the lease.

pub mod background;
pub mod backoff;
pub mod clock;
pub mod conditions;
mod core;
pub mod error;
pub mod events;
pub mod jobs;
pub mod latest;
pub mod lease;
pub mod reconcile;
pub mod refusals;
pub mod status;
pub mod unreadable;
pub mod write;

pub use self::core::{Core, Settings, Stores};
