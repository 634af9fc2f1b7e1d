//! Wire types of the operations that the operator uses. Names and shapes are those of the official `OpenAPI` document.
//! Unknown fields are ignored, and every enum keeps a value that it does not know.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::fields::{AnswerFields, Item};
use crate::text;

/// The text in place of a status that the API left out.
const NO_STATUS: &str = "without a status";
/// The longest reference of a project; the API's have twenty letters.
const REFERENCE: usize = 64;

/// The state of a project (`V1ProjectResponse.status`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectState {
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

/// The meaning of a project's status for the operator.
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

impl ProjectState {
    /// Whether the project may never have been in use: it is being created, or its creation has failed.
    pub fn is_before_first_use(&self) -> bool {
        matches!(self, Self::Unknown | Self::ComingUp | Self::InitFailed)
    }

    /// Whether the status does not show if a project in use works: it is not healthy, in a passing state without a
    /// name, or in a state that is newer than this code.
    pub fn is_vague(&self) -> bool {
        matches!(self, Self::ActiveUnhealthy | Self::Unknown | Self::Other(_))
    }

    /// The meaning of the status. An unknown status means waiting: it is no sign of readiness, and no reason to delete or
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

/// The project that [`super::Client::create_project`] creates.
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

/// The answer to a creation (`V1ProjectResponse`). Only the reference is needed.
#[derive(Clone, Debug)]
pub struct CreatedProject {
    /// The provider's identifier of the project, twenty letters.
    pub reference: String,
    /// The region in which it runs.
    pub region: Option<String>,
    /// Its state: `UNKNOWN` at first.
    pub status: ProjectState,
}

impl Item for CreatedProject {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            reference: reference(fields)?,
            region: fields.text("region"),
            status: status(fields),
        })
    }
}

/// A project (`V1ProjectWithDatabaseResponse`).
#[derive(Clone, Debug)]
pub struct Project {
    /// The provider's identifier of the project, twenty letters.
    pub reference: String,
    /// The name that the operator gave it.
    pub name: Option<String>,
    /// The region in which it runs.
    pub region: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its state.
    pub status: ProjectState,
    /// Host of its database server, without a pooler; only in the detail. It has an IPv6 address only, unless the
    /// project has the IPv4 add-on (Supabase, "Connect to your database").
    pub database_host: Option<String>,
}

impl Item for Project {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let mut database = fields.optional_object("database");
        Some(Self {
            reference: reference(fields)?,
            name: fields.text("name"),
            region: fields.text("region"),
            created_at: fields.time("created_at"),
            status: status(fields),
            database_host: database.as_mut().and_then(|database| database.optional_text("host")),
        })
    }
}

/// An organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its identifier in other operations. The answer of the detail operation omits it.
    pub slug: Option<String>,
    /// `free`, `pro`, `team`, `enterprise` or `platform`; only in the detail.
    pub plan: Option<String>,
}

impl Item for Organization {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        // The slug's older name.
        let slug = fields.optional_text("slug").or_else(|| fields.optional_text("id"));
        Some(Self {
            slug: slug.filter(|slug| !slug.is_empty()),
            plan: fields.optional_text("plan").map(|plan| text::line(&plan, REFERENCE)),
        })
    }
}

/// The reference, which becomes a part of addresses; `id` is its older name.
pub(super) fn reference(fields: &mut AnswerFields<'_>) -> Option<String> {
    let plain = |text: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=REFERENCE).contains(&text.len()) && text.bytes().all(plain)
    };
    let older = |text: &String| text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let id = fields.optional_text("id").filter(older);
    fields.text("ref").filter(plain).or(id)
}

/// The status, or one that means nothing but waiting.
pub(super) fn status(fields: &mut AnswerFields<'_>) -> ProjectState {
    fields
        .name("status")
        .unwrap_or_else(|| ProjectState::Other(NO_STATUS.to_owned()))
}

#[cfg(test)]
mod tests;
