//! `OrchestraClass`: how claims are met, as a StorageClass says for volumes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Budget, ClassBackup, ClassCost, ClassPlacement, DataApi, DeletionPolicy, Effect, FinalBackup, GoDuration,
    Health, Idle, Migrations, NAME, Rollout, RolloutStatus, RowSecurity, Template,
};

/// How Orchestras of this class get their databases: the provider and its token, pools, placement,
/// deletion policy and default migrations.
///
/// A finalizer keeps a deleted class until the last database that needs it is gone: the class's token
/// is needed to maintain those projects and to delete them. Its tenants continue to work; new claims
/// are refused. The condition Ready names the databases that need the class.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "stagesub.io",
    version = "v1alpha1",
    kind = "OrchestraClass",
    plural = "orchestraclasses",
    shortname = "orchclass",
    category = "stagesub",
    status = "OrchestraClassStatus",
    derive = "PartialEq",
    doc = "OrchestraClass says how claims of Orchestras are met: by which provider and token, from which pools, where, and what happens on deletion.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider"),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.tenants"),
    printcolumn(name = "Budget", type_ = "string", json_path = ".spec.budget.monthlyLimit"),
    printcolumn(name = "Projected", type_ = "string", json_path = ".status.cost.projected"),
    printcolumn(
        name = "Default",
        type_ = "string",
        json_path = ".metadata.annotations.stagesub\\.io/is-default-class"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Rollout",
        type_ = "string",
        priority = 1,
        json_path = ".status.rollout.phase"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.provider) || has(self.pools)").message("a class needs a provider, pools, or both"),
    validation = Rule::new("!has(self.adoption) || has(self.provider)").message("adoption needs a provider, whose projects are adopted"),
    validation = Rule::new("!has(self.ttl) || (has(self.deletion) && has(self.deletion.policy) && self.deletion.policy == 'Delete')").message("databases are destroyed at the end of the ttl: set deletion.policy: Delete as well, or remove ttl"),
    validation = Rule::new("!has(self.migrations) || has(self.migrations.source)").message("a class's migrations need a source"),
    validation = Rule::new("!has(self.migrations) || !has(self.migrations.resolve) && !has(self.migrations.baseline)").message("resolve and baseline describe one database: set them in its Orchestra"),
    validation = Rule::new("!has(self.template) || has(self.templates) && self.templates.exists(template, template.name == self.template)").message("template must be the name of one of templates"),
    validation = Rule::new("!has(self.deletion) || !has(self.deletion.finalBackup) || self.deletion.finalBackup == 'None' || has(self.backup)").message("finalBackup needs a store: set backup.destination as well"),
    validation = Rule::new("!has(self.template) || !has(self.migrations)").message("set either template or migrations: a template has its own migrations"),
)]
pub struct OrchestraClassSpec {
    /// Provider that creates databases. Omitted: pools only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Pools from which claims may be met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Pools>,
    /// Where databases are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<ClassPlacement>,
    /// Namespaces whose Orchestras may claim through this class. Omitted: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Limits on the cost and number of this class's projects. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Replaces a project that is not usable within `progressDeadline` and never was: the operator
    /// deletes it and creates it again, at most twice. It never replaces a project that was ever
    /// usable.
    #[serde(default)]
    pub replace_stuck: bool,
    /// Restores a project that the provider has paused, as it does with free projects that are not
    /// used.
    #[serde(default)]
    pub auto_restore: bool,
    /// What happens to the database of a deleted Orchestra.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub deletion: Deletion,
    /// Where the databases of this class are backed up to, when, and for how long. Omitted: no backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<ClassBackup>,
    /// Projects of the provider that the operator did not make, and that Orchestras may adopt with
    /// `source.existing.projectRef`. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
    /// How long Orchestras live that name no ttl and no `deletionPolicy: Retain`, from 10s to 8760h: a class for demos.
    /// Needs `deletion.policy: Delete`. Orchestras that are in use when the class gets a ttl live so long from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('8760h')").message("ttl must be from 10s to 8760h"))]
    pub ttl: Option<GoDuration>,
    /// Migrations for Orchestras that name none. ConfigMaps are read from the operator's namespace. A
    /// changed source reaches the Orchestras in use by a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Effects of pending migrations for which the approval `OnDestructive` makes them wait. Omitted:
    /// `Destructive`, `Breaking`, `Exposing` and `Unknown`, which contains code that cannot be seen
    /// through. `Granting`, `Locking` and `Rewriting` are listed in the plan in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.exists(effect, effect == 'Destructive')").message("approvalFor must contain Destructive; migrations.approval: Automatic is the policy without approval")
    )]
    pub approval_for: Option<Vec<Effect>>,
    /// Templates that Orchestras may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub templates: Option<Vec<Template>>,
    /// Template for Orchestras that name neither a template nor migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub template: Option<String>,
    /// How a changed source of the class or of a template reaches the Orchestras in use.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub rollout: Rollout,
    /// What the tenants' logins may do in their databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ClassConnection>,
    /// What the Data API of hosted projects reaches, for Orchestras that do not say.
    #[serde(rename = "dataAPI", default, skip_serializing_if = "Option::is_none")]
    pub data_api: Option<DataApi>,
    /// Limits of the tenants' logins, set each time that a login is prepared. Omitted: the operator changes no
    /// limit; `{}`: it removes those that it has set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LoginLimits>,
    /// How the databases of tenants are probed. Omitted: as the operator's flag `--probe-interval` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When databases are paused because nobody uses them, for Orchestras that do not say. Hosted projects are paused only
    /// where the organization's plan allows it (`status.account.pausing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// How long a database may take to become usable: `90s`, `10m` (default) or `1h30m`, from 1s to
    /// 24h. After that the Orchestra is Stalled with reason DeadlineExceeded; it becomes Ready when the
    /// database becomes usable after all.
    #[serde(default = "default_progress_deadline")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("progressDeadline must be from 1s to 24h"))]
    pub progress_deadline: GoDuration,
}

