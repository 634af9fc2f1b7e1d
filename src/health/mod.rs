//! Whether applications can use their databases. Each database in use is probed repeatedly with the published login
//! ([`run`]); [`judge`] decides when that changes the condition Available, which the orchestra room writes. A probe writes
//! nothing, and delays no pass.

pub mod judge;
mod record;
pub mod run;
pub mod schedule;
mod servers;

use std::collections::HashMap;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::{Orchestra, OrchestraDatabase, PublishedSecret};
use crate::controller::Core;
use crate::controller::background::Works;
use crate::credentials::published::{Published, is_hidden};
use crate::postgres::{Login, RefusedLogins};
use crate::{credentials, supabase};
use judge::ProbeOutage;
use record::ProbeRecord;
use servers::FailedServers;

pub use run::run;

/// Everything that probes need, and their results.
pub struct Context {
    /// Inventories and Secrets.
    pub credentials: Arc<credentials::Context>,
    /// Hosts that may be connected to.
    pub provider: Arc<supabase::ApiSettings>,
    /// Refused logins, and when the next one may be tried.
    pub logins: Arc<RefusedLogins>,
    /// Probes that are under way.
    works: Works<Orchestra, ()>,
    /// Orchestras whose outage has changed.
    changed: UnboundedSender<ObjectRef<Orchestra>>,
    /// By the UID of the Orchestra.
    records: Mutex<HashMap<String, ProbeRecord>>,
    /// Logins that were published since the databases in use were last looked up, by the UID of the Orchestra.
    published: Mutex<HashMap<String, Published>>,
    servers: FailedServers,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.credentials.core
    }
}

impl Context {
    /// A context without results. Orchestras whose outage changes are sent to `changed`.
    pub fn new(
        credentials: Arc<credentials::Context>,
        provider: Arc<supabase::ApiSettings>,
        logins: Arc<RefusedLogins>,
        works: Works<Orchestra, ()>,
        changed: UnboundedSender<ObjectRef<Orchestra>>,
    ) -> Self {
        Self {
            credentials,
            provider,
            logins,
            works,
            changed,
            records: Mutex::default(),
            published: Mutex::default(),
            servers: FailedServers::default(),
        }
    }

    /// Takes a login that was just published, so that the first probe need not read the Secret. A login whose keys a
    /// template replaces is not probed.
    pub fn publish(&self, object: &Orchestra, database: &OrchestraDatabase, secret: &PublishedSecret, login: &Login) {
        if self.as_ref().settings.probe_interval.is_zero() || is_hidden(object) {
            return;
        }
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let published = Published::new(&self.credentials, database, secret, login);
        self.published.lock().insert(uid, published);
    }

    /// The outage of an Orchestra's database, according to its probes. The outage in the status stays until probes have
    /// another result, also where nothing is probed.
    pub fn outage(&self, object: &Orchestra) -> Option<ProbeOutage> {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        match self.records.lock().get(uid) {
            Some(record) => record.judge.outage().cloned(),
            None => told(object),
        }
    }
}

/// The outage in the status.
fn told(object: &Orchestra) -> Option<ProbeOutage> {
    let health = object.status.as_ref()?.health.as_ref()?;
    Some(ProbeOutage {
        reason: health.known_reason(),
        message: health.message.clone(),
    })
}
