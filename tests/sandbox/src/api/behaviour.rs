//! How the provider behaves: how long things take, and what it refuses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hosted::Switches;

/// What becomes of projects created, or restored, from now on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// They become `ACTIVE_HEALTHY`.
    #[default]
    Healthy,
    /// They stay `COMING_UP` until [`super::StandIn::unstick`].
    Stuck,
    /// They become `INIT_FAILED`; a restored one falls back to `INACTIVE`.
    Failed,
}

/// The provider's behaviour; every part can be changed while it runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// From creation to `ACTIVE_HEALTHY`.
    #[serde(with = "millis", rename = "coming_up_ms")]
    pub coming_up: Duration,
    /// From `ACTIVE_HEALTHY` until the keys can be read.
    #[serde(with = "millis", rename = "keys_after_ms")]
    pub keys_after: Duration,
    /// From `ACTIVE_HEALTHY` until the pooler knows the project.
    #[serde(with = "millis", rename = "pooler_after_ms")]
    pub pooler_after: Duration,
    /// From creation until listings show the project.
    #[serde(with = "millis", rename = "listed_after_ms")]
    pub listed_after: Duration,
    /// From the request until a pause is done.
    #[serde(with = "millis", rename = "pausing_ms")]
    pub pausing: Duration,
    /// How long a project is down for another compute size.
    #[serde(with = "millis", rename = "resizing_ms")]
    pub resizing: Duration,
    /// What becomes of new projects.
    pub fate: Fate,
    /// Whether a name that is in use is refused.
    pub refuse_duplicate_names: bool,
    /// How many active projects there may be; more are refused as on the free plan, where there may
    /// be two in any case.
    pub project_limit: Option<usize>,
    /// How many projects of an organization a page of their listing holds at most.
    pub page: usize,
    /// Whether new tables of a new project are open to the Data API, as before the platform's change of 2026.
    pub expose_new_tables: bool,
    /// Whether new projects enable row level security on new tables.
    pub ensure_rls: bool,
}

impl Behaviour {
    pub(super) fn switches(&self) -> Switches {
        Switches {
            expose_new_tables: self.expose_new_tables,
            ensure_rls: self.ensure_rls,
        }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            coming_up: Duration::from_secs(2),
            keys_after: Duration::ZERO,
            pooler_after: Duration::ZERO,
            listed_after: Duration::ZERO,
            pausing: Duration::from_millis(500),
            resizing: Duration::from_secs(1),
            fate: Fate::Healthy,
            refuse_duplicate_names: false,
            project_limit: None,
            page: 100,
            expose_new_tables: false,
            ensure_rls: false,
        }
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        u64::deserialize(input).map(Duration::from_millis)
    }
}
