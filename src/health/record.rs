//! What is remembered of the probes of one database, and which databases are probed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::judge::Judge;
use super::schedule::{QUICK, phase};
use super::{Context, told};
use crate::api::{GoDuration, Orchestra, OrchestraDatabase, PowerState};
use crate::controller::Core;
use crate::postgres::{CONNECTION_SCOPES, Measured};
use crate::telemetry::tenants::{Connections, TenantFacts};

/// A database that is probed.
pub struct Subject {
    /// Its Orchestra.
    pub object: Arc<Orchestra>,
    /// What it claims.
    pub database: Arc<OrchestraDatabase>,
    /// How often.
    pub interval: Duration,
    /// Whether it is measured.
    pub metrics: bool,
}

/// What is remembered.
pub struct Record {
    /// What the probes say.
    pub judge: Judge,
    /// When the next probe is due.
    pub due: Instant,
    /// How often it is probed.
    interval: Duration,
    /// Host and port of the last probe.
    pub server: Option<String>,
    /// The last measurement.
    pub measured: Option<Measured>,
    /// When it was taken.
    pub measured_at: Option<Instant>,
    class: String,
    namespace: String,
    name: String,
}

impl Subject {
    /// The database of an Orchestra, if it is to be probed: it is in use and usable, and its Secret is the one that was
    /// published.
    pub fn of(core: &Core, object: &Arc<Orchestra>) -> Option<Self> {
        let database = database(core, object)?;
        let class = object.decided_class().map(ObjectRef::new);
        let class = class.and_then(|class| core.stores.classes.get(&class));
        let health = class.as_ref().and_then(|class| class.spec.health.as_ref());
        let interval = health.and_then(|health| health.interval).map(GoDuration::as_std);
        Some(Self {
            object: object.clone(),
            database,
            interval: interval.unwrap_or(core.settings.probe_interval),
            metrics: health.is_some_and(|health| health.metrics),
        })
    }

    /// UID of the Orchestra.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// Whether the same is still to be probed with the same login: nothing has been changed during a probe.
    pub fn is_current(&self, core: &Core) -> bool {
        let Some(now) = core.stores.orchestras.get(&ObjectRef::from_obj(&*self.object)) else {
            return false;
        };
        let login = |object: &Orchestra| {
            let status = object.status.as_ref()?;
            Some((status.secret_ref.clone()?, status.database_name.clone()))
        };
        now.uid() == self.object.uid() && login(&now) == login(&self.object) && database(core, &now).is_some()
    }
}

fn database(core: &Core, object: &Orchestra) -> Option<Arc<OrchestraDatabase>> {
    let status = object.status.as_ref()?;
    let published = status.secret_ref.as_ref()?;
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let secret = ObjectRef::new(&published.name).within(object.metadata.namespace.as_deref().unwrap_or_default());
    let secret = core.stores.connections.get(&secret)?;
    if secret.metadata.resource_version != published.resource_version {
        return None;
    }
    let database = core
        .stores
        .databases
        .get(&ObjectRef::new(status.database_name.as_ref()?))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let ours = object.metadata.uid.as_ref() == Some(&claim.uid) && database.is_held();
    // A project whose pause the provider refuses runs on.
    let refused = database.spec.supabase.is_some() && database.stalled_reason().is_some();
    let paused = database.spec.power_state == Some(PowerState::Paused) && !refused;
    if paused || object.is_paused() {
        return None;
    }
    (ours && database.is_ready() && database.metadata.deletion_timestamp.is_none()).then_some(database)
}

impl Record {
    /// Begins with what the status says. What is told to be down is probed soon.
    pub fn new(subject: &Subject, now: Instant) -> Self {
        let outage = told(&subject.object);
        let within = if outage.is_some() {
            QUICK.min(subject.interval)
        } else {
            subject.interval
        };
        Self {
            judge: Judge::resume(outage),
            due: now + phase(&subject.uid(), within),
            interval: subject.interval,
            server: None,
            measured: None,
            measured_at: None,
            class: String::new(),
            namespace: subject.object.namespace().unwrap_or_default(),
            name: subject.object.name_any(),
        }
    }

    /// Takes over what the class says now.
    pub fn update(&mut self, subject: &Subject, now: Instant) {
        if self.interval != subject.interval {
            self.interval = subject.interval;
            self.due = self.due.min(now + phase(&subject.uid(), subject.interval));
        }
        if !subject.metrics {
            (self.measured, self.measured_at) = (None, None);
        }
        let class = subject.object.decided_class().unwrap_or_default();
        if self.class != class {
            class.clone_into(&mut self.class);
        }
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
    /// What was measured, of those whose class asks for it.
    pub fn facts(&self) -> Vec<TenantFacts> {
        self.records.lock().values().filter_map(Record::facts).collect()
    }

    /// The databases that applications cannot use, by the reason.
    pub fn outages(&self) -> Vec<&'static str> {
        let records = self.records.lock();
        let outages = records.values().filter_map(|record| record.judge.outage());
        outages.map(|outage| outage.reason.as_str()).collect()
    }
}
