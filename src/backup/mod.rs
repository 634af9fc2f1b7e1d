//! OrchestraBackup: Jobs in the operator's namespace make a backup, or read the manifest of a stored one, and remove its data. [`plan`] has the whole life of a
//! backup; [`needs`] looks up what a Job needs; [`job`] makes Jobs for backups, restores and drills; [`progress`] reads how far they are; [`drill`] restores a
//! backup into a scratch database and compares it; [`schedule`] makes and deletes OrchestraBackups by the schedules of
//! Orchestras.

mod act;
pub mod attempts;
mod drill;
mod final_backup;
mod folder;
pub mod job;
mod key;
mod needs;
mod object;
mod observe;
mod order;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod queue;
pub mod restore;
pub mod schedule;
mod status;
mod stored;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::api::OrchestraBackup;
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::postgres::RefusedLogins;
use crate::{class, credentials};

pub use drill::Drops;
pub use status::report;

/// The state that passes over backups share.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Classes, and the marker of this cluster.
    pub class: Arc<class::Context>,
    /// Logins of owners.
    pub credentials: Arc<credentials::Context>,
    /// Refused logins, and when the next one may be tried.
    pub logins: Arc<RefusedLogins>,
    /// Sizes of databases that were read for estimates.
    pub size_reads: schedule::SizeReads,
    /// Locked while Jobs are counted and one more is made.
    pub starting: Mutex<()>,
    /// Backups that wait for a Job.
    pub queue: queue::JobQueue,
    /// Scratch databases that were dropped lately.
    pub drops: Drops,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// One pass: observe → plan → status → act, until it has to wait.
pub async fn pass(backup: Arc<OrchestraBackup>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(object) = current(&ctx.core, &*backup).await? else {
        return Ok(Next::Gone);
    };
    let object = final_backup::trusted(&ctx, object);
    let mut pass = Pass { ctx, object };
    loop {
        let observed = observe::observe(&pass).await?;
        let step = plan::plan(&observed.facts);
        tracing::debug!(?step, "next");
        status::write(&mut pass, step, &observed).await?;
        if let Some(next) = act::act(&mut pass, step, &observed).await? {
            return Ok(next);
        }
    }
}

/// One pass over a backup.
struct Pass {
    ctx: Arc<Context>,
    /// The object, as returned by the last write of this pass.
    object: OrchestraBackup,
}

impl Pass {
    fn core(&self) -> &Core {
        &self.ctx.core
    }

    fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    fn status(&self) -> crate::api::OrchestraBackupStatus {
        self.object.status.clone().unwrap_or_default()
    }

    /// Name of the Job of an attempt, and of the Job's Secret.
    fn job_name(&self, task: plan::Task, attempt: i32) -> String {
        job_name(task, self.uid(), attempt)
    }
}

fn job_name(task: plan::Task, uid: &str, attempt: i32) -> String {
    format!("{}{attempt}", job_prefix(task, uid))
}

/// The prefix of the names of a backup's Jobs.
fn job_prefix(task: plan::Task, uid: &str) -> String {
    let what = match task {
        plan::Task::Make => "backup",
        plan::Task::Remove => "backup-removal",
    };
    format!("{what}-{uid}-")
}
