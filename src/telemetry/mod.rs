//! What the operator says about itself: logs, metrics and health endpoints.

pub mod classes;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod orphans;
