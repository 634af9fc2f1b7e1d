//! Passwords, and the Secrets that carry them.

pub mod password;
