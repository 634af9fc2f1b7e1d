//! Follows an object that the operator works on: prints each change until the work has ended.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::bail;
use kube::api::Api;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

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

/// Prints each change of `first` until `course` finds the end of the work, which is called `work`.
///
/// # Errors
/// When the work fails, the object cannot be read or is another one, or the time is over.
pub async fn follow<K>(
    api: &Api<K>,
    first: &K,
    (work, limit): (&str, Option<Duration>),
    course: impl Fn(&K) -> Course,
) -> anyhow::Result<()>
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
            Course::Done(line) => return say(&line),
            Course::Failed(message) => bail!(message),
            Course::UnderWay(line) if line.is_empty() || line == last => {}
            Course::UnderWay(line) => {
                say(&line)?;
                last = line;
            }
        }
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            let kinds = K::plural(&());
            bail!("timed out: the {work} continues; kubectl get {kinds} {name} shows how far it is");
        }
        tokio::time::sleep(PACE).await;
    }
}
