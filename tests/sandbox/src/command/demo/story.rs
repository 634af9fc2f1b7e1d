//! The steps of the demo, in order.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use orchestra_sandbox::random::alphanumeric;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition};

use super::backup;
use super::console::Console;
use super::screen::{headline, kubectl, kubectl_as, say};
use super::tenant::Tenant;
use super::watch;

const FIRST: &str = "test-orchestra-ab";
const SECOND: &str = "second-orchestra";
const PORTAL: [&str; 3] = ["portal-members", "portal-library", "portal-recordings"];

/// Shows everything.
pub(super) async fn tell(world: &World, project: &Path) -> Result<()> {
    give_secrets(world).await?;
    first_tenant(world, project).await?;
    first_login(world).await?;
    first_backup(world)?;
    portal(world, project)?;
    second_tenant(world, project).await?;
    isolation(world).await
}

/// Migrations that were written for Supabase: they need its Auth, its Storage and its roles.
fn portal(world: &World, project: &Path) -> Result<()> {
    headline("Migrations of three Supabase projects: triggers on auth.users, row level security, policies of Storage");
    let short = "deploy/samples/portal";
    let folder = project.join(short).display().to_string();
    kubectl_as(world, &["apply", "-k", &folder], &["apply", "-k", short])?;
    println!();
    let names = PORTAL.map(|name| format!("orch/{name}"));
    let wait = ["-n", TENANTS, "wait", "--for=condition=Ready", "--timeout=120s"];
    let wait: Vec<_> = wait.into_iter().chain(names.iter().map(String::as_str)).collect();
    kubectl(world, &wait)?;
    Ok(())
}

async fn give_secrets(world: &World) -> Result<()> {
    adopt_namespace(world)?;
    headline("The operator's two Secrets: the provider's token, and a pool of two databases to fall back on");
    let token = private_file(world, "token", &world.api.token())?;
    let mut pool = String::new();
    let postgres = world
        .api
        .postgres()
        .context("the sandbox has no PostgreSQL of its own")?;
    for number in 1..=2 {
        let name = format!("house_{number}");
        let url = postgres
            .create_database(&name, &format!("{name}_owner"), &alphanumeric(32))
            .await?;
        pool = format!("{pool}DATABASE_URL_POOL_{number}={url}\n");
    }
    let pool = private_file(world, "pool.env", &pool)?;
    for (name, from, file, shown) in [
        ("supabase-token", "--from-file=token=", token, "token"),
        ("database-pool", "--from-env-file=", pool, "pool.env"),
    ] {
        let (given, shown) = (format!("{from}{file}"), format!("{from}{shown}"));
        let with = |last| ["-n", SYSTEM, "create", "secret", "generic", name, last];
        kubectl_as(world, &with(&given), &with(&shown))?;
    }
    Ok(())
}

/// Marks the namespace as one that `kubectl apply` made, which the sample is about to apply again.
fn adopt_namespace(world: &World) -> Result<()> {
    let manifest = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {TENANTS}\n");
    let file = private_file(world, "namespace.yaml", &manifest)?;
    world.kubectl(["apply", "set-last-applied", "--create-annotation=true", "-f", &file])?;
    Ok(())
}

async fn first_tenant(world: &World, project: &Path) -> Result<()> {
    headline("A tenant: kubectl apply, and wait");
    apply_sample(world, project, "orchestra.yaml")?;
    if world.is_legacy() {
        say("This machine's PostgreSQL is older than 16: the pool says that its databases trust each other's scripts");
        let patch = r#"{"spec":{"static":{"allowLegacyServers":true}}}"#;
        kubectl(world, &["patch", "orchpool", "house", "--type=merge", "-p", patch])?;
    }
    watch::phases(world, FIRST).await?;
    kubectl(
        world,
        &[
            "-n",
            TENANTS,
            "wait",
            "--for=condition=Ready",
            &format!("orch/{FIRST}"),
            "--timeout=60s",
        ],
    )?;
    headline("What the cluster says of it");
    kubectl(world, &["get", "orch,orchdb,orchclass,orchpool", "-A"])?;
    println!();
    say("Conditions:");
    let object = world
        .get(Kind::Orchestra, TENANTS, FIRST)
        .await?
        .context("the Orchestra is gone")?;
    watch::conditions(&object)?;
    println!();
    kubectl(world, &["-n", TENANTS, "events", "--for", &format!("orch/{FIRST}")])?;
    Ok(())
}

