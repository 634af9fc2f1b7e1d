//! Executes a step of a drill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use sqlx::PgConnection;

use super::observe::{self, Observed};
use super::plan::Step;
use super::verdict::{self, DrillEnd};
use super::{assertions, place};
use crate::api::condition::Reason;
use crate::api::names::{
    ABANDON_ANNOTATION, BACKUP_CLASS_LABEL, BACKUP_LABEL, BACKUP_SERVER_LABEL, VERIFY_ANNOTATION, label_of, request,
};
use crate::api::{BackupDrill, BackupFailure, OrchestraBackup, OrchestraClass, ScratchDatabase};
use crate::archive::order::{Order, VerifyOrder, Work};
use crate::backup::act::{GONE, LOOK, ROOM};
use crate::backup::{Pass, attempts, folder, job, order};
use crate::controller::clock;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::News;
use crate::credentials::password;
use crate::postgres::made::{Maker, OwnedDatabase, RemovalEnd};
use crate::postgres::{self, APPLICATION, Login};

/// The longest that the server may take to make a scratch database, or to drop it.
const LIMIT: Duration = Duration::from_mins(1);

/// Executes a step. Returns none when the pass continues.
///
/// # Errors
/// When the Kubernetes API fails, or the scratch database cannot be dropped.
pub async fn act(pass: &mut Pass, step: Step, observed: &Observed) -> Result<Option<Next>, Error> {
    match step {
        Step::Refuse => refuse(pass, observed).await?,
        Step::Announce => announce(pass, observed).await?,
        Step::Start => {
            // Boxed: only few passes make a database.
            let started = Box::pin(start(pass, observed.class.as_ref())).await;
            if let Err(error) = started {
                pass.ctx.queue.leave(pass.uid());
                // An error of the Kubernetes API does not end a drill.
                if matches!(error, Error::Kubernetes(_)) {
                    return Err(error);
                }
                // Not the time of the look: the server may have taken long to refuse.
                end(pass, &DrillEnd::not_begun(&error), clock::own()).await?;
            }
        }
        Step::Conclude => {
            if let Some(ended) = &observed.end {
                end(pass, ended, observed.now).await?;
            }
        }
        Step::CleanUp => {
            let name = pass.drill_job();
            return Ok((!job::clear(pass.core(), &name).await?).then_some(Next::After(GONE)));
        }
        Step::Drop => Box::pin(drop_scratch(pass)).await?,
        Step::Queue => {
            let at = pass.drill().scratch;
            let place = observed.place.as_ref().and_then(|place| place.as_ref().ok());
            if let Some(at) = at.as_ref().or(place) {
                pass.ctx.queue.join(observe::asker(pass, at));
            }
            return Ok(Some(Next::After(ROOM)));
        }
        Step::Await => return Ok(Some(Next::After(LOOK))),
        Step::Retry(wait) | Step::Pause(wait) => return Ok(Some(Next::After(wait))),
    }
    Ok(None)
}

/// Changes the state of the drills, with the condition that follows from it, and tells the news.
async fn change(pass: &mut Pass, change: impl FnOnce(&mut BackupDrill), news: Option<News>) -> Result<(), Error> {
    let mut new = pass.status();
    change(new.verification.get_or_insert_default());
    new.progress = None;
    new.conditions = verdict::with(
        &new.conditions,
        new.verification.as_ref(),
        pass.object.metadata.generation,
    );
    pass.write_status(new, news).await
}

/// A drill that starts. The result of the previous one stays until this one has ended.
fn begin(drill: &mut BackupDrill, asked: Option<&String>, now: Timestamp) {
    let Some(asked) = asked.filter(|asked| drill.requested.as_ref() != Some(*asked)) else {
        return;
    };
    drill.requested = Some(asked.clone());
    drill.start_time = Some(Time(clock::whole(now)));
    drill.completion_time = None;
    drill.duration_seconds = None;
    drill.failures = 0;
}

fn asked(object: &OrchestraBackup) -> Option<String> {
    request(&object.metadata, VERIFY_ANNOTATION)
}

/// Records where the scratch database will be, once its server has let the login in that is to make it.
async fn announce(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(Ok(at)) = &observed.place else { return Ok(()) };
    let (at, asked) = (at.clone(), asked(&pass.object));
    if let Err(error) = within(Box::pin(able(pass, &at))).await {
        pass.ctx.queue.leave(pass.uid());
        // Not the time of the look: the server may have taken long to refuse.
        return not_begun(pass, &error, asked.as_ref(), clock::own()).await;
    }
    let tell = |drill: &mut BackupDrill| {
        begin(drill, asked.as_ref(), observed.now);
        attempts::announce(&mut drill.attempts, &mut drill.concluded);
        drill.scratch = Some(at);
    };
    change(pass, tell, None).await?;
    pass.ctx.drops.announced(pass.uid());
    Ok(())
}

