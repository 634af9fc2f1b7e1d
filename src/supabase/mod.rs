//! The Supabase Management API: one client a token, its request budget, and the shared poll of an
//! organization's projects.
//!
//! A write is never resent by this module: whoever gets an error asks [`Error::outcome_unknown`]
//! and looks the outcome up. A call never waits long for the budget: it fails with a class that
//! says when to come back.

pub mod account;
pub mod billing;
pub mod budget;
pub mod client;
pub mod error;
pub mod health;
pub mod identity;
pub mod keys;
pub mod marker;
pub mod poll;
pub mod pooler;
pub mod settings;
pub mod types;

mod answer;
#[cfg(test)]
mod wire;

pub use account::{Account, Accounts};
pub use budget::{Permit, Turn};
pub use client::Client;
pub use error::Error;
pub use settings::Settings;
