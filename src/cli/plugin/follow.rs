//! Follows an object that a command has changed and the operator works on: prints each change until the work has ended.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::bail;
use kube::api::Api;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::cli::changed::ChangedOutput;
use crate::cli::output::say;

/// How often the object is read.
const PACE: Duration = Duration::from_millis(500);

/// The progress of the work on an object.
pub enum Course {
    /// It continues; with a line that is printed when it has changed. An empty one is not printed.
    UnderWay(String),
    /// It has succeeded; with the line that is printed.
    Done(String),
    /// It has ended otherwise, or a person must act; with the error.
    Failed(String),
}

/// What a command has changed, and whether it waits for the work that follows.
pub struct Asked<'a> {
    /// What was done, such as `created`.
    pub done: &'a str,
    /// What the work is called.
    pub work: &'a str,
    /// Whether its end is waited for.
    pub wait: bool,
    /// How long it is waited for.
    pub timeout: Option<Duration>,
    /// What is printed.
    pub output: ChangedOutput,
}

/// Prints what has become of `first` and, where its end is waited for, each change until `course` finds the end. For programs
/// only the object is printed, as it is at the end of the command.
///
/// # Errors
/// When the work fails, the object cannot be read or is another one, or the time is over.
pub async fn follow<K>(api: &Api<K>, first: &K, asked: &Asked<'_>, course: impl Fn(&K) -> Course) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let is_for_people = asked.output.is_for_people();
    if is_for_people || !asked.wait {
        say(&asked.output.of(first, asked.done)?)?;
    }
    if !asked.wait {
        return Ok(());
    }
    let (ended, line) = Box::pin(end(api, first, asked, course)).await?;
    if is_for_people {
        say(&line)
    } else {
        say(&asked.output.of(&ended, asked.done)?)
    }
}

/// Waits for the end of the work. Returns the object then, and the line about it.
async fn end<K>(
    api: &Api<K>,
    first: &K,
    asked: &Asked<'_>,
    course: impl Fn(&K) -> Course,
) -> anyhow::Result<(K, String)>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (began, name, kind) = (Instant::now(), first.name_any(), K::kind(&()));
    let mut last = String::new();
    loop {
        let object = api.get(&name).await?;
        if object.uid() != first.uid() {
            bail!("{kind} {name} was deleted, and another one has its name");
        }
        match course(&object) {
            Course::Done(line) => return Ok((object, line)),
            Course::Failed(message) => bail!(message),
            Course::UnderWay(line) if line.is_empty() || line == last => {}
            Course::UnderWay(line) => {
                if asked.output.is_for_people() {
                    say(&line)?;
                }
                last = line;
            }
        }
        if asked.timeout.is_some_and(|limit| began.elapsed() >= limit) {
            let kinds = K::plural(&());
            let work = asked.work;
            bail!("timed out: the {work} continues; kubectl get {kinds} {name} shows how far it is");
        }
        tokio::time::sleep(PACE).await;
    }
}
