//! `Orchestra`: a tenant. It claims a database as a PersistentVolumeClaim claims a volume.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::source::LOOPBACK_IMAGE;
use super::{
    AppliedTemplate, BackupSchedule, Binding, ChosenRegion, Connection, Cost, CredentialStatus, DataApi,
    DatabaseSource, DeletionPolicy, ExpiryNotice, FormerSecret, GoDuration, HealthStatus, Idle, LANGUAGE_TAG,
    MigrationFormat, Migrations, NAME, Placement, PowerState, PowerStatus, PublishedSecret, RestoreStatus,
    ScheduledBackups, Seed,
};

/// The request of a tenant: a database that is claimed, migrated and seeded, with its login in a Secret
/// beside this resource. `spec: {}` is enough where a default OrchestraClass exists.
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
    doc = "Orchestra is a tenant: it claims a database. The operator migrates and seeds the database, and publishes the tenant's login in a Secret beside this resource.",
    selectable = ".spec.className",
    validation = Rule::new("size(self.metadata.name) <= 200").message("metadata.name must have at most 200 characters: the connection Secret's name is made from it"),
    validation = Rule::new(once_claimed("has(oldSelf.spec.placement) || !has(self.spec.placement) || (has(oldSelf.status.project) && has(self.spec.placement.region) && oldSelf.status.project.region == self.spec.placement.region)")).message("placement cannot be added to an Orchestra whose database is elsewhere, because a database cannot change its region: remove placement, or create a new Orchestra"),
    validation = Rule::new(once_claimed("has(oldSelf.spec.source) || !has(self.spec.source) || !has(self.spec.source.existing)")).message("source.existing cannot be added to an Orchestra that has, or is claiming, a database: delete it, and create it with the field"),
    validation = Rule::new(once_claimed("has(oldSelf.spec.source) || !has(self.spec.source) || !has(self.spec.source.backupRef)")).message("source.backupRef cannot be added to an Orchestra that has, or is claiming, a database: a backup is restored into a new one only; create a new Orchestra with the field"),
    validation = Rule::new(once_claimed("!has(oldSelf.status.className) || has(oldSelf.spec.className) || !has(self.spec.className) || oldSelf.status.className == self.spec.className")).message("className must be the class that the database was claimed through (status.className): create a new Orchestra to change the class"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.className"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.project.region"),
    printcolumn(name = "Migration", type_ = "string", json_path = ".status.migrations.current"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type=='Ready')].message"),
    printcolumn(name = "Project", type_ = "string", priority = 1, json_path = ".status.project.ref"),
    printcolumn(name = "Secret", type_ = "string", priority = 1, json_path = ".status.secretRef.name"),
    printcolumn(name = "Cost/Mo", type_ = "string", priority = 1, json_path = ".status.cost.monthly"),
    printcolumn(name = "Expires", type_ = "string", priority = 1, json_path = ".status.expiresAt")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.migrations) || !has(self.migrations.source) || !has(self.pinMigrations) || !self.pinMigrations").message("pinMigrations is for the migrations of the class: remove it, or remove migrations.source"),
    validation = Rule::new("!has(self.ttl) || (has(self.deletionPolicy) && self.deletionPolicy == 'Delete')").message("the database is destroyed at the end of the ttl: set deletionPolicy: Delete as well, or remove ttl"),
    validation = Rule::new("!has(oldSelf.className) || (has(self.className) && self.className == oldSelf.className)").message("className is immutable once set: create a new Orchestra to change the class"),
    validation = Rule::new("!has(oldSelf.source) || (has(self.source) && self.source == oldSelf.source)").message("source is immutable once set: create a new Orchestra to use another one"),
    validation = Rule::new("!has(self.source) || !has(self.source.templateRef) || !has(self.migrations) || !has(self.migrations.source)").message("set either source.templateRef or migrations.source: a template has its own migrations"),
    validation = Rule::new(insecure_only_on_loopback("self.migrations.source.oci")).message(INSECURE),
    validation = Rule::new(insecure_only_on_loopback("self.seed.oci")).message(INSECURE),
    validation = Rule::new("!has(oldSelf.placement) || (has(self.placement) && self.placement == oldSelf.placement)").message("placement is immutable once set: a database cannot change its region"),
)]
pub struct OrchestraSpec {
    /// OrchestraClass that meets this claim. Omitted: the class annotated
    /// `stagesub.io/is-default-class: "true"`. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// Name of the orchestra for people. Seeds have it as the variable `display_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// Language of the orchestra as a BCP 47 tag, for example `de-AT`. Seeds have it as the variable
    /// `locale`. Omitted: `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35), regex(pattern = LANGUAGE_TAG))]
    pub locale: Option<String>,
    /// Where the database is created. Omitted: the class decides. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What the database is created from, or which existing one is used. Omitted: an empty database, with the
    /// migrations and the seed of this spec or of the class. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatabaseSource>,
    /// Migrations to apply. Omitted, or without a source: those of the template or the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Keeps the migrations of the class or template that are applied now: rollouts skip this Orchestra
    /// until the field is removed. A new Orchestra begins with the current migrations. An Orchestra
    /// with a source of its own is in no rollout anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin_migrations: bool,
    /// Initial rows, applied after the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// How the tenant connects, and which Secret holds the login.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub connection: Connection,
    /// What the Data API of a hosted project reaches. Omitted: the class decides.
    #[serde(rename = "dataAPI", default, skip_serializing_if = "Option::is_none")]
    pub data_api: Option<DataApi>,
    /// Whether the database runs: `Running` (default), or `Paused`. A hosted project is paused at the provider, where the
    /// organization's plan allows it; of an entry of a pool, the tenant's logins are shut. A paused database is not
    /// migrated; newer migrations are applied when it runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// When the database is paused because nobody uses it. Omitted: the class decides; `{}`: never. The annotation
    /// `stagesub.io/wake-requested-at` with a new value wakes it, and so does `powerState: Running` that was not set before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// What happens to the database when this resource is deleted: `Retain` keeps it and its data,
    /// `Delete` destroys both. Omitted: the class's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When the database is backed up to the store that the class names, and which of those backups are kept. Omitted fields
    /// are those of the class's `spec.backup`. Backups outlive the Orchestra.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub backup: BackupSchedule,
    /// How long the Orchestra lives, from 10s to 8760h: `72h`. Then the operator deletes it, with its database and its
    /// Secrets; `status.expiresAt` says when, and events warn before. It counts from the creation, or from the time in
    /// the annotation `stagesub.io/extended-at`; of an Orchestra that is in use already, from when it is set. Needs
    /// `deletionPolicy: Delete`. Omitted: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('8760h')").message("ttl must be from 10s to 8760h"))]
    pub ttl: Option<GoDuration>,
}

