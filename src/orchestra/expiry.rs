//! The end of an Orchestra with a ttl: warnings before it, and the deletion, by the API server's clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::plan::TtlState;
use super::{Pass, claim, reclaim};
use crate::api::condition::Reason;
use crate::api::{
    DeletionPolicy, EXTENDED_ANNOTATION, ExpiryNotice, GoDuration, Orchestra, OrchestraClass, OrchestraDatabase,
    OrchestraStatus, Recycle,
};
use crate::class;
use crate::controller::backoff::SLOWEST;
use crate::controller::clock::{self, TimeCheck};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::text;

/// How long before the end the first and the last warning come; for a short ttl a third and a tenth of it.
const FIRST: Duration = Duration::from_hours(24);
const LAST: Duration = Duration::from_hours(1);

/// How far the clock of a person who extends an Orchestra may be ahead.
const AHEAD: Duration = Duration::from_mins(5);

/// The end of an Orchestra with a ttl; the default is for one without.
#[derive(Default)]
pub struct Life {
    /// The part of the ttl that is due.
    pub due: TtlState,
    /// The end.
    pub ends: Option<Ends>,
    /// How long nothing of it is due.
    pub wait: Option<Duration>,
    /// The Orchestra stays, because the API server refused the deletion: its answer.
    pub refused: Option<String>,
}

/// The end of a ttl.
#[derive(Clone)]
pub struct Ends {
    at: Timestamp,
    ttl: GoDuration,
    since: Option<Timestamp>,
    /// Why the annotation that extends it is ignored.
    ignored: Option<IgnoredExtension>,
    /// The time by the API server's clock, where something is due.
    now: Timestamp,
    /// The warning that is due is the last one.
    last: bool,
}

/// Why an extension does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IgnoredExtension {
    /// It is not a timestamp.
    Unreadable,
    /// It is in the future, and would exceed every bound of the ttl.
    Ahead,
}

/// The next event of a ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpiryEvent {
    Warning { last: bool },
    End,
}

/// The ttl that applies to an Orchestra: its own, or that of its class. An Orchestra whose database is retained has none.
fn ttl(object: &Orchestra, class: Option<&OrchestraClass>) -> Option<GoDuration> {
    let policy = object.spec.deletion_policy;
    let of_class = class.filter(|class| class.spec.deletion.policy == DeletionPolicy::Delete);
    match policy {
        Some(DeletionPolicy::Retain) => None,
        Some(DeletionPolicy::Delete) => object.spec.ttl.or_else(|| class?.spec.ttl),
        None => of_class.and_then(|class| object.spec.ttl.or(class.spec.ttl)),
    }
}

/// When the ttl was restarted, by the annotation.
fn extended(object: &Orchestra) -> Result<Option<Timestamp>, IgnoredExtension> {
    let given = object.annotations().get(EXTENDED_ANNOTATION);
    given
        .map(|text| text.parse().map(clock::whole).map_err(|_| IgnoredExtension::Unreadable))
        .transpose()
}

/// The extension that counts by this clock; none for a time in the future.
fn counted(extended: Timestamp, now: Timestamp) -> Result<Timestamp, IgnoredExtension> {
    if extended <= clock::after(now, AHEAD) {
        Ok(extended)
    } else {
        Err(IgnoredExtension::Ahead)
    }
}

/// The extension of an Orchestra. One that is ahead of the own clock counts by the API server's, so that no clock that is
/// behind ends an Orchestra early.
async fn extension(pass: &Pass, now: Timestamp) -> Result<Result<Option<Timestamp>, IgnoredExtension>, Error> {
    match extended(&pass.object) {
        Ok(Some(at)) if counted(at, now).is_err() => {
            let server = clock::now(&pass.ctx.core.client).await?;
            Ok(counted(at, server).map(Some))
        }
        told => Ok(told),
    }
}

/// How long before the end the last warning comes.
fn last_lead(ttl: Duration) -> Duration {
    LAST.min(ttl / 10)
}

/// The next event of a ttl that ends at `at`, and its time. The end follows the last warning by at least the planned lead:
/// no Orchestra ends without a warning.
fn next(at: Timestamp, ttl: Duration, notice: Option<&ExpiryNotice>, now: Timestamp) -> (ExpiryEvent, Timestamp) {
    let (first, last) = (FIRST.min(ttl / 3), last_lead(ttl));
    let before = |lead: Duration| at.saturating_sub(lead).unwrap_or(Timestamp::MIN);
    match notice.filter(|notice| notice.expires_at.0 == at) {
        Some(notice) if notice.last => (ExpiryEvent::End, at.max(clock::after(notice.given_at.0, last))),
        None if now < before(last) => (ExpiryEvent::Warning { last: false }, before(first)),
        _ => (ExpiryEvent::Warning { last: true }, before(last)),
    }
}

