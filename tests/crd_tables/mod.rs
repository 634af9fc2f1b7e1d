//! What the API server must accept, and what it must refuse.

pub mod applied;
pub mod backups;
pub mod budget;
pub mod changes;
pub mod claiming;
pub mod connection;
pub mod health;
pub mod lengths;
pub mod life;
pub mod logins;
mod placement;
pub mod pools;
mod promise;
pub mod rollout;
mod schemas;
pub mod sources;
pub mod statuses;

pub use placement::PLACEMENTS;

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const MANIFESTS: &[(&str, &str, &str)] = &[
    ("Orchestra", "spec: {}", ""),
    ("Orchestra", "{}", ""),
    ("Orchestra", "spec: null", ""),
    (
        "Orchestra",
        "spec: {className: standard, displayName: Test Orchestra AB, placement: {region: eu-central-1}, \
         migrations: {source: {configMapRefs: [{name: a}, {name: b}]}, format: Prisma}, \
         seed: {configMapRef: {name: demo}, policy: Once}, connection: {secretName: acme-db, mode: TransactionPooler}, \
         deletionPolicy: Delete}",
        "",
    ),
    // Names.
    ("Orchestra", r#"spec: {className: ""}"#, "spec.className: Invalid value"),
    (
        "Orchestra",
        "spec: {className: Standard}",
        "spec.className: Invalid value",
    ),
    (
        "Orchestra",
        r#"spec: {displayName: ""}"#,
        "spec.displayName: Invalid value",
    ),
    (
        "Orchestra",
        "{metadata: {name: a2345678901234567890123456789012345678901234567890123456789012345678901234567890\
         12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\
         1234567890}, spec: {}}",
        "",
    ),
    (
        "Orchestra",
        "{metadata: {name: b2345678901234567890123456789012345678901234567890123456789012345678901234567890\
         12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\
         12345678901}, spec: {}}",
        "metadata.name must have at most 200 characters",
    ),
    ("Orchestra", "spec: {connection: {secretName: acme.db-1}}", ""),
    (
        "Orchestra",
        "spec: {connection: {secretName: Acme}}",
        "spec.connection.secretName: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {secretName: acme..db}}",
        "spec.connection.secretName: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {secretName: acme-}}",
        "spec.connection.secretName: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {secretName: other/acme}}",
        "spec.connection.secretName: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {seed: {configMapRef: {name: Demo}}}",
        "spec.seed.configMapRef.name: Invalid value",
    ),
    // Choices.
    (
        "Orchestra",
        "spec: {connection: {mode: Anywhere}}",
        r#"supported values: "SessionPooler", "TransactionPooler", "Direct""#,
    ),
    (
        "Orchestra",
        "spec: {deletionPolicy: Recycle}",
        r#"supported values: "Retain", "Delete""#,
    ),
    (
        "Orchestra",
        "spec: {seed: {configMapRef: {name: demo}, policy: Always}}",
        r#"spec.seed.policy: Unsupported value: "Always""#,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {configMapRef: {name: a}}, format: Flyway}}",
        r#"supported values: "Prisma""#,
    ),
    (
        "Orchestra",
        "spec: {seed: {policy: Once}}",
        "exactly one of configMapRef, configMapRefs, inline, oci and folder must be set",
    ),
    (
        "Orchestra",
        "spec: {placement: {}}",
        "must validate one and only one schema (oneOf). Found none valid",
    ),
    (
        "Orchestra",
        "spec: {placement: {region: EU West}}",
        "spec.placement.region: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {migrations: {format: Prisma}}",
        "format belongs to a source",
    ),
    // Classes.
    ("OrchestraClass", "spec: {pools: {names: [house]}}", ""),
    ("OrchestraClass", "spec: {provider: {supabase: {}}}", ""),
    ("OrchestraClass", "spec: {}", "a class needs a provider, pools, or both"),
    (
        "OrchestraClass",
        "spec: {provider: null, pools: null}",
        "a class needs a provider, pools, or both",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {}}",
        "spec.provider.supabase: Required value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: []}}",
        "spec.pools.names: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [House]}}",
        "spec.pools.names[0]: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a], policy: Any}}",
        r#"spec.pools.policy: Unsupported value: "Any""#,
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {organization: acme org}}}",
        "spec.provider.supabase.organization: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {tokenSecretRef: {key: token}}}}",
        "spec.provider.supabase.tokenSecretRef.name: Required value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {region: eu-west-3, allowedRegions: [eu-central-1, eu-west-3]}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {region: us-east-1, allowedRegions: [eu-central-1, eu-west-3]}}",
        "region must be one of allowedRegions",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {policy: Orphan}}",
        r#"spec.deletion.policy: Unsupported value: "Orphan""#,
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 1h30m}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 1s}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 24h}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 0s}",
        "progressDeadline must be from 1s to 24h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 24h1s}",
        "progressDeadline must be from 1s to 24h",
    ),
    // More than a duration can hold: the rule fails as a whole.
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 999999999999h}",
        "spec.progressDeadline: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 10m}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: ''}",
        "spec.progressDeadline: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 1d}",
        "spec.progressDeadline: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: ten}",
        "spec.progressDeadline: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: 10}",
        "spec.progressDeadline: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, progressDeadline: -5m}",
        "spec.progressDeadline: Invalid value",
    ),
    // Databases: one of two.
    (
        "OrchestraDatabase",
        "spec: {static: {pool: house, key: DATABASE_URL_POOL_1}}",
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: acme, region: eu-west-3}}",
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {}",
        "exactly one of supabase and static must be set",
    ),
    (
        "OrchestraDatabase",
        "spec: {static: {pool: house, key: k}, supabase: {name: acme, region: eu-west-3}}",
        "exactly one of supabase and static must be set",
    ),
    (
        "OrchestraDatabase",
        "spec: {pool: house, static: {pool: house, key: k}}",
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {pool: other, static: {pool: house, key: k}}",
        "pool must be the pool of static",
    ),
    (
        "OrchestraDatabase",
        "spec: {pool: A_B, supabase: {name: acme, region: eu-west-3}}",
        "spec.pool: Invalid value",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: acme, region: eu-west-3}, claimRef: {namespace: tenants, name: acme}}",
        "spec.claimRef.uid: Required value",
    ),
    // Pools.
    (
        "OrchestraPool",
        "spec: {static: {secretRef: {name: database-pool}}}",
        "",
    ),
    ("OrchestraPool", "spec: {static: {}}", ""),
    (
        "OrchestraPool",
        "spec: {static: {allowLegacyServers: true, acceptNonEmpty: true}}",
        "",
    ),
    (
        "OrchestraPool",
        "spec: {static: {secretRef: {name: A_B}}}",
        "spec.static.secretRef.name: Invalid value",
    ),
];
