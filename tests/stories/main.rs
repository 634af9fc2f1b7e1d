//! Stories: what a user meets, against a real control plane, a real PostgreSQL, and a provider that
//! keeps to the official API description. Each runs the operator as a process of its own, with its
//! least-privilege service account. One program, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admission;
mod adoption;
mod api_keys;
mod approval;
#[path = "../support/artifact.rs"]
mod artifact;
mod backup;
mod backup_walls;
mod bill;
mod blips;
mod bridge;
mod budget;
mod commands;
mod connection;
mod console;
mod crash;
mod cures;
mod deletion;
mod demos;
mod drift;
mod drill;
mod drill_walls;
mod entries;
mod exactly_once;
mod final_backup;
mod forged_status;
mod gitops;
mod happy_path;
mod health;
#[path = "../support/hostile.rs"]
mod hostile;
mod hostile_text;
mod isolation;
mod limited;
mod lost_cluster;
mod lost_response;
mod memory;
mod metrics;
#[path = "../support/metrics_page.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod metrics_page;
mod migration_failure;
mod newer_values;
#[path = "../support/npm.rs"]
mod npm;
mod odd_answers;
mod odd_input;
mod orphans;
mod passwords;
mod pause;
mod plugin;
mod pool;
mod process;
mod proof;
mod provider;
mod queue;
mod rebuild;
mod regions;
mod restore;
mod rollout;
mod rotation;
mod row_security;
mod samples;
mod secret_drift;
mod secrets;
mod seed;
mod server_pool;
#[path = "../support/shells.rs"]
mod shells;
mod sources;
mod static_pool;
mod stored;
mod support;
mod templates;
mod tls;
mod token;
mod traces;
mod two_operators;
mod warm_pool;
mod way_back;