/// Records that the drill was not started.
async fn not_begun(pass: &mut Pass, error: &Error, asked: Option<&String>, now: Timestamp) -> Result<(), Error> {
    change(pass, |drill| begin(drill, asked, now), None).await?;
    end(pass, &DrillEnd::not_begun(error), now).await
}

/// Records that there is no place for a scratch database.
async fn refuse(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(Err(error)) = &observed.place else {
        return Ok(());
    };
    let asked = asked(&pass.object);
    not_begun(pass, error, asked.as_ref(), observed.now).await
}

/// Records how an attempt ended, and tells the result of the drill where this is it.
async fn end(pass: &mut Pass, ended: &DrillEnd, now: Timestamp) -> Result<(), Error> {
    let now = clock::whole(now);
    let is_final = ended.is_final(pass.drill().failures);
    let news = match (is_final, ended.passed) {
        (false, _) => None,
        (true, Some(true)) => Some(News::normal(ended.reason, ended.message.clone())),
        (true, _) => Some(News::warning(ended.reason, ended.message.clone())),
    };
    let failure = (ended.passed != Some(true)).then(|| BackupFailure {
        reason: ended.reason.as_str().into(),
        message: ended.message.clone(),
        time: Time(now),
        last: is_final,
        retry: None,
    });
    let tell = |drill: &mut BackupDrill| {
        drill.concluded = drill.attempts;
        drill.failure = failure;
        if !is_final {
            attempts::fail(&mut drill.failures);
            return;
        }
        ended.tell(drill);
        drill.completion_time = Some(Time(now));
        let began = drill.start_time.as_ref().map_or(now, |began| began.0);
        drill.duration_seconds = Some(now.duration_since(began).as_secs().max(0));
        if ended.passed == Some(true) {
            drill.last_verified_time = Some(Time(now));
        }
    };
    change(pass, tell, news).await?;
    if is_final {
        let metrics = pass.core().metrics.backups();
        metrics.drilled(ended.reason);
        let facts = ended.outcome.as_ref().and_then(|outcome| outcome.drill.as_ref());
        if let Some(facts) = facts {
            metrics.restored(Duration::from_secs(facts.restore_seconds));
        }
    }
    Ok(())
}

/// Makes the scratch database, empty, and then the Job, if the queue still gives it the slot.
async fn start(pass: &mut Pass, class: Option<&Arc<OrchestraClass>>) -> Result<(), Error> {
    let (status, drill) = (pass.status(), pass.drill());
    let Some(at) = drill.scratch else { return Ok(()) };
    let class = order::class_of(&status, class.cloned(), "")?;
    let settings = order::of_class(&class)?;
    // The status is trusted only where the cluster agrees with it.
    let now = place::choose(pass, &class)?;
    if (now.pool, now.key) != (at.pool.clone(), at.key.clone()) {
        return Err(Error::blocked(
            Reason::NoScratchServer,
            "the server of scratch databases changed after the drill had begun: ask for the drill again",
        ));
    }
    let mut files = order::files_of_store(pass.core(), settings).await?;
    files.extend(order::file_of_identity(pass.core(), settings).await?);
    let order = Order {
        work: Work::Verify(VerifyOrder {
            path: folder::of(&pass.ctx.class.cluster, &pass.object, settings)?,
            manifest_digest: status.manifest_digest.unwrap_or_default(),
            encrypted_only: settings.encryption.is_some(),
            assertions: assertions::read(pass, settings).await?,
        }),
        store: order::store(settings),
        deadline_seconds: job::deadline_of_order(settings.deadline().as_std()),
    };
    let (owner, keeper) = make_scratch(pass, &at).await?;
    files.extend(order::files_of_login(&owner));
    files.push(order::file_of_keeper(&keeper));
    let labels = BTreeMap::from([
        (BACKUP_LABEL.to_owned(), pass.uid().to_owned()),
        (BACKUP_CLASS_LABEL.to_owned(), label_of(&class.name_any())),
        (BACKUP_SERVER_LABEL.to_owned(), observe::server_label(&pass.ctx, &at)),
    ]);
    let new = job::NewJob::of(pass.core(), settings, (pass.drill_job(), labels), (order, files));
    let _one_at_a_time = pass.ctx.starting.lock().await;
    let asker = observe::asker(pass, &at);
    if crate::backup::observe::is_next(&pass.ctx, &asker, settings) {
        job::start(pass.core(), &new).await?;
        pass.ctx.queue.was_given(&asker);
    }
    Ok(())
}

