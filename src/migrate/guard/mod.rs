//! The guard: what the pending migrations would destroy, break or hold up, read with PostgreSQL's own
//! grammar, and whether they may be applied without a person's word: scripts → findings → plan → verdict.
//!
//! It looks at statements, not at what they call: what a function or a trigger does is not seen.

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
