//! What other tools make of objects: kstatus, by which Flux and others wait, and health checks of Argo CD. The real library
//! and the real interpreter are in a program of their own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure as must};
use orchestra_setup::go::{JUDGES, ensure};
use orchestra_setup::progress::Progress;
use serde::Deserialize;

/// What is made of an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Verdict {
    /// `Current`, `InProgress`, `Failed` or `Terminating`.
    pub kstatus: String,
    /// Argo CD's health, when its checks were given.
    pub argo: Option<Health>,
}

/// The health of an object in Argo CD.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Degraded` or `Suspended`.
    pub status: String,
    /// Why.
    pub message: String,
}

/// The program of `tests/judges`, sought or built once by a process; where it cannot be had, a line on standard error says what is not tested.
pub fn find_or_say(what: &str) -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| ensure(&JUDGES, &Progress::new()).map_err(|error| format!("{error:#}")));
    match found {
        Ok(program) => Some(program),
        Err(error) => {
            crate::left_out(&format!("{what}: the program of tests/judges cannot be had: {error}"));
            None
        }
    }
}

/// What is made of each object of a stream of YAML or JSON documents, in their order; none where the program cannot be
/// had. `checks`: a ConfigMap with health checks of Argo CD.
///
/// # Errors
/// When the program refuses an object.
pub fn verdicts(objects: &str, checks: Option<&Path>) -> Result<Option<Vec<Verdict>>> {
    let Some(program) = find_or_say("what kstatus and Argo CD make of objects") else {
        return Ok(None);
    };
    let mut child = Command::new(program)
        .args(checks)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("the standard input is piped")?;
    let objects = objects.to_owned();
    // The program writes before it has read everything.
    let writer = std::thread::spawn(move || input.write_all(objects.as_bytes()));
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    must!(output.status.success(), "{errors}");
    writer.join().ok().context("the writer has panicked")??;
    let lines = String::from_utf8(output.stdout)?;
    let verdicts = lines.lines().map(|line| Ok(serde_json::from_str(line)?));
    verdicts.collect::<Result<_>>().map(Some)
}
