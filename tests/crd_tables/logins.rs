//! Rights and limits of the tenants' logins.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const LOGINS: &[(&str, &str, &str)] = &[
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, connection: {createObjects: Allowed}, \
         limits: {connections: 60, statementTimeout: 10m, idleInTransactionTimeout: 24h}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, connection: {}, limits: {}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, connection: {createObjects: Yes}}",
        "spec.connection.createObjects: Unsupported value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, connection: {rowSecurity: Enforce}, dataAPI: {exposeNewTables: None}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {rowSecurity: Bypass}, dataAPI: {exposeNewTables: All}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {rowSecurity: Off}}",
        "spec.connection.rowSecurity: Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {dataAPI: {exposeNewTables: Some}}",
        "spec.dataAPI.exposeNewTables: Unsupported value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, limits: {connections: 0}}",
        "spec.limits.connections: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, limits: {statementTimeout: 25h}}",
        "statementTimeout must be from 1s to 24h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [house]}, limits: {idleInTransactionTimeout: 0s}}",
        "idleInTransactionTimeout must be from 1s to 24h",
    ),
];
