//! The program `orchestra-operator`.

use std::process::ExitCode;

use clap::Parser as _;
use orchestra_operator::cli::{self, CommandLine};
use orchestra_operator::text;

fn main() -> ExitCode {
    match cli::run(CommandLine::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "orchestra-operator: {}",
                text::line(&one_line(&error), usize::from(u16::MAX))
            );
            ExitCode::FAILURE
        }
    }
}

/// The first line of each cause that adds something. Further lines of a parser's error show what it read,
/// which may be a kubeconfig with its keys.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let first = cause.lines().next().unwrap_or_default();
        if !line.contains(first) {
            let gap = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{gap}{first}");
        }
    }
    line
}
