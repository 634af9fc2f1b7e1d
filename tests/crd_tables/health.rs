//! Probes of databases.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const HEALTH: &[(&str, &str, &str)] = &[
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, health: {interval: 10s, metrics: true}}",
        "",
    ),
    ("OrchestraClass", "spec: {pools: {names: [house]}, health: {}}", ""),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, health: {interval: 1h}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, health: {interval: 9s}}",
        "interval must be from 10s to 1h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, health: {interval: 1h1s}}",
        "interval must be from 10s to 1h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, health: {interval: often}}",
        "spec.health.interval: Invalid value",
    ),
    (
        "OrchestraClass",
        r#"spec: {pools: {names: [house]}, health: {metrics: "yes"}}"#,
        "spec.health.metrics: Invalid value",
    ),
];
