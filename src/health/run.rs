//! The loop that probes databases in the background.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::Context;
use super::record::{ProbeRecord, ProbeSubject};
use super::schedule::{self, ProbeEnd, QUICK};
use super::servers::server;
use crate::api::{Orchestra, ROTATE_ANNOTATION};
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::credentials::published;
use crate::migrate::Watch;
use crate::postgres::{self, Fault, FaultKind, Measured};

/// Probes that run at the same time.
const AT_ONCE: usize = 32;

/// The most of these for servers whose last probe took long to fail. The rest is left for other servers.
const SLOW_AT_ONCE: usize = AT_ONCE / 2;

/// The most of these for one server. The rest is left for other servers when one hangs.
const PER_SERVER: usize = 4;

/// How often the due databases are looked up.
const TICK: Duration = Duration::from_millis(500);

/// The least time between two lookups: many probes that end share one lookup.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the databases in use are looked up.
const REFRESH: Duration = Duration::from_secs(2);

/// The shortest interval of measurements of a database: its size is the size of all its files.
const MEASURED: Duration = Duration::from_mins(1);

/// How a probe ended, and the time that it took; without a time, the result comes from another database of the server.
enum ProbeResult {
    /// Applications can use the database.
    Well(Option<Measured>, Duration),
    /// Applications cannot use the database.
    Fault(Fault, Option<Duration>),
    /// The probe was postponed for this time.
    Later(Duration),
    /// The login cannot be read.
    Unread,
}

/// Probes the databases in use until it is dropped. `ended` receives each probe that has ended.
pub async fn run(ctx: Arc<Context>, ended: UnboundedReceiver<ObjectRef<Orchestra>>) {
    // A separate task, which ends with this one.
    let mut task = JoinSet::new();
    task.spawn(probe_all(ctx, ended));
    if let Some(Err(error)) = task.join_next().await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn probe_all(ctx: Arc<Context>, mut ended: UnboundedReceiver<ObjectRef<Orchestra>>) {
    let mut refreshed: Option<Instant> = None;
    loop {
        while ended.try_recv().is_ok() {}
        ctx.works.drop_ended();
        let now = Instant::now();
        if refreshed.is_none_or(|last| now.saturating_duration_since(last) >= REFRESH) {
            refresh(&ctx, now);
            refreshed = Some(now);
        }
        start_due(&ctx, now);
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = tokio::time::sleep(TICK.saturating_sub(PAUSE)) => {}
            // A probe has ended and left room for the next one.
            Some(_) = ended.recv() => {}
        }
    }
}

/// Looks up the databases in use.
fn refresh(ctx: &Context, now: Instant) {
    let core: &Core = ctx.as_ref();
    let orchestras = core.stores.orchestras.state();
    let mut published = ctx.published.lock();
    let mut records = ctx.records.lock();
    let mut before = std::mem::take(&mut *records);
    for object in &orchestras {
        let uid = object.uid().unwrap_or_default();
        let known = before.remove(&uid);
        let record = if let Some(subject) = ProbeSubject::of(core, object) {
            let known = known.filter(|known| known.is_of(&subject.database));
            let mut record = known.unwrap_or_else(|| ProbeRecord::new(ctx, &subject, now));
            record.update(&subject, now);
            record.login = published.remove(&uid).or(record.login);
            Some(record)
        } else {
            let kept = known.filter(|known| known.is_kept(core, object));
            kept.map(|mut record| {
                record.rest();
                record
            })
        };
        if let Some(record) = record {
            records.insert(uid, record);
        }
    }
    // The store may not show yet that the others are in use.
    published.retain(|uid, _| {
        orchestras
            .iter()
            .any(|object| object.metadata.uid.as_ref() == Some(uid))
    });
}

