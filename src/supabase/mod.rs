//! The Supabase Management API: one client and one rate limiter a token, and the shared poll of an
//! organization's projects.
//!
//! This module never resends a write: its caller asks [`Error::outcome_unknown`] and looks the outcome up. A call
//! waits two seconds for the rate limiter at most, and then fails with a class that says when to call again.

pub mod account;
pub mod backups;
pub mod billing;
pub mod client;
pub mod error;
pub mod health;
pub mod keys;
pub mod listed;
pub mod marker;
pub mod operation;
pub mod poll;
pub mod pooler;
pub mod rate_limit;
pub mod regions;
pub mod said;
pub mod settings;
pub mod token_state;
pub mod types;

mod answer;
mod fields;
mod redact;
#[cfg(test)]
mod wire_tests;
mod words;

pub use account::{Account, Accounts};
pub use client::Client;
pub use error::Error;
pub use rate_limit::{Permit, QueuePlace, RequestsLeft};
pub use settings::ApiSettings;
