//! The life of a backup: one Job makes it, and when its object is deleted with `deletionPolicy: Delete`, another removes its
//! data. What a Job is about to do is recorded before the Job is made, and its end before the Job is deleted.

use std::time::Duration;

use super::drill::plan as drill;
use crate::api::condition::Reason;

/// What one pass has observed.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The finalizer is on the object.
    pub finalizer: bool,
    /// What happens to the data on deletion; none while no deletion was requested.
    pub removal: Option<Removal>,
    /// Class, database and path are recorded.
    pub recorded: bool,
    /// The manifest is stored.
    pub complete: bool,
    /// Jobs that were announced.
    pub attempts: i32,
    /// The end of the last of them is recorded.
    pub concluded: bool,
    /// The Job that makes the backup.
    pub making: Job,
    /// The Job that removes its data.
    pub removing: Job,
    /// A Job, or the Secret of one, is there.
    pub left_over: bool,
    /// When the next attempt may be made.
    pub due: Due,
    /// What is backed up: an Orchestra in use whose class names a store; once that is recorded, its database.
    pub source: Requirement,
    /// The store that was recorded: its class, with the same destination.
    pub store: Requirement,
    /// The class and the server have room for another Job.
    pub has_room: bool,
    /// Its drills.
    pub drill: drill::Facts,
}

/// What happens to the data of a deleted backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It stays.
    Keep,
    /// It is removed from the store.
    Remove,
}

/// How far a Job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Job {
    /// There is no Job.
    #[default]
    None,
    /// It is running or pending.
    Runs,
    /// It was successful.
    Done,
    /// It failed.
    Failed,
}

/// When the next attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// After this time.
    In(Duration),
    /// When a person asks for it.
    Never,
}

/// Whether something that the next Job needs exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// It is there.
    Met,
    /// It does not exist yet, and nobody has to act.
    Awaited(Reason),
    /// It does not exist until a person acts.
    Missing(Reason),
}

/// What a Job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It makes the backup.
    Make,
    /// It removes the backup's data.
    Remove,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put the finalizer on the object.
    AddFinalizer,
    /// Record whose database is backed up, and where to.
    Record,
    /// Record that another Job is about to be made.
    Announce(Task),
    /// Make the announced Job and its Secret.
    Start(Task),
    /// Record how the Job ended.
    Conclude(Task),
    /// Delete the Jobs and their Secrets.
    CleanUp,
    /// Wait for something that the Job needs.
    Wait(Task, Reason),
    /// A person must provide what the Job needs.
    Stop(Task, Reason),
    /// Wait until another Job of the class or the server has ended.
    Queue(Task),
    /// Wait until the Job has ended.
    Await(Task),
    /// Wait before the next attempt.
    Retry(Task, Duration),
    /// A step of a drill.
    Drill(drill::Step),
    /// Delete what is left of Jobs and their Secrets, and remove the finalizer: the object goes.
    Release,
    /// The backup failed, and a person must act.
    Fail,
    /// The backup is complete.
    Rest,
}

/// The next step for these facts.
pub fn plan(facts: &Facts) -> Step {
    match facts.removal {
        Some(_) if !facts.finalizer => Step::Release,
        Some(removal) => remove(facts, removal),
        None if !facts.finalizer => Step::AddFinalizer,
        None => make(facts),
    }
}

fn make(facts: &Facts) -> Step {
    if !facts.recorded {
        return lacking(Task::Make, facts.source).unwrap_or(Step::Record);
    }
    if facts.concluded && facts.left_over {
        return Step::CleanUp;
    }
    // The digest of a final backup is recorded in its database before the end of the Job is recorded here.
    if facts.complete && facts.attempts > 0 && !facts.concluded && facts.making == Job::Done {
        return Step::Conclude(Task::Make);
    }
    if facts.complete {
        return drill::plan(&facts.drill).map_or(Step::Rest, Step::Drill);
    }
    attempt(facts, Task::Make, facts.making)
}

/// A drill ends first. Without a Job that was ever announced there is nothing in the store. An incomplete backup is removed
/// like a complete one.
fn remove(facts: &Facts, removal: Removal) -> Step {
    if let Some(step) = drill::leave(&facts.drill) {
        return Step::Drill(step);
    }
    if facts.making != Job::None {
        return Step::CleanUp;
    }
    if removal == Removal::Keep || facts.attempts == 0 || facts.removing == Job::Done {
        return Step::Release;
    }
    if facts.concluded && facts.left_over {
        return Step::CleanUp;
    }
    attempt(facts, Task::Remove, facts.removing)
}

fn attempt(facts: &Facts, task: Task, job: Job) -> Step {
    if facts.attempts > 0 && !facts.concluded {
        return match job {
            Job::None => next(facts, task, Step::Start(task)),
            Job::Runs => Step::Await(task),
            Job::Done | Job::Failed => Step::Conclude(task),
        };
    }
    match facts.due {
        Due::Never => Step::Fail,
        Due::In(wait) => Step::Retry(task, wait),
        Due::Now => next(facts, task, Step::Announce(task)),
    }
}

/// The step towards a Job, once its store, its database and room for it are there. A removal needs no database.
fn next(facts: &Facts, task: Task, step: Step) -> Step {
    let source = if task == Task::Make {
        facts.source
    } else {
        Requirement::Met
    };
    let lacking = lacking(task, facts.store).or_else(|| lacking(task, source));
    lacking.unwrap_or(if facts.has_room { step } else { Step::Queue(task) })
}

fn lacking(task: Task, need: Requirement) -> Option<Step> {
    match need {
        Requirement::Met => None,
        Requirement::Awaited(reason) => Some(Step::Wait(task, reason)),
        Requirement::Missing(reason) => Some(Step::Stop(task, reason)),
    }
}

#[cfg(test)]
mod tests;
