//! The command line of the operator.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use orchestra_operator::{api, cli, run, telemetry};

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
    /// Print what everything costs: each hosted database, Released ones included.
    ///
    /// Reads only the cluster (KUBECONFIG): the `OrchestraDatabases`, with the prices that the operator
    /// has written into their statuses. `MONTHLY` is what a month of 730 hours costs at today's size.
    /// `MONTH TO DATE` counts the hours that were started since the beginning of the calendar month in
    /// UTC or the creation, whichever is later, as the provider bills each started hour.
    ///
    /// It cannot know: projects that were deleted this month, or changed their size; projects that the
    /// operator did not make (see `orphans`); the organization's plan, credits, taxes, traffic and disk;
    /// and where the provider's billing cycle begins. What has no known price is shown as `-`, and
    /// counted beside the total. Amounts of different currencies are not summed.
    ///
    /// JSON: `{at, by, rows, totals, unpriced}`. A row by tenant is `{namespace, name, class, database,
    /// project, region, state, currency, monthly, monthToDate}`, one by class or namespace, and a total
    /// of a currency, `{name, databases, unpriced, currency, monthly, monthToDate}`. Amounts are decimal
    /// strings, and null where they are not known.
    Bill(cli::bill::Arguments),
    /// List what costs money and serves nobody: projects of this cluster that no `OrchestraDatabase`
    /// holds, and hosted databases that no Orchestra claims.
    ///
    /// Reads the cluster (KUBECONFIG) and the organization's projects at the provider, and changes
    /// nothing. The token is the one that each class names: a Secret in the operator's namespace, which
    /// you must be able to read, or else the environment variable `SUPABASE_MANAGEMENT_TOKEN`. A project
    /// is of this cluster when the marker in its name says so.
    ///
    /// JSON: a list of `{kind, project, name, class, region, status, since, currency, monthly, next}`;
    /// what is not known is null. It exits with 1 when an organization could not be looked at.
    Orphans(Box<cli::orphans::Arguments>),
    /// Print the plan of the pending migrations of an Orchestra that wait for approval: what they destroy,
    /// break or hold up.
    ///
    /// Reads only the cluster (KUBECONFIG): the Orchestra's status and the ConfigMap that it names.
    ///
    /// JSON: `{digest, head: {count, last, digest}, pending: [{name, checksum}], findings: [{migration,
    /// line, kind, effect, object, statement}], pendingCount, destructiveCount, lockingCount}`, or null
    /// when nothing waits. Of pending and findings the first 500 are listed.
    Plan(cli::plan::PlanArguments),
    /// Approve the plan of an Orchestra's pending migrations, by its digest.
    ///
    /// It sets the annotation `stagesub.io/approve-migrations`, as `kubectl annotate` does; whoever may
    /// update the Orchestra may do that. The approval is void when the plan or the history changes.
    Approve(cli::plan::ApproveArguments),
    /// Show, pause or resume the rollout of a class's migrations.
    ///
    /// Reads and changes the `OrchestraClass` only (KUBECONFIG); the work is the operator's.
    Rollout {
        #[command(subcommand)]
        command: cli::rollout::Command,
    },
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
        Command::Bill(arguments) => finish(ask(async move {
            let client = run::connect().await?;
            say(&cli::bill::run(&client, &arguments).await?)
        })),
        Command::Orphans(arguments) => finish(ask(async move {
            let client = run::connect().await?;
            let found = cli::orphans::run(&client, &arguments).await?;
            say(&found.printed)?;
            found.complete()
        })),
        Command::Plan(arguments) => finish(ask(async move {
            let client = run::connect().await?;
            say(&cli::plan::run(&client, &arguments).await?)
        })),
        Command::Approve(arguments) => finish(ask(async move {
            let client = run::connect().await?;
            say(&cli::plan::approve(&client, &arguments).await?)
        })),
        Command::Rollout { command } => finish(ask(async move {
            let client = run::connect().await?;
            cli::rollout::run(&client, &command, say).await
        })),
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

/// Runs a command that asks others.
fn ask(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Only one provider is compiled in; a second call would be the only way to fail.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(work)
}

/// Prints a report. Whoever reads it may have read enough.
fn say(report: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{report}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
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
