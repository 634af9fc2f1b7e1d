//! The Orchestra operator: `kubectl apply -f orchestra.yaml` becomes a migrated, seeded, isolated
//! Supabase database.
//!
//! The rooms from top to bottom, one line each. A room imports only rooms below it (`tests/layers.rs`).
//! Start with [`orchestra`], the tenant's whole life.

pub mod api; // the contract: the kinds, their conditions and reasons
pub mod class; // which class meets a claim, its token, prices, budget, admission, orphans
pub mod cli; // commands that print: bill, orphans, plan, approve, rollout
pub mod content; // what an Orchestra is to have inside: migrations, seed, template, settings
pub mod controller; // Core, the reconcile loop, status writing, conditions, background work, lease
pub mod credentials; // owner, tenant, inventory, and the Secrets that carry them
pub mod database; // the paid thing's life: plan, observe, act, status
pub mod error;
pub mod migrate; // source → format → history → apply, and the seed
pub mod money; // decimal amounts, hourly and monthly
pub mod orchestra; // the tenant's life: plan, observe, act, status
pub mod pool; // keeps databases ready for claims; candidates and preparation
pub mod postgres; // connect, roles and isolation, probe
pub mod rollout; // which Orchestra is migrated when: decision, turns, fleet
pub mod run; // flags, watches, wiring, leadership, shutdown
pub mod source; // where scripts come from: ConfigMaps, inline, OCI artifacts, folders
pub mod supabase; // Management API: client, wire types, request limiter, shared project poll, errors
pub mod telemetry; // logs, metrics, health endpoints // the class of an error
pub mod views; // data for people: bill, orphans, plans, fleet; printed by cli
