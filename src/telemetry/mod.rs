//! Logs, metrics, traces and health endpoints of the operator.

pub mod backups;
pub mod classes;
mod credentials;
pub mod fleet;
pub mod health;
mod labels;
pub mod listener;
pub mod logs;
pub mod metrics;
pub mod orphans;
pub mod pools;
pub mod provisioning;
mod queues;
pub mod tenants;
pub mod traces;
