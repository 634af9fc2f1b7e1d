//! The effects of pending migrations, and which of them need approval.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The effect of a statement on existing data, applications, rights or sessions.
#[derive(
    schemars::JsonSchema,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
)]
pub enum Effect {
    /// Data or an object is lost, or existing data can make the statement fail.
    Destructive,
    /// Applications that use the old name or schema no longer find the object.
    Breaking,
    /// Roles can reach data that exists, or act with rights, as they could not before.
    Exposing,
    /// The guard cannot judge the statement, or it changes how later ones are read.
    Unknown,
    /// Roles get rights as everyday migrations give them, on the plan's own objects or to a role that is named.
    Granting,
    /// Other sessions wait while the statement runs.
    Locking,
    /// All rows are rewritten while other sessions wait.
    Rewriting,
}

impl Effect {
    /// The effects for which `OnDestructive` requires approval where the class says nothing else.
    pub const APPROVED: [Self; 4] = [Self::Destructive, Self::Breaking, Self::Exposing, Self::Unknown];

    /// The name in plans.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
