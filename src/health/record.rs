//! The record of the probes of one database, and which databases are probed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::judge::ProbeJudge;
use super::schedule::{QUICK, phase};
use super::servers::server;
use super::{Context, told};
use crate::api::{GoDuration, Orchestra, OrchestraDatabase, PowerState, PublishedSecret};
use crate::controller::Core;
use crate::credentials::inventory;
use crate::credentials::published::{self, Published};
use crate::postgres::{CONNECTION_SCOPES, Measured};
use crate::telemetry::tenants::{Connections, TenantFacts};

/// The interval where the operator probes only databases that are reported to be unavailable.
const WHILE_OFF: Duration = Duration::from_mins(1);

/// A database that is probed.
pub struct ProbeSubject {
    /// Its Orchestra.
    pub object: Arc<Orchestra>,
    /// The database that it claims.
    pub database: Arc<OrchestraDatabase>,
    /// How often.
    pub interval: Duration,
    /// Whether it is measured.
    pub metrics: bool,
}

/// The record of the probes of one database.
pub struct ProbeRecord {
    /// The verdict of the probes.
    pub judge: ProbeJudge,
    /// When the next probe is due.
    pub due: Instant,
    /// How often it is probed.
    interval: Duration,
    /// The Orchestra.
    pub object: ObjectRef<Orchestra>,
    /// Name of its database.
    database: String,
    /// The connection Secret as it was last published.
    secret: Option<PublishedSecret>,
    /// The login that was last published and read.
    pub login: Option<Published>,
    /// Whether it is to be probed now.
    pub in_use: bool,
    /// A probe was started, and may still be running.
    pub started: bool,
    /// Host and port of the last probe; before the first one, an approximation.
    pub place: String,
    /// The last measurement.
    pub measured: Option<Measured>,
    /// When it was taken.
    pub measured_at: Option<Instant>,
    class: String,
    namespace: String,
    name: String,
}

impl ProbeSubject {
    /// The database of an Orchestra, if it is to be probed: it is in use and usable.
    pub fn of(core: &Core, object: &Arc<Orchestra>) -> Option<Self> {
        let database = database(core, object).filter(|database| is_usable(database))?;
        let class = object.decided_class().map(ObjectRef::new);
        let class = class.and_then(|class| core.stores.classes.get(&class));
        let health = class.as_ref().and_then(|class| class.spec.health.as_ref());
        let interval = health.and_then(|health| health.interval).map(GoDuration::as_std);
        Some(Self {
            object: object.clone(),
            database,
            interval: interval.unwrap_or(if core.settings.probe_interval.is_zero() {
                WHILE_OFF
            } else {
                core.settings.probe_interval
            }),
            metrics: health.is_some_and(|health| health.metrics),
        })
    }

    /// UID of the Orchestra.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// Whether the same database is still to be probed with the same login, so that nothing changed during a probe.
    pub fn is_current(&self, core: &Core) -> bool {
        let Some(now) = core.stores.orchestras.get(&ObjectRef::from_obj(&*self.object)) else {
            return false;
        };
        let login = |object: &Orchestra| {
            let status = object.status.as_ref()?;
            Some((status.secret_ref.clone()?, status.database_name.clone()))
        };
        now.uid() == self.object.uid() && login(&now) == login(&self.object) && Self::of(core, &now).is_some()
    }
}

/// The database of an Orchestra that is in use: the last results stay valid, whether it can be probed now or not.
fn database(core: &Core, object: &Orchestra) -> Option<Arc<OrchestraDatabase>> {
    let status = object.status.as_ref()?;
    let is_left = object.metadata.deletion_timestamp.is_some();
    let is_off = core.settings.probe_interval.is_zero() && status.health.is_none();
    if status.secret_ref.is_none() || is_left || is_off || published::is_hidden(object) {
        return None;
    }
    let database = core
        .stores
        .databases
        .get(&ObjectRef::new(status.database_name.as_ref()?))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let ours = object.metadata.uid.as_ref() == Some(&claim.uid) && database.is_held();
    (ours && !is_paused(object, &database)).then_some(database)
}

/// Whether the database is paused or is about to be. A project whose pause the provider refuses keeps running.
fn is_paused(object: &Orchestra, database: &OrchestraDatabase) -> bool {
    let wanted = object.is_paused() || database.spec.power_state == Some(PowerState::Paused);
    let refused = database.spec.supabase.is_some() && database.stalled_reason().is_some() && !object.is_asleep();
    wanted && !refused
}

fn is_usable(database: &OrchestraDatabase) -> bool {
    database.is_ready() && database.metadata.deletion_timestamp.is_none()
}

/// Where a database probably is, before it was probed.
fn place(ctx: &Context, database: &OrchestraDatabase) -> String {
    if let Some(entry) = &database.spec.inventory {
        let entries = ctx.credentials.inventories.latest(&entry.pool);
        let roots = &ctx.credentials.core.settings.database_roots;
        let login = entries.and_then(|entries| inventory::read(entries.get(&entry.key)?, roots).ok());
        return login.map_or_else(|| format!("pool {}", entry.pool), |login| server(&login));
    }
    // The projects of a region share a few poolers.
    let region = database.spec.supabase.as_ref().map(|project| project.region.as_str());
    format!("region {}", region.unwrap_or_default())
}

