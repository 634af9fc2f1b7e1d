//! The stand-in of the Management API, and the database server of its projects.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
mod control;
mod faults;
mod hosted;
mod life;
mod settings;
mod sql;
