//! Reads the state of the drills of a backup.

use std::sync::Arc;

use jiff::Timestamp;

use super::place;
use super::plan::Facts;
use super::verdict::DrillEnd;
use crate::api::names::label_of;
use crate::api::{OrchestraClass, ScratchDatabase};
use crate::backup::job::{self, JobPod};
use crate::backup::observe::{JobLook, after, digest_of, is_next, rest};
use crate::backup::order;
use crate::backup::plan::{Due, Job};
use crate::backup::queue::Asker;
use crate::backup::{Context, Pass};
use crate::controller::error::Error;

/// What was observed.
pub struct Observed {
    /// The time of this look.
    pub now: Timestamp,
    /// The facts of the plan.
    pub facts: Facts,
    /// How the Job of the last attempt ended, once it has.
    pub end: Option<DrillEnd>,
    /// The pod of its Job, while that has not ended.
    pub pod: JobPod,
    /// The class in whose store the backup is, where it is there.
    pub class: Option<Arc<OrchestraClass>>,
    /// Where the next scratch database is to be, or why there is no place for one; none while nobody asks for a drill.
    pub place: Option<Result<ScratchDatabase, Error>>,
}

/// Reads everything. `class`: the class in whose store the backup is, where it exists.
///
/// # Errors
/// When the Kubernetes API fails or refuses.
pub async fn observe(pass: &Pass, class: Option<Arc<OrchestraClass>>, now: Timestamp) -> Result<Observed, Error> {
    let (core, drill, name) = (pass.core(), pass.drill(), pass.drill_job());
    let announced = drill.attempts > drill.concluded;
    let left_over = drill.attempts > 0 && job::is_there(core, &name);
    let look = if announced || left_over {
        JobLook::of(job::look(core, &name).await?, DrillEnd::of)
    } else {
        JobLook::NONE
    };
    let wanted = is_wanted(pass);
    let place = (wanted && !announced).then(|| choose(pass, class.as_ref()));
    let at = drill.scratch.as_ref().or(match &place {
        Some(Ok(place)) => Some(place),
        _ => None,
    });
    let settings = class.as_ref().and_then(|class| class.spec.backup.as_ref());
    let has_room = match (at, settings) {
        (Some(at), Some(settings)) => is_next(&pass.ctx, &asker(pass, at), settings),
        // What is missing is reported when the Job is to be made.
        _ => true,
    };
    Ok(Observed {
        now,
        facts: Facts {
            wanted,
            announced,
            job: look.job,
            left_over: left_over || look.job != Job::None,
            scratch: drill.scratch.is_some(),
            drop_wait: pass.ctx.drops.wait(pass.uid()),
            due: due(pass, now),
            has_place: matches!(place, Some(Ok(_))),
            has_room,
        },
        end: look.end,
        pod: look.pod,
        class,
        place,
    })
}

/// Whether somebody asks for a drill, or the last one is to be tried again.
fn is_wanted(pass: &Pass) -> bool {
    let failed = pass.drill().failure.is_some_and(|failure| !failure.last);
    pass.object.asks_for_drill().is_some() || failed
}

/// When the next attempt may be made.
fn due(pass: &Pass, now: Timestamp) -> Due {
    let drill = pass.drill();
    let Some(failure) = drill.failure.filter(|_| pass.object.asks_for_drill().is_none()) else {
        return Due::Now;
    };
    if failure.last {
        return Due::Never;
    }
    rest(after(drill.failures), failure.time.0, now)
}

fn choose(pass: &Pass, class: Option<&Arc<OrchestraClass>>) -> Result<ScratchDatabase, Error> {
    let class = order::class_of(&pass.status(), class.cloned(), "")?;
    place::choose(pass, &class)
}

/// What a drill that wants a Job asks for.
pub fn asker(pass: &Pass, at: &ScratchDatabase) -> Asker {
    let status = pass.status();
    Asker {
        uid: pass.uid().to_owned(),
        namespace: pass.object.metadata.namespace.clone().unwrap_or_default(),
        orchestra: None,
        class: label_of(status.class_name.as_deref().unwrap_or_default()),
        server: Some(server_label(&pass.ctx, at)),
    }
}

/// The label with the server of a scratch database.
pub fn server_label(ctx: &Context, at: &ScratchDatabase) -> String {
    digest_of(&place::server(ctx, at))
}
