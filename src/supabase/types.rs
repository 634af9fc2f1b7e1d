//! Wire types of the operations that the operator uses. Names and shapes are those of the official `OpenAPI` document.
//! Unknown fields are ignored, and every enum keeps a value that it does not know.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{AsRefStr, Display};

/// The state of a project (`V1ProjectResponse.status`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectStatus {
    /// Paused.
    Inactive,
    /// In use; the pooler, the keys and the login may still lag behind.
    ActiveHealthy,
    /// In use, but not healthy.
    ActiveUnhealthy,
    /// Being created, or waking up.
    ComingUp,
    /// The answer to a creation; otherwise a passing state.
    Unknown,
    /// Being deleted.
    GoingDown,
    /// Its creation failed.
    InitFailed,
    /// Deleted.
    Removed,
    /// A backup is being restored.
    Restoring,
    /// Postgres is being upgraded.
    Upgrading,
    /// Being paused.
    Pausing,
    /// A restore failed.
    RestoreFailed,
    /// Restarting.
    Restarting,
    /// A pause failed.
    PauseFailed,
    /// The compute size is being changed.
    Resizing,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// What the status of a project means to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// It will change by itself.
    Waiting,
    /// Ready, according to the status.
    Usable,
    /// Not healthy, which may pass: never a reason to delete or create.
    Degraded,
    /// Paused until someone restores it.
    Paused,
    /// Failed for good; the provider or a person must act.
    Failed,
    /// Being deleted.
    Deleting,
    /// Gone.
    Gone,
}

impl ProjectStatus {
    /// Whether the project may never have been in use: it is being created, or its creation has failed.
    pub fn is_before_first_use(&self) -> bool {
        matches!(self, Self::Unknown | Self::ComingUp | Self::InitFailed)
    }

    /// Whether the status does not tell if a project in use works: it is not healthy, in a passing state without a
    /// name, or in a state that is newer than this code.
    pub fn is_vague(&self) -> bool {
        matches!(self, Self::ActiveUnhealthy | Self::Unknown | Self::Other(_))
    }

    /// What the status means. An unknown status means waiting: it is no sign of readiness, and no reason to delete or
    /// replace anything.
    pub fn class(&self) -> StatusClass {
        match self {
            Self::ActiveHealthy => StatusClass::Usable,
            Self::ActiveUnhealthy => StatusClass::Degraded,
            Self::Inactive => StatusClass::Paused,
            Self::InitFailed | Self::RestoreFailed | Self::PauseFailed => StatusClass::Failed,
            Self::GoingDown => StatusClass::Deleting,
            Self::Removed => StatusClass::Gone,
            Self::Unknown
            | Self::ComingUp
            | Self::Restoring
            | Self::Upgrading
            | Self::Resizing
            | Self::Restarting
            | Self::Pausing
            | Self::Other(_) => StatusClass::Waiting,
        }
    }
}

/// The kind of an API key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KeyType {
    /// A JWT: `anon` or `service_role`.
    Legacy,
    /// `sb_publishable_…`
    Publishable,
    /// `sb_secret_…`
    Secret,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// The role of a database among a project's databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum DatabaseType {
    /// The one that takes writes.
    Primary,
    /// A copy.
    ReadReplica,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// How a pooler entry shares connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PoolMode {
    /// A server connection for each transaction.
    Transaction,
    /// A server connection for each client.
    Session,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// Where a project is to be created (`region_selection`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "code")]
pub enum RegionSelection {
    /// A region such as `eu-central-1`; the provider's list is open.
    #[serde(rename = "specific")]
    Specific(String),
    /// `americas`, `emea` or `apac`; the provider picks the region.
    #[serde(rename = "smartGroup")]
    SmartGroup(String),
}

