//! What the operator does in a PostgreSQL, and what a PostgreSQL, a registry or another tool may do to it. One program: each
//! more would link all of the operator once more.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod access;
mod archive;
mod cut_off;
mod entries;
mod execution;
mod guard;
mod health;
mod history;
mod holdings;
mod made;
mod migrations;
mod oci;
mod postgres;
mod prisma;
mod ranks;
mod reset;
mod row_security;
mod seed;
mod sessions;
mod sqlx;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod supabase;
mod tables;
mod tls;
mod usage;
mod values;

#[path = "../support/artifact.rs"]
#[allow(dead_code)]
mod artifact;
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/mod.rs"]
mod support;