/// A rule that holds once the Orchestra has a database, or is claiming one: the status shows the claim some time after it
/// was made. `claiming` alone also stays in a status whose claim cannot be met, and then the author may correct the spec.
fn once_claimed(rule: &str) -> String {
    let claims = "has(oldSelf.status.claiming) && has(oldSelf.status.phase) && oldSelf.status.phase in ['Queued', 'Provisioning']";
    format!("!has(oldSelf.status) || !(has(oldSelf.status.databaseName) || {claims}) || {rule}")
}

const INSECURE: &str = "an Orchestra may set oci.insecure only for a registry at a loopback address, because others on the network could read its login: use a registry with TLS, or ask the cluster's admin to name the source in the OrchestraClass";

/// The rule that an artifact of an Orchestra is read without TLS from the same machine only. `oci` is its path, such
/// as `self.seed.oci`, any part of which may be absent.
fn insecure_only_on_loopback(oci: &str) -> String {
    let parts: Vec<&str> = oci.split('.').collect();
    let present: Vec<String> = (2..=parts.len())
        .map(|length| format!("has({})", parts[..length].join(".")))
        .collect();
    format!(
        "!({} && has({oci}.insecure) && {oci}.insecure) || {oci}.image.matches('{LOOPBACK_IMAGE}')",
        present.join(" && ")
    )
}

