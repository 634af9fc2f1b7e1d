//! Where databases are created.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const PLACEMENTS: &[(&str, &str, &str)] = &[
    ("Orchestra", "spec: {placement: {near: {country: SE}}}", ""),
    // Without quotes, NO is a boolean in YAML 1.1.
    ("Orchestra", r#"spec: {placement: {near: {country: "NO"}}}"#, ""),
    (
        "Orchestra",
        "spec: {placement: {near: {country: NO}}}",
        "spec.placement.near.country: Invalid value: \"boolean\"",
    ),
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
        "spec: {placement: {near: {country: XX}}}",
        "country must be a code of ISO 3166-1 with two capital letters, for example SE",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: se}}}",
        "country must be a code of ISO 3166-1",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: Sweden}}}",
        "country must be a code of ISO 3166-1",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: UK}}}",
        "country must be a code of ISO 3166-1",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: SE}}",
        r#"spec.placement.near: Invalid value: "string""#,
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {}}}",
        "set either country, or latitude and longitude",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {latitude: 59.33}}}",
        "set either country, or latitude and longitude",
    ),
    (
        "Orchestra",
        "spec: {placement: {near: {country: SE, latitude: 59.33, longitude: 18.07}}}",
        "set either country, or latitude and longitude",
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
        "spec: {placement: {region: eu-north-1, near: {country: SE}}}",
        "exactly one of region and near must be set",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, allowedRegions: [eu-central-1, eu-west-3]}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: {country: DE}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {near: {country: DE}}}",
        "near belongs to strategy: Nearest",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Listed, near: {country: DE}}}",
        "near belongs to strategy: Nearest",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: {country: DE}, region: eu-central-1}}",
        "set either region or near",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Cheapest}}",
        r#"supported values: "Listed", "Nearest""#,
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, placement: {strategy: Nearest, near: {country: XX}}}",
        "country must be a code of ISO 3166-1",
    ),
];
