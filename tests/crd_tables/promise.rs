//! The promise of docs/upgrade.md: what a release accepted, later ones accept, and what a version was seen to store is compared
//! with as it was.
//!
//! `tests/fixtures/stored/fields.json` has the fields of the specs that people write, as the last release had them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::schemas::schemas;

/// Parts of a schema whose increase would refuse, or whose decrease would.
const AT_MOST: [&str; 4] = ["maxLength", "maxItems", "maxProperties", "maximum"];
const AT_LEAST: [&str; 4] = ["minLength", "minItems", "minProperties", "minimum"];

type Fields = BTreeMap<String, Map<String, Value>>;

/// The captured versions of `tests/fixtures/stored`, with the digests of their files.
const CAPTURED: [(&str, &str); 2] = [
    ("1", "e03494498b0866b9a640537ec4793e3b3d937f8e2d986adbc6fb5c2c8a62ac35"),
    ("2", "1bcf0c136641d0e4ea95f2d0f0e2da6b9da037b43b6d86ab23cbf708f4c9bd86"),
];

fn stored() -> PathBuf {
    crate::project().join("tests/fixtures/stored")
}

fn file() -> PathBuf {
    stored().join("fields.json")
}

/// The files below a folder, by their paths in it.
fn contents(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
}

/// What a version has stored is what clusters hold, whatever a later one would store: where that differs, the later version is
/// captured as well.
#[test]
fn a_captured_version_is_never_edited() {
    let folders = fs::read_dir(stored()).unwrap().map(|entry| entry.unwrap().path());
    let mut digests: Vec<_> = folders
        .filter(|path| path.is_dir())
        .map(|folder| {
            let mut files = BTreeMap::new();
            contents(&folder, &folder, &mut files);
            let mut digest = Sha256::new();
            for (name, content) in &files {
                for part in [name.as_bytes(), content.as_slice()] {
                    digest.update(part);
                    digest.update([0_u8]);
                }
            }
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (name, hex::encode(digest.finalize()))
        })
        .collect();
    digests.sort();
    let captured = CAPTURED.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
    assert_eq!(
        digests, captured,
        "capture another version, see tests/fixtures/stored/README.md"
    );
}

#[test]
fn what_was_accepted_is_accepted() {
    let then: Fields = serde_json::from_str(&fs::read_to_string(file()).unwrap()).unwrap();
    let now = fields();
    let mut broken = Vec::new();
    for (path, then) in &then {
        match now.get(path) {
            Some(now) => broken.extend(narrower(now, then).map(|what| format!("{path}: {what}"))),
            None => broken.push(format!("{path} is gone")),
        }
    }
    let is_required = |path: &str| {
        let (parent, name) = path.rsplit_once('.')?;
        let required = now.get(parent)?.get("required")?.as_array()?;
        Some(required.iter().any(|field| field == name) && then.contains_key(parent))
    };
    for path in now.keys().filter(|path| !then.contains_key(*path)) {
        if is_required(path) == Some(true) {
            broken.push(format!("{path} is new and required"));
        }
    }
    assert!(then.len() > 100 && broken.is_empty(), "{}", broken.join("\n"));
}

/// Writes the fields again, after a release.
#[test]
#[ignore = "writes the fixture, after a release"]
fn capture() {
    let line = |(path, field): (&String, &Map<String, Value>)| {
        let (path, field) = (
            serde_json::to_string(path).unwrap(),
            serde_json::to_string(field).unwrap(),
        );
        format!("  {path}: {field}")
    };
    let lines: Vec<_> = fields().iter().map(line).collect();
    fs::write(file(), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}

fn fields() -> Fields {
    let mut found = Fields::new();
    for (kind, schema) in schemas() {
        // The operator alone writes OrchestraDatabases.
        if kind != "OrchestraDatabase" {
            walk(&schema["properties"]["spec"], &kind, &mut found);
        }
    }
    found
}

fn walk(schema: &Value, path: &str, found: &mut Fields) {
    let kept = ["type", "default", "enum", "required"];
    let kept = kept.into_iter().chain(AT_MOST).chain(AT_LEAST);
    let parts = kept.filter_map(|part| Some((part.to_owned(), schema.get(part)?.clone())));
    found.insert(path.to_owned(), parts.collect());
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(field, &format!("{path}.{name}"), found);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            walk(&schema[below], &format!("{path}[]"), found);
        }
    }
}

/// In what a field accepts less than it did, or means something else where it is omitted.
fn narrower<'a>(now: &'a Map<String, Value>, then: &'a Map<String, Value>) -> impl Iterator<Item = String> + 'a {
    let differs = |part: &str| now.get(part) != then.get(part);
    let list =
        |of: &Map<String, Value>, part: &str| of.get(part).and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |of: &Map<String, Value>, part: &str| of.get(part).and_then(Value::as_f64);
    let mut found = Vec::new();
    for part in ["type", "default"] {
        if differs(part) {
            found.push(format!("another {part}"));
        }
    }
    let values = list(now, "enum");
    let gone = |value: &Value| !values.is_empty() && !values.contains(value);
    let was_any = list(then, "enum").is_empty() && !values.is_empty();
    if was_any || list(then, "enum").iter().any(gone) {
        found.push("fewer values".to_owned());
    }
    let required = list(then, "required");
    if list(now, "required").iter().any(|field| !required.contains(field)) {
        found.push("more is required".to_owned());
    }
    for part in AT_MOST {
        let (now, then) = (number(now, part), number(then, part));
        if now.is_some_and(|now| then.is_none_or(|then| now < then)) {
            found.push(format!("a smaller {part}"));
        }
    }
    for part in AT_LEAST {
        let (now, then) = (number(now, part), number(then, part));
        if now.is_some_and(|now| then.is_none_or(|then| now > then)) {
            found.push(format!("a larger {part}"));
        }
    }
    found.into_iter()
}
