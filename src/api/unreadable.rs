//! Stored objects with a value that this version of the operator does not know, as after a downgrade. One of them must not
//! stop the watch of its kind, and must not look as if it were gone: it is decoded without that value and marked, so that
//! its claim, its project and its pool stay known, and the object is not changed.

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::text;

/// The annotation that marks an object in the stores, and says which values were left out. The API server accepts no name
/// with two slashes, so that no stored object has it, and an object with it cannot be written back as a whole.
const MARK: &str = "stagesub.io//unreadable";

/// The most values that are left out of an object.
const MOST: usize = 8;

/// The most bytes of the mark, which `run::trim` keeps.
const BYTES: usize = 400;

/// The fields that identify a database and its owner: an object is never decoded without them.
const IDENTITY: [&[&str]; 6] = [
    &["spec", "claimRef"],
    &["spec", "releasedAt"],
    &["spec", "pool"],
    &["spec", "static"],
    &["spec", "supabase", "adopted"],
    &["status", "project"],
];

/// Decodes an object. Values that are not known are left out, and the object is marked.
///
/// # Errors
/// When it is no object of the kind even so, or could only be one without its identity.
pub fn decode<K: DeserializeOwned>(mut object: Value) -> Result<K, serde_json::Error> {
    let mut last = match K::deserialize(&object) {
        Ok(known) => return Ok(known),
        Err(error) => error,
    };
    let mut left_out = Vec::new();
    while left_out.len() < MOST {
        let path = culprit::<K>(&object, &last.to_string());
        left_out.push(format!("{}: {last}", shown(&path)));
        if is_identity(&path) || !remove(&mut object, &path) {
            break;
        }
        last = match K::deserialize(&object) {
            Ok(_) => {
                mark(&mut object, &left_out);
                return K::deserialize(&object);
            }
            Err(error) => error,
        };
    }
    Err(last)
}

/// The path to the innermost value that makes decoding fail. Decoding is repeated without it, because a decoder that records
/// paths would add half a MiB to the program.
fn culprit<K: DeserializeOwned>(object: &Value, failure: &str) -> Vec<PathPart> {
    let fails = |way: &[PathPart], inside: Value| {
        let only = way.iter().rev().fold(inside, |inside, step| step.around(inside));
        matches!(K::deserialize(&only), Err(error) if error.to_string() == failure)
    };
    let (mut way, mut value) = (Vec::new(), object);
    loop {
        let steps: Vec<_> = match value {
            Value::Object(fields) => fields.keys().cloned().map(PathPart::Field).collect(),
            Value::Array(items) => (0..items.len()).map(PathPart::Item).collect(),
            _ => return way,
        };
        let empty = if value.is_array() { json!([]) } else { json!({}) };
        // Something is missing in it, whatever else it holds.
        if fails(&way, empty) {
            return way;
        }
        let guilty = steps.into_iter().find_map(|step| {
            let inside = step.inside(value)?;
            fails(&way, step.around(inside.clone())).then_some((step, inside))
        });
        let Some((step, inside)) = guilty else { return way };
        way.push(step);
        value = inside;
    }
}

/// The values of an object that this version does not know, and that were left out of it; none for an object that was
/// decoded completely.
pub fn unreadable(object: &impl ResourceExt) -> Option<&str> {
    object.annotations().get(MARK).map(String::as_str)
}

fn mark(object: &mut Value, left_out: &[String]) {
    let what = text::kept(&text::line(&left_out.join("; "), BYTES), BYTES - '…'.len_utf8());
    let Some(metadata) = object.get_mut("metadata") else {
        return;
    };
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = Value::Object(serde_json::Map::new());
    }
    metadata["annotations"][MARK] = what.into();
}

/// A step from a value to one inside it.
#[derive(Debug, PartialEq, Eq)]
enum PathPart {
    Field(String),
    Item(usize),
}

impl PathPart {
    /// The value that it leads to.
    fn inside<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Field(name) => value.get(name),
            Self::Item(index) => value.get(index),
        }
    }

    /// A value that holds nothing but this one.
    fn around(&self, inside: Value) -> Value {
        match self {
            Self::Field(name) => Value::Object(serde_json::Map::from_iter([(name.clone(), inside)])),
            Self::Item(_) => Value::Array(vec![inside]),
        }
    }
}

/// A path as users write it: `spec.seeds[0].format`.
fn shown(way: &[PathPart]) -> String {
    let mut shown = String::new();
    for step in way {
        match step {
            PathPart::Field(name) if shown.is_empty() => shown.push_str(name),
            PathPart::Field(name) => shown.extend([".", name]),
            PathPart::Item(index) => shown.extend(["[", &index.to_string(), "]"]),
        }
    }
    shown
}

/// Whether the value is, or contains, a field that identifies a database or its owner. Nothing outside spec and status is
/// left out.
fn is_identity(path: &[PathPart]) -> bool {
    let begins = |with: &[&str]| {
        let mut both = path.iter().zip(with);
        both.all(|(step, field)| matches!(step, PathPart::Field(name) if name == field))
    };
    let inside = ["spec", "status"].iter().any(|part| begins(&[part]));
    let holds = IDENTITY
        .iter()
        .any(|identity| path.len() <= identity.len() && begins(identity));
    path.is_empty() || !inside || holds
}

