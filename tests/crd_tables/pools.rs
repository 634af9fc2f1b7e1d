//! Pools that the API server must accept, and those that it must refuse.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const POOLS: &[(&str, &str, &str)] = &[
    ("OrchestraPool", "spec: {static: {}}", ""),
    (
        "OrchestraPool",
        "spec: {static: {secretRef: {name: a}, selector: {matchLabels: {pool: house}}}}",
        "",
    ),
    (
        "OrchestraPool",
        "spec: {static: {selector: {matchExpressions: [{key: pool, operator: In, values: [house, hall]}]}}}",
        "",
    ),
    ("OrchestraPool", "spec: {static: {recycle: Reset}}", ""),
    (
        "OrchestraPool",
        "spec: {static: {recycle: Always}}",
        r#"spec.static.recycle: Unsupported value: "Always""#,
    ),
    (
        "OrchestraPool",
        "spec: {static: {selector: {}}}",
        "selector must name a label",
    ),
    (
        "OrchestraPool",
        "spec: {static: {selector: {matchLabels: {}}}}",
        "selector must name a label",
    ),
    ("OrchestraPool", "spec: {className: standard, replicas: 0}", ""),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 10000, maxConcurrentCreates: 50, memberLifetime: 8760h}",
        "",
    ),
    (
        "OrchestraPool",
        "spec: {}",
        "exactly one of static and replicas must be set",
    ),
    (
        "OrchestraPool",
        "spec: {static: {}, className: standard, replicas: 1}",
        "exactly one of static and replicas must be set",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard}",
        "exactly one of static and replicas must be set",
    ),
    ("OrchestraPool", "spec: {replicas: 1}", "replicas needs className"),
    (
        "OrchestraPool",
        "spec: {static: {}, className: standard}",
        "className belongs to replicas",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: -1}",
        "spec.replicas in body should be greater than or equal to 0",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 10001}",
        "spec.replicas in body should be less than or equal to 10000",
    ),
    (
        "OrchestraPool",
        "spec: {className: Standard, replicas: 1}",
        "spec.className: Invalid value",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 1, maxConcurrentCreates: 0}",
        "spec.maxConcurrentCreates",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 1, maxConcurrentCreates: 51}",
        "spec.maxConcurrentCreates",
    ),
    (
        "OrchestraPool",
        "spec: {static: {}, maxConcurrentCreates: 1}",
        "maxConcurrentCreates and memberLifetime belong to replicas",
    ),
    (
        "OrchestraPool",
        "spec: {static: {}, memberLifetime: 24h}",
        "maxConcurrentCreates and memberLifetime belong to replicas",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 1, memberLifetime: 59m}",
        "memberLifetime must be from 1h to 8760h",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 1, memberLifetime: 8761h}",
        "memberLifetime must be from 1h to 8760h",
    ),
    (
        "OrchestraPool",
        "spec: {className: standard, replicas: 1, prepare: {className: standard, templateRef: {name: symphony}}}",
        "prepare belongs to static",
    ),
    (
        "OrchestraPool",
        "spec: {static: null, className: standard, replicas: 2, prepare: null}",
        "",
    ),
];
