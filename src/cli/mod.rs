//! The command line: its subcommands, and those that print what [`crate::views`] compute.

mod backups;
mod bill;
mod catalog;
mod changed;
mod check;
mod cluster;
mod console;
mod crd;
pub mod job;
mod orphans;
mod output;
mod plan;
pub mod plugin;
mod rbac;
mod rebuild;
mod recycle;
mod rollout;
mod words;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use kube::Client;

use crate::{run, telemetry};
use output::say;

/// Kubernetes operator that gives each Orchestra a database on hosted Supabase or from a pool.
#[derive(Parser)]
#[command(version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// All subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Run the operator.
    ///
    /// Secrets have no flags, because other users of the machine can read a command line. They come from
    /// the environment only. While the cluster has no `OrchestraClass`, `SUPABASE_MANAGEMENT_TOKEN` and
    /// `SUPABASE_ORGANIZATION_ID` make a default class for hosted Supabase, and `DATABASE_URL_POOL_1`,
    /// `DATABASE_URL_POOL_2`, … make a static pool.
    Run(Box<run::Arguments>),
    /// Serve the web console: pages about the fleet and each tenant, with the rights of their visitor.
    ///
    /// The console has no rights of its own: every request to the API server carries the visitor's token. Credentials of
    /// the kubeconfig, or of the pod's service account, are not used.
    Console(Box<console::Arguments>),
    /// A command that reads the cluster, and prints or changes something.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// List the backups in a store, without a cluster, and print the `OrchestraBackups` of a lost one.
    ///
    /// Becomes `orchestra-backup`, the program of the image of backup Jobs: `backups list --from URL` is
    /// `orchestra-backup list --from URL`. This program has no client of a store, so that it stays small.
    Backups(backups::Arguments),
    /// Print the CustomResourceDefinitions, as crds/ holds them, or the API reference, as docs/api.md does.
    Crd(crd::Arguments),
    /// Print the operator's service account and its rights, as deploy/kustomize/rbac.yaml holds them.
    ///
    /// With `--watch-namespaces` the operator has rights on Secrets and ConfigMaps in these namespaces and in
    /// its own only.
    Rbac(rbac::Arguments),
}

/// Subcommands that use the cluster of the kubeconfig, and need no running operator.
#[derive(Subcommand)]
pub enum ClusterCommand {
    /// Print the cost of each hosted database, including released ones.
    ///
    /// Reads only the cluster (KUBECONFIG): the `OrchestraDatabases`, with the prices that the operator
    /// has written into their statuses. `MONTHLY` is the cost of a month of 730 hours at the current
    /// size, for a paused project too. `MONTH TO DATE` counts the hours of the clock in which the project
    /// ran since the beginning of the calendar month in UTC: each started hour in full, and for each
    /// compute size that it had in it, as the provider bills them. A paused project costs nothing. When
    /// it was paused, restored or resized is in `status.charges`, as the operator saw it. `MONTH END` is the
    /// cost of the whole month if nothing changes: what runs goes on until its end, what is paused stays
    /// so, and what is to be destroyed is.
    ///
    /// What has left the bill this month is in the operator's ledger, and is shown as `Gone`. With `--month`
    /// the bill is that of a month that is over, from the ledger alone: it never changes.
    ///
    /// The bill does not cover: projects that the operator did not create (see `orphans`); the
    /// organization's plan, credits, taxes, traffic and disk. The provider's billing cycle may begin on
    /// another day. A database without a known price is shown with `-` and counted beside the total.
    /// Amounts in different currencies are not added.
    ///
    /// JSON: `{at, month, by, rows, totals, unpriced}`. A row by tenant is `{namespace, name, class, database,
    /// project, region, state, currency, monthly, monthToDate, monthEnd, backups}`. A row by class,
    /// namespace or label, and the total of a currency, is `{name, databases, unpriced, currency, monthly,
    /// monthToDate, monthEnd, backups}`. Amounts are
    /// decimal strings, and null when they are not known.
    Bill(bill::Arguments),
    /// List what costs money and serves no tenant: projects of this cluster that no `OrchestraDatabase`
    /// holds, and hosted databases that no Orchestra claims.
    ///
    /// Reads the cluster (KUBECONFIG) and the organizations' projects at the provider, and changes
    /// nothing. It uses the token that each class names: a Secret in the operator's namespace, which you
    /// must be allowed to read. For a class that names none it uses the environment variable
    /// `SUPABASE_MANAGEMENT_TOKEN`. A project belongs to this cluster when the marker in its name says so.
    ///
    /// JSON: a list of `{kind, project, name, class, region, status, since, currency, monthly, next}`,
    /// where unknown values are null. Exits with 1 when the projects of an organization could not be
    /// listed.
    Orphans(orphans::Arguments),
    /// Check an installation: the `CustomResourceDefinitions`, the rights of the caller, and whether an operator
    /// holds and renews the lease.
    ///
    /// Run it in the operator's pod, whose service account the rights are asked for. `helm test` does so. Exits
    /// with 1 and the first thing that is wrong when the time is over. Changes nothing.
    Check(check::Arguments),
    /// Print the plan of an Orchestra's pending migrations that wait for approval: what they destroy,
    /// break, expose or lock.
    ///
    /// Reads only the cluster (KUBECONFIG): the Orchestra's status and the ConfigMap that it names.
    ///
    /// JSON: `{digest, head: {count, last, digest}, pending: [{name, checksum}], findings: [{migration,
    /// line, kind, effect, object, statement}], pendingCount, destructiveCount, lockingCount}`, or null
    /// when no migrations wait. At most 500 pending migrations and 500 findings are listed.
    Plan(plan::PlanArguments),
    /// Approve the plan of an Orchestra's pending migrations, by its digest.
    ///
    /// Sets the annotation `stagesub.io/approve-migrations`, as `kubectl annotate` does; this needs the
    /// right to update the Orchestra. The approval is no longer valid when the plan or the history changes.
    Approve(plan::ApproveArguments),
    /// Print the statements that recreate the database and the roles of a static pool's entry, after an
    /// Orchestra or somebody else has used it. All of its data is lost when an admin runs them.
    ///
    /// Reads only the cluster (KUBECONFIG): the pool, its Secret and the `OrchestraDatabases`. Connects to no
    /// database, and prints no password. Fails while an Orchestra uses the database.
    Recycle(recycle::Arguments),
    /// Print the manifests of tenants whose objects were lost with their cluster, from the projects at the provider.
    ///
    /// Reads the cluster (KUBECONFIG) and the projects of the class's organization, with the token that the class names, and
    /// changes nothing. For each project with the marker of the lost cluster, the claim record in its database names the
    /// Orchestra that had it: two requests to the Management API a project. Use it only when the lost cluster and its operator are
    /// gone for good: the operator of this cluster sets new passwords.
    ///
    /// Exits with 1 when a project has no manifest; a comment at the end says why.
    Rebuild(rebuild::Arguments),
    /// Show, pause or resume the rollout of a class's migrations.
    ///
    /// Reads and changes only the `OrchestraClass` (KUBECONFIG). The operator does the rest.
    Rollout {
        /// What to do with the rollout.
        #[command(subcommand)]
        command: rollout::RolloutCommand,
    },
}

