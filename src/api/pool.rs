//! `OrchestraPool`: keeps databases ready for claims.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{GoDuration, LABEL, NAME, TemplateReference};

/// Databases that wait for a claim: those that the pool makes with the provider of a class (`replicas`) or on a
/// PostgreSQL server (`server`), or an inventory of existing databases (`static`), for a cluster without a token or as
/// a fallback.
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
    doc = "OrchestraPool holds databases that wait for a claim: databases that it makes with the provider of a class or on a PostgreSQL server, or a static inventory of databases that already exist.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.available"),
    printcolumn(name = "Bound", type_ = "integer", json_path = ".status.bound"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Creating", type_ = "integer", priority = 1, json_path = ".status.creating"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.server) || has(self.static) != has(self.replicas)").message("exactly one of static and replicas must be set: static for databases that exist, replicas for databases that the pool makes; or server, for databases that the pool makes on a PostgreSQL server"),
    validation = Rule::new("!has(self.server) || !has(self.static)").message("server and static do not go together: make a pool for each"),
    validation = Rule::new("has(self.server) || has(self.className) == has(self.replicas)").message("replicas needs className, the class whose provider makes the databases, and className belongs to replicas"),
    validation = Rule::new("!has(self.server) || !has(self.className) || has(self.server.template)").message("className of a pool with server names the class of server.template: set both, or neither"),
    validation = Rule::new("has(self.replicas) || has(self.server) || (!has(self.maxConcurrentCreates) && !has(self.memberLifetime))").message("maxConcurrentCreates and memberLifetime belong to replicas"),
    validation = Rule::new("has(self.static) || !has(self.prepare)").message("prepare belongs to static: databases that the pool makes are prepared with the defaults of their class, or with server.template"),
    validation = Rule::new("has(self.static) == has(oldSelf.static)").message("static and replicas do not replace each other: make another pool"),
    validation = Rule::new("has(self.server) == has(oldSelf.server)").message("server is set when the pool is made, or never: make another pool"),
    validation = Rule::new("!has(oldSelf.className) || (has(self.className) && self.className == oldSelf.className)").message("className is immutable: the databases of the pool were made by it"),
)]
pub struct OrchestraPoolSpec {
    /// OrchestraClass whose provider makes the databases, within its budget, and whose defaults they are
    /// prepared with: the migrations and, where its rows name no tenant, the seed. They meet claims of this
    /// class, whose `pools.names` has to name the pool. Required with `replicas`, and immutable. With `server`: the class
    /// of `server.template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// Number of databases that wait for a claim. The pool makes another one for each that is claimed;
    /// a lower number destroys databases that were never claimed. With `server` it may be omitted: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: Option<i32>,
    /// Databases that are created at once, at most 50; default 3. Creations that an Orchestra waits for go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub max_concurrent_creates: Option<i32>,
    /// How long a database waits for a claim before it is replaced, from 1h to 8760h: one at a
    /// time, the new one first. Omitted: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')").message("memberLifetime must be from 1h to 8760h"))]
    pub member_lifetime: Option<GoDuration>,
    /// Databases that already exist.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub inventory: Option<StaticInventory>,
    /// PostgreSQL server on which the pool makes databases, each with an owner of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<DatabaseServer>,
    /// Template whose migrations are applied to the databases of `static` while they wait for a claim, so that a
    /// claim is met in seconds. A prepared database meets only claims of that template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Preparation>,
}

/// The source of the migrations with which the databases of a pool are prepared.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preparation {
    /// OrchestraClass that has the template.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: String,
    /// Template of that class.
    pub template_ref: TemplateReference,
}