/// Removes the value; false when it does not exist.
fn remove(object: &mut Value, path: &[PathPart]) -> bool {
    let Some((last, way)) = path.split_last() else {
        return false;
    };
    let holder = way.iter().try_fold(object, |value, step| match step {
        PathPart::Field(name) => value.get_mut(name),
        PathPart::Item(index) => value.get_mut(index),
    });
    match (holder, last) {
        (Some(Value::Object(fields)), PathPart::Field(name)) => fields.remove(name).is_some(),
        (Some(Value::Array(items)), PathPart::Item(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::Deserialize as _;

    use super::*;
    use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool, PowerState};

    fn object(kind: &str, spec: &Value, status: &Value) -> Value {
        json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec, "status": status})
    }

    #[test]
    fn what_is_known_stays_and_what_is_not_is_named() {
        let spec = json!({
            "displayName": "A", "powerState": "Hibernated", "deletionPolicy": "Archive",
            "migrations": {"format": "Future", "source": {"folder": "a"}},
        });
        let found: Orchestra = decode(object("Orchestra", &spec, &Value::Null)).unwrap();
        assert_eq!(found.spec.display_name.as_deref(), Some("A"));
        assert_eq!(
            (found.spec.power_state, found.spec.deletion_policy.is_none()),
            (None, true)
        );
        assert!(found.spec.migrations.is_some());
        let told = unreadable(&found).unwrap();
        assert!(told.contains("unknown variant"), "{told}");
        assert!(told.len() <= BYTES, "{told}");

        let known = json!({"powerState": "Paused"});
        let known: Orchestra = decode(object("Orchestra", &known, &Value::Null)).unwrap();
        assert_eq!(
            (known.spec.power_state, unreadable(&known)),
            (Some(PowerState::Paused), None)
        );
    }

    #[test]
    fn a_database_keeps_its_claim_and_is_nobodys_to_take() {
        let claim = json!({"namespace": "b", "name": "c", "uid": "d"});
        let mut spec = json!({
            "supabase": {"name": "e", "region": "f"}, "claimRef": claim, "pool": "g", "reclaimPolicy": "Archive",
        });
        let held: OrchestraDatabase = decode(object("OrchestraDatabase", &spec, &Value::Null)).unwrap();
        assert!(held.is_held() && unreadable(&held).is_some());
        assert_eq!(held.pool(), Some("g"));
        spec.as_object_mut().unwrap().remove("claimRef");
        let free: OrchestraDatabase = decode(object("OrchestraDatabase", &spec, &Value::Null)).unwrap();
        assert!(!free.is_unclaimed(), "it is not handed out");
        spec["reclaimPolicy"] = json!("Retain");
        let free: OrchestraDatabase = decode(object("OrchestraDatabase", &spec, &Value::Null)).unwrap();
        assert!(free.is_unclaimed());
    }

    #[test]
    fn the_innermost_value_that_is_wrong_is_named() {
        let object = |spec: &Value| object("Orchestra", spec, &Value::Null);
        for (spec, way) in [
            (
                json!({"powerState": "Hibernated", "displayName": "A"}),
                "spec.powerState",
            ),
            // Two values that fail with the same error text.
            (
                json!({"powerState": "Archive", "deletionPolicy": "Archive"}),
                "spec.deletionPolicy",
            ),
            (
                json!({"migrations": {"format": "Future", "source": {"folder": "a"}}}),
                "spec.migrations.format",
            ),
            (json!({"source": {"templateRef": {}}}), "spec.source.templateRef"),
            (
                json!({"connection": {"rotation": {"also": ["OwnerPassword", "Everything"]}}}),
                "spec.connection.rotation.also[1]",
            ),
        ] {
            let object = object(&spec);
            let Err(error) = Orchestra::deserialize(&object) else {
                panic!("{spec} is read")
            };
            assert_eq!(
                shown(&culprit::<Orchestra>(&object, &error.to_string())),
                way,
                "{error}"
            );
        }
    }

    #[test]
    fn nothing_is_decoded_without_its_identity() {
        for (spec, status) in [
            (json!({"claimRef": {"namespace": "a", "name": "b"}}), Value::Null),
            (json!({"claimRef": 1}), Value::Null),
            (json!({"static": {"pool": "a"}}), Value::Null),
            (json!({"pool": 7}), Value::Null),
            (json!(7), Value::Null),
            (
                json!({}),
                json!({"observedGeneration": 1, "conditions": [], "project": {"ref": 7}}),
            ),
            (json!({}), json!(7)),
        ] {
            let found = decode::<OrchestraDatabase>(object("OrchestraDatabase", &spec, &status));
            assert!(found.is_err(), "{spec} {status} {found:?}");
        }
        let mut odd = object("Orchestra", &json!({}), &Value::Null);
        odd["metadata"]["labels"] = json!(7);
        assert!(decode::<Orchestra>(odd).is_err());
    }

    #[test]
    fn every_kind_is_read_without_a_value_that_it_does_not_know() {
        let class = json!({"pools": {"names": ["a"], "policy": "PoolSometimes"}, "placement": {"strategy": "Far"}});
        let class: OrchestraClass = decode(object("OrchestraClass", &class, &Value::Null)).unwrap();
        assert!(unreadable(&class).unwrap().contains("spec.pools.policy"), "{class:?}");
        let pool = json!({"static": {"recycle": "Sometimes"}});
        let pool: OrchestraPool = decode(object("OrchestraPool", &pool, &Value::Null)).unwrap();
        assert!(unreadable(&pool).is_some() && pool.spec.inventory.is_some());
    }
}
