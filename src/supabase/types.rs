//! Wire types of the operations we use. Names and shapes are those of the official `OpenAPI`
//! document; unknown fields are ignored, and every enum keeps a value it does not know.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

/// An enum of the API: its known values, and `Other` for one that is newer than this code.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A value that this version does not know.
            Other(String),
        }

        impl $name {
            /// The value as the API spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text.to_owned()),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum! {
    /// The state of a project (`V1ProjectResponse.status`).
    ProjectStatus {
        /// Paused.
        Inactive = "INACTIVE",
        /// In use; the pooler, the keys and the login may still lag behind.
        ActiveHealthy = "ACTIVE_HEALTHY",
        /// In use, with trouble.
        ActiveUnhealthy = "ACTIVE_UNHEALTHY",
        /// Being created, or waking up.
        ComingUp = "COMING_UP",
        /// What a create answers; elsewhere a passing state.
        Unknown = "UNKNOWN",
        /// Being deleted.
        GoingDown = "GOING_DOWN",
        /// Its creation failed.
        InitFailed = "INIT_FAILED",
        /// Deleted.
        Removed = "REMOVED",
        /// A backup is being restored.
        Restoring = "RESTORING",
        /// Postgres is being upgraded.
        Upgrading = "UPGRADING",
        /// Being paused.
        Pausing = "PAUSING",
        /// A restore failed.
        RestoreFailed = "RESTORE_FAILED",
        /// Restarting.
        Restarting = "RESTARTING",
        /// A pause failed.
        PauseFailed = "PAUSE_FAILED",
        /// The compute size is being changed.
        Resizing = "RESIZING",
    }
}

pub(super) use wire_enum;

/// What a project's status means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// It goes on by itself.
    Waiting,
    /// Ready as far as the status tells.
    Usable,
    /// In trouble that may pass; never a ground to delete or create.
    Degraded,
    /// Paused until someone restores it.
    Paused,
    /// Failed for good; the provider or a person must act.
    Failed,
    /// On its way out.
    Deleting,
    /// Gone.
    Gone,
}

impl ProjectStatus {
    /// Whether a project that was never seen in use can be in this state: it is being created, or
    /// its creation failed.
    pub fn is_before_first_use(&self) -> bool {
        matches!(self, Self::Unknown | Self::ComingUp | Self::InitFailed)
    }

    /// Whether it says little of a project in use: in trouble that may pass, a passing state without a
    /// name, or a state that is newer than this code.
    pub fn is_vague(&self) -> bool {
        matches!(self, Self::ActiveUnhealthy | Self::Unknown | Self::Other(_))
    }

    /// What the status means. A status we do not know is waited for: it is neither ready nor a
    /// ground for anything drastic.
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

wire_enum! {
    /// The kind of an API key.
    KeyType {
        /// A JWT: `anon` or `service_role`.
        Legacy = "legacy",
        /// `sb_publishable_…`
        Publishable = "publishable",
        /// `sb_secret_…`
        Secret = "secret",
    }
}

wire_enum! {
    /// The role of a database among a project's databases.
    DatabaseType {
        /// The one that takes writes.
        Primary = "PRIMARY",
        /// A copy.
        ReadReplica = "READ_REPLICA",
    }
}

wire_enum! {
    /// How a pooler entry shares connections.
    PoolMode {
        /// A server connection for each transaction.
        Transaction = "transaction",
        /// A server connection for each client.
        Session = "session",
    }
}

/// Where a project is to run (`region_selection`).
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
    /// The only field of ours that a listing shows: it carries our marker. At most 256 characters,
    /// no dot.
    pub name: String,
    /// The slug of the organization that pays.
    pub organization: String,
    /// The password of `postgres`; the API never tells it again.
    pub password: SecretString,
    /// Where.
    pub region: RegionSelection,
    /// The compute size, such as `micro`; absent means the smallest of the plan.
    pub instance_size: Option<String>,
}

/// A project as create answers it (`V1ProjectResponse`).
#[derive(Clone, Debug, Deserialize)]
pub struct CreatedProject {
    /// The provider's name of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Our name of it.
    pub name: String,
    /// The region it really runs in.
    pub region: String,
    /// Its state: `UNKNOWN` at first.
    pub status: ProjectStatus,
}

/// A project (`V1ProjectWithDatabaseResponse`).
#[derive(Clone, Debug, Deserialize)]
pub struct Project {
    /// The provider's name of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The organization that pays.
    pub organization_slug: String,
    /// Our name of it.
    pub name: String,
    /// The region it runs in.
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
    /// The provider's name of the project, twenty letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Our name of it.
    pub name: String,
    /// The region it runs in.
    pub region: String,
    /// Whether it is a preview branch of another project.
    #[serde(default)]
    pub is_branch: bool,
    /// Its state.
    pub status: ProjectStatus,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient_timestamp")]
    pub inserted_at: Option<Timestamp>,
    /// Its databases, the primary and its read replicas.
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
    /// Where the page lies.
    pub pagination: Pagination,
}

/// Where a [`ProjectPage`] lies.
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
    /// What other operations call it by. The detail operation leaves it out.
    #[serde(default)]
    pub slug: String,
    /// What people call it.
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
