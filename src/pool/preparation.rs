//! Databases that wait for a claim are given a template's migrations beforehand, so that a claim is met in
//! seconds. Seeds carry a tenant's own name, and come with the claim.
//!
//! A long script holds up nobody else: it goes on in the background, and its end brings the pool back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;

use super::Context;
use super::WHILE;
use crate::api::condition::Reason;
use crate::api::{AppliedTemplate, OrchestraDatabase, OrchestraPool, Template};
use crate::class;
use crate::content;
use crate::controller::Core;
use crate::controller::background::{WorkKind, WorkProgress};
use crate::controller::error::Error;
use crate::controller::write::write_status;
use crate::error::ErrorClass;
use crate::migrate::{self, Limits, Options, Source, Watch};
use crate::postgres::APPLICATION;
use crate::postgres::{self, Login};
use crate::rollout;
use crate::source::Place;

/// Databases that are prepared at once: they may share a server.
const AT_ONCE: usize = 4;

/// How long a pass waits for a database that is being prepared.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what is busy is left alone.
const BUSY: Duration = Duration::from_secs(5);

/// What a pool's databases are to have.
struct Wanted {
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

    fn is_met_by(&self, member: &OrchestraDatabase) -> bool {
        let known = member.status.as_ref().and_then(|status| status.template.as_ref());
        known == Some(&self.applied(&self.template.version))
    }
}

/// Prepares the databases that nobody has claimed. Returns the keys of those that are not prepared, with why.
///
/// # Errors
/// When the class, the template or its source is missing.
pub async fn prepare(
    ctx: &Arc<Context>,
    pool: &OrchestraPool,
    inventory: &BTreeMap<String, SecretString>,
    members: &[OrchestraDatabase],
) -> Result<Vec<(String, Error)>, Error> {
    let Some(wanted) = wanted(ctx, pool).await? else {
        return Ok(Vec::new());
    };
    let entries = members
        .iter()
        .filter(|member| member.is_unclaimed() && !wanted.is_met_by(member))
        .filter_map(|member| {
            let key = &member.spec.inventory.as_ref()?.key;
            Some((member, key, inventory.get(key)?))
        });
    let due: Vec<_> = entries
        .map(|(member, key, url)| {
            let outcome = one(ctx, &wanted, member, url);
            async move { Some((key.clone(), outcome.await.err()?)) }
        })
        .collect();
    // What is left is the next pass's.
    let due = stream::iter(due).take_until(tokio::time::sleep(WHILE));
    let refused: Vec<_> = due.buffer_unordered(AT_ONCE).collect().await;
    Ok(refused.into_iter().flatten().collect())
}

async fn wanted(ctx: &Arc<Context>, pool: &OrchestraPool) -> Result<Option<Wanted>, Error> {
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
    Ok(Some(Wanted {
        pool: ObjectRef::from_obj(pool),
        class: class_name.clone(),
        template: template.clone(),
        source: content::migrations(
            &ctx.content,
            Place::of_class(&ctx.core.settings.namespace, from),
            template.migrations.format,
        )
        .await?,
    }))
}

/// Prepares a database, or looks how that goes.
async fn one(ctx: &Arc<Context>, wanted: &Wanted, member: &OrchestraDatabase, url: &SecretString) -> Result<(), Error> {
    let uid = member.uid().unwrap_or_default();
    if let Some(refusal) = ctx.core.refusals.refusal(&uid, &wanted.source.digest()) {
        return Err(refusal);
    }
    if let WorkProgress::None = ctx.preparations.progress(&uid, Duration::ZERO).await? {
        if ctx.preparations.under_way() >= AT_ONCE {
            // The end of one of them brings the pool back.
            return Ok(());
        }
        begin(ctx, wanted, member, Login::parse(url)?).await?;
    }
    match ctx.preparations.progress(&uid, PATIENCE).await? {
        WorkProgress::Running(..) => {
            let Template { name, version, .. } = &wanted.template;
            let message = format!("it is being prepared from version {version} of template {name}");
            Err(waits(Reason::Migrating, &message))
        }
        WorkProgress::None | WorkProgress::Done(()) => Ok(()),
    }
}

