//! The migrations of a tenant: how they are to be applied, and what people are told meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::EventType;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Pass, approval};
use crate::api::condition::Reason;
use crate::api::{
    DriftCheck, MigrationFormat, MigrationTimeouts, Migrations, Orchestra, OrchestraClass, Template, Transactions,
};
use crate::controller::Context;
use crate::controller::error::Error;
use crate::controller::write::publish;
use crate::migrate::{Options, RunEvent, TimeLimits};
use crate::source::Place;

/// A migration that takes longer has an event for its beginning and one for its end; the others of a
/// run share one, because a new tenant has dozens.
const QUICK: Duration = Duration::from_secs(1);

/// The migrations of a tenant: the source of its own, its template or its class, and what its own spec
/// says beyond it.
pub struct Wanted<'a> {
    /// Where the scripts are.
    pub place: Place,
    /// Their format, when it is told.
    pub format: Option<MigrationFormat>,
    /// What the Orchestra says.
    own: Option<&'a Migrations>,
    /// What the template or the class says; of an own source, the same as `own`.
    base: &'a Migrations,
}

impl<'a> Wanted<'a> {
    fn either<T>(&self, field: impl Fn(&'a Migrations) -> Option<T>) -> Option<T> {
        self.own.and_then(&field).or_else(|| field(self.base))
    }

    /// How a finished database is looked at again.
    pub fn drift(&self) -> Option<&'a DriftCheck> {
        self.either(|migrations| migrations.drift.as_ref())
    }
}

/// The migrations that apply; `None` when there are none.
pub fn wanted(pass: &Pass) -> Option<Wanted<'_>> {
    let own = pass.object.spec.migrations.as_ref();
    let class = pass.class.as_ref().and_then(|class| class.spec.migrations.as_ref());
    let theirs = || template(pass).map(|template| &template.migrations).or(class);
    let (base, place) = if let Some((own, source)) = own.and_then(|own| Some((own, own.source.as_ref()?))) {
        (own, Place::of_orchestra(&pass.object, source))
    } else {
        let theirs = theirs()?;
        (theirs, Place::of_class(&pass.ctx, theirs.source.as_ref()?))
    };
    Some(Wanted {
        place,
        format: base.format,
        own,
        base,
    })
}

/// The template that the Orchestra is made from: the one it names, or its class's.
pub fn template(pass: &Pass) -> Option<&Template> {
    template_of(&pass.object, pass.class.as_ref()?)
}

/// The template that an Orchestra is made from by this class.
pub fn template_of<'a>(object: &Orchestra, class: &'a OrchestraClass) -> Option<&'a Template> {
    let spec = &class.spec;
    let own = object.spec.migrations.as_ref();
    let name = match &object.spec.source {
        Some(source) => &source.template_ref.name,
        None if own.is_some_and(|own| own.source.is_some()) => return None,
        None => spec.template.as_ref()?,
    };
    spec.templates.iter().flatten().find(|template| template.name == *name)
}

/// Whether the class has the template that the Orchestra names.
pub fn check_template(pass: &Pass) -> Result<(), Error> {
    let (Some(source), Some(class), None) = (&pass.object.spec.source, &pass.class, template(pass)) else {
        return Ok(());
    };
    Err(Error::blocked(
        Reason::TemplateNotFound,
        format!(
            "OrchestraClass {} has no template {}: add it there, and it goes on by itself",
            class.name_any(),
            source.template_ref.name
        ),
    ))
}

/// How the migrations are to be applied.
pub fn options(pass: &Pass) -> Options {
    let Some(wanted) = wanted(pass) else {
        return Options::default();
    };
    let timeouts = wanted.either(|migrations| migrations.timeouts.as_ref());
    let transactions = wanted.either(|migrations| migrations.transactions);
    let policy = wanted.either(|migrations| migrations.approval).unwrap_or_default();
    Options {
        limits: limits(timeouts, pass.ctx.settings.migration_limit),
        per_statement: transactions == Some(Transactions::PerStatement),
        resolve: wanted.own.and_then(|own| own.resolve.clone()).unwrap_or_default(),
        baseline: wanted.own.and_then(|own| own.baseline.clone()),
        login: pass.owner.clone(),
        consent: Some(approval::consent(pass, policy)),
        stop: Some(pass.ctx.works.stopping()),
    }
}

fn limits(timeouts: Option<&MigrationTimeouts>, total: Duration) -> TimeLimits {
    let limits = TimeLimits {
        total,
        ..TimeLimits::default()
    };
    let Some(timeouts) = timeouts else { return limits };
    // The API server has checked them.
    let read = |text: &Option<String>| {
        let span = text.as_ref()?.parse::<SignedDuration>().ok()?;
        Duration::try_from(span).ok()
    };
    TimeLimits {
        table_lock: read(&timeouts.lock).unwrap_or(limits.table_lock),
        statement: read(&timeouts.statement).unwrap_or(limits.statement),
        total: read(&timeouts.total).unwrap_or(limits.total),
        ..limits
    }
}