/// Starts the probes that are due, up to the limit of concurrent probes.
fn start_due(ctx: &Arc<Context>, now: Instant) {
    let core: &Core = (**ctx).as_ref();
    let mut room = ProbeRoom::new(ctx.servers.slow());
    let mut due = Vec::new();
    let mut records = ctx.records.lock();
    for (uid, record) in &mut *records {
        record.started = record.started && ctx.works.under_way_of(uid).is_some();
        if record.started {
            room.take(&record.place);
        } else if record.in_use && record.due <= now {
            due.push((record.due, uid.clone()));
        }
    }
    due.sort_unstable();
    for (_, uid) in due {
        let Some(record) = records.get_mut(&uid).filter(|record| room.is_there(&record.place)) else {
            continue;
        };
        let object = core.stores.orchestras.get(&record.object);
        let object = object.filter(|object| object.metadata.uid.as_ref() == Some(&uid));
        // Deleted or paused a moment ago.
        let Some(subject) = object.and_then(|object| ProbeSubject::of(core, &object)) else {
            record.in_use = false;
            continue;
        };
        record.started = true;
        room.take(&record.place);
        // A probe of its earlier database still runs.
        if ctx.works.under_way_of(&uid).is_some() {
            continue;
        }
        let measures = subject.metrics && measures(record, now);
        start(ctx, subject, measures);
    }
}

/// The room that probes use.
struct ProbeRoom {
    all: usize,
    slow: usize,
    servers: HashMap<String, usize>,
    /// Servers of which the last probe took long to fail.
    are_slow: HashSet<String>,
}

impl ProbeRoom {
    fn new(are_slow: HashSet<String>) -> Self {
        Self {
            all: 0,
            slow: 0,
            servers: HashMap::new(),
            are_slow,
        }
    }

    /// Whether one more probe of this server may start.
    fn is_there(&self, server: &str) -> bool {
        let here = self.servers.get(server).copied().unwrap_or_default();
        let is_slow = self.are_slow.contains(server);
        self.all < AT_ONCE && here < PER_SERVER && (!is_slow || self.slow < SLOW_AT_ONCE)
    }

    fn take(&mut self, server: &str) {
        self.all += 1;
        self.slow += usize::from(self.are_slow.contains(server));
        *self.servers.entry(server.to_owned()).or_default() += 1;
    }
}

fn measures(record: &ProbeRecord, now: Instant) -> bool {
    record
        .measured_at
        .is_none_or(|last| now.saturating_duration_since(last) >= MEASURED)
}

fn start(ctx: &Arc<Context>, subject: ProbeSubject, measures: bool) {
    let (uid, object) = (subject.uid(), ObjectRef::from_obj(&*subject.object));
    let span = tracing::info_span!(
        "probe",
        database = subject.database.name_any(),
        namespace = subject.object.namespace(),
        orchestra = subject.object.name_any()
    );
    let work = {
        let ctx = ctx.clone();
        async move {
            let look = look(&ctx, &subject, measures).await;
            note(&ctx, &subject, look);
            Ok(())
        }
    };
    span.in_scope(|| ctx.works.start((&uid, object), WorkKind::Probe, Watch::default(), work));
}

/// Probes a database, unless a refused login is too recent, or its server cannot be reached.
async fn look(ctx: &Context, subject: &ProbeSubject, measures: bool) -> ProbeResult {
    let core: &Core = ctx.as_ref();
    let name = subject.database.name_any();
    if let Some(wait) = ctx.logins.wait(&name, core.settings.login_spacing) {
        return ProbeResult::Later(wait);
    }
    let uid = subject.uid();
    let known = ctx.records.lock().get(&uid).and_then(|record| record.login.clone());
    let (object, database) = (&subject.object, &subject.database);
    let published = published::login(&ctx.credentials, &ctx.provider, object, database, known).await;
    let published = published.unwrap_or_else(|error| {
        tracing::debug!(%error, "the published login cannot be read");
        None
    });
    let login = published.as_ref().map(|published| published.login.clone());
    let server = login.as_ref().map(server);
    if let Some(record) = ctx.records.lock().get_mut(&uid) {
        record.login = published;
        record.place = server.clone().unwrap_or_else(|| record.place.clone());
    }
    let (Some(login), Some(server)) = (login, server) else {
        return ProbeResult::Unread;
    };
    if let Some(fault) = ctx.servers.failed(&server, Instant::now()) {
        return ProbeResult::Fault(fault, None);
    }
    let began = Instant::now();
    let probe = async { Ok::<_, Error>(postgres::probe(&login, measures).await) };
    let probe = tokio::time::timeout(postgres::PROBE_LONGEST, caught(Box::pin(probe)));
    let outcome = match probe.await {
        Ok(Ok(outcome)) => outcome,
        // A library panicked because of the server's answer, or the parts of the probe together took too long.
        Ok(Err(_)) | Err(_) => Err(Fault {
            kind: FaultKind::Unreachable,
            message: format!(
                "{server} does not answer as PostgreSQL does: check the server, and any proxy or pooler in front of it"
            ),
            needs_login: false,
        }),
    };
    let took = began.elapsed();
    ctx.servers.note(&server, &name, outcome.as_ref().err(), Instant::now());
    match outcome {
        Ok(found) => ProbeResult::Well(found, took),
        Err(mut fault) => {
            if fault.needs_login {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                fault.message = format!(
                    "{}: kubectl -n {namespace} annotate orch {name} {ROTATE_ANNOTATION}=\"$(date -Is)\" --overwrite",
                    fault.message
                );
            }
            if fault.kind.is_refused_login() {
                ctx.logins.refused(&name, false);
            }
            ProbeResult::Fault(fault, Some(took))
        }
    }
}

