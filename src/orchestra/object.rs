//! The one writer of the Orchestra of a pass: the pass continues with what each write returns.

use super::Pass;
use super::counted::CountedEnd;
use crate::api::{ORCHESTRA_FINALIZER, OrchestraStatus};
use crate::controller::error::Error;
use crate::controller::status::{self, News};
use crate::controller::write;
use crate::telemetry::traces::ParentSpan;

impl Pass {
    /// Writes the status when it has changed, with an event if there is news.
    pub(super) async fn write_status(&mut self, new: OrchestraStatus, news: Option<News>) -> Result<(), Error> {
        let ended = CountedEnd::by(&self.object, &new);
        let before = ParentSpan::of(&self.object);
        self.object = status::write(&self.ctx.core, &self.object, new, news).await?;
        before.written(&self.object);
        if let Some(ended) = ended {
            ended.count(self.ctx.core.metrics.provisioning());
        }
        Ok(())
    }

    /// Changes the status.
    pub(super) async fn change_status(&mut self, change: impl FnOnce(&mut OrchestraStatus)) -> Result<(), Error> {
        let mut new = self.object.status.clone().unwrap_or_default();
        change(&mut new);
        self.write_status(new, None).await
    }

    /// Puts the operator's finalizer on, or takes it off.
    pub(super) async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        if let Some(object) = write::set_finalizer(&self.ctx.core, &self.object, ORCHESTRA_FINALIZER, present).await? {
            self.object = object;
        }
        Ok(())
    }

    /// Deletes this version of the Orchestra. Returns whether it still exists, and waits for its finalizer.
    pub(super) async fn delete(&mut self) -> Result<bool, Error> {
        let Some(object) = write::delete(&self.ctx.core, &self.object).await? else {
            return Ok(false);
        };
        self.object = object;
        Ok(true)
    }
}
