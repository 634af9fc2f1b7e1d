//! A source, and who named it.

use std::fmt;

use kube::ResourceExt as _;

use crate::api::{Orchestra, ScriptSource};

/// A source, and who named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourcePlace {
    /// Namespace of its ConfigMaps and Secrets.
    pub namespace: String,
    /// An OrchestraClass named it: every registry is allowed.
    pub by_class: bool,
    /// The source as the spec names it.
    pub source: ScriptSource,
}

impl SourcePlace {
    /// A source that an Orchestra names.
    pub fn of_orchestra(object: &Orchestra, source: &ScriptSource) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            by_class: false,
            source: source.clone(),
        }
    }

    /// A source that a class or one of its templates names. Its ConfigMaps and Secrets are in `namespace`,
    /// the operator's own.
    pub fn of_class(namespace: &str, source: &ScriptSource) -> Self {
        Self {
            namespace: namespace.to_owned(),
            by_class: true,
            source: source.clone(),
        }
    }
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        if let Some(oci) = &source.oci {
            write!(f, "artifact {}", oci.image)
        } else if let Some(folder) = &source.folder {
            write!(f, "folder {folder}")
        } else if source.inline.is_some() {
            f.write_str("inline")
        } else {
            let names: Vec<_> = source.config_maps().collect();
            write!(f, "ConfigMap {}/{}", self.namespace, names.join(", "))
        }
    }
}
