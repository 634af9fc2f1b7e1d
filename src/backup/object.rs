//! The one writer of the OrchestraBackup of a pass: the pass continues with what each write returns.

use super::Pass;
use crate::api::{BACKUP_FINALIZER, OrchestraBackupStatus};
use crate::controller::error::Error;
use crate::controller::status::{self, News};
use crate::controller::write;

impl Pass {
    /// Writes the status when it has changed, with an event if there is news.
    pub(super) async fn write_status(&mut self, new: OrchestraBackupStatus, news: Option<News>) -> Result<(), Error> {
        self.object = status::write(&self.ctx.core, &self.object, new, news).await?;
        Ok(())
    }

    /// Puts the operator's finalizer on, or takes it off.
    pub(super) async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        if let Some(object) = write::set_finalizer(&self.ctx.core, &self.object, BACKUP_FINALIZER, present).await? {
            self.object = object;
        }
        Ok(())
    }
}
