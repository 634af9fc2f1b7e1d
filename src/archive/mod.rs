//! A backup of one database: up to three archives of one snapshot and a manifest, in a store; its restore, the comparison
//! of a restored database with the snapshot, and the list of a store's backups. `orchestra-backup` does the work in a pod: it
//! reads an [`Order`] and ends with an [`Outcome`].
//!
//! A backup exists once its manifest does: the manifest is written last, and never replaced.

mod bounded_store;
pub mod catalog;
pub mod clients;
mod compare;
mod dump;
mod empty;
mod error;
mod facts;
mod left_out;
pub mod manifest;
pub mod order;
pub mod outcome;
pub mod path;
mod progress;
mod purpose;
mod refused;
mod restore;
mod said;
mod scope;
mod seal;
mod snapshot;
mod sql;
mod stop;
pub mod store;
mod stream;
mod sweep;
mod target;
mod toc;
mod upload;
mod verify;
mod whose;

pub use catalog::inspect;
pub use dump::{Environment, backup};
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use order::{Order, Work};
pub use outcome::{Outcome, OutcomeReason};
pub use progress::{Progress, ProgressLine};
pub use restore::restore;
pub use stop::{StopSignal, Stopper, stop};
pub use verify::verify;
