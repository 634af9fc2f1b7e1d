//! OrchestraBackup: a backup is made, and its data removed, by Jobs in the operator's namespace. [`plan`] tells it on one
//! page; [`job`] makes such a Job, whatever it is to do; [`drill`] restores a backup for trial; [`schedule`] makes and deletes OrchestraBackups by the schedules
//! of Orchestras.

mod act;
mod drill;
pub mod job;
mod observe;
mod order;
pub mod outcome;
pub mod plan;
pub mod queue;
pub mod restore;
pub mod schedule;
mod status;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::api::OrchestraBackup;
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::{class, credentials};

pub use status::report;

/// What passes over backups need.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Classes, and what marks this cluster.
    pub class: Arc<class::Context>,
    /// Logins of owners.
    pub credentials: Arc<credentials::Context>,
    /// Held while Jobs are counted and one more is made.
    pub starting: Mutex<()>,
    /// Backups that wait for a Job.
    pub queue: queue::Queue,
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
    let mut pass = Pass { ctx, object };
    loop {
        let observed = observe::observe(&pass).await?;
        let step = plan::plan(&observed.seen);
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
    /// The object, as the last write of this pass left it.
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

    /// Name of the Job, and of its Secret, of an attempt.
    fn job_name(&self, task: plan::Task, attempt: i32) -> String {
        format!("{}{attempt}", job_prefix(task, self.uid()))
    }
}

/// What the names of the Jobs of a backup begin with.
fn job_prefix(task: plan::Task, uid: &str) -> String {
    let what = match task {
        plan::Task::Make => "backup",
        plan::Task::Remove => "backup-removal",
    };
    format!("{what}-{uid}-")
}
