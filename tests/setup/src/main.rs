//! Makes ready what the demo and the tests need, with Rust's part beside.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{ScopedJoinHandle, scope};

use anyhow::{Context, Result};
use clap::Parser;
use orchestra_setup::progress::Progress;
use orchestra_setup::{binaries, cargo, go, prometheus};

/// What cargo builds for the demo: it makes backups only where the tests have left what they need.
const PROGRAMS_OF_DEMO: [&str; 6] = [
    "build",
    "--workspace",
    "--bin",
    "orchestra-operator",
    "--bin",
    "orchestra-sandbox",
];

/// Finds, fetches or builds the programs of the sandbox.
#[derive(Parser)]
#[command(name = "orchestra-setup", version)]
enum Arguments {
    /// The control plane, and beside it the operator and the sandbox.
    Demo,
    /// Every program that a test runs, and beside it the tests themselves.
    Tests,
    /// Every program that a test runs.
    Programs,
}

fn main() -> ExitCode {
    let progress = Progress::new();
    match run(&Arguments::parse(), &progress) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress.say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, progress: &Progress) -> Result<()> {
    match arguments {
        Arguments::Demo => beside(progress, || binaries::ensure_all(false, progress), &PROGRAMS_OF_DEMO),
        Arguments::Tests => beside(
            progress,
            || programs_of_tests(progress),
            &["test", "--workspace", "--no-run"],
        ),
        Arguments::Programs => programs_of_tests(progress),
    }
}

/// Makes programs and runs cargo side by side. The first failure ends both.
fn beside(progress: &Progress, programs: impl FnOnce() -> Result<()> + Send, arguments: &[&str]) -> Result<()> {
    let project = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let project = project.canonicalize().context("the project's folder")?;
    let log = log_of_cargo()?;
    scope(|scope| {
        let compiling = scope.spawn(|| {
            let task = progress.task("Rust");
            cargo::run(&project, arguments, &log, &task).inspect_err(|_| orchestra_setup::stop())
        });
        let making = scope.spawn(|| programs().inspect_err(|_| orchestra_setup::stop()));
        let (made, compiled) = (ended(making), ended(compiling));
        // Who was stopped says nothing of the reason.
        match (made, compiled) {
            (Err(error), _) if !orchestra_setup::was_stopped(&error) => Err(error),
            (made, compiled) => compiled.and(made),
        }
    })
}

fn ended(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Beside this program, which is in cargo's folder.
fn log_of_cargo() -> Result<std::path::PathBuf> {
    let log = std::env::current_exe()?.with_file_name("setup-cargo.log");
    fs::write(&log, "").with_context(|| format!("write {}", log.display()))?;
    Ok(log)
}

/// Prometheus and the judges may be missing: a line says what is not tested then.
fn programs_of_tests(progress: &Progress) -> Result<()> {
    binaries::ensure_all(true, progress)?;
    go::ensure(&go::REGISTRY, progress)?;
    go::ensure(&go::S3_SERVER, progress)?;
    if let Err(error) = go::ensure(&go::JUDGES, progress) {
        progress.say(&format!("not tested: statuses as GitOps tools read them: {error:#}"));
    }
    if let Err(error) = prometheus::Programs::find() {
        progress.say(&format!("not tested: metrics, alerts and the dashboard: {error:#}"));
    }
    Ok(())
}
