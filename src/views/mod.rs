//! Views: data for people, computed from objects and [`crate::class::Context`]. The command line prints
//! them, and the console draws them.

pub mod advice;
pub mod backups;
pub mod bill;
pub mod fleet;
pub mod history;
pub mod listing;
pub mod orphans;
pub mod owner;
pub mod plans;
pub mod preview;
pub mod rebuild;
pub mod reference;
pub mod tenant;
