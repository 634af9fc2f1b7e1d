//! The end of an Orchestra with a ttl: warnings before it, and the deletion, by the API server's clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::plan::Expiry;
use super::{Pass, claim, reclaim};
use crate::api::condition::Reason;
use crate::api::{
    DeletionPolicy, EXTENDED_ANNOTATION, ExpiryNotice, GoDuration, Orchestra, OrchestraClass, OrchestraStatus,
};
use crate::class;
use crate::controller::clock::{self, Moment};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};

/// The first warning comes this long before the end, the last one so long; of a short ttl a third and a tenth of it.
const FIRST: Duration = Duration::from_hours(24);
const LAST: Duration = Duration::from_hours(1);

/// How a span is told.
const PRINTER: SpanPrinter = SpanPrinter::new()
    .spacing(Spacing::None)
    .designator(Designator::Compact);

/// The end of an Orchestra with a ttl; the default is for one without.
#[derive(Default)]
pub struct Life {
    /// The part of the ttl that is due.
    pub due: Expiry,
    /// The end.
    pub ends: Option<Ends>,
    /// How long nothing of it is due.
    pub wait: Option<Duration>,
}

/// The end of a ttl.
pub struct Ends {
    at: Timestamp,
    ttl: GoDuration,
    since: Option<Timestamp>,
    /// The annotation that extends it is not a timestamp.
    ignored: bool,
    /// The time by the API server's clock, where something is due.
    now: Timestamp,
    /// The warning that is due is the last one.
    last: bool,
}

/// The next event of a ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
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

/// When the ttl began to count anew, by the annotation; an error when it is not a timestamp.
fn extended(object: &Orchestra) -> Result<Option<Timestamp>, ()> {
    let given = object.annotations().get(EXTENDED_ANNOTATION);
    given
        .map(|text| text.parse().map(clock::whole).map_err(drop))
        .transpose()
}

/// The next event of a ttl that ends at `at`, and its time. The end follows the last warning by at least the planned lead:
/// no Orchestra ends without a warning.
fn next(at: Timestamp, ttl: Duration, notice: Option<&ExpiryNotice>, now: Timestamp) -> (Event, Timestamp) {
    let (first, last) = (FIRST.min(ttl / 3), LAST.min(ttl / 10));
    let before = |lead: Duration| at.saturating_sub(lead).unwrap_or(Timestamp::MIN);
    match notice.filter(|notice| notice.expires_at.0 == at) {
        Some(notice) if notice.last => (Event::End, at.max(clock::after(notice.given_at.0, last))),
        None if now < before(last) => (Event::Warning { last: false }, before(first)),
        _ => (Event::Warning { last: true }, before(last)),
    }
}

/// Looks up what is due. The API server is asked for the time only when something is, by the own clock.
///
/// # Errors
/// When the API server does not tell the time.
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
    let extension = extended(object);
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
        ignored: extension.is_err(),
        now,
        last: false,
    };
    if begins {
        let (due, wait) = (Expiry::Begin, None);
        let ends = Some(ends);
        return Ok(Life { due, ends, wait });
    }
    let notice = status.and_then(|status| status.expiry_notice.as_ref());
    due(pass, ends, notice).await
}

async fn due(pass: &Pass, mut ends: Ends, notice: Option<&ExpiryNotice>) -> Result<Life, Error> {
    let (at, ttl) = (ends.at, ends.ttl.as_std());
    let core = &pass.ctx.core;
    let (mut event, mut when) = next(at, ttl, notice, ends.now);
    if when <= ends.now && event != Event::End {
        ends.now = clock::now(&core.client).await?;
        (event, when) = next(at, ttl, notice, ends.now);
    }
    let (due, wait) = match event {
        Event::End => match core.clock.has_come(&core.client, &key(pass), when, ttl).await? {
            Moment::Come => (Expiry::Over, None),
            Moment::In(wait) => (Expiry::Later, Some(wait)),
        },
        Event::Warning { last } if when <= ends.now => {
            ends.last = last;
            (Expiry::Warn, None)
        }
        Event::Warning { .. } => (Expiry::Later, Some(clock::left(when, ends.now))),
    };
    Ok(Life {
        due,
        ends: Some(ends),
        wait,
    })
}

