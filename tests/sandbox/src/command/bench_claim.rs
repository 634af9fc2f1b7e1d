//! `orchestra-sandbox bench-claim`: how long a claim takes that a pool's database meets.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use orchestra_sandbox::Options as ApiOptions;
use orchestra_sandbox::api::{Behaviour, Hosting, RateLimit};
use orchestra_sandbox::control_plane::Options as PlaneOptions;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::world::{Kind, Operator, Options, SYSTEM, World, is_true};
use serde_json::{Value, json};

use super::bench_cost::migrations;
use super::tenants::{Ready, Tenants};
use super::usage::Usage;

/// How long a project takes while the pool is filled.
const COMING_UP: Duration = Duration::from_millis(200);

/// As good as never: what refills the pool during the measurement is requested, and nothing more.
const NEVER: Duration = Duration::from_hours(24);

/// The targets: the median from apply to Ready, and the operator's processor time for each claim, which is what a claim takes
/// besides PostgreSQL and the API server.
const TARGET: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(50));

/// Up to how many claims at once the targets hold.
const UP_TO: u32 = 50;

/// Applies many Orchestras at once whose databases wait in a pool, created and migrated, and measures the time until each
/// is Ready.
///
/// The control plane, PostgreSQL and the operator are real; the Management API is the stand-in, and the projects are
/// databases of one server.
#[derive(Args)]
pub struct Arguments {
    /// How many Orchestras are applied at once.
    #[arg(long, env = "BENCH_CLAIMS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    claims: u32,
    /// Prisma scripts of the class, all of which are applied before the claim.
    #[arg(long, default_value_t = 20)]
    scripts: u32,
    /// The operator's program; the one beside this program when absent.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Folder of the project, where `deploy/` is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    project: PathBuf,
    /// Print the numbers, and do not fail when a target is missed.
    #[arg(long)]
    only_print: bool,
}

/// What is compared with the targets, in seconds.
struct Measured {
    median: f64,
    operator: f64,
}

impl Arguments {
    fn limit(&self) -> Duration {
        Duration::from_mins(2) + Duration::from_secs(3) * self.claims
    }
}

/// Runs the measurement, and prints what it found.
///
/// # Errors
/// When something cannot be started, a claim is not met in time or not by the pool, a database is given twice, or a target is
/// missed.
pub async fn run(arguments: Arguments) -> Result<()> {
    let world = world(&arguments).await?;
    let operator = operator(&world)?;
    fill(&arguments, &world).await?;
    world.api.behave(|provider| provider.coming_up = NEVER);
    // The stand-in makes the databases of new projects on this machine, which no provider does.
    world.apply(&pool(&arguments, 1))?;
    let api_server = world.plane.api_server_id().context("the API server has ended")?;
    let postgres = world.api.postgres().and_then(Postgres::id);
    let postgres = postgres.context("PostgreSQL has ended")?;
    let parts = [operator.id(), api_server, postgres];
    let usage = || -> Result<Vec<_>> { parts.into_iter().map(Usage::of).collect() };
    let before = usage()?;
    let began = Instant::now();
    let tenants = Tenants::apply(&world, usize::try_from(arguments.claims)?).await?;
    let ready = tenants.until_ready(began, arguments.limit()).await?;
    let after = usage()?;
    let used: Vec<_> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.since(before))
        .collect();
    check(&arguments, &world).await?;
    let missed = judge(arguments.claims, &print(&arguments, &ready, &used));
    ensure!(
        missed.is_empty() || arguments.only_print,
        "missed: {}",
        missed.join("; ")
    );
    Ok(())
}

/// Prints the targets and whether each is met, and returns those that are missed.
fn judge(claims: u32, measured: &Measured) -> Vec<String> {
    if claims > UP_TO {
        println!("targets: none for more than {UP_TO} claims at once");
        return Vec::new();
    }
    let (median, operator) = TARGET;
    let judged = [
        ("p50 from apply to Ready", measured.median, median),
        ("the operator's processor time a claim", measured.operator, operator),
    ];
    let mut missed = Vec::new();
    for (what, is, most) in judged {
        let met = is <= most.as_secs_f64();
        let word = if met { "met" } else { "missed" };
        println!("target: {what} at most {most:?}: {word}");
        if !met {
            missed.push(format!("{what} is {is:.3} s, and the target {most:?} at most"));
        }
    }
    missed
}

