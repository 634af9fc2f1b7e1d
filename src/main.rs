//! The command line of the operator.

use clap::{Parser, Subcommand};
use orchestra_operator::{run, telemetry};

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
    Run(Box<run::Arguments>),
    /// tmp
    Crd,
}

fn main() -> std::process::ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => operate(*arguments),
        Command::Crd => { for c in orchestra_operator::api::crds() { println!("{}", serde_json::to_string(&c).unwrap_or_default()); } std::process::ExitCode::SUCCESS }
    }
}

fn operate(arguments: run::Arguments) -> std::process::ExitCode {
    let outcome = telemetry::logs::init(arguments.log_format, &arguments.log).map_err(anyhow::Error::from).and_then(|()| {
        // Only one provider is compiled in; a second call would be the only way to fail.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        tokio::runtime::Runtime::new()?.block_on(run::run(arguments))
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // One readable line: what was wrong, and what lies behind it.
            eprintln!("orchestra-operator: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
