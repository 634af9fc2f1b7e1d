//! `orchestra-sandbox bench-cost`: what a tenant costs the API server, by its audit log.

mod fleet;
mod report;
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use orchestra_sandbox::Options as ApiOptions;
use orchestra_sandbox::control_plane::Options as PlaneOptions;
use orchestra_sandbox::world::{Operator, Options, World};

use super::tenants::Tenants;
use super::usage::Usage;
use report::{Cost, Restart};

pub(super) use fleet::migrations;
use traffic::Traffic;

/// Resync of the restarted operator, short so that two of them are watched.
const RESYNC: Duration = Duration::from_secs(10);

/// The most requests for each tenant, all events included; and up to how many tenants at once that is demanded: more of them
/// wait for their turn on the one server, and have a status that says so.
const TARGET: (f64, u32) = (10.0, 50);

/// Counts the operator's requests for each tenant in the API server's audit log.
///
/// The control plane, PostgreSQL and the operator are real. The tenants' databases are entries of a
/// static pool, so no provider takes part.
#[derive(Args)]
pub struct Arguments {
    /// How many tenants are applied at once.
    #[arg(long, env = "BENCH_COST_TENANTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    tenants: u32,
    /// Prisma scripts of the class. A second run goes without scripts; with 0 it is the only one.
    #[arg(long, default_value_t = 20)]
    scripts: u32,
    /// The operator's program; the one beside this program when absent.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Folder of the project, where `deploy/` is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    project: PathBuf,
}

impl Arguments {
    /// The longest time until all tenants are settled.
    fn limit(&self) -> Duration {
        Duration::from_mins(2) + Duration::from_secs(2) * self.tenants
    }
}

/// Runs the measurement with scripts and without, and prints a table.
///
/// # Errors
/// When something cannot be started, a tenant is not Ready in time, up to 50 tenants need more than 10 requests each, or the
/// operator writes something after a restart.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut costs = Vec::new();
    let runs = if arguments.scripts == 0 {
        vec![0]
    } else {
        vec![arguments.scripts, 0]
    };
    for scripts in runs {
        costs.push(measure(&arguments, scripts).await?);
    }
    report::print(&arguments, &costs);
    let writes: usize = costs.iter().map(|cost| cost.restart.writes().count()).sum();
    let (most, up_to) = TARGET;
    for cost in costs.iter().filter(|_| arguments.tenants <= up_to) {
        let requests = cost.requests_each();
        ensure!(
            requests <= most,
            "{requests:.2} requests a tenant with {} scripts; the target is {most} at most",
            cost.scripts
        );
    }
    ensure!(
        writes == 0,
        "the restarted operator has sent {writes} writes, and nothing had changed"
    );
    Ok(())
}

async fn measure(arguments: &Arguments, scripts: u32) -> Result<Cost> {
    eprintln!("{} tenants, {scripts} scripts: starting a world", arguments.tenants);
    let world = world(arguments).await?;
    let api_server = world.plane.api_server_id().context("the API server has ended")?;
    let mut traffic = Traffic::of(&world)?;
    let mut operator = operator(&world, "operator", None)?;
    fleet::prepare(&world, arguments.tenants, scripts, arguments.limit()).await?;
    traffic.until_settled(arguments.limit()).await?;

    let before = [Usage::of(operator.id())?, Usage::of(api_server)?];
    let began = Instant::now();
    let tenants = Tenants::apply(&world, usize::try_from(arguments.tenants)?).await?;
    let ready = tenants.until_ready(began, arguments.limit()).await?;
    eprintln!("all Ready after {:.1?}", ready.took());
    let requests = traffic.until_settled(arguments.limit()).await?;
    let [used, by_api_server] = [
        Usage::of(operator.id())?.since(&before[0]),
        Usage::of(api_server)?.since(&before[1]),
    ];
    eprintln!("most memory {:.0} MiB", used.peak);
    operator.terminate()?;
    Ok(Cost {
        scripts,
        tenants: arguments.tenants,
        took: ready.took(),
        requests,
        operator: used,
        api_server: by_api_server,
        restart: restart(arguments, &world, &mut traffic).await?,
    })
}

/// Starts an operator again, and watches it through its start and two resyncs.
async fn restart(arguments: &Arguments, world: &World, traffic: &mut Traffic) -> Result<Restart> {
    // What the first operator has sent at its end.
    traffic.until_settled(arguments.limit()).await?;
    let operator = operator(world, "restarted", Some(RESYNC))?;
    let mut requests = traffic.until_it_leads(arguments.limit()).await?;
    let began = Instant::now();
    requests.extend(traffic.until_settled(arguments.limit()).await?);
    tokio::time::sleep((RESYNC * 2).saturating_sub(began.elapsed())).await;
    requests.extend(traffic.until_settled(arguments.limit()).await?);
    let memory = Usage::of(operator.id())?;
    eprintln!("memory after a restart {:.0} MiB", memory.resident);
    Ok(Restart { requests, memory })
}

async fn world(arguments: &Arguments) -> Result<World> {
    let operator = match &arguments.operator {
        Some(operator) => operator.canonicalize().context("the operator's program")?,
        None => std::env::current_exe()?.with_file_name("orchestra-operator"),
    };
    ensure!(operator.is_file(), "{} is not there: build it", operator.display());
    let options = Options {
        operator,
        project: arguments.project.canonicalize().context("the project's folder")?,
        api: ApiOptions::default(),
    };
    let plane = PlaneOptions {
        audit: true,
        controller_manager: true,
        ..PlaneOptions::default()
    };
    World::start_with(options, plane).await
}

/// The operator with the settings that it has by default.
fn operator(world: &World, name: &str, resync: Option<Duration>) -> Result<Operator> {
    world.operator(name, |command| {
        for shortened in [
            "ORCHESTRA_LEASE_DURATION",
            "ORCHESTRA_POLL_INTERVAL",
            "ORCHESTRA_CREATE_SETTLE",
            "ORCHESTRA_LOGIN_SPACING",
        ] {
            command.env_remove(shortened);
        }
        command.env("ORCHESTRA_LOG", "info");
        if let Some(resync) = resync {
            command.env("ORCHESTRA_RESYNC", format!("{}s", resync.as_secs()));
        }
    })
}
