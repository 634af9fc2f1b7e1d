//! The contract with users: the kinds of `stagesub.io/v1alpha1`, their conditions and reasons.
//!
//! There are five: `Orchestra`, `OrchestraClass`, `OrchestraDatabase`, `OrchestraPool` and `OrchestraBackup`.

mod access;
mod backup;
mod backup_cost;
mod backup_drill;
mod backup_policy;
mod backup_predicates;
mod backup_schedule;
mod budget;
mod charges;
mod class;
pub mod condition;
mod condition_type;
mod connection;
mod database;
mod duration;
mod effect;
mod health;
mod life;
mod migration_predicates;
pub mod names;
mod orchestra;
mod placement;
mod pool;
mod pool_predicates;
mod power;
mod predicates;
mod rollout;
mod schema;
pub mod selector;
pub mod slim;
mod source;
mod template;
pub mod unreadable;

pub use access::*;
pub use backup::*;
pub use backup_cost::*;
pub use backup_drill::*;
pub use backup_policy::*;
pub use backup_schedule::*;
pub use budget::*;
pub use charges::*;
pub use class::*;
pub use connection::*;
pub use database::*;
pub use duration::*;
pub use effect::*;
pub use health::*;
pub use life::*;
pub use names::*;
pub use orchestra::*;
pub use placement::*;
pub use pool::*;
pub use power::*;
pub use predicates::{is_abandoned, known_reason, retry_wish};
pub use rollout::*;
pub use schema::*;
pub use source::*;
pub use template::*;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The form of the name of a referenced object (RFC 1123 subdomain).
pub const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The form of a region of the provider.
const REGION: &str = "^[a-z0-9-]+$";

/// The form of a project's reference at the provider.
const PROJECT: &str = "^[a-z]{20}$";

/// The form of a BCP 47 language tag (RFC 5646, 2.1).
const LANGUAGE_TAG: &str = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$";

/// The form of a name within an object (RFC 1123 label).
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The form of a version: as a label's value.
const VERSION: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.+]*[A-Za-z0-9])?$";

/// An amount of money: at most nine digits, and two after the point.
const AMOUNT: &str = r"^[0-9]{1,9}(\.[0-9]{1,2})?$";

/// Cost of a database. Amounts are decimal strings.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Currency of the amount.
    pub currency: String,
    /// Cost of a month of 730 hours.
    pub monthly: String,
    /// Cost of each started hour, as the provider bills it. Empty in what an earlier version has recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hourly: String,
}

/// Migrations and their format.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.source) || !has(self.format)").message("format belongs to a source: set source as well, or remove format"))]
pub struct Migrations {
    /// Where the scripts are, such as a ConfigMap with a key `<migration name>.sql` for each
    /// migration. ConfigMaps and Secrets are in the Orchestra's namespace; those that a class names are
    /// in the operator's namespace. Omitted in an Orchestra: the source of its template or its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ScriptSource>,
    /// Format of the scripts and of the history in the database: `Prisma`, `Supabase` or `Sqlx`.
    /// Omitted: the format is recognized by files that only one of the tools writes, such as Prisma's
    /// `migration_lock.toml`. Required when several tools would accept the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<MigrationFormat>,
    /// When pending migrations wait for a person's approval: `Automatic` never; `OnDestructive`
    /// (default) when they would destroy, break or expose something, or cannot be analysed (the class's
    /// `approvalFor` lists the effects); `Always` also when they are harmless. Under `OnDestructive` the first migrations of an empty database need no
    /// approval. The Orchestra's annotation `stagesub.io/approve-migrations` with the digest of the
    /// plan approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How scripts are run. `PerFile` (default): each script in one transaction with its record, and
    /// statement by statement only where a transaction is impossible. `PerStatement`: each statement by
    /// itself, as Prisma does from 7.4 on; after a failure the statements before it stay applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Transactions>,
    /// Time limits of the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<MigrationTimeouts>,
    /// What happened to migrations that did not finish and whose effect the operator cannot know, as `prisma
    /// migrate resolve` and `supabase migration repair` declare it. Each entry applies to one attempt.
    /// Only an Orchestra may set this: it describes one database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub resolve: Option<Vec<Resolution>>,
    /// Name of the last migration whose changes an existing database without a history contains: it and
    /// those before it are recorded as applied without being run. No effect on a database without
    /// tables, or with a history. Only an Orchestra may set this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub baseline: Option<String>,
    /// How the database is checked after its migrations are applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftCheck>,
}

