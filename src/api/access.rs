//! What the tenant's login and a hosted project's Data API reach.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Whether policies of row level security apply to the tenant's login.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowSecurity {
    /// They do not, as they do not apply to the owner (default).
    #[default]
    Bypass,
    /// They apply: the login reads a table with row level security only where a policy allows it.
    Enforce,
}

/// What a hosted project's Data API reaches with the keys of the connection Secret. It has no effect on an entry of a static
/// pool that is not a hosted project.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataApi {
    /// What the roles of the keys (`anon`, `authenticated`, `service_role`) may do with tables, sequences and functions
    /// that migrations create in the schema `public`. `All`: read and write tables, use sequences, execute functions;
    /// row level security decides which rows `anon` and `authenticated` reach. `None`: only what a migration grants them.
    /// Omitted: the operator changes nothing, and the provider's own default applies, which has been the same as `None` for
    /// all projects since 2026-10-30. It is set before migrations are applied; existing tables keep their rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_new_tables: Option<ExposeNewTables>,
}

/// Which new tables the Data API reaches.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExposeNewTables {
    /// All of them.
    All,
    /// Those that a migration grants.
    None,
}
