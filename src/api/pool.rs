//! `OrchestraPool`: keeps databases ready for claims.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{NAME, TemplateReference};

/// Databases that wait for a claim. A static pool is an inventory of existing databases, for a cluster
/// without a token or as a fallback.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "stagesub.io",
    version = "v1alpha1",
    kind = "OrchestraPool",
    plural = "orchestrapools",
    shortname = "orchpool",
    category = "stagesub",
    status = "OrchestraPoolStatus",
    derive = "PartialEq",
    doc = "OrchestraPool holds databases that wait for a claim: a static inventory of databases that already exist.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.available"),
    printcolumn(name = "Bound", type_ = "integer", json_path = ".status.bound"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraPoolSpec {
    /// Databases that already exist.
    #[serde(rename = "static")]
    pub inventory: StaticInventory,
    /// Template whose migrations are applied to the databases while they wait for a claim, so that a
    /// claim is met in seconds. A prepared database meets only claims of that template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Preparation>,
}

/// Where the migrations come from that the databases of a pool are prepared with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preparation {
    /// OrchestraClass that has the template.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: String,
    /// Template of that class.
    pub template_ref: TemplateReference,
}

/// Databases that already exist: one `DATABASE_URL_POOL_<n>` each.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticInventory {
    /// Secret in the operator's namespace whose keys `DATABASE_URL_POOL_<n>` hold the URLs, each with
    /// the login of the database's owner. Omitted: the operator's environment variables of those names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// Accept servers before PostgreSQL 16. There a script with CREATEROLE can make itself a member of every
    /// role of the server that is not a superuser, read every database of the server, and run programs on its
    /// machine. Set it only if all databases of the server belong to tenants that trust each other's scripts.
    /// Hosted projects are accepted without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_legacy_servers: bool,
    /// Accept databases that hold rows, default privileges, objects of other owners, or rights of roles other
    /// than the entry's login. The next tenant gets those rows, and these roles reach its data: set it only if
    /// an admin vouches for both. Logins of other Orchestras are refused nevertheless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_non_empty: bool,
}

/// A Secret in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// The last observed state of a pool.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraPoolStatus {
    /// Generation that this status describes; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// Ready: every entry of the inventory is usable. Reconciling and Stalled as kstatus defines them.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of entries in the inventory.
    #[serde(default)]
    pub desired: i32,
    /// Number of databases that wait for a claim.
    #[serde(default)]
    pub available: i32,
    /// Number of claimed databases.
    #[serde(default)]
    pub bound: i32,
}