/// How a database is checked after its migrations are applied. Any new value of the annotation
/// `stagesub.io/check-requested-at` requests a check at once.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftCheck {
    /// How often the history is read again, from 1m to 720h; default 24h. When the history contains
    /// less than before, as after a restore to an older state, the missing migrations are applied
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('720h')").message("interval must be from 1m to 720h"))]
    pub interval: Option<GoDuration>,
    /// Keeps a digest of the schema in the status; the class reports tenants whose schema differs from
    /// the others'.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fingerprint: bool,
}

/// When pending migrations wait for a person's approval.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(transform = leave_description_to_field)]
pub enum Approval {
    /// Never: they are applied at once, without analysis.
    Automatic,
    /// When they would destroy, break or expose something, or cannot be analysed (default).
    #[default]
    OnDestructive,
    /// Always, the first migrations too.
    Always,
}

/// How migration scripts are run.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(transform = leave_description_to_field)]
pub enum Transactions {
    /// Each script in one transaction with its record (default).
    #[default]
    PerFile,
    /// Each statement by itself.
    PerStatement,
}

/// Time limits of migrations: `90s`, `10m` or `1h30m`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationTimeouts {
    /// How long a statement waits for a table lock, from 1s to 1h; default 10s. Other sessions queue
    /// behind a statement that waits, so keep it short: the operator tries the migration again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("lock must be from 1s to 1h"))]
    pub lock: Option<GoDuration>,
    /// Longest time of one statement, from 1s to 24h. Omitted: no limit other than `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("statement must be from 1s to 24h"))]
    pub statement: Option<GoDuration>,
    /// Longest time of all pending migrations together, from 1s to 24h; at most the operator's
    /// `--migration-limit`, which applies when this is omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("total must be from 1s to 24h"))]
    pub total: Option<GoDuration>,
}

/// What a person declares about a migration.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// Name of the migration, or its version.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// `Applied`: the database contains its changes, and it is recorded as applied without being run.
    /// `RolledBack`: the database contains none of its changes, and it is run again; one that is no
    /// longer in the source is removed from the history (Supabase CLI and sqlx).
    #[serde(rename = "as")]
    pub resolved_as: ResolvedAs,
    /// When the attempt began, as the condition's message says. Required from the second time on that a
    /// migration of this name did not finish, so that an entry never applies to another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub started_at: Option<String>,
}

/// What happened to a migration.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResolvedAs {
    /// The database contains its changes.
    #[default]
    Applied,
    /// The database contains none of its changes.
    RolledBack,
}

/// Format of migration scripts.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[schemars(transform = leave_description_to_field)]
pub enum MigrationFormat {
    /// Prisma Migrate up to version 7, with its history in `_prisma_migrations`.
    #[default]
    Prisma,
    /// The Supabase CLI, with its history in `supabase_migrations.schema_migrations`.
    Supabase,
    /// sqlx, with its history in `_sqlx_migrations`.
    Sqlx,
}

impl MigrationFormat {
    /// The name as manifests spell it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether a field is left out of the object. Its default is not in the schema either: tools of `GitOps` compare whole lists, and
/// the API server would add fields to their items, or add an object that nobody has written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Initial rows.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seed {
    /// Where the scripts `*.sql` and tables `*.csv` are. They are applied in the order of their names,
    /// in one transaction.
    #[serde(flatten)]
    pub source: ScriptSource,
    /// When the seed is applied. `Once` (default): once in the life of the database; a changed seed
    /// changes nothing. `OnChange`: again whenever its files, or the values of variables that it uses,
    /// change; its scripts must tolerate that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: SeedPolicy,
}

/// When a seed is applied.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeedPolicy {
    /// Once in the life of the database. A changed seed changes nothing (default).
    #[default]
    Once,
    /// Whenever the seed, or the value of a variable that it uses, has changed since the last time.
    OnChange,
}

/// What happens to a database whose claim is deleted.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = leave_description_to_field)]
pub enum DeletionPolicy {
    /// Keep the database and its data (default).
    #[default]
    Retain,
    /// Destroy the database and its data.
    Delete,
}

/// Whether a database is backed up before it is destroyed.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = leave_description_to_field)]
pub enum FinalBackup {
    /// It is not.
    #[default]
    None,
    /// It is backed up, and destroyed even if the backup fails permanently.
    BestEffort,
    /// Without a complete backup it is not destroyed.
    Required,
}

/// Removes the description of an optional enum, which kube would show instead of its field's.
fn leave_description_to_field(schema: &mut schemars::Schema) {
    schema.remove("description");
}

/// Generation of a status that the operator has not written yet.
const NOT_OBSERVED: i64 = -1;

fn not_observed() -> i64 {
    NOT_OBSERVED
}

#[cfg(test)]
mod stored_tests;
