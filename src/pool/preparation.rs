//! Members that wait for a claim are prepared: a template's migrations are applied to them, so that a claim
//! is met in seconds. Seeds contain a tenant's own name and are applied after the claim.
//!
//! A preparation runs in the background, and its end brings the pool back.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::attempts::Refusal;
use super::candidates::Preparing;
use super::observe::Observed;
use super::{Context, Pass, plan, probe};
use crate::api::condition::Reason;
use crate::api::{AppliedTemplate, OrchestraDatabase, OrchestraPool, Template};
use crate::class;
use crate::content;
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::controller::write::write_status;
use crate::credentials::inventory;
use crate::error::ErrorClass;
use crate::migrate::{self, Options, Source, TimeLimits, Watch};
use crate::postgres::{self, APPLICATION, Login};
use crate::rollout;
use crate::rollout::turns::Turn;
use crate::source::Place;

/// Members that are prepared at once: they may share a server.
pub const AT_ONCE: usize = 4;

/// How long a member is left alone that could not be prepared because something else is busy.
const BUSY: Duration = plan::BUSY;

/// How often a status is written anew that somebody else changed in between.
const TRIES: usize = 3;

/// What the members of a pool are to have.
pub struct Wanted {
    pool: ObjectRef<OrchestraPool>,
    class: String,
    template: Template,
    source: Arc<Source>,
}

impl Wanted {
    fn applied(&self, version: &str) -> AppliedTemplate {
        AppliedTemplate {
            class_name: self.class.clone(),
            name: self.template.name.clone(),
            version: version.into(),
        }
    }

    /// Whether a member has it.
    pub fn is_met_by(&self, member: &OrchestraDatabase) -> bool {
        let known = member.status.as_ref().and_then(|status| status.template.as_ref());
        known == Some(&self.applied(&self.template.version))
    }

    /// What attempts to prepare a member are remembered by.
    pub fn subject(&self) -> String {
        let Template { name, version, .. } = &self.template;
        format!("{}/{name}/{version}/{}", self.class, self.source.digest())
    }

    /// What the status tells of a member while it is prepared.
    pub fn running(&self) -> Refusal {
        let Template { name, version, .. } = &self.template;
        let message = format!("it is being prepared from version {version} of template {name}");
        Refusal::from(&waits(Reason::Migrating, &message))
    }
}

/// Key of a member's entry.
pub fn key(member: &OrchestraDatabase) -> Option<&str> {
    member.spec.inventory.as_ref().map(|entry| entry.key.as_str())
}

/// What the members of the pool are to have; none when the pool asks for nothing.
///
/// # Errors
/// When the class, the template or its source is missing.
pub async fn wanted(pass: &Pass) -> Result<Option<Arc<Wanted>>, Error> {
    let (ctx, pool) = (&pass.ctx, &*pass.pool);
    let Some(preparation) = &pool.spec.prepare else {
        return Ok(None);
    };
    let (class_name, name) = (&preparation.class_name, &preparation.template_ref.name);
    let class = class::resolve(&ctx.class, Some(class_name))?;
    let mut templates = class.spec.templates.iter().flatten();
    let template = templates.find(|template| template.name == *name).ok_or_else(|| {
        let message = format!("OrchestraClass {class_name} has no template {name}: add it there");
        Error::blocked(Reason::TemplateNotFound, message)
    })?;
    let Some(from) = &template.migrations.source else {
        return Ok(None);
    };
    let place = Place::of_class(&ctx.core.settings.namespace, from);
    Ok(Some(Arc::new(Wanted {
        pool: ObjectRef::from_obj(pool),
        class: class_name.clone(),
        template: template.clone(),
        source: content::migrations(&ctx.content, place, template.migrations.format).await?,
    })))
}

fn waits(reason: Reason, message: &str) -> Error {
    Error::Stop {
        class: ErrorClass::After(BUSY),
        reason,
        message: message.into(),
    }
}

/// Begins to prepare the member of an entry, or remembers why it cannot.
pub async fn begin(pass: &Pass, observed: &Observed, key: &str) {
    let (Some(wanted), Some(member)) = (&observed.wanted, observed.member(key)) else {
        return;
    };
    let Some(url) = observed.inventory.get(key) else { return };
    let (uid, subject) = (member.uid().unwrap_or_default(), wanted.subject());
    let attempts = &pass.ctx.memory.preparations;
    attempts.begin(pass.uid(), &uid, &subject);
    let login = inventory::read(url, &pass.ctx.core.settings.database_roots);
    let outcome = async { start(pass, wanted, member, login?).await };
    match outcome.await {
        Ok(true) => {}
        // Claimed or deleted meanwhile; the watch will show it.
        Ok(false) => attempts.end(pass.uid(), &uid, &subject, Ok(())),
        Err(error) => {
            pass.ctx.core.refusals.refuse(&uid, &subject, &error);
            attempts.end(pass.uid(), &uid, &subject, Err(Refusal::from(&error)));
        }
    }
}

