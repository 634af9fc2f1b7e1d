//! Manifests that the API server must accept or refuse.

/// What is tried, the `spec`, and a part of the message when the API server must refuse.
pub type Case<'a> = (&'a str, &'a str, Option<&'a str>);

/// Specs of Orchestras.
pub const ORCHESTRAS: &[Case] = &[
    ("nothing", "{}", None),
    (
        "explicit nulls",
        "{className: null, deletionPolicy: null, migrations: null}",
        None,
    ),
    (
        "no className",
        "{className: ''}",
        Some("spec.className in body should be at least 1 chars long"),
    ),
    (
        "a Secret in a folder",
        "{connection: {secretName: a/b}}",
        Some("spec.connection.secretName in body should match"),
    ),
    (
        "a Secret in capitals",
        "{connection: {secretName: Acme}}",
        Some("spec.connection.secretName in body should match"),
    ),
    (
        "a Secret with two dots",
        "{connection: {secretName: a..b}}",
        Some("spec.connection.secretName in body should match"),
    ),
    ("a Secret with a dot", "{connection: {secretName: acme.db-1}}", None),
    (
        "an unknown mode",
        "{connection: {mode: Direct}}",
        Some(r#"supported values: "SessionPooler", "TransactionPooler""#),
    ),
    (
        "an unknown deletionPolicy",
        "{deletionPolicy: Recycle}",
        Some(r#"supported values: "Retain", "Delete""#),
    ),
    (
        "an unknown format",
        "{migrations: {source: {configMapRef: {name: a}}, format: Flyway}}",
        Some(r#"supported values: "Prisma""#),
    ),
    (
        "an unknown seed policy",
        "{seed: {configMapRef: {name: a}, policy: Always}}",
        Some(r#"supported values: "Once""#),
    ),
    (
        "one ConfigMap",
        "{migrations: {source: {configMapRef: {name: a}}}}",
        None,
    ),
    (
        "two ConfigMaps",
        "{migrations: {source: {configMapRefs: [{name: a}, {name: b}]}}}",
        None,
    ),
    (
        "a ConfigMap and a null",
        "{migrations: {source: {configMapRef: {name: a}, configMapRefs: null}}}",
        None,
    ),
    (
        "two sources",
        "{migrations: {source: {configMapRef: {name: a}, configMapRefs: [{name: b}]}}}",
        Some("exactly one of configMapRef and configMapRefs must be set"),
    ),
    (
        "no source",
        "{migrations: {source: {}}}",
        Some("exactly one of configMapRef and configMapRefs must be set"),
    ),
    (
        "a null source",
        "{migrations: {source: {configMapRef: null}}}",
        Some("exactly one of configMapRef and configMapRefs must be set"),
    ),
    (
        "migrations from nowhere",
        "{migrations: {}}",
        Some("spec.migrations.source: Required value"),
    ),
    (
        "an empty list",
        "{migrations: {source: {configMapRefs: []}}}",
        Some("should have at least 1 items"),
    ),
    (
        "no region",
        "{placement: {region: ''}}",
        Some("spec.placement.region in body should be at least 1 chars long"),
    ),
    (
        "a region in words",
        "{placement: {region: Central Europe}}",
        Some("spec.placement.region in body should match"),
    ),
    (
        "a seed from nowhere",
        "{seed: {}}",
        Some("spec.seed.configMapRef: Required value"),
    ),
];

/// Specs of OrchestraClasses.
pub const CLASSES: &[Case] = &[
    ("a provider", "{provider: {supabase: {}}}", None),
    ("pools", "{pools: {names: [a]}}", None),
    (
        "neither provider nor pools",
        "{}",
        Some("a class needs a provider, pools, or both"),
    ),
    (
        "a null provider",
        "{provider: null}",
        Some("a class needs a provider, pools, or both"),
    ),
    (
        "no provider of those known",
        "{provider: {}}",
        Some("spec.provider.supabase: Required value"),
    ),
    (
        "no pool",
        "{pools: {names: []}}",
        Some("spec.pools.names in body should have at least 1 items"),
    ),
    (
        "an unknown pool policy",
        "{pools: {names: [a], policy: Any}}",
        Some(r#"supported values: "CloudFirst", "PoolFirst", "PoolOnly", "CloudOnly""#),
    ),
    (
        "an allowed region",
        "{provider: {supabase: {}}, placement: {region: a, allowedRegions: [b, a]}}",
        None,
    ),
    (
        "another region",
        "{provider: {supabase: {}}, placement: {region: a, allowedRegions: [b]}}",
        Some("region must be one of allowedRegions"),
    ),
    (
        "an organization",
        "{provider: {supabase: {organization: acme-org_1}}}",
        None,
    ),
    (
        "an organization in words",
        "{provider: {supabase: {organization: Acme Inc}}}",
        Some("spec.provider.supabase.organization in body should match"),
    ),
    (
        "a token without a name",
        "{provider: {supabase: {tokenSecretRef: {}}}}",
        Some("tokenSecretRef.name: Required value"),
    ),
    (
        "an unknown deletion policy",
        "{provider: {supabase: {}}, deletion: {policy: Recycle}}",
        Some(r#"supported values: "Retain", "Delete""#),
    ),
];

/// Values of `progressDeadline`.
pub const DEADLINES: &[(&str, Option<&str>)] = &[
    ("10m", None),
    ("1s", None),
    ("1h30m", None),
    ("90m", None),
    ("24h", None),
    (
        "",
        Some("spec.progressDeadline in body should be at least 2 chars long"),
    ),
    ("ten", Some("spec.progressDeadline in body should match")),
    ("-5m", Some("spec.progressDeadline in body should match")),
    ("1d", Some("spec.progressDeadline in body should match")),
    ("0s", Some("progressDeadline must be at least 1s and at most 24h")),
    ("24h1s", Some("progressDeadline must be at least 1s and at most 24h")),
    ("1441m", Some("progressDeadline must be at least 1s and at most 24h")),
    ("999999999999999h", Some("progressDeadline")),
];
