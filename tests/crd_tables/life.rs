//! Deletion, taking back, and the end of an Orchestra: what is accepted and refused.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const MANIFESTS: &[(&str, &str, &str)] = &[
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: orchdb-1}}, migrations: {source: {configMapRef: {name: a}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: orchdb-1}, templateRef: {name: symphony}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {templateRef: {name: symphony}}, migrations: {source: {configMapRef: {name: a}}}}",
        "set either source.templateRef or migrations.source",
    ),
    (
        "Orchestra",
        "spec: {source: {}}",
        "set templateRef, existing or backupRef",
    ),
    ("Orchestra", "spec: {source: {backupRef: {name: last}}}", ""),
    (
        "Orchestra",
        "spec: {source: {backupRef: {name: last}, templateRef: {name: symphony}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {name: last}, existing: {databaseName: orchdb-1}}}",
        "set either existing or backupRef",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {name: ../last}}}",
        "spec.source.backupRef.name: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: A_B}}}",
        "spec.source.existing.databaseName: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: abcdefghijklmnopqrst}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: abcdefghijklmnopqrst, adopt: {deletion: true, resetPassword: true}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: abcdefghijklmnopqrst, adopt: {passwordSecretRef: {name: a}}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: abcdefghijklmnopqrst, adopt: {resetPassword: true, passwordSecretRef: {name: a}}}}}",
        "set either passwordSecretRef, or resetPassword: true",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: abcdefghijklmnopqrst, adopt: {}}}}",
        "set either passwordSecretRef, or resetPassword: true",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: orchdb-1, adopt: {resetPassword: true}}}}",
        "adopt belongs to projectRef",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: orchdb-1, projectRef: abcdefghijklmnopqrst}}}",
        "set either databaseName or projectRef",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {projectRef: ../organizations}}}",
        "spec.source.existing.projectRef: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, adoption: {projects: [{ref: abcdefghijklmnopqrst, namespace: a, allowDeletion: true, allowResetPassword: true}]}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, adoption: {projects: [{ref: abcdefghijklmnopqrst, namespace: a}]}}",
        "adoption needs a provider",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, adoption: {projects: [{ref: abcdefghijklmnopqrst}]}}",
        "spec.adoption.projects[0].namespace: Required value",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: b, adopted: {ref: abcdefghijklmnopqrst, adopt: {resetPassword: true}}}, reclaimPolicy: Delete}",
        "adopted without adopt.deletion",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: b, adopted: {ref: abcdefghijklmnopqrst, adopt: {resetPassword: true, deletion: true}}}, reclaimPolicy: Delete}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {policy: Delete, gracePeriod: 168h}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {gracePeriod: 0s}}",
        "gracePeriod must be from 1s to 8760h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {gracePeriod: 8760h1s}}",
        "gracePeriod must be from 1s to 8760h",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: acme, region: eu-west-3}, offeredTo: Tenants}",
        "spec.offeredTo: Invalid value",
    ),
    ("Orchestra", "spec: {ttl: 72h, deletionPolicy: Delete}", ""),
    ("Orchestra", "spec: {ttl: 72h}", "set deletionPolicy: Delete as well"),
    (
        "Orchestra",
        "spec: {ttl: 72h, deletionPolicy: Retain}",
        "set deletionPolicy: Delete as well",
    ),
    (
        "Orchestra",
        "spec: {ttl: 0s, deletionPolicy: Delete}",
        "ttl must be from 10s to 8760h",
    ),
    (
        "Orchestra",
        "spec: {ttl: 1000000h, deletionPolicy: Delete}",
        "ttl must be from 10s to 8760h",
    ),
    (
        "Orchestra",
        "spec: {ttl: 3d, deletionPolicy: Delete}",
        "spec.ttl: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, ttl: 72h, deletion: {policy: Delete}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, ttl: 72h}",
        "set deletion.policy: Delete as well",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, ttl: 1000000h, deletion: {policy: Delete}}",
        "ttl must be from 10s to 8760h",
    ),
];

/// Kind, manifest before and after, and a part of the refusal; empty: accepted.
pub const CHANGES: &[(&str, &str, &str, &str)] = &[
    (
        "Orchestra",
        "spec: {ttl: 1h, deletionPolicy: Delete}",
        "spec: {ttl: 96h, deletionPolicy: Delete}",
        "",
    ),
    (
        "Orchestra",
        "spec: {ttl: 1h, deletionPolicy: Delete}",
        "spec: {ttl: 1h}",
        "set deletionPolicy: Delete as well",
    ),
    (
        "Orchestra",
        "spec: {source: {existing: {databaseName: orchdb-1}}}",
        "spec: {source: {existing: {databaseName: orchdb-2}}}",
        "source is immutable once set",
    ),
    (
        "OrchestraDatabase",
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}, releasedAt: "2026-01-05T09:00:00Z"}"#,
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: new, uid: taker}, formerUids: [former]}",
        "",
    ),
    // Not remembered, not released, still released, or in another namespace.
    (
        "OrchestraDatabase",
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}, releasedAt: "2026-01-05T09:00:00Z"}"#,
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: new, uid: taker}, formerUids: [other]}",
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}}",
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: new, uid: taker}, formerUids: [former]}",
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}, releasedAt: "2026-01-05T09:00:00Z"}"#,
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: new, uid: taker}, formerUids: [former], releasedAt: "2026-01-05T09:00:00Z"}"#,
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}, releasedAt: "2026-01-05T09:00:00Z"}"#,
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: others, name: new, uid: taker}, formerUids: [former]}",
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        r#"spec: {supabase: {name: a, region: r}, claimRef: {namespace: tenants, name: acme, uid: former}, releasedAt: "2026-01-05T09:00:00Z", offeredTo: others}"#,
        "spec: {supabase: {name: a, region: r}, claimRef: {namespace: others, name: new, uid: taker}, formerUids: [former]}",
        "",
    ),
];
