//! Programs whose output goes to a file, from which is seen how far they are.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

/// How often the file is read.
const PACE: Duration = Duration::from_millis(500);

/// How many of its last lines an error shows.
const LAST: usize = 25;

/// Set once another program has failed, without which this one is of no use.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Why a program has no outcome of its own.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped, because something else has failed")
    }
}

impl std::error::Error for Stopped {}

/// Ends the programs that run, and those that would be run later.
pub fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Whether [`stop`] is the cause of an error.
pub fn was_stopped(error: &Error) -> bool {
    error.downcast_ref::<Stopped>().is_some()
}

/// Runs a program with its standard error appended to `log`, and its standard output too unless `output` takes it. `look` is
/// given what it has written since the start.
///
/// # Errors
/// When it cannot be run, fails, or takes longer than `limit`; the file and its last lines are in the error.
pub(crate) fn run(
    command: &mut Command,
    (log, output): (&Path, Option<File>),
    limit: Duration,
    mut look: impl FnMut(&str),
) -> Result<()> {
    let before = fs::metadata(log).map_or(0, |file| file.len());
    let file = File::options().create(true).append(true).open(log);
    let file = file.with_context(|| format!("open {}", log.display()))?;
    let output = output.map_or_else(|| file.try_clone(), Ok)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(file)
        .spawn()
        .with_context(|| format!("run {program}"))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if STOPPED.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            return Err(Stopped.into());
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!(
                "{program} took longer than {} s; its output is in {}",
                limit.as_secs(),
                log.display()
            );
        }
        look(&written(log, before));
        sleep(PACE);
    };
    if !status.success() {
        bail!(
            "{program} failed with {status}; its output is in {}, and ends so:\n{}",
            log.display(),
            last_lines(&written(log, before))
        );
    }
    Ok(())
}

fn written(log: &Path, before: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(before).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// What a terminal would show of the last lines: a redrawn line counts as its last drawing.
fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            line.rsplit('\r')
                .find(|part| !part.trim().is_empty())
                .unwrap_or_default()
        })
        .collect();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_failure_names_the_file_and_shows_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "of a former run\n").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100 >&2; exit 3"]);
        let error = run(&mut command, (&log, None), Duration::from_secs(30), |_| {}).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(&log.display().to_string()), "{text}");
        assert!(text.ends_with("99\n100") && !text.contains("\n75\n"), "{text}");
        assert!(!text.contains("former"), "{text}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sleep");
        let began = Instant::now();
        let error = run(command.arg("60"), (&log, None), Duration::from_millis(100), |_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("took longer"), "{error:#}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn only_the_last_drawing_of_a_line_is_shown() {
        assert_eq!(last_lines("a\n 1/9\r 2/9\r\r\nerror: b\n"), "a\n 2/9\nerror: b");
    }
}