async fn first_login(world: &World) -> Result<()> {
    headline("Logging in with nothing but the tenant's Secret");
    kubectl(
        world,
        &["-n", TENANTS, "describe", "secret", &format!("{FIRST}-connection")],
    )?;
    println!();
    Tenant::of(world, FIRST).await?.look(&["Member", "Piece"]).await
}

fn first_backup(world: &World) -> Result<()> {
    headline("A backup of the tenant's database, by a Job");
    backup::take(world, FIRST)
}

async fn second_tenant(world: &World, project: &Path) -> Result<()> {
    headline("Without the token, the next tenant is met from the pool");
    kubectl(world, &["-n", SYSTEM, "delete", "secret", "supabase-token"])?;
    println!();
    say("The class notices, and stays Ready, because its pool can still meet claims:");
    kubectl(
        world,
        &[
            "wait",
            "--for=condition=Available=False",
            "orchclass/standard",
            "--timeout=30s",
        ],
    )?;
    kubectl(world, &["get", "orchclass", "-o", "wide"])?;
    println!();
    apply_sample(world, project, "second-orchestra.yaml")?;
    watch::phases(world, SECOND).await?;
    let second = world
        .get(Kind::Orchestra, TENANTS, SECOND)
        .await?
        .context("the Orchestra is gone")?;
    ensure!(
        second["status"]["project"].is_null(),
        "the second tenant has a hosted project"
    );
    kubectl(world, &["get", "orch,orchdb,orchpool", "-A"])?;
    println!();
    Tenant::of(world, SECOND).await?.look(&["Concert"]).await?;
    println!();
    say("The first tenant is as it was:");
    let first = world
        .get(Kind::Orchestra, TENANTS, FIRST)
        .await?
        .context("the Orchestra is gone")?;
    ensure!(
        condition(&first, "Available").0 == "True",
        "the first tenant is not available any more: {first:#}"
    );
    kubectl(world, &["-n", TENANTS, "get", "orch", FIRST])?;
    Ok(())
}

async fn isolation(world: &World) -> Result<()> {
    headline("Neither tenant's login reaches the other's database");
    let (first, second) = (Tenant::of(world, FIRST).await?, Tenant::of(world, SECOND).await?);
    first.is_kept_out_of(&second).await?;
    second.is_kept_out_of(&first).await
}

/// The console shows a superadmin all tenants.
pub(super) async fn visit(console: &Console) -> Result<()> {
    headline("The web console, with the token of a superadmin");
    let page = console.tenants().await?;
    for name in [FIRST, SECOND].into_iter().chain(PORTAL) {
        ensure!(
            page.contains(&format!(">{name}</a>")),
            "the console does not list {name}"
        );
    }
    say(&format!(
        "{} lists {FIRST}, {SECOND}, {}",
        console.origin,
        PORTAL.join(", ")
    ));
    Ok(())
}

fn apply_sample(world: &World, project: &Path, name: &str) -> Result<()> {
    let short = format!("deploy/samples/{name}");
    let file = project.join(&short).display().to_string();
    kubectl_as(world, &["apply", "-f", &file], &["apply", "-f", &short])?;
    println!();
    Ok(())
}

/// A file that only its owner can read, so that no password is on a command line.
fn private_file(world: &World, name: &str, text: &str) -> Result<String> {
    let path = world.dir().join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path.display().to_string())
}