fn default_progress_deadline() -> GoDuration {
    GoDuration::from_mins(10)
}

/// What the tenants' logins may do.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassConnection {
    /// Whether a tenant's login may create tables, functions and other objects in the schemas of its
    /// database. `Denied` (default): only migrations and seeds create objects. `Allowed`: for applications
    /// that migrate themselves over their own login; a migration or seed that uses what the login has
    /// created (its tables with their triggers, its functions) then runs the tenant's code as the
    /// database's owner.
    #[serde(default)]
    pub create_objects: CreateObjects,
    /// Whether policies of row level security apply to the logins of Orchestras that do not say. Omitted: `Bypass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_security: Option<RowSecurity>,
}

/// Whether a tenant's login may create objects.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CreateObjects {
    /// It may not (default).
    #[default]
    Denied,
    /// It may, in every schema of the owner's.
    Allowed,
}

/// Limits of the tenants' logins.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginLimits {
    /// Concurrent connections of a login, from 1 to 10000. The operator needs one of them when it publishes the
    /// Secret. While former logins are kept after rotations, all former ones together have the same number once more (and at
    /// least one each): twice as many for a tenant at most. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub connections: Option<i32>,
    /// How long one statement of a login may take, from 1s to 24h. A session can change its own
    /// value. Omitted: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("statementTimeout must be from 1s to 24h"))]
    pub statement_timeout: Option<GoDuration>,
    /// How long a session of a login may keep a transaction open without a statement, from 1s to 24h.
    /// A session can change its own value. Omitted: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("idleInTransactionTimeout must be from 1s to 24h"))]
    pub idle_in_transaction_timeout: Option<GoDuration>,
}

/// Provider of databases.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Hosted Supabase: a project for each Orchestra.
    pub supabase: SupabaseProvider,
}

