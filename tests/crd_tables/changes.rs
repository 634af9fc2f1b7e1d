//! Updates that the API server must accept, and those that it must refuse.

/// Kind, manifest before and after, and a part of the refusal; empty: accepted.
pub const CHANGES: &[(&str, &str, &str, &str)] = &[
    (
        "Orchestra",
        "spec: {}",
        "spec: {className: standard, placement: {region: eu-west-3}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {className: a}",
        "spec: {className: a, displayName: New name}",
        "",
    ),
    (
        "Orchestra",
        "spec: {className: a}",
        "spec: {className: b}",
        "className is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {className: a}",
        "spec: {}",
        "className is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {className: a}",
        "spec: {className: null}",
        "className is immutable once set",
    ),
    ("Orchestra", "spec: {className: null}", "spec: {className: a}", ""),
    (
        "Orchestra",
        "spec: {placement: {region: eu-west-3}}",
        "spec: {placement: {region: eu-central-1}}",
        "placement is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {placement: {region: eu-west-3}}",
        "spec: {}",
        "placement is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: SE}}}",
        "spec: {placement: {near: {country: DK}}}",
        "placement is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 59.33, longitude: 18}}}",
        "spec: {placement: {near: {latitude: 59.33, longitude: 18.0}}, displayName: New name}",
        "",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: SE}}}",
        "spec: {placement: {region: eu-north-1}}",
        "placement is immutable once set",
    ),
    (
        "Orchestra",
        "spec: {deletionPolicy: Retain}",
        "spec: {deletionPolicy: Delete}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {secretName: a}}",
        "spec: {connection: {secretName: b}}",
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}}",
        "spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-1}, reclaimPolicy: Delete}",
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-1}}",
        "spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-2}}",
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-1}}",
        "spec: {supabase: {name: a, region: eu-west-3}}",
        "claimRef is immutable once set",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-1}}",
        r#"spec: {supabase: {name: a, region: eu-west-3}, claimRef: {namespace: tenants, name: acme, uid: uid-1}, releasedAt: "2026-01-05T09:00:00Z"}"#,
        "",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}}",
        "spec: {supabase: {name: b, region: eu-west-3}}",
        "supabase is immutable",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}}",
        "spec: {supabase: {name: a, region: eu-west-3, instanceSize: large}}",
        "supabase is immutable",
    ),
    (
        "OrchestraDatabase",
        "spec: {supabase: {name: a, region: eu-west-3}}",
        "spec: {static: {pool: house, key: k}}",
        "supabase is immutable",
    ),
    (
        "OrchestraDatabase",
        "spec: {static: {pool: house, key: k}}",
        "spec: {static: {pool: house, key: l}}",
        "static is immutable",
    ),
    (
        "OrchestraDatabase",
        "spec: {pool: house, static: {pool: house, key: k}}",
        "spec: {static: {pool: house, key: k}}",
        "pool is immutable once set",
    ),
    (
        "OrchestraDatabase",
        "spec: {static: {pool: house, key: k}}",
        "spec: {static: {pool: house, key: k}, claimRef: {namespace: tenants, name: acme, uid: uid-1}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}}",
        "spec: {provider: {supabase: {}}}",
        "",
    ),
];
