//! Rollouts of a class's migrations, who keeps out of them, and what waits for approval.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const ROLLOUTS: &[(&str, &str, &str)] = &[
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, migrations: {source: {configMapRef: {name: a}}, format: Sqlx}, rollout: \
         {canary: {selector: {matchLabels: {tier: canary}}}, maxConcurrent: 1000, maxFailures: 100000, paused: true}}",
        "",
    ),
    ("OrchestraClass", "spec: {pools: {names: [a]}, rollout: null}", ""),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, rollout: {maxConcurrent: 0}}",
        "should be greater than or equal to 1",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, rollout: {maxConcurrent: 1001}}",
        "should be less than or equal to 1000",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, rollout: {maxFailures: -1}}",
        "should be greater than or equal to 0",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, rollout: {canary: {}}}",
        "rollout.canary.selector: Required value",
    ),
    ("Orchestra", "spec: {migrations: {approval: Always}}", ""),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, migrations: {source: {configMapRef: {name: a}}, approval: OnDestructive}, templates: \
         [{name: a, version: a, migrations: {source: {configMapRef: {name: a}}, approval: Automatic}}]}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {approval: Never}}",
        "supported values: \"Automatic\", \"OnDestructive\", \"Always\"",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, approvalFor: [Destructive, Unknown, Exposing, Granting]}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, approvalFor: [Breaking]}",
        "approvalFor must contain Destructive",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, approvalFor: [Destructive, Opaque]}",
        "supported values: \"Destructive\"",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, approvalFor: [Destructive, Destructive]}",
        "Duplicate value",
    ),
    ("Orchestra", "spec: {pinMigrations: true}", ""),
    (
        "Orchestra",
        "spec: {pinMigrations: false, migrations: {source: {configMapRef: {name: a}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {pinMigrations: true, migrations: {timeouts: {lock: 5s}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {pinMigrations: true, migrations: {source: {configMapRef: {name: a}}}}",
        "pinMigrations is for the migrations of the class",
    ),
];
