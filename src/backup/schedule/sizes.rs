//! Finds out how large a backup of an Orchestra is: by its last complete backup, by what was recorded, or by the size of its
//! database.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::estimate::Sizes;
use crate::api::{Orchestra, OrchestraBackup, OrchestraDatabase};
use crate::backup::{Context, order};
use crate::controller::backoff::{REMEMBERED, SLOWEST};
use crate::controller::error::Error;
use crate::credentials::inventory;
use crate::postgres;
use crate::recent::Recent;

/// How long a size counts. The estimate of an accepted schedule is recorded; one that is refused is looked at again and again.
const COUNTS: Duration = Duration::from_hours(1);

/// The wait after a failed attempt; each further one doubles it, up to [`SLOWEST`].
const FIRST: Duration = Duration::from_mins(1);

/// How long a database may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The last attempts to read the sizes of databases, by their names: a schedule that is not accepted logs in no more often
/// for it than this allows.
pub struct SizeReads(Mutex<Recent<SizeRead>>);

#[derive(Clone, Copy)]
struct SizeRead {
    at: Instant,
    /// The size; none where it could not be read.
    bytes: Option<u64>,
    /// When the next one may follow, after `at`.
    next: Duration,
}

impl Default for SizeReads {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl SizeReads {
    /// The last attempt, while no other one may follow.
    fn last(&self, database: &str, now: Instant) -> Option<SizeRead> {
        let last = self.0.lock().get(database).copied()?;
        (now.saturating_duration_since(last.at) < last.next).then_some(last)
    }

    /// Remembers the result of an attempt.
    fn record(&self, database: &str, bytes: Option<u64>, at: Instant) {
        let mut reads = self.0.lock();
        let failed = reads.get(database).filter(|last| last.bytes.is_none());
        let next = match bytes {
            Some(_) => COUNTS,
            None => failed.map_or(FIRST, |last| last.next.saturating_mul(2).min(SLOWEST)),
        };
        reads.insert(database, SizeRead { at, bytes, next });
    }
}

/// The sizes; none while they cannot be known.
pub async fn look(ctx: &Context, object: &Orchestra) -> Option<Sizes> {
    if let Some(known) = of_last_backup(ctx, object).or_else(|| recorded(object)) {
        return Some(known);
    }
    let name = object.status.as_ref()?.database_name.as_deref()?;
    let database = ctx.core.stores.databases.get(&ObjectRef::new(name))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let is_its_own = Some(&claim.uid) == object.metadata.uid.as_ref() && database.is_held();
    if !is_its_own || !object.is_published() || object.is_asleep() {
        return None;
    }
    measure(ctx, &database).await.map(Sizes::of_database)
}

/// The sizes that the last complete backup has, whoever has made it.
fn of_last_backup(ctx: &Context, object: &Orchestra) -> Option<Sizes> {
    let (name, of) = (object.name_any(), &object.metadata);
    let all = ctx.core.stores.backups.state_filter(|backup| {
        let uid = backup.status.as_ref().and_then(|status| status.orchestra_uid.as_ref());
        backup.spec.orchestra_ref.name == name
            && backup.metadata.namespace == of.namespace
            && uid == of.uid.as_ref()
            && backup.is_complete()
    });
    let sizes = |backup: &OrchestraBackup| {
        let status = backup.status.as_ref()?;
        Some((backup.taken(), number(status.raw_bytes?), number(status.bytes?)))
    };
    let last = all
        .iter()
        .filter_map(|backup| sizes(backup))
        .max_by_key(|(taken, ..)| *taken);
    last.map(|(_, sent, stored)| Sizes { sent, stored })
}

/// What was recorded with the accepted schedule.
pub fn recorded(object: &Orchestra) -> Option<Sizes> {
    let known = object.status.as_ref()?.backup.as_ref()?.estimate.as_ref()?;
    Some(Sizes {
        sent: number(known.sent_bytes),
        stored: number(known.stored_bytes),
    })
}

fn number(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

/// The size of a database. A failure is not an error of the pass: the estimate waits.
async fn measure(ctx: &Context, database: &OrchestraDatabase) -> Option<u64> {
    let name = database.name_any();
    if let Some(last) = ctx.size_reads.last(&name, Instant::now()) {
        return last.bytes;
    }
    // Somebody else's login was refused just now: the next one has to wait.
    if ctx.logins.wait(&name, ctx.core.settings.login_spacing).is_some() {
        return None;
    }
    let read = tokio::time::timeout(LIMIT, Box::pin(read(ctx, database))).await;
    let read = read.unwrap_or_else(|_| Err(postgres::Error::Timeout(LIMIT).into()));
    let bytes = read
        .inspect_err(|error| {
            tracing::info!(
                database = name,
                %error,
                "the size of a database cannot be read for the estimate of its backups"
            );
        })
        .ok();
    ctx.size_reads.record(&name, bytes, Instant::now());
    bytes
}

/// Asks the database for its size, in one session of its owner.
async fn read(ctx: &Context, database: &OrchestraDatabase) -> Result<u64, Error> {
    let (mut session, _) = order::session(ctx, database).await?;
    inventory::check_identity(&mut session, database).await?;
    Ok(number(postgres::measure(&mut session).await?.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_not_asked_again_before_its_size_or_the_wait_has_run_out() {
        let (reads, mut now) = (SizeReads::default(), Instant::now());
        let is_due = |database: &str, at| reads.last(database, at).is_none();
        let bytes = |at| reads.last("a", at).map(|last| last.bytes);
        assert!(is_due("a", now));
        let mut waits = Vec::new();
        for _ in 0..6 {
            reads.record("a", None, now);
            assert_eq!(bytes(now), Some(None));
            let wait = (0..100_000)
                .map(Duration::from_secs)
                .find(|wait| is_due("a", now + *wait));
            waits.extend(wait);
            now += wait.unwrap_or_default();
        }
        assert_eq!(
            waits.iter().map(Duration::as_secs).collect::<Vec<_>>(),
            [60, 120, 240, 480, 600, 600]
        );
        assert!(is_due("b", now), "of this database alone");
        reads.record("a", Some(7), now);
        assert_eq!(bytes(now + COUNTS.saturating_sub(FIRST)), Some(Some(7)));
        assert!(is_due("a", now + COUNTS));
        // After a success the waits begin anew.
        reads.record("a", None, now + COUNTS);
        assert!(is_due("a", now + COUNTS + FIRST));
    }
}