impl ProbeRecord {
    /// Starts with what the status says. A database that is reported to be down is probed soon.
    pub fn new(ctx: &Context, subject: &ProbeSubject, now: Instant) -> Self {
        let outage = told(&subject.object);
        let within = if outage.is_some() {
            QUICK.min(subject.interval)
        } else {
            subject.interval
        };
        Self {
            judge: ProbeJudge::resume(outage),
            due: now + phase(&subject.uid(), within),
            interval: subject.interval,
            object: ObjectRef::from_obj(&*subject.object),
            database: subject.database.name_any(),
            secret: None,
            login: None,
            in_use: true,
            started: false,
            place: place(ctx, &subject.database),
            measured: None,
            measured_at: None,
            class: String::new(),
            namespace: subject.object.namespace().unwrap_or_default(),
            name: subject.object.name_any(),
        }
    }

    /// Updates the settings of the class and the status. Another login, such as that of a rotation, is tried at once.
    pub fn update(&mut self, subject: &ProbeSubject, now: Instant) {
        self.in_use = true;
        let status = subject.object.status.as_ref();
        let secret = status.and_then(|status| status.secret_ref.as_ref());
        if self.secret.as_ref() != secret {
            if self.secret.is_some() {
                self.judge.restart();
                self.due = self.due.min(now);
            }
            self.secret = secret.cloned();
        }
        if self.interval != subject.interval {
            self.interval = subject.interval;
            self.due = self.due.min(now + phase(&subject.uid(), subject.interval));
        }
        if !subject.metrics {
            self.forget_numbers();
        }
        let class = subject.object.decided_class().unwrap_or_default();
        if self.class != class {
            class.clone_into(&mut self.class);
        }
    }

    /// The database cannot be probed now. The verdict stays, and the measurements are dropped.
    pub fn rest(&mut self) {
        self.in_use = false;
        self.forget_numbers();
    }

    /// Drops the measurements.
    pub fn forget_numbers(&mut self) {
        (self.measured, self.measured_at) = (None, None);
    }

    /// Whether the record belongs to this database.
    pub fn is_of(&self, database: &OrchestraDatabase) -> bool {
        self.database == database.name_any()
    }

    /// Whether the verdict stays: the Orchestra uses the same database.
    pub fn is_kept(&self, core: &Core, object: &Orchestra) -> bool {
        database(core, object).is_some_and(|database| self.is_of(&database))
    }

    fn facts(&self) -> Option<TenantFacts> {
        let measured = self.measured.as_ref()?;
        let connections = CONNECTION_SCOPES.into_iter().zip(measured.connections);
        Some(TenantFacts {
            class: self.class.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            bytes: measured.bytes,
            connections: connections
                .map(|(scope, (used, limit))| Connections { scope, used, limit })
                .collect(),
            oldest_transaction: measured.oldest_transaction,
        })
    }
}

impl Context {
    /// The measurements, of tenants whose class asks for them.
    pub fn facts(&self) -> Vec<TenantFacts> {
        self.records.lock().values().filter_map(ProbeRecord::facts).collect()
    }

    /// The databases that applications cannot use, by the reason.
    pub fn outages(&self) -> Vec<&'static str> {
        let orchestras = self.as_ref().stores.orchestras.state();
        let outages = orchestras.iter().filter_map(|object| self.outage(object));
        outages.map(|outage| outage.reason.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_project_whose_pause_is_refused_is_probed_whoever_wants_the_pause() {
        let orchestra = |power: serde_json::Value, pausing: bool| {
            let reconciling = pausing.then(|| {
                json!({"type": "Reconciling", "status": "True", "reason": "Pausing", "message": "",
                    "lastTransitionTime": "2026-11-28T12:00:00Z"})
            });
            let conditions: Vec<_> = reconciling.into_iter().collect();
            let status = json!({"power": power, "conditions": conditions});
            let spec = json!({"metadata": {"name": "one"}, "spec": {}, "status": status});
            serde_json::from_value::<Orchestra>(spec).unwrap()
        };
        let database = |hosted: bool, intended: bool, stalled: bool| {
            let mut database = OrchestraDatabase::new("one", crate::api::OrchestraDatabaseSpec::default());
            database.spec.supabase = hosted.then(crate::api::SupabaseProject::default);
            database.spec.power_state = intended.then_some(PowerState::Paused);
            let stalled = stalled.then(|| {
                json!({"type": "Stalled", "status": "True", "reason": "PermissionDenied", "message": "",
                    "lastTransitionTime": "2026-11-28T12:00:00Z"})
            });
            let conditions: Vec<_> = stalled.into_iter().collect();
            database.status = Some(serde_json::from_value(json!({"conditions": conditions})).unwrap());
            database
        };
        let since = "2026-11-28T12:00:00Z";
        for (power, pausing, (hosted, intended, stalled), paused) in [
            (json!(null), false, (true, false, false), false),
            (json!(null), false, (true, false, true), false),
            (json!({"pausedBy": "Idle"}), true, (true, false, false), true),
            (json!({"pausedBy": "Idle"}), true, (true, true, false), true),
            (json!({"pausedBy": "Idle"}), false, (true, true, true), false),
            (json!(null), false, (true, true, true), false),
            (
                json!({"pausedBy": "Idle", "pausedSince": since}),
                false,
                (true, true, true),
                true,
            ),
            (
                json!({"pausedBy": "Spec", "pausedSince": since}),
                false,
                (false, false, false),
                true,
            ),
            (json!({"pausedBy": "Idle"}), false, (false, true, true), true),
        ] {
            let is = is_paused(&orchestra(power.clone(), pausing), &database(hosted, intended, stalled));
            assert_eq!(is, paused, "{power} {pausing} {hosted} {intended} {stalled}");
        }
    }
}