/// Runs the command line to its end. The name by which the program is called selects the commands: the operator's, or, as
/// `kubectl-orchestra`, those of a user of the cluster.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let called = Path::new(&called)
        .file_stem()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let (outcome, name) = match called {
        "kubectl_complete-orchestra" => {
            let answer = plugin::complete::for_kubectl(std::env::args_os().skip(1));
            (say(answer.trim_end_matches('\n')), "")
        }
        "kubectl-orchestra" => {
            plugin::complete::answer();
            (block_on(plugin::run(plugin::Plugin::parse())), "")
        }
        _ => (run(CommandLine::parse().command), "orchestra-operator: "),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if name.is_empty() {
        let (told, code) = words::of(&error);
        if !told.is_empty() {
            eprintln!("{told}");
        }
        return code.into();
    }
    fail(name, &error)
}

/// Prints why a program of the operator ends.
fn fail(name: &str, error: &anyhow::Error) -> ExitCode {
    let told = crate::text::line(&words::one_line(error), usize::from(u16::MAX));
    eprintln!("{name}{told}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => {
            telemetry::logs::init(arguments.log_format, &arguments.log)?;
            block_on(run::run(*arguments))
        }
        Command::Console(arguments) => {
            telemetry::logs::init(arguments.log_format, &arguments.log)?;
            block_on(console::run(*arguments))
        }
        Command::Cluster(command) => block_on(async {
            let client = run::connect().await?;
            ask(&client, command).await
        }),
        Command::Backups(arguments) => backups::run(&arguments),
        Command::Crd(arguments) => crd::run(&arguments),
        Command::Rbac(arguments) => say(&rbac::run(&arguments)?),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // It fails only when another TLS provider is installed, and only one is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(work)
}

async fn ask(client: &Client, command: ClusterCommand) -> anyhow::Result<()> {
    match command {
        ClusterCommand::Bill(arguments) => say(&bill::run(client, &arguments).await?),
        ClusterCommand::Orphans(arguments) => tell_orphans(client, &arguments).await,
        ClusterCommand::Check(arguments) => say(&check::run(client, &arguments).await?),
        ClusterCommand::Plan(arguments) => say(&plan::run(client, &arguments).await?),
        ClusterCommand::Approve(arguments) => say(&plan::approve(client, &arguments).await?),
        ClusterCommand::Recycle(arguments) => say(&recycle::run(client, &arguments).await?),
        ClusterCommand::Rebuild(arguments) => {
            let report = rebuild::run(client, &arguments).await?;
            say(&report.printed)?;
            if report.left > 0 {
                bail!(
                    "projects without a manifest: {}; see the comments at the end",
                    report.left
                );
            }
            Ok(())
        }
        ClusterCommand::Rollout { command } => rollout::run(client, &command).await,
    }
}

async fn tell_orphans(client: &Client, arguments: &orphans::Arguments) -> anyhow::Result<()> {
    let report = orphans::run(client, arguments).await?;
    say(&report.printed)?;
    if !report.missed.is_empty() {
        bail!("this is not all: {}", report.missed.join("; "));
    }
    Ok(())
}