/// The last observed state of an Orchestra. It is a cache: the operator decides nothing from it alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraStatus {
    /// Generation that this status describes; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// The current step, for people: Pending, Queued, Provisioning, Restoring, Migrating, Seeding, Ready, Paused,
    /// Failed or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ready, Available, DatabaseReady, CredentialsReady, Migrated, HistoryAgrees and Seeded; SourceAvailable, as False,
    /// while a source whose content is applied cannot be read; TablesReadable when the login cannot read a table; `BackedUp`
    /// where there is a schedule of backups; Reconciling while the operator is working; Stalled when a person must act.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Class that meets the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// OrchestraDatabase that is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// OrchestraDatabase that is about to be created or claimed. Written before the claim, so that of
    /// two operators only one claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claiming: Option<String>,
    /// Cost of the database; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Hosted project behind the database; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectReference>,
    /// Region that was chosen for the database, and why, where the Orchestra or its class names a place to be near to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<ChosenRegion>,
    /// The restore of the backup that `spec.source.backupRef` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
    /// Secret that holds the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<PublishedSecret>,
    /// Pauses of the database, where it was ever paused or is to be paused when nobody uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerStatus>,
    /// Secrets that held the login before `spec.connection.secretName` was changed: each is deleted at its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_secrets: Option<Vec<FormerSecret>>,
    /// The Secret for workloads that are bound as the Service Binding specification says, where
    /// `spec.connection.type` is `servicebinding.io/postgresql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The outage that probes have found; absent while applications can use the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// Rotation of the tenant's login; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialStatus>,
    /// State of the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationStatus>,
    /// The last value of the annotation `stagesub.io/check-requested-at` that the operator has handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_check: Option<String>,
    /// Template whose migrations are all applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<AppliedTemplate>,
    /// Digest of the seed that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The plan of a seed that waits for approval; its files are counted as pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_plan: Option<MigrationPlan>,
    /// Digests of the places of the sources whose content was all applied, as of the last time when nothing was left to
    /// apply: one of them that is gone is a warning (the condition `SourceAvailable` is False).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_sources: Option<Vec<String>>,
    /// Backups by schedule; absent where there is neither a schedule nor a backup that one has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<ScheduledBackups>,
    /// When the ttl ends, and the operator deletes the Orchestra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Since when the ttl counts, of an Orchestra that was in use when it got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_since: Option<Time>,
    /// The last warning of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_notice: Option<ExpiryNotice>,
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

/// State of a tenant's migrations.
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
    /// Name of the last applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Number of migrations of the source that are applied.
    pub applied: i32,
    /// Number of migrations of the source that are not applied.
    pub pending: i32,
    /// Whether the last attempt of a rollout to apply the source failed. It stays True while the
    /// operator repeats the attempt, so that no further Orchestra is migrated meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Why the last attempt to apply a source failed. It stays, also while a newer source waits, until the
    /// migration that failed is applied or is no longer in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<MigrationFailure>,
    /// Digest of the class's newer source, which its rollout has not applied here yet, or which `pinMigrations`
    /// excludes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<String>,
    /// Difference between the history and the source that the migration tool tolerates: the message of
    /// the condition `HistoryAgrees`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<String>,
    /// Plan that waits for approval; absent when no plan waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<MigrationPlan>,
    /// When the history in the database was last found complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Digest of the database's schema, if `migrations.drift.fingerprint` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Pending migrations that wait for approval.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPlan {
    /// Digest of the plan: the value that the annotation `stagesub.io/approve-migrations` must have.
    pub digest: String,
    /// Number of pending migrations.
    pub pending: i32,
    /// Number of statements that destroy or break something, or cannot be analysed.
    pub destructive: i32,
    /// Number of statements that expose data or give rights.
    #[serde(default)]
    pub exposing: i32,
    /// Number of statements that block other sessions for long.
    pub locking: i32,
    /// ConfigMap beside the Orchestra that holds the whole plan.
    pub config_map: String,
    /// Digest of `plan.txt` as the operator wrote it: `sha256:` and 64 hexadecimal digits. `plan` and
    /// `approve` refuse a ConfigMap whose texts have other digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_digest: Option<String>,
    /// Digest of `plan.json` as the operator wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_digest: Option<String>,
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

/// Why the last attempt to apply a source failed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFailure {
    /// The reason of the condition.
    pub reason: String,
    /// The message of the condition, at most 1000 characters.
    pub message: String,
    /// Name of the migration that failed, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Digest of the attempt that failed, where a part of the script is committed and no history has it. The same scripts
    /// are not applied again, also by a restarted operator, until they or `migrations.resolve` change, or
    /// `stagesub.io/retry-requested-at` requests it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
}