/// What a run is doing now.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Option<Now>>>);

struct Now {
    name: String,
    number: usize,
    of: usize,
    since: Instant,
    blocked_by: Option<String>,
}

impl Told {
    /// One line for a person; `None` before the first migration begins.
    pub fn describe(&self) -> Option<String> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.as_ref()?;
        let mut told = format!(
            "applying migration {} of {}, {}, for {} s",
            now.number,
            now.of,
            now.name,
            now.since.elapsed().as_secs()
        );
        if let Some(by) = &now.blocked_by {
            told.push_str("; it waits for a lock that is held by ");
            told.push_str(by);
        }
        Some(told)
    }

    fn tell(&self, progress: &RunEvent<'_>) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *progress {
            // The same one is begun again, statement by statement.
            RunEvent::Started { number: 0, .. } | RunEvent::Applied { .. } => {}
            RunEvent::Started { name, number, of, .. } => {
                *now = Some(Now {
                    name: name.to_owned(),
                    number,
                    of,
                    since: Instant::now(),
                    blocked_by: None,
                });
            }
            RunEvent::Blocked { by } => {
                if let Some(now) = now.as_mut() {
                    now.blocked_by = by.map(ToOwned::to_owned);
                }
            }
        }
    }
}

/// Passes on how it goes: to the log, to [`Told`] for the status, and as events.
pub struct Teller {
    told: Told,
    news: UnboundedSender<News>,
}

enum News {
    Started(String),
    PerStatement(String),
    Blocked(String),
    Applied(String, Duration),
}

impl Teller {
    /// For the Orchestra of a pass.
    pub fn new(pass: &Pass, told: Told) -> Self {
        let (news, heard) = unbounded_channel();
        tokio::spawn(events(pass.ctx.clone(), pass.object.object_ref(&()), heard));
        Self { told, news }
    }

    /// Takes a step of a run.
    pub fn tell(&self, progress: &RunEvent<'_>) {
        self.told.tell(progress);
        // Nobody listens any more only when the operator is shutting down.
        let news = |news| drop(self.news.send(news));
        match *progress {
            RunEvent::Started {
                name,
                number,
                of,
                per_statement,
            } => {
                tracing::info!(migration = name, number, of, per_statement, "applying");
                if per_statement {
                    news(News::PerStatement(name.to_owned()));
                }
                if number > 0 {
                    news(News::Started(format!("{name} ({number} of {of})")));
                }
            }
            RunEvent::Blocked { by: Some(by) } => {
                tracing::info!(by, "the migration waits for a lock");
                news(News::Blocked(by.to_owned()));
            }
            RunEvent::Blocked { by: None } => tracing::info!("the migration goes on"),
            RunEvent::Applied { name, took } => {
                tracing::info!(migration = name, ?took, "applied");
                news(News::Applied(name.to_owned(), took));
            }
        }
    }
}

/// Publishes events until the run has ended.
async fn events(ctx: Arc<Context>, subject: ObjectReference, mut heard: UnboundedReceiver<News>) {
    let say = async |kind, reason, note: &str| publish(&ctx.recorder, &subject, kind, reason, note).await;
    let mut quick: Vec<String> = Vec::new();
    let mut begun: Option<String> = None;
    loop {
        let next = match &begun {
            None => heard.recv().await,
            Some(name) => {
                let Ok(next) = tokio::time::timeout(QUICK, heard.recv()).await else {
                    let note = format!("applying migration {name}");
                    begun = None;
                    say(EventType::Normal, Reason::MigrationStarted, &note).await;
                    continue;
                };
                next
            }
        };
        match next {
            Some(News::Started(name)) => begun = Some(name),
            Some(News::PerStatement(name)) => {
                let note =
                    format!("migration {name} runs statement by statement: a failure leaves what stands before it");
                say(EventType::Warning, Reason::MigrationNotAtomic, &note).await;
            }
            Some(News::Blocked(by)) => {
                let note = format!("the migration waits for a lock that is held by {by}");
                say(EventType::Warning, Reason::MigrationBlocked, &note).await;
            }
            Some(News::Applied(name, took)) => {
                if begun.take().is_some() {
                    quick.push(name);
                } else {
                    let note = format!("applied migration {name} in {:.1} s", took.as_secs_f64());
                    say(EventType::Normal, Reason::MigrationApplied, &note).await;
                }
            }
            None => break,
        }
    }
    if !quick.is_empty() {
        let note = format!("applied {} migrations: {}", quick.len(), quick.join(", "));
        say(EventType::Normal, Reason::MigrationApplied, &note).await;
    }
}
