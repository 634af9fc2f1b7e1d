//! Members that wait for a claim are prepared: migrations are applied to them, and seeds that name no tenant, so that a
//! claim is met in seconds.
//!
//! A preparation runs in the background, and its end triggers the pool.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use sqlx::postgres::PgConnection;

use super::attempts::Refusal;
use super::candidates::Preparing;
use super::users::Anew;
use super::wanted::MemberContents;
use super::{Context, Pass, plan, probe};
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, OrchestraDatabaseStatus, retry_wish};
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::controller::status::write;
use crate::credentials::{inventory, spare};
use crate::error::ErrorClass;
use crate::migrate::{self, Options, Watch};
use crate::postgres::{self, CountedLogin, Login, TenantRights, claim_record, holdings};
use crate::rollout;
use crate::rollout::turns::Turn;

/// The most members that are prepared at once: they may share a server.
pub const AT_ONCE: usize = 4;

/// The wait for a member that could not be prepared because something else is busy.
const BUSY: Duration = plan::BUSY;

/// How often the write of a status is repeated that somebody else changed in between.
const TRIES: usize = 3;

/// Key of a member's entry.
pub fn key(member: &OrchestraDatabase) -> Option<&str> {
    member.spec.inventory.as_ref().map(|entry| entry.key.as_str())
}

/// Why a member is not prepared yet, when that ends by itself.
pub fn waits(reason: Reason, message: &str) -> Error {
    Error::Stop {
        class: ErrorClass::After(BUSY),
        reason,
        message: message.into(),
    }
}

/// Starts the preparation of a member, or remembers why that is not possible.
pub async fn begin(pass: &Pass, wanted: &Arc<MemberContents>, member: &OrchestraDatabase, login: Result<Login, Error>) {
    let (uid, subject) = (member.uid().unwrap_or_default(), wanted.subject());
    let attempts = &pass.ctx.memory.preparations;
    attempts.begin(pass.uid(), &uid, &subject);
    let outcome = async { start(pass, wanted, member, login?).await };
    match outcome.await {
        Ok(true) => {}
        // Claimed or deleted meanwhile; the watch will show it.
        Ok(false) => attempts.end(pass.uid(), &uid, &subject, Ok(())),
        Err(error) => {
            let wish = retry_wish(&*pass.pool);
            pass.ctx.core.refusals.refuse(&uid, (&subject, &wish), &error);
            attempts.end(pass.uid(), &uid, &subject, Err(Refusal::from(&error)));
        }
    }
}

/// Starts the preparation of a member; false when it is no longer unclaimed.
async fn start(
    pass: &Pass,
    wanted: &Arc<MemberContents>,
    member: &OrchestraDatabase,
    login: Login,
) -> Result<bool, Error> {
    let ctx = &pass.ctx;
    let turn = rollout::spare_turn(&ctx.rollout, member)
        .ok_or_else(|| waits(Reason::Queued, "waiting for other migrations on the same server"))?;
    let preparing = ctx.choices.prepare(&member.name_any());
    let preparing = preparing.ok_or_else(|| waits(Reason::Queued, "an Orchestra is about to claim it"))?;
    let name = member.name_any();
    let announced = note(&ctx.core, member, |status| wanted.begin(&name, status)).await?;
    let Some(member) = announced else { return Ok(false) };
    let uid = member.uid().unwrap_or_default();
    let (all, pool, id, subject) = (ctx.clone(), pass.uid().to_owned(), uid.clone(), wanted.subject());
    let (wanted, wish) = (wanted.clone(), retry_wish(&*pass.pool));
    let object = wanted.pool.clone();
    let work = async move {
        let outcome = caught(Box::pin(prepare(&all, &wanted, &member, login, (preparing, turn)))).await;
        let outcome = outcome.map_err(|error| of_password(&all, &member, error));
        if let Err(error) = &outcome {
            all.core.refusals.refuse(&id, (&subject, &wish), error);
        }
        let outcome = outcome.map_err(|error| Refusal::from(&error));
        all.memory.preparations.end(&pool, &id, &subject, outcome);
        Ok(())
    };
    ctx.preparations
        .start((&uid, object), WorkKind::Migrate, Watch::default(), work);
    Ok(true)
}

