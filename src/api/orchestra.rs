//! `Orchestra`: a tenant. It claims a database as a PersistentVolumeClaim claims a volume.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    AppliedTemplate, Cost, DeletionPolicy, LANGUAGE_TAG, MigrationFormat, Migrations, NAME, Placement, Seed,
    TemplateReference,
};

/// An orchestra that wants a database of its own: claimed, migrated, seeded, and handed over in a
/// Secret beside this resource. `spec: {}` is enough where a default OrchestraClass exists.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "stagesub.io",
    version = "v1alpha1",
    kind = "Orchestra",
    plural = "orchestras",
    shortname = "orch",
    category = "stagesub",
    namespaced,
    status = "OrchestraStatus",
    derive = "PartialEq",
    doc = "Orchestra is a tenant: it claims a database, has it migrated and seeded, and receives the login in a Secret beside it.",
    selectable = ".spec.className",
    validation = Rule::new("size(self.metadata.name) <= 200").message("metadata.name must have at most 200 characters: the connection Secret's name is made from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.className"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.project.region"),
    printcolumn(name = "Migration", type_ = "string", json_path = ".status.migrations.current"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type=='Ready')].message"),
    printcolumn(name = "Project", type_ = "string", priority = 1, json_path = ".status.project.ref"),
    printcolumn(name = "Secret", type_ = "string", priority = 1, json_path = ".status.secretRef.name"),
    printcolumn(name = "Cost/Mo", type_ = "string", priority = 1, json_path = ".status.cost.monthly")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.migrations) || !has(self.migrations.source) || !has(self.pinMigrations) || !self.pinMigrations").message("pinMigrations is for the migrations of the class: leave it out beside a source of its own"),
    validation = Rule::new("!has(oldSelf.className) || (has(self.className) && self.className == oldSelf.className)").message("className is immutable once set: create a new Orchestra to change the class"),
    validation = Rule::new("!has(oldSelf.source) || (has(self.source) && self.source == oldSelf.source)").message("source is immutable once set: a database is made once"),
    validation = Rule::new("!has(self.source) || !has(self.migrations) || !has(self.migrations.source)").message("set source.templateRef or migrations.source: a template has its own migrations"),
    validation = Rule::new("!has(oldSelf.placement) || (has(self.placement) && self.placement == oldSelf.placement)").message("placement is immutable once set: a database cannot change its region"),
)]
pub struct OrchestraSpec {
    /// OrchestraClass that meets this claim. Omitted: the class annotated
    /// `stagesub.io/is-default-class: "true"`. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// Name of the orchestra for people. Seeds know it as the variable `display_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// Language of the orchestra as a BCP 47 tag, for example `de-AT`. Seeds know it as the variable
    /// `locale`. Omitted: `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35), regex(pattern = LANGUAGE_TAG))]
    pub locale: Option<String>,
    /// Where the database should be. Omitted: the class decides. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What the database is made from. Omitted: empty, but for migrations and seed. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatabaseSource>,
    /// Migrations to apply. Omitted, or without a source: those of the template or the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Keeps the migrations of the class or template as they are applied now: a rollout passes this
    /// Orchestra by until it is taken back. A new Orchestra begins with those of its time. With a source
    /// of its own, an Orchestra is in no rollout anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin_migrations: bool,
    /// Rows to begin with, applied once after the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// How the tenant connects, and where the login is published.
    #[serde(default)]
    pub connection: Connection,
    /// What happens to the database when this resource is deleted: `Retain` keeps it and its data,
    /// `Delete` destroys both. Omitted: the class's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What a database is made from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSource {
    /// A template of the class: its migrations and its seed.
    pub template_ref: TemplateReference,
}

/// How the tenant connects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Name of the Secret that receives the login. Default: `<name>-connection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub secret_name: Option<String>,
    /// What `DATABASE_URL` and the libpq keys lead to: `SessionPooler` (default) or
    /// `TransactionPooler`. `DIRECT_URL` is always a session connection. A static pool entry has
    /// one address only, and both lead to it.
    #[serde(default)]
    pub mode: ConnectionMode,
}

