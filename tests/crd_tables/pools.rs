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
    ("OrchestraPool", "spec: {server: {secretRef: {name: server}}}", ""),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}, max: 200, template: symphony}}",
        "",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}, max: 1000, template: symphony, allowLegacyServers: true}, className: standard, \
         replicas: 5, maxConcurrentCreates: 2, memberLifetime: 24h}",
        "",
    ),
    (
        "OrchestraPool",
        "spec: {server: {}}",
        "spec.server.secretRef: Required value",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}}, static: {}}",
        "server and static do not go together",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}}, className: standard}",
        "className of a pool with server names the class of server.template",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}, max: 0}}",
        "spec.server.max in body should be greater than or equal to 1",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}, max: 1001}}",
        "spec.server.max in body should be less than or equal to 1000",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}, template: Symphony}}",
        "spec.server.template: Invalid value",
    ),
    (
        "OrchestraPool",
        "spec: {server: {secretRef: {name: server}}, prepare: {className: standard, templateRef: {name: symphony}}}",
        "prepare belongs to static",
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