async fn world(arguments: &Arguments) -> Result<World> {
    let operator = match &arguments.operator {
        Some(operator) => operator.canonicalize().context("the operator's program")?,
        None => std::env::current_exe()?.with_file_name("orchestra-operator"),
    };
    ensure!(operator.is_file(), "{} is not there: build it", operator.display());
    let project = arguments.project.canonicalize().context("the project's folder")?;
    let api = ApiOptions {
        behaviour: Behaviour {
            coming_up: COMING_UP,
            ..Behaviour::default()
        },
        rate_limit: RateLimit {
            limit: 100_000,
            ..RateLimit::default()
        },
        hosting: Hosting::Shared,
        ..ApiOptions::default()
    };
    // Not as a test, whose programs are started to be quick.
    let plane = PlaneOptions {
        controller_manager: true,
        ..PlaneOptions::default()
    };
    World::start_with(Options { operator, project, api }, plane).await
}

/// The operator with its own settings, but for the pace at which it polls new projects.
fn operator(world: &World) -> Result<Operator> {
    world.operator("operator", |command| {
        for shortened in [
            "ORCHESTRA_LEASE_DURATION",
            "ORCHESTRA_CREATE_SETTLE",
            "ORCHESTRA_LOGIN_SPACING",
        ] {
            command.env_remove(shortened);
        }
        command.env("ORCHESTRA_LOG", "info");
    })
}

/// Applies a class with its scripts and a pool, and waits until the pool is full.
async fn fill(arguments: &Arguments, world: &World) -> Result<()> {
    world.store_token()?;
    let mut class = json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "OrchestraClass",
        "metadata": {"name": "standard", "annotations": {"stagesub.io/is-default-class": "true"}},
        "spec": {
            "provider": {"supabase": {"organization": "acme-org", "tokenSecretRef": {"name": "supabase-token"}}},
            "pools": {"names": ["warm"], "policy": "PoolFirst"},
        },
    });
    if arguments.scripts > 0 {
        let schema = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "schema", "namespace": SYSTEM},
            "data": migrations(arguments.scripts),
        });
        world.apply(&schema.to_string())?;
        class["spec"]["migrations"] = json!({"source": {"configMapRef": {"name": "schema"}}, "format": "Prisma"});
    }
    world.apply(&class.to_string())?;
    world.apply(&pool(arguments, 10))?;
    let began = Instant::now();
    let full = |pool: &Value| is_true(pool, "Ready") && pool["status"]["available"] == arguments.claims;
    world.until(Kind::Pool, ("", "warm"), arguments.limit(), full).await?;
    eprintln!("{} databases wait after {:.0?}", arguments.claims, began.elapsed());
    Ok(())
}

/// The pool, which creates so many databases at once.
fn pool(arguments: &Arguments, at_once: u32) -> String {
    json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "OrchestraPool",
        "metadata": {"name": "warm"},
        "spec": {"className": "standard", "replicas": arguments.claims, "maxConcurrentCreates": at_once},
    })
    .to_string()
}

/// Each Orchestra has a database of the pool, and no two have the same.
async fn check(arguments: &Arguments, world: &World) -> Result<()> {
    let databases = world.list(Kind::Database).await?;
    let claimed = databases
        .iter()
        .filter(|database| database["spec"]["claimRef"].is_object());
    let claims: Vec<_> = claimed
        .clone()
        .map(|it| it["spec"]["claimRef"]["uid"].to_string())
        .collect();
    let different: BTreeSet<_> = claims.iter().collect();
    ensure!(
        claims.len() == usize::try_from(arguments.claims)? && different.len() == claims.len(),
        "{} databases are claimed by {} Orchestras",
        claims.len(),
        different.len()
    );
    ensure!(
        claimed.clone().all(|database| database["spec"]["pool"] == "warm"),
        "a claim was met by the provider"
    );
    Ok(())
}

/// Prints what was measured, and returns what is judged of it.
fn print(arguments: &Arguments, ready: &Ready, used: &[Usage]) -> Measured {
    let mut waits: Vec<_> = ready.tenants.iter().map(|(applied, ready)| *ready - *applied).collect();
    waits.sort();
    let at = |percent: usize| {
        let place = (waits.len() * percent).div_ceil(100).saturating_sub(1);
        waits.get(place).copied().unwrap_or_default().as_secs_f64()
    };
    let claims = f64::from(arguments.claims);
    println!(
        "{} claims at once, {} scripts applied before",
        arguments.claims, arguments.scripts
    );
    println!(
        "apply -> Ready: p50 {:.2} s, p95 {:.2} s, longest {:.2} s",
        at(50),
        at(95),
        at(100)
    );
    // PostgreSQL serves each session by a process of its own.
    let each: Vec<_> = used.iter().map(|used| (used.cpu + used.ended) / claims).collect();
    let named = each.iter().zip(["operator", "API server", "PostgreSQL"]);
    let named: Vec<_> = named
        .map(|(seconds, name)| format!("{name} {:.0} ms", seconds * 1000.0))
        .collect();
    println!("processor time a claim: {}", named.join(", "));
    Measured {
        median: at(50),
        operator: each.first().copied().unwrap_or_default(),
    }
}
