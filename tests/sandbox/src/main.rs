//! The sandbox as a program. Each subcommand is a module of `command`.

mod command {
    pub mod demo;
    pub mod management_api;
}

use clap::{Parser, Subcommand};

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
    Demo(command::demo::Arguments),
    ManagementApi(command::management_api::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // An error means that another provider is installed already, which does as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
        Command::Demo(arguments) => command::demo::run(arguments).await,
        Command::ManagementApi(arguments) => command::management_api::run(arguments).await,
    }
}
