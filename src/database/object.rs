//! The one writer of the OrchestraDatabase of a pass: the pass continues with what each write returns.

use serde_json::Value;

use super::Pass;
use crate::api::{DATABASE_FINALIZER, OrchestraDatabaseStatus};
use crate::controller::error::Error;
use crate::controller::status::{self, News};
use crate::controller::write;

impl Pass {
    /// Writes the status when it has changed, with an event if there is news.
    pub(super) async fn write_status(&mut self, new: OrchestraDatabaseStatus, news: Option<News>) -> Result<(), Error> {
        self.object = status::write(&self.ctx.core, &self.object, new, news).await?;
        Ok(())
    }

    /// Changes this version of the object by a merge patch. An empty patch only checks that nobody has changed the object.
    pub(super) async fn change(&mut self, patch: Value) -> Result<(), Error> {
        self.object = write::change(&self.ctx.core, &self.object, patch).await?;
        Ok(())
    }

    /// Puts the operator's finalizer on, or takes it off.
    pub(super) async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        if let Some(object) = write::set_finalizer(&self.ctx.core, &self.object, DATABASE_FINALIZER, present).await? {
            self.object = object;
        }
        Ok(())
    }

    /// Deletes this version of the object. Returns whether it still exists, and waits for its finalizer.
    pub(super) async fn delete(&mut self) -> Result<bool, Error> {
        let Some(object) = write::delete(&self.ctx.core, &self.object).await? else {
            return Ok(false);
        };
        self.object = object;
        Ok(true)
    }
}