/// Records the outcome of a probe, and triggers the Orchestra if its reported state changes.
fn note(ctx: &Context, subject: &ProbeSubject, look: ProbeResult) {
    let core: &Core = ctx.as_ref();
    let (now, uid) = (Instant::now(), subject.uid());
    let current = subject.is_current(core);
    let mut records = ctx.records.lock();
    let Some(record) = records.get_mut(&uid) else {
        return;
    };
    let (interval, spacing) = (subject.interval, core.settings.login_spacing);
    let (wait, changed) = match look {
        ProbeResult::Later(wait) => (wait, false),
        // Paused, deleted or given another login meanwhile: the outcome is that of a former login.
        _ if !current => (QUICK.min(interval), false),
        ProbeResult::Unread => {
            record.forget_numbers();
            (interval, false)
        }
        ProbeResult::Well(measured, took) => {
            core.metrics.tenants().probed("Ready", took);
            if measured.is_some() {
                (record.measured, record.measured_at) = (measured, Some(now));
            }
            let changed = record.judge.note(Ok(()));
            let told = record.judge.outage().is_none();
            (schedule::next(ProbeEnd::Well { told }, interval, spacing), changed)
        }
        ProbeResult::Fault(fault, took) => {
            let reason = fault.kind.reason();
            if let Some(took) = took {
                core.metrics.tenants().probed(reason.as_str(), took);
            }
            tracing::debug!(%reason, "a probe failed");
            let changed = record.judge.note(Err(&fault));
            (schedule::next(failed(record, &fault), interval, spacing), changed)
        }
    };
    // The places in the interval are kept, unless a probe came too late.
    record.due = (record.due + wait).max(now + wait / 2);
    drop(records);
    if changed {
        // The channel is closed only while the operator is shutting down.
        let _ = ctx.changed.send(ObjectRef::from_obj(&*subject.object));
    }
}

/// What the failure of a probe means for applications.
fn failed(record: &mut ProbeRecord, fault: &Fault) -> ProbeEnd {
    let (told, refused) = (record.judge.outage().is_some(), record.judge.refused());
    if record.judge.is_well() {
        return ProbeEnd::Well { told: !told };
    }
    if told {
        record.forget_numbers();
    }
    let kind = fault.kind;
    ProbeEnd::Badly { kind, refused, told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_hang_leave_room_for_others() {
        let mut room = ProbeRoom::new((0..100).map(|server| format!("hung-{server}")).collect());
        let mut begun = 0;
        for server in (0..100)
            .flat_map(|server| [server; 8])
            .map(|server| format!("hung-{server}"))
        {
            if room.is_there(&server) {
                room.take(&server);
                begun += 1;
            }
        }
        assert_eq!((begun, room.servers["hung-0"]), (SLOW_AT_ONCE, PER_SERVER));
        for number in 0..AT_ONCE - SLOW_AT_ONCE {
            let other = format!("other-{number}");
            assert!(room.is_there(&other));
            room.take(&other);
        }
        assert!(!room.is_there("another"));
    }
}
