//! Looks things up for [`super::plan`]. It reads only, and stops at the first thing that decides.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::plan::{Database, Notice, Seen, Work};
use super::sources::SeedSource;
use super::works::{Kind, Progress};
use super::{ORCHESTRA_FINALIZER, Pass, approval, claim, sources};
use crate::api::condition::ConditionType;
use crate::api::{MigrationStatus, Seed};
use crate::class;
use crate::controller::conditions::is_true;
use crate::controller::error::Error;
use crate::controller::write::namespaced;
use crate::credentials::connection;
use crate::migrate::guard::{self, Verdict};
use crate::migrate::{self, Source};

/// How long a pass waits for work that is under way before it lets others have their turn.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What was looked up.
pub struct Observed {
    pub seen: Seen,
    /// What to tell people about the database.
    pub message: String,
}

pub async fn observe(pass: &mut Pass) -> Result<Observed, Error> {
    let finalizer = pass.object.finalizers().iter().any(|name| name == ORCHESTRA_FINALIZER);
    let status = pass.object.status.as_ref();
    let mut seen = Seen {
        deleting: pass.object.metadata.deletion_timestamp.is_some(),
        finalizer,
        intended: false,
        database: Database::Provisioning,
        login: false,
        migrations: Work::Pending,
        notice: Notice::Told,
        seed: Work::Pending,
        published: false,
        serving: status.is_some_and(|status| is_true(&status.conditions, ConditionType::Available)),
    };
    if !finalizer {
        return Ok(Observed {
            seen,
            message: String::new(),
        });
    }
    let (state, message) = observe_database(pass).await?;
    seen.database = state;
    let claiming = pass.object.status.as_ref().and_then(|status| status.claiming.as_ref());
    seen.intended = pass.candidate.is_some() && pass.candidate.as_ref() == claiming;
    if seen.deleting || state != Database::Usable {
        return Ok(Observed { seen, message });
    }
    observe_work(pass, &mut seen).await?;
    seen.notice = approval::notice(pass);
    let message = approval::message(pass).unwrap_or(message);
    Ok(Observed { seen, message })
}

async fn observe_database(pass: &mut Pass) -> Result<(Database, String), Error> {
    let found = claim::lookup(pass).await?;
    if let Some(database) = found {
        pass.class = class::resolve(&pass.ctx, database.spec.class_name.as_deref()).ok();
        let state = claim::state(pass, &database);
        pass.database = Some(database);
        return Ok(state);
    }
    let recorded = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.database_name.as_ref());
    if let Some(name) = recorded {
        return Ok((
            Database::Lost,
            format!("OrchestraDatabase {name}, which this Orchestra claimed, is gone"),
        ));
    }
    if pass.object.metadata.deletion_timestamp.is_some() {
        return Ok((Database::Lost, String::new()));
    }
    let class = class::resolve(&pass.ctx, pass.object.spec.class_name.as_deref())?;
    class::admission::admit(&pass.ctx, &class, pass.namespace())?;
    let (supply, message) = claim::supply(pass, &class).await?;
    pass.class = Some(class);
    Ok((Database::None(supply), message))
}

