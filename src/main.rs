//! The command line of the operator.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use orchestra_operator::{api, run, telemetry};

/// Kubernetes operator for orchestras' databases on hosted Supabase.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    ///
    /// Secrets have no flags, because a command line can be read by others. They come from the
    /// environment only: `SUPABASE_MANAGEMENT_TOKEN` and `SUPABASE_ORGANIZATION_ID` make a default
    /// class for hosted Supabase, `DATABASE_URL_POOL_1`, `DATABASE_URL_POOL_2`, … a static pool, while
    /// the cluster has no `OrchestraClass`.
    Run(Box<run::Arguments>),
    /// Print the CustomResourceDefinitions, as crds/ holds them.
    Crd(CrdArguments),
}

#[derive(clap::Args)]
struct CrdArguments {
    /// Write a file for each into this folder instead of printing them.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => operate(*arguments),
        Command::Crd(arguments) => finish(print_crds(arguments)),
    }
}

fn operate(arguments: run::Arguments) -> std::process::ExitCode {
    let outcome = telemetry::logs::init(arguments.log_format, &arguments.log)
        .map_err(anyhow::Error::from)
        .and_then(|()| {
            // Only one provider is compiled in; a second call would be the only way to fail.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            tokio::runtime::Runtime::new()?.block_on(run::run(arguments))
        });
    finish(outcome)
}

fn print_crds(arguments: CrdArguments) -> anyhow::Result<()> {
    let documents = api::crd_documents()?;
    let Some(folder) = arguments.output else {
        for document in documents.values() {
            print!(
                "---
{document}"
            );
        }
        return Ok(());
    };
    for (file, document) in documents {
        let path = folder.join(file);
        std::fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One readable line: what was wrong, and what lies behind it.
fn finish(outcome: anyhow::Result<()>) -> std::process::ExitCode {
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestra-operator: {}", one_line(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// The first line of each cause that says something new. A parser's further lines show what it
/// read, which may be a kubeconfig with its keys.
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