/// What [`super::Client::create_project`] creates.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// The name, which carries the marker: no other field that the operator sets is in a listing. At most 256
    /// characters, without a dot.
    pub name: String,
    /// The slug of the organization that pays.
    pub organization: String,
    /// The password of `postgres`. The API never returns it.
    pub password: SecretString,
    /// The region.
    pub region: RegionSelection,
    /// The compute size, such as `micro`; absent means the smallest of the plan.
    pub instance_size: Option<String>,
}

/// The answer to a creation (`V1ProjectResponse`).
#[derive(Clone, Debug, Deserialize)]
pub struct CreatedProject {
    /// The provider's identifier of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The name that the operator gave it.
    pub name: String,
    /// The region in which it runs.
    pub region: String,
    /// Its state: `UNKNOWN` at first.
    pub status: ProjectStatus,
}

/// A project (`V1ProjectWithDatabaseResponse`).
#[derive(Clone, Debug, Deserialize)]
pub struct Project {
    /// The provider's identifier of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The organization that pays.
    pub organization_slug: String,
    /// The name that the operator gave it.
    pub name: String,
    /// The region in which it runs.
    pub region: String,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient_timestamp")]
    pub created_at: Option<Timestamp>,
    /// Its state.
    pub status: ProjectStatus,
    /// Its database.
    pub database: Option<ProjectDatabase>,
}

/// The database of a [`Project`].
#[derive(Clone, Debug, Deserialize)]
pub struct ProjectDatabase {
    /// The direct host: IPv6 only, unless the project has the IPv4 add-on.
    pub host: String,
    /// The version of the Postgres image.
    pub version: String,
}

/// One project of an organization's listing.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedProject {
    /// The provider's identifier of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The name that the operator gave it.
    pub name: String,
    /// The region in which it runs.
    pub region: String,
    /// Whether it is a preview branch of another project.
    #[serde(default)]
    pub is_branch: bool,
    /// Its state.
    pub status: ProjectStatus,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient_timestamp")]
    pub inserted_at: Option<Timestamp>,
    /// Its databases: the primary, and read replicas.
    #[serde(default)]
    pub databases: Vec<ListedDatabase>,
}

impl ListedProject {
    /// The compute size of the primary database, such as `micro`.
    pub fn instance_size(&self) -> Option<&str> {
        let primary = self.databases.iter().find(|db| db.kind == DatabaseType::Primary)?;
        primary.infra_compute_size.as_deref()
    }
}

/// A database of a [`ListedProject`].
#[derive(Clone, Debug, Deserialize)]
pub struct ListedDatabase {
    /// The compute size.
    pub infra_compute_size: Option<String>,
    /// Primary or replica.
    #[serde(rename = "type")]
    pub kind: DatabaseType,
}

/// One page of an organization's projects.
#[derive(Clone, Debug, Deserialize)]
pub struct ProjectPage {
    /// The projects.
    pub projects: Vec<ListedProject>,
    /// The position of the page.
    pub pagination: Pagination,
}

/// The position of a [`ProjectPage`].
#[derive(Clone, Debug, Deserialize)]
pub struct Pagination {
    /// How many projects there are in all.
    #[serde(deserialize_with = "whole_number")]
    pub count: usize,
    /// The most projects that a page holds.
    #[serde(deserialize_with = "whole_number")]
    pub limit: usize,
}

/// An organization.
#[derive(Clone, Debug, Deserialize)]
pub struct Organization {
    /// Its identifier in other operations. The answer of the detail operation omits it.
    #[serde(default)]
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// `free`, `pro`, `team`, `enterprise` or `platform`; only in the detail.
    pub plan: Option<String>,
}

fn lenient_timestamp<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
}

/// The schema says `number`: a whole one may come as `3.0`.
fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(usize),
        Real(f64),
    }
    match Number::deserialize(from)? {
        Number::Whole(whole) => Ok(whole),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Number::Real(real) if (0.0..1e9).contains(&real) => Ok(real as usize),
        Number::Real(_) => Err(serde::de::Error::custom("not a count")),
    }
}

#[cfg(test)]
mod tests;
