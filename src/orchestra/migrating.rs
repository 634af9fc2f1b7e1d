//! The migrations of a tenant: how they are to be applied, and the events of a run.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::{Pass, approval};
use crate::api::condition::Reason;
use crate::api::{MigrationFormat, OrchestraDatabase};
use crate::content::{self, MigrationSpec, TenantContext};
use crate::controller::Core;
use crate::controller::status::{News, tell_of};
use crate::migrate::guard::Consent;
use crate::migrate::{Notes, Options};
use crate::postgres::CountedLogin;

/// The migrations that apply; `None` when there are none.
pub fn spec<'a>(pass: &Pass, tenant: &TenantContext<'a>) -> Option<MigrationSpec<'a>> {
    content::migrations_of(tenant.object, tenant.class, &pass.ctx.core.settings.namespace)
}

/// How the migrations are to be applied.
pub fn options(pass: &Pass, tenant: &TenantContext<'_>) -> Options {
    let Some(wanted) = spec(pass, tenant) else {
        return Options::default();
    };
    Options {
        limits: wanted.limits(pass.ctx.core.settings.migration_limit),
        per_statement: wanted.per_statement(),
        resolve: wanted.own.and_then(|own| own.resolve.clone()).unwrap_or_default(),
        baseline: wanted.own.and_then(|own| own.baseline.clone()),
        login: None,
        consent: Some(consent(pass, tenant)),
        stop: Some(pass.ctx.works.stopping()),
    }
}

/// The consent that the guard needs. The seed of a tenant without migrations has the default policy.
pub fn consent(pass: &Pass, tenant: &TenantContext<'_>) -> Consent {
    let policy = spec(pass, tenant).and_then(|wanted| wanted.either(|migrations| migrations.approval));
    approval::consent(pass, tenant, policy.unwrap_or_default())
}

/// The owner's login to the database that this pass has opened, for the sessions beside the one that runs the scripts.
pub fn second_login(pass: &Pass, database: Option<&OrchestraDatabase>) -> Option<CountedLogin> {
    let (way_in, database) = pass.access.way_in().zip(database)?;
    Some(CountedLogin {
        login: way_in.owner.clone(),
        database: database.name_any(),
        logins: pass.ctx.database.logins.clone(),
        spacing: pass.ctx.core.settings.login_spacing,
    })
}

/// Publishes the notes of a run as events of its Orchestra, until the run has ended.
pub async fn publish_notes(core: Arc<Core>, subject: ObjectReference, mut notes: Notes) {
    while let Some(note) = notes.next().await {
        let news = match note.reason {
            Reason::MigrationNotAtomic | Reason::MigrationBlocked => News::warning(note.reason, note.text),
            _ => News::normal(note.reason, note.text),
        };
        tell_of(&core, &subject, &news).await;
    }
}

/// The format of the migrations on which the seed depends.
pub fn format(pass: &Pass, observed: &Observed) -> Option<MigrationFormat> {
    let found = observed.inside.found.as_ref();
    let now = found.and_then(|found| found.migrations.as_ref());
    let before = || pass.object.migrations();
    spec(pass, &observed.tenant(&pass.object))?;
    Some(now.or_else(before)?.format)
}
