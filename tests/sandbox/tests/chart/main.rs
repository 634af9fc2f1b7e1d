//! The Helm chart: what of it is generated is fresh, its values are closed and documented, and it installs what kustomize
//! installs.
//!
//! `make chart` writes the generated files again: it sets `UPDATE_CHART`. The renders are written by the helm that is found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod generated;
mod helm;
mod rendered;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn chart() -> PathBuf {
    project().join("deploy/chart")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The chart's schema of values.
fn schema() -> Value {
    serde_json::from_str(&read(chart().join("values.schema.json"))).unwrap()
}

/// Whether generated files are to be written instead of compared.
fn updates() -> bool {
    std::env::var_os("UPDATE_CHART").is_some()
}