/// Looks up what is due. The API server is asked for the time only when something is, by the own clock.
///
/// # Errors
/// When the API server does not report its time.
pub async fn look(pass: &Pass, now: Timestamp) -> Result<Life, Error> {
    let object = &pass.object;
    let decided = object.decided_class().or(object.spec.class_name.as_deref());
    let class = class::resolve(&pass.ctx.class, decided).ok();
    let Some(ttl) = ttl(object, class.as_deref()).filter(|_| !pass.is_deleting()) else {
        return Ok(Life::default());
    };
    let client = &pass.ctx.core.client;
    let status = object.status.as_ref();
    let old = status.filter(|status| status.expires_at.is_some());
    let since = match (old, status.and_then(|status| status.database_name.as_ref())) {
        (Some(old), _) => old.ttl_since.as_ref().map(|since| since.0),
        (None, None) => None,
        // The Orchestra was in use before it had a ttl.
        (None, Some(_)) => Some(clock::now(client).await?.max(clock::own())),
    };
    let begins = old.is_none() && since.is_some();
    let created = object.metadata.creation_timestamp.as_ref().map(|at| at.0);
    let extension = extension(pass, now).await?;
    let from = [created, since, extension.unwrap_or_default()]
        .into_iter()
        .flatten()
        .max();
    let Some(at) = from.map(|from| clock::after(from, ttl.as_std())) else {
        return Ok(Life::default());
    };
    let ends = Ends {
        at,
        ttl,
        since,
        ignored: extension.err(),
        now,
        last: false,
    };
    if begins {
        let (due, wait) = (TtlState::Begin, None);
        let ends = Some(ends);
        return Ok(Life {
            due,
            ends,
            wait,
            refused: None,
        });
    }
    let notice = status.and_then(|status| status.expiry_notice.as_ref());
    due(pass, ends, notice).await
}

async fn due(pass: &Pass, mut ends: Ends, notice: Option<&ExpiryNotice>) -> Result<Life, Error> {
    let (at, ttl) = (ends.at, ends.ttl.as_std());
    let core = &pass.ctx.core;
    let (mut event, mut when) = next(at, ttl, notice, ends.now);
    if when <= ends.now && event != ExpiryEvent::End {
        ends.now = clock::now(&core.client).await?;
        (event, when) = next(at, ttl, notice, ends.now);
    }
    let (due, wait) = match event {
        ExpiryEvent::End => match core.clock.has_come(&core.client, &key(pass), when, ttl).await? {
            TimeCheck::Come => (TtlState::Over, None),
            TimeCheck::In(wait) => (TtlState::Later, Some(wait)),
        },
        ExpiryEvent::Warning { last } if when <= ends.now => {
            ends.last = last;
            (TtlState::Warn, None)
        }
        ExpiryEvent::Warning { .. } => (TtlState::Later, Some(clock::left(when, ends.now))),
    };
    let refused = pass.outlives.clone().filter(|_| due == TtlState::Over);
    let (due, wait) = if refused.is_some() {
        // A person has to change that; everything else continues meanwhile.
        (TtlState::Later, Some(SLOWEST))
    } else {
        (due, wait)
    };
    Ok(Life {
        due,
        ends: Some(ends),
        wait,
        refused,
    })
}

fn key(pass: &Pass) -> String {
    format!("ttl/{}", pass.uid())
}

impl Life {
    /// The next pass is in time for what is due next.
    pub fn in_time(wait: Option<Duration>, next: Next, resync: Duration) -> Next {
        match (wait, next) {
            (Some(wait), Next::After(other)) => Next::After(wait.min(other)),
            (Some(wait), Next::Rest) if wait < resync => Next::After(wait),
            _ => next,
        }
    }

    /// The message of an annotation that does not count.
    pub fn ignored(&self) -> Option<String> {
        let ends = self.ends.as_ref()?;
        let why = match ends.ignored? {
            IgnoredExtension::Unreadable => "is not a timestamp such as 2026-12-24T18:00:00Z",
            IgnoredExtension::Ahead => "is in the future: the ttl counts from the current time at the latest",
        };
        Some(format!(
            "the annotation {EXTENDED_ANNOTATION} {why}, so the Orchestra still expires at {}",
            ends.at
        ))
    }

    /// The message about a refused deletion.
    pub fn refusal(&self) -> Option<String> {
        let (refused, ends) = (self.refused.as_ref()?, self.ends.as_ref()?);
        Some(format!(
            "the ttl ended at {}, and the API server refuses the deletion: {refused}. To end it, let the operator delete it; to \
             keep it, remove spec.ttl or raise it",
            ends.at
        ))
    }

    /// Fills the status.
    pub fn note(&self, pass: &Pass, new: &mut OrchestraStatus) {
        if pass.is_deleting() {
            return;
        }
        let ends = self.ends.as_ref();
        new.expires_at = ends.map(|ends| Time(ends.at));
        new.ttl_since = ends.and_then(|ends| ends.since).map(Time);
        let is_of = |notice: &ExpiryNotice| ends.is_some_and(|ends| ends.at == notice.expires_at.0);
        new.expiry_notice = new.expiry_notice.take().filter(is_of);
    }
}

