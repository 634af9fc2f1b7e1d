//! `orchestra-sandbox demo`: the whole of what a user sees, on this machine alone.

mod backup;
mod console;
mod screen;
mod story;
mod tenant;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::FalseyValueParser;
use orchestra_sandbox::Options as ApiOptions;
use orchestra_sandbox::api::Behaviour;
use orchestra_sandbox::control_plane::{Options as PlaneOptions, find_controller_manager};
use orchestra_sandbox::world::{Operator, Options, World};
use tokio::signal::unix::{SignalKind, signal};

use console::Console;

/// Shows the operator at work: a control plane, a PostgreSQL and a stand-in for the hosted
/// Management API are started on loopback addresses, and two tenants move in.
///
/// Everything that was started is ended again, also after Ctrl-C, SIGTERM or a failed step.
#[derive(Args)]
pub struct Arguments {
    /// Stay after the last step, to look around, until Ctrl-C.
    #[arg(long, env = "KEEP", value_parser = FalseyValueParser::new())]
    keep: bool,
    /// The operator's program; the one beside this program when absent.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Folder of the project, where `deploy/` is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    project: PathBuf,
    /// How long a hosted project takes to become healthy, in milliseconds.
    #[arg(long, default_value_t = 3000)]
    coming_up_ms: u64,
}

/// Runs the demo.
///
/// # Errors
/// When a step fails, or it is interrupted before its end.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropped, with all that it has started, before this returns.
    let show = Box::pin(show(arguments));
    tokio::select! {
        biased;
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        outcome = show => return outcome,
    }
    bail!("interrupted; everything that was started is ended")
}

async fn show(arguments: Arguments) -> Result<()> {
    let began = Instant::now();
    let operator = arguments.operator.map_or_else(beside_this_program, Ok)?;
    ensure!(
        operator.is_file(),
        "{} is not there: build it, or name it with --operator",
        operator.display()
    );
    let project = arguments.project.canonicalize().context("the project's folder")?;
    let (world, operator, console) = start(operator, project.clone(), arguments.coming_up_ms).await?;
    let outcome = async {
        story::tell(&world, &project).await?;
        story::visit(&console).await
    };
    let outcome = outcome.await;
    if let Err(error) = outcome {
        let log = operator.log();
        let tail: Vec<_> = log.lines().rev().take(20).collect();
        eprintln!("\nThe operator's last words:");
        tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        return Err(error);
    }
    screen::headline(&format!("All done, {} s after the start", began.elapsed().as_secs()));
    look_around(&world, &console, arguments.keep);
    if arguments.keep {
        stay().await?;
    }
    Ok(())
}

async fn start(operator: PathBuf, project: PathBuf, coming_up_ms: u64) -> Result<(World, Operator, Console)> {
    screen::headline("Starting a control plane, PostgreSQL, the provider's stand-in, the operator and the console");
    let program = operator.clone();
    let behaviour = Behaviour {
        coming_up: Duration::from_millis(coming_up_ms),
        ..Behaviour::default()
    };
    let api = ApiOptions {
        behaviour,
        ..ApiOptions::default()
    };
    // Only the tests build one.
    let plane = PlaneOptions {
        controller_manager: find_controller_manager().is_some(),
        ..PlaneOptions::default()
    };
    let world = World::start_with(Options { operator, project, api }, plane).await?;
    let operator = world.operator("operator", |_| {})?;
    let console = Console::start(&world, &program).await?;
    screen::say(&format!(
        "Kubernetes API   {}   (no nodes; RBAC decides, Secrets are encrypted)",
        world.plane.server()
    ));
    if !plane.controller_manager {
        screen::say("                 no controller manager (`make setup` builds it): nothing is garbage collected");
    }
    if let Some(postgres) = world.api.postgres() {
        screen::say(&format!(
            "PostgreSQL       {} for a pool; {} for projects, a server for each",
            postgres.address(),
            world.api.version()
        ));
    }
    screen::say(&format!(
        "Management API   {}     (stand-in: its projects are servers here)",
        world.api.url()
    ));
    screen::say(&format!("Hosted pooler    {}", world.api.router().session_place()));
    screen::say("Operator         a process with the ServiceAccount of deploy/kustomize and nothing else");
    screen::say(&format!(
        "KUBECONFIG       {}",
        world.plane.admin_kubeconfig().display()
    ));
    screen::say(&format!("Web console      {}   (no rights of its own)", console.origin));
    screen::say("                 Sign in with this token of a superadmin, which is good for an hour:");
    screen::say(&console.token);
    Ok((world, operator, console))
}

fn beside_this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("orchestra-operator"))
}

fn look_around(world: &World, console: &Console, keep: bool) {
    let (kubeconfig, log) = if keep {
        screen::say(&format!(
            "It all runs until Ctrl-C. In a browser: {}, with the token",
            console.origin
        ));
        screen::say(&console.token);
        screen::say("In another terminal:");
        (
            world.plane.admin_kubeconfig().display().to_string(),
            world.dir().join("operator.log").display().to_string(),
        )
    } else {
        screen::say("Everything is ended now. `make demo KEEP=1` leaves it running, and prints the paths for:");
        ("<path>".into(), "<path>".into())
    };
    let commands = [
        format!("export KUBECONFIG={kubeconfig}"),
        "kubectl get stagesub -A".into(),
        "kubectl explain orchestra.spec".into(),
        "kubectl -n tenants describe orch test-orchestra-ab".into(),
        "kubectl -n tenants get secret test-orchestra-ab-connection -o jsonpath='{.data.DATABASE_URL}' | base64 -d"
            .into(),
        "kubectl apply -f deploy/samples/minimal.yaml".into(),
        "kubectl -n orchestra-system create token superadmin --duration 1h    # another token for the console".into(),
        "kubectl -n tenants delete orch second-orchestra".into(),
        format!("tail -f {log}    # the operator's log"),
    ];
    for command in commands {
        println!("     {command}");
    }
}

/// Until the signals that [`run`] waits for drop this.
async fn stay() -> Result<()> {
    println!();
    screen::say("Waiting; Ctrl-C ends everything.");
    std::future::pending().await
}
