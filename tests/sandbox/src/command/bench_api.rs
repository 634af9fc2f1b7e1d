//! `orchestra-sandbox bench-api`: many Orchestras at once against the Management API's rate limit.

mod calls;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use orchestra_sandbox::Options as ApiOptions;
use orchestra_sandbox::api::{Behaviour, Hosting, RateLimit};
use orchestra_sandbox::world::{Kind, Operator, Options, World, is_true};

use calls::Calls;
use report::Row;

use super::tenants::Tenants;
use super::usage::Usage;

/// The window of the real API. Everything that takes time is shortened as the window is.
const REAL_WINDOW: Duration = Duration::from_mins(1);

/// Applies many Orchestras at once, and measures what they cost the Management API and how long
/// they take.
///
/// The control plane, PostgreSQL and the operator are real; the Management API is the stand-in
/// with the real limit, counted for each endpoint and scope, and a window that is shortened.
#[derive(Args)]
pub struct Arguments {
    /// How many Orchestras, one measurement for each.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    counts: Vec<usize>,
    /// Requests that the stand-in allows in a window.
    #[arg(long, default_value_t = 120)]
    limit: u32,
    /// Length of a window in seconds; the real one is 60. The operator's pace of polling, the time
    /// a project takes and the settling time are shortened alike.
    #[arg(long, default_value_t = 20)]
    window: u64,
    /// How long a project takes to be set up, in seconds at the real pace.
    #[arg(long, default_value_t = 60)]
    setup: u64,
    /// The operator's resync in seconds, as it is run.
    #[arg(long, default_value_t = 60)]
    resync: u64,
    /// Resyncs that are watched when all are Ready.
    #[arg(long, default_value_t = 2)]
    idle: u32,
    /// The operator's program; the one beside this program when absent.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Folder of the project, where `deploy/` is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    project: PathBuf,
    /// Keeps the operator's log here, with what it asks the provider; writing so much takes time.
    #[arg(long)]
    log: Option<PathBuf>,
}

impl Arguments {
    /// A duration of the real API, as it is here.
    fn scaled(&self, real: Duration) -> Duration {
        real.mul_f64(self.window().as_secs_f64() / REAL_WINDOW.as_secs_f64())
    }

    fn log_filter(&self) -> &'static str {
        match self.log {
            Some(_) => "info,orchestra_operator::supabase=debug,orchestra_operator::database=debug",
            None => "info",
        }
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.window)
    }

    fn setup(&self) -> Duration {
        self.scaled(Duration::from_secs(self.setup))
    }

    /// The least time for so many: the last creation waits for its window, and is then set up.
    fn least(&self, place: usize) -> Duration {
        let windows = place / usize::try_from(self.limit.max(1)).unwrap_or(usize::MAX);
        self.window() * u32::try_from(windows).unwrap_or(u32::MAX) + self.setup()
    }
}

/// Runs the measurements, and prints a table.
///
/// # Errors
/// When something cannot be started, or the Orchestras are not all Ready in ten times the least time.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut rows = Vec::new();
    for count in &arguments.counts {
        let row = measure(&arguments, *count).await?;
        eprintln!("{row:#?}");
        rows.push(row);
    }
    report::print(&arguments, &rows);
    Ok(())
}

async fn measure(arguments: &Arguments, count: usize) -> Result<Row> {
    eprintln!("{count} Orchestras: starting a world");
    let world = world(arguments).await?;
    let operator = operator(arguments, &world)?;
    let outcome = play(arguments, count, &world, &operator).await;
    if let Some(log) = &arguments.log {
        std::fs::write(log, operator.log()).with_context(|| format!("write {}", log.display()))?;
    }
    outcome
}

async fn play(arguments: &Arguments, count: usize, world: &World, operator: &Operator) -> Result<Row> {
    class(world).await?;
    let before = Usage::of(operator.id())?;
    let began = Instant::now();
    let tenants = Tenants::apply(world, count).await?;
    eprintln!("applied in {:.1?}", began.elapsed());
    let ready = tenants.until_ready(began, arguments.least(count) * 10).await?;
    let bulk = Calls::of(&world.api.ledger().requests());
    let used = Usage::of(operator.id())?;
    eprintln!("all Ready after {:.1?}; idling", ready.took());
    // The last listing that somebody waited for has ended by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let quiet = world.api.ledger().requests().len();
    tokio::time::sleep(Duration::from_secs(arguments.resync) * arguments.idle).await;
    let idle = Calls::of(&world.api.ledger().requests()[quiet..]);
    ensure!(world.api.violations().is_empty(), "{:?}", world.api.violations());
    let most = world.api.ledger().most_alive();
    ensure!(
        most.values().all(|most| *most == 1) && most.len() == count,
        "a project too many"
    );
    Ok(Row::new(arguments, count, &ready, bulk, &idle, used.since(&before)))
}

async fn world(arguments: &Arguments) -> Result<World> {
    let operator = match &arguments.operator {
        Some(operator) => operator.clone(),
        None => std::env::current_exe()?.with_file_name("orchestra-operator"),
    };
    ensure!(operator.is_file(), "{} is not there: build it", operator.display());
    let project = arguments.project.canonicalize().context("the project's folder")?;
    let api = ApiOptions {
        behaviour: Behaviour {
            coming_up: arguments.setup(),
            ..Behaviour::default()
        },
        rate_limit: RateLimit {
            limit: arguments.limit,
            window: arguments.window(),
        },
        hosting: Hosting::Shared,
        ..ApiOptions::default()
    };
    World::start(Options { operator, project, api }).await
}

/// The operator with its own settings, but for what the shortened window shortens.
fn operator(arguments: &Arguments, world: &World) -> Result<Operator> {
    let scaled = |real: u64| format!("{}ms", arguments.scaled(Duration::from_secs(real)).as_millis());
    world.operator("operator", |command| {
        command
            .env("ORCHESTRA_LOG", arguments.log_filter())
            .env("ORCHESTRA_LEASE_DURATION", "60s")
            .env("ORCHESTRA_RESYNC", format!("{}s", arguments.resync))
            .env("ORCHESTRA_POLL_INTERVAL", scaled(5))
            .env("ORCHESTRA_LOGIN_SPACING", scaled(30))
            .env("ORCHESTRA_CREATE_SETTLE", scaled(120));
    })
}

async fn class(world: &World) -> Result<()> {
    world.store_token()?;
    world.apply(
        r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: standard, annotations: {stagesub.io/is-default-class: "true"}}
spec:
  provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}
"#,
    )?;
    let available = |class: &serde_json::Value| is_true(class, "Available");
    world
        .until(Kind::Class, ("", "standard"), Duration::from_mins(1), available)
        .await?;
    Ok(())
}