/// Records since when the ttl counts of an Orchestra that was in use before it got one, whatever else it waits for.
pub async fn begin(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    observed.life.note(pass, &mut new);
    pass.write_status(new, None).await
}

impl Ends {
    /// When it ends once this warning is given, which the end follows by the lead of the last one.
    fn after_warning(&self) -> Timestamp {
        let lead = if self.last {
            last_lead(self.ttl.as_std())
        } else {
            Duration::ZERO
        };
        self.at.max(clock::after(self.now, lead))
    }
}

/// Warns of the end, and records that.
pub async fn warn(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(ends) = &observed.life.ends else { return Ok(()) };
    let end = ends.after_warning();
    let left = GoDuration::from(Duration::from_secs(clock::left(end, ends.now).as_secs()));
    let (namespace, name) = (pass.namespace(), pass.name());
    let what = kept_project(pass).map_or_else(
        || "its database and Secrets".to_owned(),
        |reference| format!("its Secrets and its login; project {reference}, which was adopted, stays"),
    );
    let note = format!(
        "expires at {end} (in {left}): it is deleted with {what}. To extend: raise spec.ttl ({}), or kubectl \
         -n {namespace} annotate orch {name} --overwrite {EXTENDED_ANNOTATION}=$(date -u +%FT%TZ)",
        ends.ttl
    );
    let mut new = pass.object.status.clone().unwrap_or_default();
    observed.life.note(pass, &mut new);
    new.expiry_notice = Some(ExpiryNotice {
        expires_at: Time(ends.at),
        given_at: Time(ends.now),
        last: ends.last,
    });
    let news = News::warning(Reason::Expiring, note);
    pass.write_status(new, Some(news)).await
}

/// The project that was adopted and stays.
fn kept_project(pass: &Pass) -> Option<String> {
    let database = claim::known(pass).filter(|database| database.adopted().is_some())?;
    let class = class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()).ok();
    let destroyed = reclaim::asks_for_destruction(&pass.object, class.as_deref(), &database);
    database.project_ref().filter(|_| !destroyed).map(str::to_owned)
}

/// Deletes the Orchestra whose ttl has ended: only this version of it, so that an extension at the same time is not lost.
/// One whose deletion is refused, for example by an admission policy, stays as before.
pub async fn end(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    tracing::info!("the ttl is over; the Orchestra is deleted");
    match pass.delete().await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(Next::Gone)),
        Err(error) if error.is_refusal() => {
            pass.outlives = Some(text::line(&error.to_string(), 300));
            let life = Life {
                ends: observed.life.ends.clone(),
                refused: pass.outlives.clone(),
                ..Life::default()
            };
            let note = life.refusal().unwrap_or_default();
            tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Expiring, note)).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What happens with the database after the end.
fn fate(database: &OrchestraDatabase, grace: Option<GoDuration>) -> String {
    let name = database.name_any();
    let (hosted, destroyed) = (database.spec.supabase.is_some(), database.is_to_be_destroyed());
    let ends = destroyed && (hosted || database.spec.recycle == Some(Recycle::Reset));
    match grace {
        _ if database.adopted().is_some() && !ends => {
            format!("; OrchestraDatabase {name} is released, and its project, which was adopted, stays")
        }
        _ if !ends && hosted => format!("; OrchestraDatabase {name} is released and kept with its data"),
        _ if !ends => format!("; OrchestraDatabase {name}, an entry of a pool, is released and kept with its data"),
        Some(grace) => format!(
            "; OrchestraDatabase {name} is kept for another {grace}: spec.source.existing.databaseName takes it back"
        ),
        None if hosted => format!("; OrchestraDatabase {name} is destroyed with its project"),
        None => format!("; everything in OrchestraDatabase {name}, an entry of a pool, is dropped"),
    }
}

/// The last event of an Orchestra whose ttl was over when it was deleted.
pub async fn tell_end(pass: &Pass, observed: &Observed) {
    pass.ctx.core.clock.forget(&key(pass));
    let status = pass.object.status.as_ref();
    let ended = status.and_then(|status| status.expires_at.as_ref());
    let deleted = pass.object.metadata.deletion_timestamp.as_ref();
    let (Some(ended), Some(deleted)) = (ended, deleted) else {
        return;
    };
    if deleted.0 < ended.0 {
        return;
    }
    let grace = observed
        .class
        .as_ref()
        .and_then(|class| class.spec.deletion.grace_period);
    let database = observed.database.as_ref();
    let database = database.map_or_else(String::new, |database| fate(database, grace));
    let note = format!(
        "the ttl ended at {}: deleted, with its Secrets and its login{database}",
        ended.0
    );
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::Expired, note)).await;
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
