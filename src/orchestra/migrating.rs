//! The migrations of a tenant: how they are to be applied, and the events of a run.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::EventType;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::observe::Observed;
use super::{Pass, approval};
use crate::api::condition::Reason;
use crate::api::{MigrationFormat, Transactions};
use crate::content::{self, MigrationSpec, Tenant};
use crate::controller::Core;
use crate::controller::write::publish;
use crate::migrate::{Options, RunEvent, Watch};

/// A migration that takes longer has an event for its beginning and one for its end; the others of a
/// run share one, because a new tenant has dozens.
const QUICK: Duration = Duration::from_secs(1);

/// The migrations that apply; `None` when there are none.
pub fn spec<'a>(pass: &Pass, tenant: &Tenant<'a>) -> Option<MigrationSpec<'a>> {
    content::migrations_of(tenant.object, tenant.class, &pass.ctx.core.settings.namespace)
}

/// How the migrations are to be applied.
pub fn options(pass: &Pass, tenant: &Tenant<'_>) -> Options {
    let Some(wanted) = spec(pass, tenant) else {
        return Options::default();
    };
    let transactions = wanted.either(|migrations| migrations.transactions);
    let policy = wanted.either(|migrations| migrations.approval).unwrap_or_default();
    Options {
        limits: wanted.limits(pass.ctx.core.settings.migration_limit),
        per_statement: transactions == Some(Transactions::PerStatement),
        resolve: wanted.own.and_then(|own| own.resolve.clone()).unwrap_or_default(),
        baseline: wanted.own.and_then(|own| own.baseline.clone()),
        login: pass.way_in.as_ref().map(|way_in| way_in.owner.clone()),
        consent: Some(approval::consent(pass, tenant, policy)),
        stop: Some(pass.ctx.works.stopping()),
    }
}

/// Passes on how it goes: to the log, to [`Watch`] for the status, and as events.
pub struct Teller {
    watch: Watch,
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
    pub fn new(pass: &Pass, watch: Watch) -> Self {
        let (news, heard) = unbounded_channel();
        tokio::spawn(events(pass.ctx.core.clone(), pass.object.object_ref(&()), heard));
        Self { watch, news }
    }

    /// Takes a step of a run.
    pub fn tell(&self, event: &RunEvent<'_>) {
        self.watch.tell(event);
        // Nobody listens any more only when the operator is shutting down.
        let news = |news| drop(self.news.send(news));
        match *event {
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
async fn events(core: Arc<Core>, subject: ObjectReference, mut heard: UnboundedReceiver<News>) {
    let say = async |kind, reason, note: &str| publish(&core.recorder, &subject, kind, reason, note).await;
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

/// The format of the migrations that the seed stands on.
pub fn format(pass: &Pass, observed: &Observed) -> Option<MigrationFormat> {
    let found = observed.inside.found.as_ref();
    let now = found.and_then(|found| found.migrations.as_ref());
    let before = || pass.object.migrations();
    spec(pass, &observed.tenant(&pass.object))?;
    Some(now.or_else(before)?.format)
}