/// Starts the preparation of a member; false when it is no longer unclaimed.
async fn start(pass: &Pass, wanted: &Arc<Wanted>, member: &OrchestraDatabase, login: Login) -> Result<bool, Error> {
    let ctx = &pass.ctx;
    let turn = rollout::spare_turn(&ctx.rollout, member)
        .ok_or_else(|| waits(Reason::Queued, "waiting for other migrations on the same server"))?;
    let preparing = ctx.choices.prepare(&member.name_any());
    let preparing = preparing.ok_or_else(|| waits(Reason::Queued, "an Orchestra is about to claim it"))?;
    let Some(member) = announce(&ctx.core, member, wanted).await? else {
        return Ok(false);
    };
    let uid = member.uid().unwrap_or_default();
    let (all, pool, id, subject) = (ctx.clone(), pass.uid().to_owned(), uid.clone(), wanted.subject());
    let wanted = wanted.clone();
    let object = wanted.pool.clone();
    let work = async move {
        let outcome = caught(Box::pin(prepare(&all, &wanted, &member, login, (preparing, turn)))).await;
        if let Err(error) = &outcome {
            all.core.refusals.refuse(&id, &subject, error);
        }
        let outcome = outcome.map_err(|error| Refusal::from(&error));
        all.memory.preparations.end(&pool, &id, &subject, outcome);
        Ok(())
    };
    ctx.preparations
        .start((&uid, object), WorkKind::Migrate, Watch::default(), work);
    Ok(true)
}

/// Applies the template's migrations and notes its version.
async fn prepare(
    ctx: &Context,
    wanted: &Wanted,
    member: &OrchestraDatabase,
    login: Login,
    busy: (Preparing, Turn),
) -> Result<(), Error> {
    let session = probe::bounded(async {
        let mut session = postgres::connect(&login, APPLICATION).await?;
        inventory::check_identity(&mut session, member).await?;
        probe::check_unmarked(&ctx.core, &mut session).await?;
        Ok(session)
    });
    let session = session.await?;
    let options = Options {
        limits: TimeLimits {
            total: ctx.core.settings.migration_limit,
            ..TimeLimits::default()
        },
        login: Some(login),
        stop: Some(ctx.preparations.stopping()),
        ..Options::default()
    };
    let run = Watch::default();
    let applied = migrate::apply(session, &wanted.source, &options, &mut |event| run.tell(&event)).await;
    applied.map_err(|error| Error::from(error).of_run(&run))?;
    // The Orchestras that wait for it are woken by what is noted next.
    drop(busy);
    let applied = wanted.applied(&wanted.template.version);
    tracing::info!(
        database = member.name_any(),
        template = applied.name,
        version = applied.version,
        "prepared"
    );
    note(&ctx.core, member, |status| {
        *status = Some(applied.clone());
        Ok(())
    })
    .await?;
    Ok(())
}

/// Writes into the status of a member that it is about to be prepared, so that it meets claims of this
/// template only from now on. None when it is no longer unclaimed.
///
/// # Errors
/// When it holds another template's tables, or Kubernetes fails.
async fn announce(
    core: &Core,
    member: &OrchestraDatabase,
    wanted: &Wanted,
) -> Result<Option<OrchestraDatabase>, Error> {
    note(core, member, |status| match status {
        Some(is) if !is.is(&wanted.class, &wanted.template.name) => Err(Error::blocked(
            Reason::InUse,
            format!(
                "it was prepared from template {} of OrchestraClass {}, whose tables it holds, and stays free for \
                 Orchestras of that template. To prepare it from another one, while no Orchestra has claimed \
                 OrchestraDatabase {}, make the entry anew as `orchestra-operator recycle` prints it",
                is.name,
                is.class_name,
                member.name_any()
            ),
        )),
        Some(_) => Ok(()),
        None => {
            *status = Some(wanted.applied(""));
            Ok(())
        }
    })
    .await
}

/// Changes the template in the status of an unclaimed member by compare-and-swap, and returns the member as
/// it is then; none when it is no longer unclaimed.
async fn note(
    core: &Core,
    member: &OrchestraDatabase,
    change: impl Fn(&mut Option<AppliedTemplate>) -> Result<(), Error>,
) -> Result<Option<OrchestraDatabase>, Error> {
    let api: Api<OrchestraDatabase> = Api::all(core.client.clone());
    for _ in 0..TRIES {
        let Some(current) = api.get_opt(&member.name_any()).await? else {
            return Ok(None);
        };
        if !current.is_unclaimed() || current.uid() != member.uid() {
            return Ok(None);
        }
        let mut status = current.status.clone().unwrap_or_default();
        change(&mut status.template)?;
        match write_status(core, &current, current.status.as_ref(), &status).await {
            Err(error) if error.is_conflict() => {}
            written => return Ok(Some(written?.unwrap_or(current))),
        }
    }
    let message = "its OrchestraDatabase is changed by others; the preparation is tried again";
    Err(waits(Reason::Queued, message))
}
