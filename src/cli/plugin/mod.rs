//! `kubectl orchestra`: the commands of a user of the cluster. The operator's own program, when it is called
//! `kubectl-orchestra`.

mod backup;
mod bill;
mod change;
pub mod complete;
mod contents;
mod events;
mod follow;
mod login;
mod preview;
mod registry;
mod restore;
mod scope;
mod status;
mod top;
mod verify;

use clap::{Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::changed::ChangedOutput;
use super::words::EXIT_CODES;
use super::{orphans, output, plan, rollout};
use output::say;
pub use scope::{Flags, Scope};

/// Work with Orchestras: tenants with a database each.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-orchestra",
    bin_name = "kubectl orchestra",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
pub struct Plugin {
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// Show one Orchestra: its state, what has happened, what it waits for, and what to do.
    #[command(after_help = "Examples:
  kubectl orchestra status acme
  kubectl orchestra status acme -n tenants -o json
  # In a script: 0 settled, 10 it waits, 11 a person must act
  kubectl orchestra status acme --exit-code")]
    Status(status::Arguments),
    /// List Orchestras: first those that need a person, then those that wait, then the rest.
    #[command(after_help = "Examples:
  kubectl orchestra top
  kubectl orchestra top -A -o wide
  kubectl orchestra top -A -o json")]
    Top(top::Arguments),
    /// Print what hosted databases cost.
    ///
    /// Reads the OrchestraDatabases of the cluster, with the prices that the operator has written into their statuses, and the
    /// operator's ledger: what has left the bill this month, and months that are over.
    #[command(after_help = "Examples:
  kubectl orchestra bill
  kubectl orchestra bill -n tenants
  kubectl orchestra bill --by class -o json
  kubectl orchestra bill --by-label cost-centre
  kubectl orchestra bill --month 2026-11
  kubectl orchestra bill --focus")]
    Bill(bill::Arguments),
    /// List what costs money and serves no tenant.
    ///
    /// Reads the cluster and the organizations' projects at the provider, with the token that each class names: a Secret
    /// in the operator's namespace, which you must be allowed to read.
    #[command(after_help = "Examples:
  kubectl orchestra orphans
  kubectl orchestra orphans --operator-namespace orchestra-system -o json")]
    Orphans(OrphansArguments),
    /// Show the events of Orchestras, the oldest first.
    #[command(after_help = "Examples:
  kubectl orchestra events
  kubectl orchestra events acme
  # Until Ctrl-C
  kubectl orchestra events -A -f")]
    Events(events::Arguments),
    /// Open psql with the login of an Orchestra.
    ///
    /// The login comes from the connection Secret, which you must be allowed to read. The password is in a file that only
    /// you can read, and that is deleted when psql ends; it is on no command line.
    #[command(after_help = "Examples:
  kubectl orchestra psql acme
  kubectl orchestra psql acme -- -c 'SELECT count(*) FROM \"Member\"'
  kubectl orchestra psql acme -- -f report.sql")]
    Psql(login::PsqlArguments),
    /// Print the connection URL of an Orchestra, with the password hidden unless it is asked for.
    #[command(after_help = "Examples:
  kubectl orchestra url acme
  kubectl orchestra url acme --key DIRECT_URL
  kubectl orchestra url acme --show-password")]
    Url(login::UrlArguments),
    /// Print what manifests would create, migrate and destroy, and what it costs; or the plan of migrations that wait
    /// for approval.
    ///
    /// With -f the cluster is asked and not changed: each Orchestra is sent to the API server as a dry run, so that it is
    /// checked as `kubectl apply` would be. Migrations are read from ConfigMaps, from the manifests, and from artifacts of
    /// registries: with the login of the pull Secret if you may read it, or else with your own one of `docker login`.
    /// What a migration destroys is found in the database, when the operator looks at it: without -f, the plan of the
    /// named Orchestra says it.
    #[command(after_help = "Examples:
  kubectl orchestra plan -f tenants.yaml
  kustomize build . | kubectl orchestra plan -f -
  # What the deletion of these objects would destroy
  kubectl orchestra plan -f tenants.yaml --delete
  # The plan that waits for approval
  kubectl orchestra plan acme")]
    Plan(preview::Arguments),
    /// Approve the plan of pending migrations, by its digest.
    #[command(after_help = "Examples:
  kubectl orchestra plan acme
  kubectl orchestra approve acme --digest sha256:…")]
    Approve(PluginApproveArguments),
    /// Have the operator try again what failed, when the cause is gone.
    ///
    /// Writes the annotation stagesub.io/retry-requested-at. After a failure the next attempt has to wait up to ten
    /// minutes; after this, ten seconds since the last one. It is carried out also when it comes in the wait, or while an
    /// attempt is under way.
    #[command(after_help = "Examples:
  kubectl orchestra retry acme")]
    Retry(OrchestraArguments),
    /// Replace the login of an Orchestra by a new one.
    ///
    /// Writes the annotation stagesub.io/rotate-requested-at. The former login works until its overlap is over.
    #[command(after_help = "Examples:
  kubectl orchestra rotate acme")]
    Rotate(OrchestraArguments),
    /// Pause the database of an Orchestra.
    ///
    /// Sets spec.powerState by server-side apply. A field that another manager owns, as of a repository, is not
    /// taken from it: change it there, or use --force-conflicts.
    #[command(after_help = "Examples:
  kubectl orchestra pause acme")]
    Pause(change::PowerArguments),
    /// Let a paused database run again, also one that was paused because nobody used it.
    ///
    /// Sets spec.powerState where it is Paused, as `pause` does, or else writes the annotation
    /// stagesub.io/wake-requested-at.
    #[command(after_help = "Examples:
  kubectl orchestra resume acme")]
    Resume(change::PowerArguments),
    /// Restart the ttl of an Orchestra from now, or change it.
    ///
    /// Writes the annotation stagesub.io/extended-at. With --ttl, spec.ttl is set by server-side apply as well.
    #[command(after_help = "Examples:
  kubectl orchestra extend demo-x7k2p
  kubectl orchestra extend demo-x7k2p --ttl 72h")]
    Extend(change::ExtendArguments),
    /// Take back the database of a deleted Orchestra: create an Orchestra that claims it, with its data.
    #[command(after_help = "Examples:
  kubectl orchestra restore acme
  # With the spec of a manifest, and without changing anything
  kubectl orchestra restore acme -f acme.yaml --dry-run
  # Of several
  kubectl orchestra restore acme --database orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f")]
    Restore(restore::Arguments),
    /// Back up the database of an Orchestra to the store that its class names.
    ///
    /// Creates an OrchestraBackup. It outlives the Orchestra, and no retention deletes it.
    #[command(after_help = "Examples:
  kubectl orchestra backup acme
  kubectl orchestra backup acme --wait
  kubectl orchestra backup acme --name before-the-move --wait --timeout 1h")]
    Backup(backup::MakeArguments),
    /// List backups, by Orchestra, the newest first.
    #[command(after_help = "Examples:
  kubectl orchestra backups
  kubectl orchestra backups acme -o wide
  kubectl orchestra backups -A -o json")]
    Backups(backup::ListArguments),
    /// Run a drill of a backup: restore it into a scratch database, compare it, and drop that database.
    ///
    /// Writes the annotation stagesub.io/verify-requested-at of an OrchestraBackup.
    #[command(after_help = "Examples:
  kubectl orchestra verify before-the-move
  kubectl orchestra verify before-the-move --wait --timeout 1h")]
    Verify(verify::Arguments),
    /// Show, pause or resume the rollout of a class's migrations.
    #[command(after_help = "Examples:
  kubectl orchestra rollout status standard --watch
  kubectl orchestra rollout pause standard")]
    Rollout {
        /// What to do with the rollout.
        #[command(subcommand)]
        command: rollout::RolloutCommand,
    },
    /// Print the completion script of a shell: bash, zsh, fish, powershell or elvish.
    #[command(after_help = "Examples:
  # In ~/.bashrc
  source <(kubectl-orchestra completion bash)
  # In ~/.zshrc, after compinit
  source <(kubectl-orchestra completion zsh)
  kubectl-orchestra completion fish > ~/.config/fish/completions/kubectl-orchestra.fish
`kubectl orchestra <TAB>` needs the program under the name kubectl_complete-orchestra in PATH as well.")]
    Completion {
        /// The shell.
        #[arg(value_parser = ["bash", "zsh", "fish", "powershell", "elvish"])]
        shell: String,
    },
}

/// Arguments of the commands that only need an Orchestra.
#[derive(clap::Args, Debug)]
pub struct OrchestraArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Arguments of `approve`.
#[derive(clap::Args, Debug)]
pub struct PluginApproveArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Digest of the plan that you have read. No other plan is approved.
    #[arg(long)]
    pub digest: String,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Arguments of `orphans`.
#[derive(clap::Args, Debug)]
pub struct OrphansArguments {
    /// Namespace of the operator, which holds the token Secrets of the classes.
    #[arg(long, default_value = "orchestra-system")]
    pub operator_namespace: String,
    /// Address of the Supabase Management API.
    #[arg(long, env = "SUPABASE_API_URL", default_value = crate::supabase::settings::DEFAULT_API_URL)]
    pub supabase_api_url: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: output::Output,
}

/// Executes a command.
///
/// # Errors
/// When the command fails; [`super::words`] has the words and the exit code.
pub async fn run(plugin: Plugin) -> anyhow::Result<()> {
    let Plugin { flags, command } = plugin;
    if let UserCommand::Completion { shell } = &command {
        return say(&complete::script(shell)?);
    }
    let scope = flags.scope().await?;
    match command {
        UserCommand::Status(arguments) => status::run(&scope, &arguments).await,
        UserCommand::Top(arguments) => say(&top::run(&scope, &arguments).await?),
        UserCommand::Bill(arguments) => say(&bill::run(&scope, &arguments).await?),
        UserCommand::Orphans(arguments) => {
            let arguments = orphans::Arguments {
                namespace: arguments.operator_namespace,
                supabase_api_url: arguments.supabase_api_url,
                output: arguments.output,
            };
            super::tell_orphans(&scope.client, &arguments).await
        }
        UserCommand::Events(arguments) => events::run(&scope, &arguments).await,
        UserCommand::Psql(arguments) => login::psql(&scope, &arguments).await,
        UserCommand::Url(arguments) => say(&login::url(&scope, &arguments).await?),
        UserCommand::Plan(arguments) => say(&Box::pin(preview::run(&scope, arguments)).await?),
        UserCommand::Approve(PluginApproveArguments { name, digest, output }) => {
            let namespace = Some(scope.namespace.clone());
            let arguments = plan::ApproveArguments {
                name,
                namespace,
                digest,
                output,
            };
            say(&plan::approve(&scope.client, &arguments).await?)
        }
        UserCommand::Retry(arguments) => say(&change::retry(&scope, &arguments).await?),
        UserCommand::Rotate(arguments) => say(&change::rotate(&scope, &arguments).await?),
        UserCommand::Pause(arguments) => say(&change::pause(&scope, &arguments).await?),
        UserCommand::Resume(arguments) => say(&change::resume(&scope, &arguments).await?),
        UserCommand::Extend(arguments) => say(&change::extend(&scope, &arguments).await?),
        UserCommand::Restore(arguments) => say(&restore::run(&scope, &arguments).await?),
        UserCommand::Backup(arguments) => backup::make(&scope, &arguments).await,
        UserCommand::Backups(arguments) => say(&backup::list(&scope, &arguments).await?),
        UserCommand::Verify(arguments) => verify::run(&scope, &arguments).await,
        UserCommand::Rollout { command } => rollout::run(&scope.client, &command).await,
        UserCommand::Completion { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_examples_and_no_flag_takes_a_secret() {
        let mut command = Plugin::command();
        command.build();
        for sub in command.get_subcommands() {
            let examples = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "{}", sub.get_name());
            for argument in sub.get_arguments() {
                let takes = argument.get_action().takes_values();
                assert!(
                    !takes || !argument.get_id().as_str().contains("password"),
                    "{argument:?}"
                );
            }
        }
        command.debug_assert();
    }
}
