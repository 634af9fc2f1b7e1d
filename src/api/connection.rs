//! How a tenant connects: the connection Secret, and the rotation of its login.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{GoDuration, NAME, RowSecurity};

/// The form of a name of the IANA time zone database.
pub(super) const TIME_ZONE: &str = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$";

/// The characters of a cron expression of five fields.
pub(super) const CRON: &str = "^[0-9A-Za-z*/,#?+ -]+$";

/// The rule that the keys of a map are valid keys of labels, and none that Kubernetes or the operator uses.
const KEYS: &str = "self.all(key, key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && size(key) <= 253 && !key.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|stagesub[.]io)/'))";
const KEYS_REFUSED: &str = "a key must be that of a label (name, or domain/name) of at most 253 characters, and not of the domains kubernetes.io, k8s.io and stagesub.io, which Kubernetes and the operator use";

/// How long the former login and a former Secret stay, unless `rotation.overlap` says it: a day.
const OVERLAP: GoDuration = GoDuration::from_mins(24 * 60);

/// How the tenant connects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Name of the Secret that holds the login. Default: `<name>-connection`. After a change, the Secret of the former
    /// name stays for `rotation.overlap` (a day by default), and is then deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub secret_name: Option<String>,
    /// Where `DATABASE_URL` and the libpq keys lead: `SessionPooler` (default), `TransactionPooler` or `Direct`.
    /// `DIRECT_URL` is always a session connection. A static pool entry has only one address, which
    /// serves all modes.
    #[serde(default)]
    pub mode: ConnectionMode,
    /// Whether policies of row level security apply to the login: `Bypass` (they do not, as they do not apply to the
    /// database's owner) or `Enforce`. Omitted: the class decides, and `Bypass` is its default. The Secret of a hosted
    /// project holds the service role key with `Enforce` as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_security: Option<RowSecurity>,
    /// Type of the Secret: `Opaque` (default), or `servicebinding.io/postgresql`, with which the Secret also has the
    /// keys of the Service Binding specification (`type`, `provider`, `database`, `username` beside `host`, `port`,
    /// `password`, `uri`), and `status.binding.name` names it. Kubernetes does not change the type of a Secret: one
    /// that exists keeps its own, and gets the keys.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub secret_type: Option<SecretType>,
    /// Labels of the Secret, for tools that select by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"})))]
    #[x_kube(validation = Rule::new(KEYS).message(KEYS_REFUSED))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the Secret, for tools that read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 4096})))]
    #[x_kube(validation = Rule::new(KEYS).message(KEYS_REFUSED))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Further keys of the Secret, each with its text, a template of `minijinja` such as
    /// `{{ session_url | parameter("connection_limit", "5") }}`. A key of the Secret's own is replaced. The variables
    /// and filters are in docs/secrets.md; there are conditions and no loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 16384})))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._A-Za-z0-9]{1,253}$') && key != '.' && !key.startsWith('..'))").message("a key of a Secret has at most 253 letters, digits and -._, and does not begin with two dots"))]
    pub template: Option<BTreeMap<String, String>>,
    /// When the tenant's login is replaced by a new one, and how long the former one stays. The annotation
    /// `stagesub.io/rotate-requested-at` asks for a rotation at once, also without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

impl Connection {
    /// How long the former login and a former Secret stay.
    pub fn overlap(&self) -> GoDuration {
        let rotation = self.rotation.as_ref();
        rotation.and_then(|rotation| rotation.overlap).unwrap_or(OVERLAP)
    }

    /// Whether the Secret is to be one of the Service Binding specification.
    pub fn is_binding(&self) -> bool {
        self.secret_type == Some(SecretType::ServiceBinding)
    }
}

/// Which address an application uses.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// One server connection for each client: for long-running servers.
    #[default]
    SessionPooler,
    /// A server connection for each transaction: for many short-lived clients.
    TransactionPooler,
    /// The database server itself, without a pooler. The direct host of a hosted project has an IPv6 address only,
    /// unless the project has the IPv4 add-on.
    Direct,
}

/// Type of the connection Secret.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretType {
    /// Kubernetes' own type for arbitrary data.
    #[default]
    Opaque,
    /// The keys that the Service Binding specification 1.1 recommends for a Secret whose `type` is `postgresql`.
    #[serde(rename = "servicebinding.io/postgresql")]
    ServiceBinding,
}

impl SecretType {
    /// The type as Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::ServiceBinding => "servicebinding.io/postgresql",
        }
    }
}

/// When a login is replaced.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone belongs to a schedule: set schedule as well, or remove timeZone"))]
pub struct Rotation {
    /// Cron expression of five fields (minute, hour, day of the month, month, day of the week), such as `0 3 1 * *`.
    /// Omitted: only the annotation `stagesub.io/rotate-requested-at` asks for a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 128), regex(pattern = CRON))]
    pub schedule: Option<String>,
    /// IANA name of the schedule's time zone, such as `Europe/Stockholm`. Omitted: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE))]
    pub time_zone: Option<String>,
    /// How long the former login works after the new one was published: the time that clients have to read the Secret
    /// again. Default: `24h`. It must be shorter than the schedule's shortest period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('8760h')").message("overlap must be from 1s to 8760h"))]
    pub overlap: Option<GoDuration>,
    /// Other credentials that are rotated each time that the login is: `OwnerPassword` (the password of the database's
    /// owner, which only the operator has) and `APIKeys` (the publishable and the secret key of a hosted project's API;
    /// legacy keys are left unchanged). It has no effect on an entry of a static pool, whose owner and keys are the
    /// admin's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub also: Option<Vec<AlsoRotated>>,
}

/// A credential that is rotated with the tenant's login.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlsoRotated {
    /// The password of the owner of a hosted project, or of a database that a pool has made on a server.
    OwnerPassword,
    /// The publishable and the secret key of a hosted project's API.
    #[serde(rename = "APIKeys")]
    ApiKeys,
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
    /// Digest of the API keys in it, once the provider has changed them: with other keys, it is written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// A Secret that held the login under a former name.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerSecret {
    /// Name, in the Orchestra's namespace.
    pub name: String,
    /// When it is deleted.
    pub until: Time,
}

/// The Secret of a provisioned service (Service Binding specification 1.1).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Name of the Secret, in the Orchestra's namespace.
    pub name: String,
}

/// Rotation of the tenant's login.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// Number of the published login: 1 is the first one, and each rotation adds 1.
    pub generation: i64,
    /// When it was published; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Time>,
    /// When the schedule asks for the next rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// When the oldest former login that still works is revoked; absent when there is no former login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until: Option<Time>,
    /// The last value of the annotation `stagesub.io/rotate-requested-at` that the operator has handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_request: Option<String>,
}
