//! Drills: a complete backup is restored into a scratch database by a Job, compared with its manifest, and the database is
//! dropped again, also after a crash. [`plan`] has the whole life of a drill. A drill is a part of the pass over its
//! OrchestraBackup, and its state is `status.verification`.

mod act;
mod assertions;
mod observe;
mod pace;
mod place;
pub mod plan;
mod verdict;

pub use act::act;
pub use observe::{Observed, observe};
pub use pace::Drops;
pub use verdict::condition;

use super::Pass;
use crate::api::BackupDrill;

impl Pass {
    /// The state of the drills.
    fn drill(&self) -> BackupDrill {
        let status = self.object.status.as_ref();
        status
            .and_then(|status| status.verification.clone())
            .unwrap_or_default()
    }

    /// Name of the Job, and of its Secret, of the last attempt of a drill.
    fn drill_job(&self) -> String {
        format!("drill-{}-{}", self.uid(), self.drill().attempts)
    }
}
