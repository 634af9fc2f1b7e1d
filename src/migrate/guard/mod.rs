//! The guard: finds what the pending migrations would destroy, break or block, with PostgreSQL's own grammar, and
//! decides whether they need a person's approval: scripts → findings → plan → verdict.
//!
//! It reads statements, and not the code that they call: effects of functions and triggers are not found.

mod catalog;
pub(super) mod consent;
mod drops;
mod finding;
mod judge;
mod known;
mod locks;
pub(super) mod names;
mod objects;
mod opaque;
mod plan;
mod renames;
mod review;
mod rows;
mod statements;
mod tables;
mod types;
mod verdict;

pub use consent::Consent;
pub use finding::{Effect, Finding, FindingKind};
pub use plan::{Pending, Plan};
pub(super) use review::look;
pub use review::{Review, review};
pub use verdict::{Verdict, decide};

pub use super::history::Head;

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
