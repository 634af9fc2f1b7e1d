//! The sandbox as a program. Each subcommand is a module of `command`.

mod command {
    pub mod bench_api;
    pub mod bench_backup;
    pub mod bench_claim;
    pub mod bench_cost;
    pub mod demo;
    pub mod management_api;
    mod tenants;
    mod usage;
}

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Parts of the Orchestra operator's sandbox: real services on loopback addresses, for trying
/// and testing the operator without a cluster or an account.
#[derive(Parser)]
#[command(name = "orchestra-sandbox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    BenchApi(command::bench_api::Arguments),
    BenchBackup(command::bench_backup::Arguments),
    BenchClaim(command::bench_claim::Arguments),
    BenchCost(command::bench_cost::Arguments),
    Demo(command::demo::Arguments),
    ManagementApi(command::management_api::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that another provider is installed already, which does as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // While an API server starts, its clients only say that it is not there yet.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,kube_client=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let outcome = match Cli::parse().command {
        Command::BenchApi(arguments) => command::bench_api::run(arguments).await,
        Command::BenchBackup(arguments) => command::bench_backup::run(arguments).await,
        Command::BenchClaim(arguments) => command::bench_claim::run(arguments).await,
        Command::BenchCost(arguments) => command::bench_cost::run(arguments).await,
        Command::Demo(arguments) => command::demo::run(arguments).await,
        Command::ManagementApi(arguments) => command::management_api::run(arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestra-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}