/// A wrong owner's password is transient: the database's controller is notified and sets a new one.
fn of_password(ctx: &Context, member: &OrchestraDatabase, error: Error) -> Error {
    let wrong = matches!(&error, Error::Postgres(error) if error.is_wrong_password());
    if !wrong || member.spec.supabase.is_none() {
        return error;
    }
    // Nothing receives it while the operator stops.
    let _ = ctx.refused.send(ObjectRef::from_obj(member));
    let message = format!("the owner's password is wrong, and the operator sets a new one: {error}");
    Error::transient(Reason::LoginFailed, message)
}

/// Applies the migrations and the seed, and records them.
async fn prepare(
    ctx: &Context,
    wanted: &MemberContents,
    member: &OrchestraDatabase,
    login: Login,
    busy: (Preparing, Turn),
) -> Result<(), Error> {
    let spare = spare::role(member);
    let session = probe::bounded(async {
        let spacing = ctx.core.settings.login_spacing;
        let mut session = ctx.logins.connect(&member.name_any(), &login, spacing).await?;
        inventory::check_identity(&mut session, member).await?;
        let project = member.spec.supabase.is_some();
        if !project {
            holdings::check_project_is_alone(&mut session).await?;
        }
        probe::check_unmarked(&ctx.core, &mut session, project.then_some(Anew::Project)).await?;
        // The migrations may name it, and no tenant's login exists yet.
        postgres::ensure_app_group(&mut session).await?;
        if let Some(role) = &spare {
            postgres::drop_spare(&mut session, role).await?;
        }
        Ok(session)
    });
    let mut session = session.await?;
    if let Some(exposed) = wanted.exposed {
        postgres::expose_new_tables(&mut session, exposed).await?;
    }
    let counted = CountedLogin {
        login,
        database: member.name_any(),
        logins: ctx.logins.clone(),
        spacing: ctx.core.settings.login_spacing,
    };
    let options = Options {
        login: Some(counted),
        stop: Some(ctx.preparations.stopping()),
        ..wanted.options()
    };
    let run = Watch::default();
    let login = options.login.as_ref().map(|counted| &counted.login);
    let apply = async |session| migrate::apply(session, &wanted.source, &options, &mut |event| run.tell(&event)).await;
    let applied = migrate::supervised(session, login, apply).await;
    let (mut session, _) = applied.map_err(|error| Error::from(error).of_run(&run))?;
    if let Some(seed) = &wanted.seed {
        let (format, limit) = (Some(wanted.source.format()), ctx.core.settings.migration_limit);
        let run =
            async |session| migrate::seed(session, &seed.source, &seed.variables, seed.policy, format, limit).await;
        (session, _) = migrate::supervised(session, login, run).await?;
    }
    if let (Some(role), Some(rights)) = (&spare, &wanted.rights) {
        make_ready(&mut session, role, rights, member).await;
    }
    // The next status write triggers the Orchestras that wait for it.
    drop(busy);
    tracing::info!(database = member.name_any(), content = wanted.subject(), "prepared");
    note(&ctx.core, member, |status| {
        wanted.end(status);
        Ok(())
    })
    .await?;
    Ok(())
}

/// Creates what a claim would otherwise have to create. Where that fails, the claim creates it, and reports the error.
async fn make_ready(session: &mut PgConnection, role: &str, rights: &TenantRights, member: &OrchestraDatabase) {
    let made = probe::bounded(async {
        claim_record::make_room(session).await?;
        Ok(postgres::make_spare(session, role, rights).await?)
    });
    if let Err(error) = made.await {
        tracing::warn!(%error, database = member.name_any(), "no role is made before the claim");
    }
}

/// Changes the status of an unclaimed member by compare-and-swap, and returns the member as
/// it is then; none when it is no longer unclaimed.
async fn note(
    core: &Core,
    member: &OrchestraDatabase,
    change: impl Fn(&mut OrchestraDatabaseStatus) -> Result<(), Error>,
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
        change(&mut status)?;
        match write(core, &current, status, None).await {
            Err(error) if error.is_conflict() => {}
            written => return written.map(Some),
        }
    }
    let message = "others are changing its OrchestraDatabase; the operator tries the preparation again";
    Err(waits(Reason::Queued, message))
}
