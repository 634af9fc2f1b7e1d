//! Where databases are created.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const PLACEMENTS: &[(&str, &str, &str)] = &[
    ("Orchestra", "spec: {placement: {near: SE}}", ""),
    // Without quotes, NO is a boolean in YAML 1.1.
    ("Orchestra", r#"spec: {placement: {near: "NO"}}"#, ""),
    // The schema cannot refuse a boolean clearly: a condition does.
    ("Orchestra", "spec: {placement: {near: NO}}", ""),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 59.33, longitude: 18}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: -90, longitude: 180}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: XX}}",
        "spec.placement.near in body should match '^(A[DEF",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: se}}",
        "spec.placement.near in body should match '^(A[DEF",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: Sweden}}",
        "spec.placement.near: Too long: may not be more than 2",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: UK}}",
        "spec.placement.near in body should match '^(A[DEF",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: Sweden}}}",
        "spec.placement.near.latitude: Required value",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {}}}",
        "spec.placement.near.latitude: Required value",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 59.33}}}",
        "spec.placement.near.longitude: Required value",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: SE, latitude: 59.33, longitude: 18.07}}}",
        "spec.placement.near: Too many: 3: must have at most 2 items",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 90.1, longitude: 0}}}",
        "spec.placement.near.latitude: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 0, longitude: -181}}}",
        "spec.placement.near.longitude: Invalid value",
    ),
    (
        "Orchestra",
        r#"spec: {placement: {near: {latitude: "59.33", longitude: "18.07"}}}"#,
        "spec.placement.near.latitude: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {placement: {region: eu-north-1, near: SE}}",
        "must validate one and only one schema (oneOf). Found 2 valid alternatives",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, allowedRegions: [eu-central-1, eu-west-3]}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: DE}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {near: DE}}",
        "spec.placement.strategy: Required value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Listed, near: DE}}",
        r#"spec.placement.strategy: Unsupported value: "Listed": supported values: "Nearest""#,
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: DE, region: eu-central-1}}",
        "must not validate the schema (not)",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Cheapest}}",
        r#"supported values: "Listed", "Nearest""#,
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: XX}}",
        "spec.placement.near in body should match",
    ),
];
