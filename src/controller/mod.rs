//! What all controllers share.

pub mod error;
