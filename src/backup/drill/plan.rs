//! The life of a drill. The place of the scratch database is in the status from before it is created until it is dropped.

use std::time::Duration;

use crate::backup::plan::{Due, Job};

/// What one pass has observed.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Somebody asks for a drill that was not started, or the last one is to be tried again.
    pub wanted: bool,
    /// A Job was announced, and its end is not recorded.
    pub announced: bool,
    /// That Job.
    pub job: Job,
    /// A Job of a drill, or the Secret of one, is there.
    pub left_over: bool,
    /// A scratch database may be there.
    pub scratch: bool,
    /// The time until the next scratch database may be dropped; zero once another drill was announced since the last drop.
    pub drop_wait: Duration,
    /// When the next attempt may be made.
    pub due: Due,
    /// There is a server for the scratch database.
    pub has_place: bool,
    /// The class and that server have room for another Job.
    pub has_room: bool,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Record that there is no server for a scratch database, so that nothing is tried before somebody asks again.
    Refuse,
    /// Record where the scratch database will be, and that a Job is about to be made.
    Announce,
    /// Make the scratch database and the announced Job.
    Start,
    /// Record how the Job ended.
    Conclude,
    /// Delete the Job and its Secret.
    CleanUp,
    /// Drop the scratch database.
    Drop,
    /// Wait before the scratch database is dropped: one was dropped a moment ago, and no drill has started since.
    Pause(Duration),
    /// Wait until another Job of the class or the server has ended.
    Queue,
    /// Wait until the Job has ended.
    Await,
    /// Wait before the next attempt.
    Retry(Duration),
}

/// The next step of the drills of a complete backup; none when nothing is to be done.
pub fn plan(facts: &Facts) -> Option<Step> {
    if facts.announced {
        return Some(match facts.job {
            Job::None if facts.has_room => Step::Start,
            Job::None => Step::Queue,
            Job::Runs => Step::Await,
            Job::Done | Job::Failed => Step::Conclude,
        });
    }
    if let Some(step) = leave(facts) {
        return Some(step);
    }
    match facts.due {
        _ if !facts.wanted => None,
        Due::Never => None,
        Due::In(wait) => Some(Step::Retry(wait)),
        Due::Now if !facts.has_place => Some(Step::Refuse),
        Due::Now if facts.has_room => Some(Step::Announce),
        Due::Now => Some(Step::Queue),
    }
}

/// What is to be done before a backup is removed, or after an attempt; none when nothing of a drill is left. The pod is gone
/// before its database is dropped.
pub fn leave(facts: &Facts) -> Option<Step> {
    if facts.left_over || facts.job != Job::None {
        return Some(Step::CleanUp);
    }
    match facts.drop_wait {
        _ if !facts.scratch => None,
        Duration::ZERO => Some(Step::Drop),
        wait => Some(Step::Pause(wait)),
    }
}

#[cfg(test)]
mod tests;