/// Hosted Supabase.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupabaseProvider {
    /// Slug of the organization that owns and pays for the projects. Omitted: the operator's
    /// `SUPABASE_ORGANIZATION_ID`, or else the only organization that the token can see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[\w-]+$"))]
    pub organization: Option<String>,
    /// Management API token, in a Secret of the operator's namespace. Omitted: the operator's
    /// `SUPABASE_MANAGEMENT_TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyReference>,
    /// Compute size of new projects, for example `micro`. Omitted: the smallest size of the
    /// organization's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9_]+$"))]
    pub instance_size: Option<String>,
}

/// A key of a Secret in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "default_token_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_token_key() -> String {
    "token".into()
}

/// Pools of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pools {
    /// OrchestraPools, in the order in which they are tried.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253), regex(pattern = NAME)))]
    pub names: Vec<String>,
    /// Whether the provider or the pools come first. `CloudFirst` (default): the provider while its
    /// token works, else the pools. `PoolFirst`: the pools while an entry is left, else the provider.
    /// `PoolOnly` and `CloudOnly`: only the pools, only the provider.
    #[serde(default)]
    pub policy: PoolPolicy,
}

/// Whether the provider or the pools come first.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PoolPolicy {
    /// The provider while its token works, else the pools (default).
    #[default]
    CloudFirst,
    /// The pools while an entry is left, else the provider.
    PoolFirst,
    /// The pools only.
    PoolOnly,
    /// The provider only.
    CloudOnly,
}

/// Namespaces whose Orchestras may claim.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Labels of the namespaces. The label `kubernetes.io/metadata.name` selects one by its name.
    pub selector: LabelSelector,
}

/// What happens to the database of a deleted Orchestra.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// `Retain` (default) keeps the database in phase Released; `Delete` destroys it.
    #[serde(default)]
    pub policy: DeletionPolicy,
    /// How long a hosted database that is to be destroyed is kept after its Orchestra is gone, from 1s to 8760h:
    /// `72h`. Until then a new Orchestra takes it back with `source.existing.databaseName`. Omitted: it is destroyed at
    /// once. A change applies to databases that are released later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('8760h')").message("gracePeriod must be from 1s to 8760h"))]
    pub grace_period: Option<GoDuration>,
    /// Whether a database that was in use is backed up before it is destroyed: `None` (default); `BestEffort`, and it is
    /// destroyed when that fails for good; `Required`, and nothing is destroyed without a complete backup. Needs `backup`.
    /// A project is not paused in its grace period then. Orchestras cannot change it.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub final_backup: FinalBackup,
}

/// The last observed state of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraClassStatus {
    /// Generation that this status describes; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// Ready: claims can be met. Reconciling and Stalled as kstatus defines them.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// `Supabase`, `Pool`, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Number of Orchestras that hold a claim through this class.
    #[serde(default)]
    pub tenants: i32,
    /// The provider's account, as of the last check of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ProviderAccount>,
    /// Cost of the projects of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ClassCost>,
    /// State of the rollout of the migrations of the class and its templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Comparison of the tenants' schemas, if `migrations.drift.fingerprint` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaComparison>,
}

/// Comparison of the schemas of a class's tenants: tenants with the same migrations should have the
/// same schema.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaComparison {
    /// Number of tenants whose schemas are known.
    pub compared: i32,
    /// Number of tenants whose schema differs from that of most others with the same migrations.
    pub odd: i32,
    /// The first of these tenants, as `<namespace>/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// The provider's account of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAccount {
    /// Slug of the organization that owns and pays for the projects.
    pub organization: String,
    /// Plan of the organization: `free`, `pro`, `team`, `enterprise` or `platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// UUID of the user to whom the token belongs. The provider's rate limits apply to this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When the token expires, as the annotation `stagesub.io/token-expires-at` of its Secret says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Time>,
    /// Whether the plan allows projects to be paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pausing: Option<bool>,
    /// Compute sizes that the plan allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_sizes: Option<Vec<String>>,
    /// Days for which the plan keeps backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_retention_days: Option<i64>,
}