fn key(pass: &Pass) -> String {
    format!("ttl/{}", pass.uid())
}

impl Life {
    /// A pass comes back in time for what is due next.
    pub fn in_time(wait: Option<Duration>, next: Next, resync: Duration) -> Next {
        match (wait, next) {
            (Some(wait), Next::After(other)) => Next::After(wait.min(other)),
            (Some(wait), Next::Rest) if wait < resync => Next::After(wait),
            _ => next,
        }
    }

    /// The message of an annotation that cannot be read.
    pub fn ignored(&self) -> Option<String> {
        let ends = self.ends.as_ref().filter(|ends| ends.ignored)?;
        Some(format!(
            "the annotation {EXTENDED_ANNOTATION} is not a timestamp such as 2026-12-24T18:00:00Z, so the end at {} stands",
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

/// Writes down since when the ttl of an Orchestra counts that was in use before: whatever else it waits for.
pub async fn begin(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    observed.life.note(pass, &mut new);
    pass.write_status(new, None).await
}

/// Warns of the end, and writes down that it did.
pub async fn warn(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(ends) = &observed.life.ends else { return Ok(()) };
    let left = PRINTER.unsigned_duration_to_string(&Duration::from_secs(clock::left(ends.at, ends.now).as_secs()));
    let (namespace, name) = (pass.namespace(), pass.name());
    let what = kept_project(pass).map_or_else(
        || "its database and Secrets".to_owned(),
        |reference| format!("its Secrets and its login; project {reference}, which was adopted, stays"),
    );
    let note = format!(
        "expires at {} (in {left}): it is deleted with {what}. To extend: raise spec.ttl ({}), or kubectl \
         -n {namespace} annotate orch {name} --overwrite {EXTENDED_ANNOTATION}=$(date -u +%FT%TZ)",
        ends.at, ends.ttl
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

/// Deletes the Orchestra whose time is over: this very version of it, so that an extension that comes at the same time
/// is not lost.
pub async fn end(pass: &mut Pass) -> Result<Option<Next>, Error> {
    tracing::info!("the ttl is over; the Orchestra is deleted");
    let is_there = pass.delete().await?;
    Ok((!is_there).then_some(Next::Gone))
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
    let database = observed.database.as_ref().map_or_else(String::new, |database| {
        let name = database.name_any();
        let grace = observed.class.as_ref().and_then(|class| class.spec.deletion.grace_period);
        match (database.spec.supabase.is_some(), grace) {
            (false, _) => format!("; OrchestraDatabase {name}, an entry of a pool, is released"),
            _ if database.adopted().is_some() && !database.is_to_be_destroyed() => {
                format!("; OrchestraDatabase {name} is released, and its project, which was adopted, stays")
            }
            (true, None) => format!("; OrchestraDatabase {name} is destroyed with its project"),
            (true, Some(grace)) => format!(
                "; OrchestraDatabase {name} is kept for another {grace}: spec.source.existing.databaseName takes it back"
            ),
        }
    });
    let note = format!(
        "the ttl ended at {}: deleted, with its Secrets and its login{database}",
        ended.0
    );
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::Expired, note)).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{Deletion, OrchestraClassSpec, OrchestraSpec};

    fn at(text: &str) -> Timestamp {
        format!("2026-12-{text}Z").parse().unwrap()
    }

    fn notice(expires: &str, given: &str, last: bool) -> ExpiryNotice {
        ExpiryNotice {
            expires_at: Time(at(expires)),
            given_at: Time(at(given)),
            last,
        }
    }

    #[test]
    fn warnings_come_a_day_and_an_hour_before_and_the_end_never_without() {
        let (end, ttl) = (at("04T12:00:00"), Duration::from_hours(72));
        let next = |notice: Option<&ExpiryNotice>, now| super::next(end, ttl, notice, at(now));
        let (first, last) = (Event::Warning { last: false }, Event::Warning { last: true });
        assert_eq!(next(None, "01T12:00:00"), (first, at("03T12:00:00")));
        assert_eq!(next(None, "03T12:00:01"), (first, at("03T12:00:00")));
        let given = notice("04T12:00:00", "03T12:00:00", false);
        assert_eq!(next(Some(&given), "03T12:00:01"), (last, at("04T11:00:00")));
        let given = notice("04T12:00:00", "04T11:00:00", true);
        assert_eq!(next(Some(&given), "04T11:00:01"), (Event::End, end));
        // Nobody led for days: one warning, and an hour from there.
        assert_eq!(next(None, "20T08:00:00"), (last, at("04T11:00:00")));
        let late = notice("04T12:00:00", "20T08:00:00", true);
        assert_eq!(next(Some(&late), "20T08:00:01"), (Event::End, at("20T09:00:00")));
        // The ttl was extended: the warning was about another end.
        let of_another = notice("03T12:00:00", "03T11:00:00", true);
        assert_eq!(next(Some(&of_another), "03T11:30:00"), (first, at("03T12:00:00")));
    }

    #[test]
    fn a_short_ttl_has_short_warnings() {
        let end = at("01T12:00:30");
        let ttl = Duration::from_secs(30);
        let now = at("01T12:00:00");
        assert_eq!(
            super::next(end, ttl, None, now),
            (Event::Warning { last: false }, at("01T12:00:20"))
        );
        let given = notice("01T12:00:30", "01T12:00:20", false);
        assert_eq!(super::next(end, ttl, Some(&given), now).1, at("01T12:00:27"));
    }

    #[test]
    fn nothing_ends_that_is_retained() {
        let mut object = Orchestra::new("demo", OrchestraSpec::default());
        let mut class = OrchestraClass::new("demos", OrchestraClassSpec::default());
        assert_eq!(ttl(&object, Some(&class)), None);
        class.spec.ttl = Some(GoDuration::from_mins(60));
        class.spec.deletion = Deletion {
            policy: DeletionPolicy::Delete,
            ..Deletion::default()
        };
        assert_eq!(ttl(&object, Some(&class)), class.spec.ttl);
        assert_eq!(ttl(&object, None), None, "the class is not known");
        object.spec.deletion_policy = Some(DeletionPolicy::Retain);
        assert_eq!(ttl(&object, Some(&class)), None);
        object.spec.deletion_policy = Some(DeletionPolicy::Delete);
        object.spec.ttl = Some(GoDuration::from_mins(5));
        assert_eq!(ttl(&object, None), object.spec.ttl);
        assert_eq!(ttl(&object, Some(&class)), object.spec.ttl, "its own counts");
    }

    #[test]
    fn the_annotation_is_a_timestamp() {
        let mut object = Orchestra::new("demo", OrchestraSpec::default());
        assert_eq!(extended(&object), Ok(None));
        for (text, read) in [
            ("2026-12-01T00:00:00Z", Ok(Some(at("01T00:00:00")))),
            ("2026-12-01T00:00:00.123Z", Ok(Some(at("01T00:00:00")))),
            ("tomorrow", Err(())),
        ] {
            object.annotations_mut().insert(EXTENDED_ANNOTATION.into(), text.into());
            assert_eq!(extended(&object), read);
        }
    }

    #[test]
    fn a_pass_comes_back_in_time() {
        let (wait, resync) = (Some(Duration::from_secs(5)), Duration::from_mins(1));
        let in_time = |wait, next| Life::in_time(wait, next, resync);
        assert_eq!(in_time(wait, Next::Rest), Next::After(Duration::from_secs(5)));
        assert_eq!(in_time(Some(resync), Next::Rest), Next::Rest);
        assert_eq!(
            in_time(wait, Next::After(Duration::from_secs(9))),
            Next::After(Duration::from_secs(5))
        );
        assert_eq!(in_time(wait, Next::Gone), Next::Gone);
        assert_eq!(in_time(None, Next::Rest), Next::Rest);
    }
}
