//! What the commands print that change an object: a line for people, or what `kubectl` prints with `-o`.

use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;

use super::output;

/// What is printed of a changed object for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ChangedFormat {
    /// The object after the change, as a JSON document.
    Json,
    /// The object after the change, as a YAML document.
    Yaml,
    /// Its name, such as `orchestra.stagesub.io/acme`.
    Name,
}

/// The flag of every command that changes an object.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct ChangedOutput {
    /// Print only the changed object, or its name. Default: a line about the change.
    #[arg(short, long, value_enum)]
    pub output: Option<ChangedFormat>,
}

impl ChangedOutput {
    /// Whether lines for people are printed.
    pub fn is_for_people(self) -> bool {
        self.output.is_none()
    }

    /// The object in the wanted format, or its name and what was done.
    ///
    /// # Errors
    /// When the object cannot be represented.
    pub fn of<K>(self, object: &K, done: &str) -> anyhow::Result<String>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        match self.output {
            None => Ok(format!("{} {done}", named(object))),
            Some(ChangedFormat::Name) => Ok(named(object)),
            Some(ChangedFormat::Json) => output::json(&shown(object)?),
            Some(ChangedFormat::Yaml) => output::yaml(&shown(object)?),
        }
    }
}

/// An object as kubectl names what it has changed.
pub fn named<K>(object: &K) -> String
where
    K: Resource<DynamicType = ()>,
{
    let kind = K::kind(&()).to_lowercase();
    format!("{kind}.{}/{}", K::group(&()), object.name_any())
}

/// An object as kubectl shows it: without the managers of its fields.
fn shown(object: &impl Serialize) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(object)?;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::api::{Orchestra, OrchestraClass};

    fn acme() -> Orchestra {
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": "acme", "managedFields": [{"manager": "kubectl"}]},
            "spec": {"powerState": "Paused"},
        }))
        .unwrap()
    }

    fn printed(output: Option<ChangedFormat>) -> String {
        ChangedOutput { output }.of(&acme(), "pause requested").unwrap()
    }

    #[test]
    fn a_change_is_a_line_a_name_or_the_object() {
        assert_eq!(printed(None), "orchestra.stagesub.io/acme pause requested");
        assert_eq!(printed(Some(ChangedFormat::Name)), "orchestra.stagesub.io/acme");
        let object = json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": "acme"}, "spec": {"powerState": "Paused"},
        });
        let read: Value = serde_json::from_str(&printed(Some(ChangedFormat::Json))).unwrap();
        assert_eq!(read, object);
        let read: Value = serde_saphyr::from_str(&printed(Some(ChangedFormat::Yaml))).unwrap();
        assert_eq!(read, object);
    }

    #[test]
    fn every_kind_has_its_own_name() {
        let class: OrchestraClass = serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraClass",
            "metadata": {"name": "standard"}, "spec": {},
        }))
        .unwrap();
        assert_eq!(named(&class), "orchestraclass.stagesub.io/standard");
    }
}
