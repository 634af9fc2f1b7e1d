//! The loop that probes databases in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Context;
use super::record::{Record, Subject};
use super::schedule::{self, Ended, QUICK};
use super::servers::server;
use crate::api::Orchestra;
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::credentials::published;
use crate::migrate::Watch;
use crate::postgres::{self, Fault, FaultKind, Measured};

/// Probes that run at the same time.
const AT_ONCE: usize = 16;

/// Of these, on one server: others have their turn when one hangs.
const PER_SERVER: usize = 4;

/// How often it is looked which databases are due.
const TICK: Duration = Duration::from_millis(500);

/// How often a database is measured at most: its size is the size of all its files.
const MEASURED: Duration = Duration::from_mins(1);

/// How a probe ended.
enum Look {
    /// Applications can use the database.
    Well(Option<Measured>),
    /// They cannot.
    Fault(Fault),
    /// It was not looked, and is after this time.
    Later(Duration),
}

/// Probes the databases in use until it is dropped. `ended` tells of each probe that has ended.
pub async fn run(ctx: Arc<Context>, mut ended: UnboundedReceiver<ObjectRef<Orchestra>>) {
    let core: &Core = (*ctx).as_ref();
    if core.settings.probe_interval.is_zero() {
        return std::future::pending().await;
    }
    loop {
        ctx.works.drop_ended();
        turn(&ctx, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            // The next one has its turn.
            Some(_) = ended.recv() => {}
        }
    }
}

/// Starts the probes that are due, as far as there is room.
fn turn(ctx: &Arc<Context>, now: Instant) {
    let core: &Core = (**ctx).as_ref();
    let subjects = core.stores.orchestras.state();
    let subjects = subjects.iter().filter_map(|object| Subject::of(core, object));
    let mut due = Vec::new();
    let mut busy: HashMap<String, usize> = HashMap::new();
    let mut records = ctx.records.lock();
    let mut before = std::mem::take(&mut *records);
    for subject in subjects {
        let uid = subject.uid();
        let mut record = before.remove(&uid).unwrap_or_else(|| Record::new(&subject, now));
        record.update(&subject, now);
        if ctx.works.under_way_of(&uid).is_some() {
            *busy.entry(place(&record, &subject)).or_default() += 1;
        } else if record.due <= now {
            due.push((record.due, place(&record, &subject), subject));
        }
        records.insert(uid, record);
    }
    due.sort_by_key(|(due, ..)| *due);
    let mut room = AT_ONCE.saturating_sub(ctx.works.under_way());
    for (_, place, subject) in due {
        let here = busy.entry(place).or_default();
        if room == 0 {
            break;
        }
        if *here < PER_SERVER {
            *here += 1;
            room -= 1;
            let measures = subject.metrics && measures(records.get(&subject.uid()), now);
            start(ctx, subject, measures);
        }
    }
}

/// The server of the last probe; before the first one each database counts as a server.
fn place(record: &Record, subject: &Subject) -> String {
    record.server.clone().unwrap_or_else(|| subject.database.name_any())
}

fn measures(record: Option<&Record>, now: Instant) -> bool {
    let last = record.and_then(|record| record.measured_at);
    last.is_none_or(|last| now.saturating_duration_since(last) >= MEASURED)
}

fn start(ctx: &Arc<Context>, subject: Subject, measures: bool) {
    let (uid, object) = (subject.uid(), ObjectRef::from_obj(&*subject.object));
    let work = {
        let ctx = ctx.clone();
        async move {
            let began = Instant::now();
            let look = look(&ctx, &subject, measures).await;
            note(&ctx, &subject, look, began);
            Ok(())
        }
    };
    ctx.works.start((&uid, object), WorkKind::Probe, Watch::default(), work);
}

/// Probes a database, unless a refused login is too recent, or nobody reaches its server.
async fn look(ctx: &Context, subject: &Subject, measures: bool) -> Look {
    let core: &Core = ctx.as_ref();
    let name = subject.database.name_any();
    if let Some(wait) = ctx.logins.wait(&name, core.settings.login_spacing) {
        return Look::Later(wait);
    }
    let published = published::login(&ctx.credentials, &ctx.provider, &subject.object, &subject.database);
    let login = match published.await {
        Ok(Some(login)) => login,
        Ok(None) => return Look::Later(subject.interval),
        Err(error) => {
            tracing::debug!(%error, name, "the published login cannot be read");
            return Look::Later(subject.interval);
        }
    };
    let server = server(&login);
    if let Some(record) = ctx.records.lock().get_mut(&subject.uid()) {
        record.server = Some(server.clone());
    }
    if let Some(fault) = ctx.servers.failed(&server, Instant::now()) {
        return Look::Fault(fault);
    }
    let probe = async { Ok::<_, Error>(postgres::probe(&login, measures).await) };
    let probe = tokio::time::timeout(postgres::PROBE_LONGEST, caught(Box::pin(probe)));
    let outcome = match probe.await {
        Ok(Ok(outcome)) => outcome,
        // A library has not survived the server's answer, or the parts of the probe took their time one after the other.
        Ok(Err(_)) | Err(_) => Err(Fault {
            kind: FaultKind::Unreachable,
            message: format!(
                "{server} does not answer as PostgreSQL does: look at the server, and at what is in between"
            ),
        }),
    };
    ctx.servers.note(&server, outcome.as_ref().err(), Instant::now());
    match outcome {
        Ok(found) => Look::Well(found),
        Err(fault) => {
            if fault.kind.is_refused_login() {
                ctx.logins.refused(&name, false);
            }
            Look::Fault(fault)
        }
    }
}

/// Takes the outcome of a probe, and wakes the Orchestra if something else is to be told.
fn note(ctx: &Context, subject: &Subject, look: Look, began: Instant) {
    let core: &Core = ctx.as_ref();
    let (now, uid) = (Instant::now(), subject.uid());
    let current = subject.is_current(core);
    let mut records = ctx.records.lock();
    let Some(record) = records.get_mut(&uid) else {
        return;
    };
    let (interval, spacing) = (subject.interval, core.settings.login_spacing);
    let (wait, changed) = match look {
        Look::Later(wait) => (wait, false),
        // Paused, deleted or given another login meanwhile: the outcome is of a login that is no more.
        _ if !current => (QUICK.min(interval), false),
        Look::Well(measured) => {
            core.metrics.tenants().probed("Ready", began.elapsed());
            if measured.is_some() {
                (record.measured, record.measured_at) = (measured, Some(now));
            }
            let changed = record.judge.note(Ok(()));
            let told = record.judge.outage().is_none();
            (schedule::next(Ended::Well { told }, interval, spacing), changed)
        }
        Look::Fault(fault) => {
            let reason = fault.kind.reason();
            core.metrics.tenants().probed(reason.as_str(), began.elapsed());
            tracing::debug!(name = subject.object.name_any(), %reason, "a probe failed");
            let changed = record.judge.note(Err(&fault));
            let told = record.judge.outage().is_some();
            if told {
                (record.measured, record.measured_at) = (None, None);
            }
            let (kind, failures) = (fault.kind, record.judge.failures());
            (
                schedule::next(Ended::Badly { kind, failures, told }, interval, spacing),
                changed,
            )
        }
    };
    // The places in the interval are kept, unless a probe came too late for that.
    record.due = (record.due + wait).max(now + wait / 2);
    drop(records);
    if changed {
        // The channel is closed only while the operator is shutting down.
        let _ = ctx.changed.send(ObjectRef::from_obj(&*subject.object));
    }
}
