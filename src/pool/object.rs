//! The one writer of the OrchestraPool of a pass: the pass continues with what each write returns.

use std::sync::Arc;

use super::Pass;
use crate::api::{OrchestraPoolStatus, POOL_FINALIZER};
use crate::controller::error::Error;
use crate::controller::status::{self, News};
use crate::controller::write;

impl Pass {
    /// Writes the status when it has changed, with an event if there is news.
    pub(super) async fn write_status(&mut self, new: OrchestraPoolStatus, news: Option<News>) -> Result<(), Error> {
        let pool = status::write(&self.ctx.core, &*self.pool, new, news).await?;
        self.pool = Arc::new(pool);
        Ok(())
    }

    /// Puts the operator's finalizer on, or takes it off.
    pub(super) async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        if let Some(pool) = write::set_finalizer(&self.ctx.core, &*self.pool, POOL_FINALIZER, present).await? {
            self.pool = Arc::new(pool);
        }
        Ok(())
    }
}
