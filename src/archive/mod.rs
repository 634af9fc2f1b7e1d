//! A backup of one database: three archives of one snapshot and a manifest, in a store; its restore, and its comparison
//! with what it was made from. The program of a pod of its own does the work (`orchestra-operator job`): the pod is given
//! an [`Order`] and gives back an [`Outcome`].
//!
//! A backup without a manifest does not exist: the manifest is written last, and only where there is none.

pub mod clients;
mod compare;
mod dump;
mod empty;
mod error;
mod facts;
pub mod manifest;
pub mod order;
pub mod outcome;
mod progress;
mod refused;
mod restore;
mod said;
mod scope;
mod snapshot;
mod sql;
mod stop;
pub mod store;
mod stream;
mod target;
mod toc;
mod whose;

pub use dump::{Context, backup};
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use order::{Order, Work};
pub use outcome::{Outcome, OutcomeReason};
pub use progress::Progress;
pub use restore::{restore, verify};
pub use stop::{StopSignal, Stopper, stop};
