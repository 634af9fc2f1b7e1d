//! Databases that wait for a claim are given a template's migrations beforehand, so that a claim is met in
//! seconds. Seeds carry a tenant's own name, and come with the claim.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::Api;

use crate::api::condition::Reason;
use crate::api::{AppliedTemplate, OrchestraDatabase, OrchestraPool, Template};
use crate::class;
use crate::controller::Context;
use crate::controller::error::{Class, Error};
use crate::controller::write::{APPLICATION, write_status};
use crate::migrate::{self, Limits, Options};
use crate::orchestra::{mark_holder, sources};
use crate::postgres;
use crate::rollout;
use crate::source::Place;

/// Databases of a pool that are prepared at once: they may share a server.
const AT_ONCE: usize = 4;

/// How long a pass begins with one after the other.
const WHILE: Duration = Duration::from_mins(1);

/// How long a busy server is left alone.
const BUSY: Duration = Duration::from_secs(5);

/// Prepares the databases that nobody has claimed. Returns the keys of those that could not be, with why.
///
/// # Errors
/// When the class, the template or its source is missing.
pub async fn prepare(
    ctx: &Arc<Context>,
    pool: &OrchestraPool,
    members: &[OrchestraDatabase],
) -> Result<Vec<(String, Error)>, Error> {
    let Some(wanted) = &pool.spec.prepare else {
        return Ok(Vec::new());
    };
    let class = class::resolve(ctx, Some(&wanted.class_name))?;
    let name = &wanted.template_ref.name;
    let mut templates = class.spec.templates.iter().flatten();
    let template = templates.find(|template| template.name == *name).ok_or_else(|| {
        Error::blocked(
            Reason::TemplateNotFound,
            format!(
                "OrchestraClass {} has no template {name}: add it there",
                wanted.class_name
            ),
        )
    })?;
    let mut due = Vec::new();
    for member in members {
        if member.is_unclaimed() && !has(member, template) {
            due.push(refusal(ctx, member, template));
        }
    }
    // What is left is the next pass's.
    let due = stream::iter(due).take_until(tokio::time::sleep(WHILE));
    let refused: Vec<_> = due.buffer_unordered(AT_ONCE).collect().await;
    Ok(refused.into_iter().flatten().collect())
}

async fn refusal(ctx: &Arc<Context>, member: &OrchestraDatabase, template: &Template) -> Option<(String, Error)> {
    let error = one(ctx, member, template).await.err()?;
    Some((member.spec.inventory.as_ref()?.key.clone(), error))
}

fn has(member: &OrchestraDatabase, template: &Template) -> bool {
    let known = member.status.as_ref().and_then(|status| status.template.as_ref());
    known.is_some_and(|known| known.name == template.name && known.version == template.version)
}

/// Says in the status of a database that it is about to be prepared, so that it meets claims of this
/// template only from now on. None: it was claimed, or has changed, and whoever changed it has the pass
/// repeated.
///
/// # Errors
/// When it holds another template's tables, or Kubernetes fails.
async fn reserve(
    api: &Api<OrchestraDatabase>,
    member: &OrchestraDatabase,
    template: &Template,
) -> Result<Option<OrchestraDatabase>, Error> {
    let Some(member) = api
        .get_opt(&member.name_any())
        .await?
        .filter(OrchestraDatabase::is_unclaimed)
    else {
        return Ok(None);
    };
    let mut status = member.status.clone().unwrap_or_default();
    match &status.template {
        Some(is) if is.name != template.name => {
            return Err(Error::blocked(
                Reason::InUse,
                format!(
                    "it was prepared from template {}, whose tables it holds: empty the database, drop its schema \
                     stagesub, and delete OrchestraDatabase {}",
                    is.name,
                    member.name_any()
                ),
            ));
        }
        Some(_) => return Ok(Some(member)),
        None => {}
    }
    status.template = Some(AppliedTemplate {
        name: template.name.clone(),
        version: String::new(),
    });
    match write_status(api, &member, member.status.as_ref(), &status).await {
        Ok(written) => Ok(Some(written.unwrap_or(member))),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A claim of the same template that comes meanwhile waits for the migration lock.
async fn one(ctx: &Arc<Context>, member: &OrchestraDatabase, template: &Template) -> Result<(), Error> {
    let Some(entry) = &member.spec.inventory else {
        return Ok(());
    };
    let Some(from) = &template.migrations.source else {
        return Ok(());
    };
    let source = sources::migrations(ctx, Place::of_class(ctx, from), template.migrations.format).await?;
    let login = super::login(ctx, entry).await?;
    let Some(_turn) = rollout::spare_turn(ctx, member) else {
        return Err(Error::Stop {
            class: Class::After(BUSY),
            reason: Reason::Queued,
            message: "its server is busy with other migrations; its turn comes".into(),
        });
    };
    let api: Api<OrchestraDatabase> = Api::all(ctx.client.clone());
    let Some(member) = reserve(&api, member, template).await? else {
        return Ok(());
    };
    let mut session = postgres::connect(&login, APPLICATION).await?;
    if let Some(holder) = mark_holder(&mut session).await.map_err(postgres::Error::from)? {
        return Err(Error::blocked(
            Reason::InUse,
            format!("the database carries the mark of Orchestra {holder}: it is not touched"),
        ));
    }
    let options = Options {
        limits: Limits {
            total: ctx.settings.migration_limit,
            ..Limits::default()
        },
        login: Some(login),
        stop: Some(ctx.works.stopping()),
        ..Options::default()
    };
    migrate::apply(session, &source, &options, &mut |_| {}).await?;
    tracing::info!(
        database = member.name_any(),
        template = template.name,
        version = template.version,
        "prepared"
    );
    let mut status = member.status.clone().unwrap_or_default();
    status.template = Some(AppliedTemplate {
        name: template.name.clone(),
        version: template.version.clone(),
    });
    match write_status(&api, &member, member.status.as_ref(), &status).await {
        Ok(_) => Ok(()),
        // Changed meanwhile, perhaps claimed: whoever changed it has this pass repeated.
        Err(error) if error.is_passing() => {
            tracing::debug!(%error, "not noted yet");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