/// Which port of the pooler an application uses.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// One server connection for each client: for long-running servers.
    #[default]
    SessionPooler,
    /// A server connection for each transaction: for many short-lived clients.
    TransactionPooler,
}

/// What was last seen of an Orchestra. A cache: nothing is decided from it alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraStatus {
    /// Generation that this status speaks of; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// A word for people: Pending, Queued, Provisioning, Migrating, Seeding, Ready, Failed or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ready, Available, DatabaseReady, CredentialsReady, Migrated and Seeded; Reconciling while it
    /// goes on by itself; Stalled when a person must act.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Class that meets the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// OrchestraDatabase that is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// OrchestraDatabase that is about to be created or taken. Written before the claim, so that of
    /// two operators only one claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claiming: Option<String>,
    /// What the database costs; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Hosted project behind the database; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectReference>,
    /// Secret that holds the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<PublishedSecret>,
    /// Where the migrations stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationStatus>,
    /// The last value of the annotation `stagesub.io/check-requested-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_check: Option<String>,
    /// Template of which the database has all migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<AppliedTemplate>,
    /// Digest of the seed that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
}

/// A hosted project.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectReference {
    /// The provider's name of the project: twenty lower-case letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Region that the project is in.
    pub region: String,
}

/// The connection Secret as it was last written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedSecret {
    /// Name, in the Orchestra's namespace.
    pub name: String,
    /// The Secret's `resourceVersion` after the operator wrote it: another one means that somebody
    /// else wrote it since, and it is checked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Where the migrations of a tenant stand.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// Digest of the source that was last applied.
    pub source: String,
    /// Digest of the OCI manifest that the source was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Format of the scripts and of the history.
    #[serde(default)]
    pub format: MigrationFormat,
    /// Name of the last migration that is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Number of migrations of the source that are applied.
    pub applied: i32,
    /// Number of migrations of the source that are not.
    pub pending: i32,
    /// Whether the last attempt of a rollout to apply the source failed. It stays while the attempt is
    /// repeated, so that nobody else is begun with meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Why that attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<MigrationFailure>,
    /// Digest of the source that a rollout has not come here with yet, or that `pinMigrations` keeps
    /// away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<String>,
    /// Where the history and the source do not agree, although the tool goes on: what the
    /// condition `HistoryAgrees` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<String>,
    /// What waits for approval; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<MigrationPlan>,
    /// When the history in the database was last found complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Digest of the database's schema, where `migrations.drift.fingerprint` is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Pending migrations that wait for approval.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPlan {
    /// Digest of the plan: what the annotation `stagesub.io/approve-migrations` must hold.
    pub digest: String,
    /// Number of pending migrations.
    pub pending: i32,
    /// Number of statements that destroy, break or expose something, or cannot be judged.
    pub destructive: i32,
    /// Number of statements that hold others up for long.
    pub locking: i32,
    /// ConfigMap beside the Orchestra that holds the whole plan.
    pub config_map: String,
}

impl Orchestra {
    /// Name of the ConfigMap that holds the plan of pending migrations.
    pub fn plan_name(&self) -> String {
        const SUFFIX: &str = "-migration-plan";
        // A name has 253 characters at most.
        let mut name = self.metadata.name.clone().unwrap_or_default();
        name.truncate(253 - SUFFIX.len());
        format!("{}{SUFFIX}", name.trim_end_matches(['.', '-']))
    }

    /// Name of the Secret that receives the login.
    pub fn secret_name(&self) -> String {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        self.spec
            .connection
            .secret_name
            .clone()
            .unwrap_or_else(|| format!("{name}-connection"))
    }
}

/// Why the last attempt of a rollout to apply a source failed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFailure {
    /// The reason of the condition.
    pub reason: String,
    /// The message of the condition, at most 1000 characters.
    pub message: String,
}
