//! Kinds of objects that tests look at, and what their conditions say.

use kube::api::ApiResource;
use serde_json::Value;

/// Kinds that tests look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tenant.
    Orchestra,
    /// A class.
    Class,
    /// A database.
    Database,
    /// A pool.
    Pool,
    /// A backup.
    Backup,
    /// A Job.
    Job,
    /// A Secret.
    Secret,
    /// An event.
    Event,
    /// A lease.
    Lease,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Orchestra => ("stagesub.io", "v1alpha1", "Orchestra", "orchestras"),
            Self::Class => ("stagesub.io", "v1alpha1", "OrchestraClass", "orchestraclasses"),
            Self::Database => ("stagesub.io", "v1alpha1", "OrchestraDatabase", "orchestradatabases"),
            Self::Pool => ("stagesub.io", "v1alpha1", "OrchestraPool", "orchestrapools"),
            Self::Backup => ("stagesub.io", "v1alpha1", "OrchestraBackup", "orchestrabackups"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Event => ("events.k8s.io", "v1", "Event", "events"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
        };
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&gvk, plural)
    }
}

/// Status, reason and message of a condition; empty when there is none.
pub fn condition(object: &Value, type_: &str) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == type_));
    let text = |key: &str| found.and_then(|is| is[key].as_str()).unwrap_or_default().to_string();
    (text("status"), text("reason"), text("message"))
}

/// Whether a condition is True.
pub fn is_true(object: &Value, type_: &str) -> bool {
    condition(object, type_).0 == "True"
}