fn waits(reason: Reason, message: &str) -> Error {
    Error::Stop {
        class: ErrorClass::After(BUSY),
        reason,
        message: message.into(),
    }
}

async fn begin(ctx: &Arc<Context>, wanted: &Wanted, member: &OrchestraDatabase, login: Login) -> Result<(), Error> {
    let turn = rollout::spare_turn(&ctx.rollout, member).ok_or_else(|| {
        waits(
            Reason::Queued,
            "its server is busy with other migrations; its turn comes",
        )
    })?;
    let hold = ctx.choices.hold(&member.name_any());
    let hold = hold.ok_or_else(|| waits(Reason::Queued, "an Orchestra is about to claim it"))?;
    let Some(member) = reserve(&ctx.core, member, wanted).await? else {
        return Ok(());
    };
    let mut session = postgres::connect(&login, APPLICATION).await?;
    super::check_unmarked(&mut session).await?;
    let options = Options {
        limits: Limits {
            total: ctx.core.settings.migration_limit,
            ..Limits::default()
        },
        login: Some(login),
        stop: Some(ctx.preparations.stopping()),
        ..Options::default()
    };
    let uid = member.uid().unwrap_or_default();
    let (all, source, key) = (ctx.clone(), wanted.source.clone(), uid.clone());
    let applied = wanted.applied(&wanted.template.version);
    let work = async move {
        let outcome = migrate::apply(session, &source, &options, &mut |_| {}).await;
        // Those who wait for it are woken by what is noted next.
        drop((hold, turn));
        if let Err(error) = outcome.map_err(Error::from) {
            all.core.refusals.refuse(&key, &source.digest(), &error);
            return Err(error);
        }
        note(&all.core, &member, applied).await
    };
    ctx.preparations
        .start((&uid, wanted.pool.clone()), WorkKind::Migrate, Watch::default(), work);
    Ok(())
}

/// Says in the status of a database that it is about to be prepared, so that it meets claims of this
/// template only from now on. None: it was claimed, or has changed, and whoever changed it has the pass
/// repeated.
///
/// # Errors
/// When it holds another template's tables, or Kubernetes fails.
async fn reserve(core: &Core, member: &OrchestraDatabase, wanted: &Wanted) -> Result<Option<OrchestraDatabase>, Error> {
    let api: Api<OrchestraDatabase> = Api::all(core.client.clone());
    let Some(member) = api
        .get_opt(&member.name_any())
        .await?
        .filter(OrchestraDatabase::is_unclaimed)
    else {
        return Ok(None);
    };
    let mut status = member.status.clone().unwrap_or_default();
    match &status.template {
        Some(is) if !is.is(&wanted.class, &wanted.template.name) => {
            return Err(Error::blocked(
                Reason::InUse,
                format!(
                    "it was prepared from template {} of OrchestraClass {}, whose tables it holds: empty the database, \
                     drop its schema stagesub, and delete OrchestraDatabase {}",
                    is.name,
                    is.class_name,
                    member.name_any()
                ),
            ));
        }
        Some(_) => return Ok(Some(member)),
        None => {}
    }
    status.template = Some(wanted.applied(""));
    match write_status(core, &member, member.status.as_ref(), &status).await {
        Ok(written) => Ok(Some(written.unwrap_or(member))),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says in the status of a database what it has now.
async fn note(core: &Core, member: &OrchestraDatabase, applied: AppliedTemplate) -> Result<(), Error> {
    tracing::info!(
        database = member.name_any(),
        template = applied.name,
        version = applied.version,
        "prepared"
    );
    let mut status = member.status.clone().unwrap_or_default();
    status.template = Some(applied);
    match write_status(core, member, member.status.as_ref(), &status).await {
        Ok(_) => Ok(()),
        // Changed meanwhile, perhaps claimed: whoever changed it has this pass repeated.
        Err(error) if error.is_passing() => {
            tracing::debug!(%error, "not noted yet");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
