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
use crate::orchestra::sources;
use crate::postgres;
use crate::rollout;
use crate::source::Place;

/// Databases of a pool that are prepared at once: they may share a server.
const AT_ONCE: usize = 4;

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
    let refused: Vec<_> = stream::iter(due).buffer_unordered(AT_ONCE).collect().await;
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

/// A claim that comes meanwhile waits for the migration lock.
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
    let session = postgres::connect(&login, APPLICATION).await?;
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
    let api: Api<OrchestraDatabase> = Api::all(ctx.client.clone());
    match write_status(&api, member, member.status.as_ref(), &status).await {
        Ok(_) => Ok(()),
        // Changed meanwhile, perhaps claimed: whoever changed it has this pass repeated.
        Err(error) if error.is_passing() => {
            tracing::debug!(%error, "not noted yet");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