/// The work inside the database. When the last status says that all of it was done for this very
/// generation and these very sources, and the Secret is as we wrote it, nothing is asked.
async fn observe_work(pass: &mut Pass, seen: &mut Seen) -> Result<(), Error> {
    match pass.ctx.works.progress(pass.uid(), Duration::ZERO).await? {
        // The session of work that ended between two passes is not used again: preparing the login
        // opens the next one.
        Progress::None | Progress::Done(_) => {}
        Progress::Running(kind) => {
            seen.login = true;
            (seen.migrations, seen.seed) = match kind {
                Kind::Migrate => (Work::Running, Work::Pending),
                Kind::Seed => (Work::Done, Work::Running),
            };
            return Ok(());
        }
    }
    let source = migrations(pass).await?;
    let rows = seed(pass).await?;
    if is_settled(pass, source.as_deref(), rows.is_some()) {
        *seen = Seen {
            login: true,
            migrations: Work::Done,
            seed: Work::Done,
            published: true,
            ..*seen
        };
        return Ok(());
    }
    for digest in [
        source.as_ref().map(|source| source.digest()),
        rows.as_ref().map(|rows| rows.digest().to_string()),
    ]
    .into_iter()
    .flatten()
    {
        if let Some(error) = pass.ctx.refusals.refusal(pass.uid(), &digest) {
            return Err(error);
        }
    }
    let (consent, plan_name) = (approval::consent(pass), pass.object.plan_name());
    pass.review = None;
    let Some(session) = &mut pass.session else {
        return Ok(());
    };
    seen.login = true;
    if let Some(source) = &source {
        let status = migrate::pending(session, source).await?;
        let review = guard::review(session, source, &consent).await?;
        seen.migrations = match &review {
            _ if status.pending == 0 => Work::Done,
            Some(review) if review.verdict == Verdict::Waits => Work::Held,
            _ => Work::Pending,
        };
        pass.migrations = Some(MigrationStatus {
            source: source.digest(),
            format: source.format(),
            current: status.current,
            applied: i32::try_from(status.applied).unwrap_or(i32::MAX),
            pending: i32::try_from(status.pending).unwrap_or(i32::MAX),
            divergence: Some(status.divergence).filter(|what| !what.is_empty()),
            plan: review.as_ref().and_then(|review| approval::status(&plan_name, review)),
        });
        pass.review = review;
    } else {
        seen.migrations = Work::Done;
    }
    if rows.is_some() {
        pass.seed = migrate::seeded(session).await?.map(|seeded| seeded.digest);
    }
    seen.seed = if rows.is_none() || pass.seed.is_some() {
        Work::Done
    } else {
        Work::Pending
    };
    let held = seen.migrations == Work::Held && seen.serving;
    if held || (seen.migrations == Work::Done && seen.seed == Work::Done) {
        seen.published = observe_secret(pass).await?;
    }
    Ok(())
}

async fn observe_secret(pass: &mut Pass) -> Result<bool, Error> {
    if pass.secret_version.is_some() {
        return Ok(true);
    }
    let Some(handover) = &pass.handover else {
        return Ok(false);
    };
    let wanted = connection::render(&pass.object, handover);
    let found = connection::find(&namespaced(&pass.ctx.client, &pass.object), &pass.object, &wanted).await?;
    pass.secret_exists = found.is_some();
    let Some((secret, true)) = found else { return Ok(false) };
    pass.secret_version = secret.metadata.resource_version;
    Ok(true)
}

fn is_settled(pass: &Pass, source: Option<&Source>, seeds: bool) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let name = pass.object.secret_name();
    let written = status.secret_ref.as_ref().filter(|written| written.name == name);
    let secret = pass
        .ctx
        .stores
        .connections
        .get(&ObjectRef::new(&name).within(pass.namespace()));
    let untouched = secret.is_some_and(|secret| {
        written.is_some_and(|written| written.resource_version == secret.metadata.resource_version)
    });
    let migrated = match (source, &status.migrations) {
        (None, _) => true,
        (Some(source), Some(migrations)) => migrations.source == source.digest() && migrations.pending == 0,
        (Some(_), None) => false,
    };
    Some(status.observed_generation) == pass.object.metadata.generation
        && status.database_name == pass.database.as_ref().map(ResourceExt::name_any)
        && is_true(&status.conditions, ConditionType::Ready)
        && untouched
        && migrated
        && (status.seed.is_some() || !seeds)
}

/// The migrations that apply: the Orchestra's own, or else the class's.
pub async fn migrations(pass: &Pass) -> Result<Option<Arc<Source>>, Error> {
    let class = pass.class.as_ref().and_then(|class| class.spec.migrations.as_ref());
    let (namespace, wanted) = match (&pass.object.spec.migrations, class) {
        (Some(own), _) => (pass.namespace(), own),
        (None, Some(class)) => (pass.ctx.settings.namespace.as_str(), class),
        (None, None) => return Ok(None),
    };
    let names = wanted.source.config_maps().map(ToString::to_string).collect();
    sources::migrations(&pass.ctx, namespace, names, wanted.format)
        .await
        .map(Some)
}

/// The seed that applies. One that is applied already is not read again: its policy is Once.
pub async fn seed(pass: &Pass) -> Result<Option<Arc<SeedSource>>, Error> {
    let Some(Seed { config_map_ref, .. }) = &pass.object.spec.seed else {
        return Ok(None);
    };
    sources::seed(&pass.ctx, pass.namespace(), &config_map_ref.name)
        .await
        .map(Some)
}
