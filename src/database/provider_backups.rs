//! The backups that the provider makes of a project in use by itself, for its status: they are read with its keys, once a day.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::{Pass, keys};
use crate::api::ProviderBackups;
use crate::recent::Recent;
use crate::supabase::Account;
use crate::supabase::backups::ProjectBackups;

/// How many reads of the keys there are for one of the backups: a day by default.
const READS: u32 = 24;

/// How long the time is remembered for a database that is not reconciled.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// When the backups of each project are read again, by OrchestraDatabase. The first time is that of the first read of its keys.
pub struct BackupReads(Mutex<Recent<Instant>>);

impl Default for BackupReads {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl BackupReads {
    fn are_due(&self, database: &str, now: Instant) -> bool {
        self.0.lock().get(database).is_none_or(|due| now >= *due)
    }

    /// Forgets a database that is gone.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }
}

/// Reads them, if it is time. A failure, such as a token without the permission, stops nothing: what was read before stays.
pub async fn read(pass: &Pass, account: &Account, reference: &str) -> Option<ProviderBackups> {
    let (name, now) = (pass.name(), Instant::now());
    let reads = &pass.ctx.backup_reads;
    if !reads.are_due(name, now) {
        return None;
    }
    let next = keys::interval(pass.ctx.core.settings.resync) * READS;
    reads.0.lock().insert(name, now + next);
    match account.client().backups(reference).await {
        Ok(found) => Some(told(&found, retention_days(pass))),
        Err(error) => {
            tracing::info!(%error, "the provider's backups cannot be read");
            None
        }
    }
}

/// What the plan of the organization keeps, as the class knows it.
fn retention_days(pass: &Pass) -> Option<i64> {
    let class = pass.object.spec.class_name.as_deref()?;
    let class = pass.ctx.core.stores.classes.get(&ObjectRef::new(class))?;
    class.status.as_ref()?.account.as_ref()?.backup_retention_days
}

fn told(found: &ProjectBackups, retention_days: Option<i64>) -> ProviderBackups {
    ProviderBackups {
        count: i32::try_from(found.complete).unwrap_or(i32::MAX),
        earliest_time: found.earliest.map(Time),
        latest_time: found.latest.map(Time),
        point_in_time: found.point_in_time,
        retention_days,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_once_an_interval() {
        let (reads, now) = (BackupReads::default(), Instant::now());
        assert!(reads.are_due("orchdb-1", now));
        reads.0.lock().insert("orchdb-1", now + REMEMBERED);
        assert!(!reads.are_due("orchdb-1", now) && reads.are_due("orchdb-2", now));
        assert!(reads.are_due("orchdb-1", now + REMEMBERED));
        reads.forget("orchdb-1");
        assert!(reads.are_due("orchdb-1", now));
    }
}
