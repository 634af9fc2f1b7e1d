//! The programs that the demo and the tests run beside Rust's own: found on this machine, fetched or built once, and
//! kept in a cache. This crate is compiled first, so that they are made while the rest is compiled.

pub mod archive;
pub mod binaries;
pub mod cache;
pub mod cargo;
pub mod go;
pub mod progress;
pub mod prometheus;
mod watched;

pub use watched::{stop, was_stopped};
