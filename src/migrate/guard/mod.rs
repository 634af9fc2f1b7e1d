//! The guard: finds what the pending migrations would destroy, break or block, with PostgreSQL's own grammar, and
//! decides whether they need a person's approval: scripts → findings → plan → clearance.
//!
//! It also reads the code that statements run: DO blocks, functions, triggers and rules, whether a pending script
//! creates them or the database has them. Code that it cannot analyse is a finding of its own.

mod allowance;
mod altered;
mod bodies;
mod calls;
mod catalog;
mod catalog_code;
mod catalog_shut;
mod clearance;
mod code;
pub(super) mod consent;
mod dangerous;
mod declarations;
mod definitions;
mod drops;
mod exposing;
mod extension_table;
mod extensions;
mod finding;
mod judge;
mod known;
mod known_code;
mod leaks;
mod limits;
mod links;
mod locks;
mod made;
mod makes;
pub(super) mod names;
mod new_tables;
mod objects;
mod plan;
mod plpgsql;
mod plpgsql_text;
mod reach;
mod renames;
mod replaced;
mod review;
mod rights;
mod roles;
mod rows;
mod settings;
mod shown;
mod signatures;
mod standing;
mod statements;
mod tables;
mod ties;
mod types;
mod volatile;

pub use clearance::{Clearance, decide};
pub use consent::Consent;
pub use finding::{Finding, FindingKind};
pub use plan::{PendingMigration, Plan};
pub use review::Review;
pub(super) use review::{SeedScript, judge_seed, look};

pub use super::history::Head;

#[cfg(test)]
mod allowance_tests;
#[cfg(test)]
mod bypass_tests;
#[cfg(test)]
mod code_bounds_tests;
#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod definition_tests;
#[cfg(test)]
mod exposing_tests;
#[cfg(test)]
mod extension_tests;
#[cfg(test)]
mod hidden_tests;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod ties_tests;