/// A session of the login that makes and drops scratch databases.
async fn session(pass: &Pass, at: &ScratchDatabase) -> Result<(PgConnection, Maker, Login, bool), Error> {
    let (login, legacy) = place::maker(&pass.ctx, at).await?;
    let mut session = postgres::connect(&login, APPLICATION).await?;
    let maker = postgres::made::maker(&mut session).await?;
    Ok((session, maker, login, legacy))
}

/// As [`session`], of a login that may make a database.
async fn able(pass: &Pass, at: &ScratchDatabase) -> Result<(PgConnection, Maker, Login), Error> {
    let (session, maker, login, legacy) = session(pass, at).await?;
    match maker.objection(legacy) {
        Some(why) => Err(place::objection(&why)),
        None => Ok((session, maker, login)),
    }
}

/// Work on a server, which has to answer.
async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let ended = tokio::time::timeout(LIMIT, work).await;
    ended.unwrap_or_else(|_| Err(postgres::Error::Timeout(LIMIT).into()))
}

/// Makes the scratch database, and returns the logins of its owner and of its keeper.
async fn make_scratch(pass: &Pass, at: &ScratchDatabase) -> Result<(Login, Login), Error> {
    let password = password::generate();
    let (name, record) = named(pass, at)?;
    let work = async {
        let (mut session, maker, login) = able(pass, at).await?;
        let entry = OwnedDatabase {
            name,
            password: &password,
            record: &record,
        };
        let keeper_password = password::generate();
        let made = postgres::scratch::make(&mut session, &maker, &entry, &keeper_password).await;
        made.map_err(told)?;
        let login = |user: String, password| Login {
            user,
            database: name.to_owned(),
            password,
            ..login.clone()
        };
        Ok((
            login(name.to_owned(), password.clone()),
            login(postgres::scratch::keeper(name), keeper_password),
        ))
    };
    within(work).await
}

/// The message about a refusal to create a scratch database.
fn told(error: postgres::Error) -> Error {
    match &error {
        postgres::Error::Refused { sqlstate, message } if sqlstate == "42501" => place::objection(message),
        postgres::Error::Refused { sqlstate, message } if sqlstate == "42710" || sqlstate == "42P04" => {
            Error::blocked(Reason::InUse, message.clone())
        }
        _ => error.into(),
    }
}

/// Drops the scratch database, and records that it is gone. An admin can give it up with an annotation; a database that
/// no drill made, or that can no longer be dropped, is given up without one.
async fn drop_scratch(pass: &mut Pass) -> Result<(), Error> {
    let Some(at) = pass.drill().scratch else { return Ok(()) };
    let is_given_up = pass
        .object
        .annotations()
        .get(ABANDON_ANNOTATION)
        .is_some_and(|value| value == "true");
    let lost = place::given_up(&at, place::has_pool(&pass.ctx, &at));
    let mut news = lost.map(|why| News::warning(Reason::Abandoned, why));
    if news.is_none()
        && let Err(error) = drop_at(pass, &at).await
    {
        if !is_given_up {
            return Err(error);
        }
        let left = format!(
            "the database {}, its owner of that name and the role {} on the server of OrchestraPool {} are left behind: {error}",
            at.name,
            postgres::scratch::keeper(&at.name),
            at.pool
        );
        news = Some(News::warning(Reason::Abandoned, left));
    }
    change(pass, |drill| drill.scratch = None, news).await?;
    pass.ctx.drops.dropped(pass.uid());
    Ok(())
}

/// The name of a scratch database, and the record that its owner has.
fn named<'a>(pass: &Pass, at: &'a ScratchDatabase) -> Result<(&'a str, String), Error> {
    if place::is_name(&at.name) {
        return Ok((&at.name, place::record(pass.uid())));
    }
    Err(Error::blocked(Reason::InUse, place::FORGED))
}

async fn drop_at(pass: &Pass, at: &ScratchDatabase) -> Result<(), Error> {
    let (name, record) = named(pass, at)?;
    let work = async {
        let (mut session, maker, ..) = session(pass, at).await?;
        let dropped = postgres::scratch::drop(&mut session, &maker, (name, &record)).await;
        match dropped? {
            RemovalEnd::Done => Ok(()),
            RemovalEnd::Kept(why) => Err(Error::blocked(Reason::InUse, why)),
        }
    };
    within(work).await.map_err(|error| {
        let message = format!(
            "the scratch database {name} on the server of OrchestraPool {} could not be dropped: {error}. If the server is gone \
             for good, annotate this OrchestraBackup with {ABANDON_ANNOTATION}=true",
            at.pool
        );
        Error::Stop {
            class: error.class(),
            reason: error.reason(),
            message,
        }
    })
}