/// A PostgreSQL server on which a pool makes databases.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseServer {
    /// Secret in the operator's namespace whose key `DATABASE_URL` is the URL of a login with CREATEDB and CREATEROLE. The
    /// URLs of the databases have its host, port and parameters.
    pub secret_ref: SecretReference,
    /// The most databases that the pool creates on the server, claimed and released ones included; default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: Option<i32>,
    /// Template of the class `className`, or else of the default class, whose migrations the databases have while they
    /// wait for a claim. A prepared database meets only claims of that template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub template: Option<String>,
    /// Accept a server before PostgreSQL 16. There a script with CREATEROLE can make itself a member of every
    /// role of the server that is not a superuser, read every database of the server, and run programs on its
    /// machine. Set it only if all databases of the server belong to tenants that trust each other's scripts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_legacy_servers: bool,
    /// OrchestraClasses that do not claim from the pool, whose restore drills may make their scratch databases on the server
    /// (`backup.scratchPoolName`). The image of such a class's Jobs gets the login of the scratch database's owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = NAME)))]
    pub drill_class_names: Vec<String>,
}

/// Databases that already exist: one `DATABASE_URL_POOL_<n>` each, or a Secret each.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticInventory {
    /// Secret in the operator's namespace whose keys `DATABASE_URL_POOL_<n>` hold the URLs, each with
    /// the login of the database's owner. A hosted project may bring the keys of its API beside its URL, all of them:
    /// `SUPABASE_URL_POOL_<n>`, `SUPABASE_ANON_KEY_POOL_<n>` and `SUPABASE_SERVICE_ROLE_KEY_POOL_<n>`. Omitted, and no
    /// `selector` either: the operator's environment variables of those names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// Secrets in the operator's namespace, by their labels, at most 1000: each is an entry by its key `DATABASE_URL`,
    /// with `SUPABASE_URL`, `SUPABASE_ANON_KEY` and `SUPABASE_SERVICE_ROLE_KEY` for a hosted project, or holds several by
    /// the keys of `secretRef`. They are added to those of `secretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector must name a label: an empty one would select every Secret"))]
    pub selector: Option<LabelSelector>,
    /// What happens to a database that an Orchestra with deletion policy `Delete` has released, once the grace period of its
    /// class is over. Omitted: `Never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle: Option<Recycle>,
    /// Accept servers before PostgreSQL 16. There a script with CREATEROLE can make itself a member of every
    /// role of the server that is not a superuser, read every database of the server, and run programs on its
    /// machine. Set it only if all databases of the server belong to tenants that trust each other's scripts.
    /// Hosted projects are accepted without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_legacy_servers: bool,
    /// Accept databases that hold rows, default privileges, objects of other owners, or rights of roles other
    /// than the entry's login. The next tenant gets those rows, and these roles reach its data: set it only if an admin
    /// takes responsibility for both. Logins of other Orchestras are refused nevertheless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_non_empty: bool,
}

/// What happens to a released database of a static pool.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recycle {
    /// It is kept, and no other Orchestra gets it.
    #[default]
    Never,
    /// Everything in it is dropped: schemas, roles that the tenant's scripts have made, grants, default privileges,
    /// extensions, settings, large objects. When its catalogue is then that of a fresh database, it waits for a claim again;
    /// otherwise it stays out of the pool, and its OrchestraDatabase names the remaining objects. Databases of deletion
    /// policy `Retain` are kept. Needs PostgreSQL 16 or later; hosted projects are kept.
    Reset,
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
    /// Ready: every entry of the inventory is usable, or as many databases as `replicas` says wait for a claim.
    /// Reconciling and Stalled as kstatus defines them.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of databases that are to wait for a claim; of a static pool, number of entries in the inventory.
    #[serde(default)]
    pub desired: i32,
    /// Number of databases that wait for a claim, usable and prepared.
    #[serde(default)]
    pub available: i32,
    /// Number of databases that are being created or prepared; absent for a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creating: Option<i32>,
    /// Number of claimed databases.
    #[serde(default)]
    pub bound: i32,
    /// Number of databases without a claim, `available` and `creating`; absent for a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector of these databases, for autoscalers; absent for a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Name of each OrchestraDatabase that is about to be created, or of each entry of a pool with `server`. Written before
    /// they are: of two operators only one decides on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    pub planned: Vec<String>,
}
