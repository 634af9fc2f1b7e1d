//! Passwords, and the Secrets that carry them.

pub mod connection;
pub mod owner;
pub mod password;
