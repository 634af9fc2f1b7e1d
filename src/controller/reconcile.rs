//! The reconcile loop around every pass: a span, a time limit, metrics, and the requeue by error class.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::Core;
use super::backoff::SLOWEST;
use super::error::{Error, caught};
use super::status::{self, News, Reported};
use super::unreadable;
use crate::api::Orchestra;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::telemetry::metrics::{Metrics, PassOutcome};
use crate::telemetry::traces::{self, Trace};

/// The longest time of one pass. A pass never waits for long, so this ends only a pass that hangs.
const PASS_LIMIT: Duration = Duration::from_mins(2);

/// The wait after a write met a newer version of its object: by then the watch shows it.
const CONFLICT: Duration = Duration::from_millis(100);

/// How a pass ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do until a change; reconciled again at the resync.
    Rest,
    /// Reconcile again after this time.
    After(Duration),
    /// The object is gone.
    Gone,
}

/// Runs one pass of a controller over an object. An error is written into the object's status by `report`, and its
/// class alone decides when the object is reconciled again.
pub async fn reconcile<K, C, P, R>(
    controller: &'static str,
    object: Arc<K>,
    ctx: Arc<C>,
    pass: impl FnOnce(Arc<K>, Arc<C>) -> P,
    report: impl Fn(Arc<K>, Arc<C>, Arc<Error>) -> R,
) -> Result<Action, Infallible>
where
    K: Reported,
    C: AsRef<Core>,
    P: Future<Output = Result<Next, Error>>,
    R: Future<Output = Result<(), Error>>,
{
    let key = format!(
        "{controller}/{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    );
    let span = span(controller, &*object);
    let core = (*ctx).as_ref();
    let work = async {
        if let Err(unknown) = unreadable::check(&*object) {
            return Ok(leave(core, controller, &*object, &unknown).await);
        }
        let began = Instant::now();
        let outcome = tokio::time::timeout(PASS_LIMIT, caught(pass(object.clone(), ctx.clone())))
            .await
            .unwrap_or_else(|_| {
                Err(Error::transient(
                    Reason::Pending,
                    format!("a pass took longer than {} s", PASS_LIMIT.as_secs()),
                ))
            });
        let action = match outcome {
            Ok(next) => {
                core.backoff.reset(&key);
                core.metrics.reconciled(controller, outcome_of(next), began.elapsed());
                after_success(next, core)
            }
            Err(error) if error.is_conflict() => {
                tracing::debug!("the object has changed meanwhile");
                Action::requeue(CONFLICT)
            }
            Err(error) => {
                let error = Arc::new(error);
                log(&core.metrics, controller, &error, began.elapsed());
                if let Err(error) = tell(report, object.clone(), ctx.clone(), error.clone()).await {
                    tracing::debug!(%error, "the status could not be written");
                }
                after_error(&error, &key, core)
            }
        };
        Ok(action)
    };
    let of = || trace_of(core, &*object);
    // Boxed: each layer around a future would hold it twice.
    let work = Box::pin(work.instrument(span));
    core.traces.pass(controller, work, of).await
}

/// The trace of the Orchestra that an object is, or is for, while that one is not Ready yet.
fn trace_of<K: Reported>(core: &Core, object: &K) -> Option<Trace> {
    let own = || {
        let meta = object.meta();
        let is_orchestra = K::kind(&()) == Orchestra::kind(&());
        Some((meta.namespace.as_deref()?, meta.name.as_deref()?)).filter(|_| is_orchestra)
    };
    let (namespace, name) = object.tenant().or_else(own)?;
    let orchestra = ObjectRef::new(name).within(namespace);
    Trace::of(&*core.stores.orchestras.get(&orchestra)?)
}

/// Leaves the object and its status unchanged, because another version of the operator wrote it; publishes an event.
async fn leave<K: Reported>(core: &Core, controller: &'static str, object: &K, unknown: &Error) -> Action {
    log(&core.metrics, controller, unknown, Duration::ZERO);
    status::tell(core, object, &News::warning(unknown.reason(), unknown.to_string())).await;
    Action::requeue(jittered(core.settings.resync))
}

/// The span of a pass: every line of it has the object's name as the field of its controller (`orchestra`, `database`,
/// `class`, `pool`, `backup`), and what is for a tenant has the Orchestra's namespace and name. A field `name` would be lost in the
/// JSON format, where it is the span's own.
fn span<K: Reported>(controller: &'static str, object: &K) -> tracing::Span {
    let span = tracing::info_span!(
        "reconcile",
        controller,
        class = Empty,
        pool = Empty,
        database = Empty,
        backup = Empty,
        namespace = object.namespace(),
        orchestra = Empty
    );
    // The schedules of backups are those of Orchestras.
    let field = if K::kind(&()) == "Orchestra" {
        "orchestra"
    } else {
        controller
    };
    span.record(field, object.name_any());
    if let Some((namespace, name)) = object.tenant() {
        span.record("namespace", namespace).record("orchestra", name);
    }
    span
}

/// Writes an error into the status, and tries once more when the object has changed meanwhile: a status change triggers no
/// pass that would make up for it.
async fn tell<K, C, R>(
    report: impl Fn(Arc<K>, Arc<C>, Arc<Error>) -> R,
    object: Arc<K>,
    ctx: Arc<C>,
    error: Arc<Error>,
) -> Result<(), Error>
where
    R: Future<Output = Result<(), Error>>,
{
    match caught(report(object.clone(), ctx.clone(), error.clone())).await {
        Err(conflict) if conflict.is_conflict() => {
            tokio::time::sleep(CONFLICT).await;
            caught(report(object, ctx, error)).await
        }
        outcome => outcome,
    }
}

/// Counts and logs an error. Hundreds may wait in the queue, and nothing is wrong with any of them.
fn log(metrics: &Metrics, controller: &'static str, error: &Error, took: Duration) {
    if error.reason() == Reason::Queued {
        metrics.reconciled(controller, PassOutcome::Requeued, took);
        tracing::debug!(%error, "the pass waits");
    } else {
        metrics.reconciled(controller, PassOutcome::Failed, took);
        metrics.reconcile_failed(controller, error.reason(), error.class());
        traces::fail(error.reason());
        tracing::warn!(reason = %error.reason(), error_class = %error.class(), %error, "the pass stopped");
    }
}

fn after_success(next: Next, core: &Core) -> Action {
    match next {
        Next::Rest => Action::requeue(jittered(core.settings.resync)),
        Next::After(wait) => Action::requeue(wait),
        Next::Gone => Action::await_change(),
    }
}

fn after_error(error: &Error, key: &str, core: &Core) -> Action {
    let wait = match error.class() {
        // A person may fix it outside Kubernetes, which the operator does not watch.
        ErrorClass::Transient | ErrorClass::Blocked => core.backoff.next(key),
        ErrorClass::After(wait) => wait,
        ErrorClass::Invalid => jittered(SLOWEST),
    };
    // An attempt that a person has asked for is made in time.
    Action::requeue(error.again().map_or(wait, |again| wait.min(again + CONFLICT)))
}

/// Up to a tenth more, so that after a restart the objects do not return all at the same moment.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::random::<f64>() / 10.0)
}

fn outcome_of(next: Next) -> PassOutcome {
    match next {
        Next::Rest | Next::Gone => PassOutcome::Done,
        Next::After(_) => PassOutcome::Requeued,
    }
}
