//! The life of a backup: one Job makes it, and when its object is deleted with `deletionPolicy: Delete`, another removes its
//! data. What a Job is about to do is written down before it is made, and its end before it is deleted.

use std::time::Duration;

use super::drill::plan as drill;

/// What one pass has observed.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The finalizer is on the object.
    pub held: bool,
    /// What is to become of the data; none while no deletion was requested.
    pub removal: Option<Removal>,
    /// Class, database and path are written down.
    pub recorded: bool,
    /// The manifest is stored.
    pub complete: bool,
    /// Jobs that were announced.
    pub attempts: i32,
    /// The end of the last of them is written down.
    pub concluded: bool,
    /// The Job that makes the backup.
    pub making: Job,
    /// The Job that removes its data.
    pub removing: Job,
    /// A Job, or the Secret of one, is there.
    pub left_over: bool,
    /// When the next attempt may be made.
    pub due: Due,
    /// The class and the server have room for another Job.
    pub has_room: bool,
    /// Its drills.
    pub drill: drill::Seen,
}

/// What becomes of the data of a deleted backup.
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
    /// There is none.
    #[default]
    None,
    /// It runs, or will.
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
    Hold,
    /// Write down whose database is backed up, and where to.
    Record,
    /// Write down that another Job is about to be made.
    Announce(Task),
    /// Make the announced Job and its Secret.
    Start(Task),
    /// Write down how the Job ended.
    Conclude(Task),
    /// Delete the Jobs and their Secrets.
    CleanUp,
    /// Wait until another Job of the class or the server has ended.
    Queue(Task),
    /// Wait until the Job has ended.
    Await(Task),
    /// Wait before the next attempt.
    Retry(Task, Duration),
    /// A step of a drill.
    Drill(drill::Step),
    /// Delete what is left of Jobs and their Secrets, and take the finalizer off: the object goes.
    Release,
    /// The backup failed, and a person must act.
    Fail,
    /// The backup is complete.
    Rest,
}

/// The next step for what was observed.
pub fn plan(seen: &Seen) -> Step {
    match seen.removal {
        Some(_) if !seen.held => Step::Release,
        Some(removal) => remove(seen, removal),
        None if !seen.held => Step::Hold,
        None => make(seen),
    }
}

fn make(seen: &Seen) -> Step {
    if !seen.recorded {
        return Step::Record;
    }
    if seen.concluded && seen.left_over {
        return Step::CleanUp;
    }
    if seen.complete {
        return drill::plan(&seen.drill).map_or(Step::Rest, Step::Drill);
    }
    attempt(seen, Task::Make, seen.making)
}

/// A drill ends first. Without a Job that was ever announced there is nothing in the store. Half a backup is removed as a whole one is.
fn remove(seen: &Seen, removal: Removal) -> Step {
    if let Some(step) = drill::leave(&seen.drill) {
        return Step::Drill(step);
    }
    if seen.making != Job::None {
        return Step::CleanUp;
    }
    if removal == Removal::Keep || seen.attempts == 0 || seen.removing == Job::Done {
        return Step::Release;
    }
    if seen.concluded && seen.left_over {
        return Step::CleanUp;
    }
    attempt(seen, Task::Remove, seen.removing)
}

fn attempt(seen: &Seen, task: Task, job: Job) -> Step {
    if seen.attempts > 0 && !seen.concluded {
        return match job {
            Job::None if seen.has_room => Step::Start(task),
            Job::None => Step::Queue(task),
            Job::Runs => Step::Await(task),
            Job::Done | Job::Failed => Step::Conclude(task),
        };
    }
    match seen.due {
        Due::Never => Step::Fail,
        Due::In(wait) => Step::Retry(task, wait),
        Due::Now if seen.has_room => Step::Announce(task),
        Due::Now => Step::Queue(task),
    }
}

#[cfg(test)]
mod tests;
