//! `orchestra-sandbox bench-backup`: the program of a backup's Job against plain `pg_dump`, of one large table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::{Postgres, ensure_clients};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};

use super::usage::Usage;

/// Bytes of a row of the table, about: half of them are random, so that they compress as rows of a tenant do.
const ROW: u64 = 256;

/// How often the memory of the Job's program is read.
const LOOK: Duration = Duration::from_millis(200);

/// The memory that the program may have more at the end than after a tenth of the time, in MiB.
const FLAT: f64 = 32.0;

/// Longer than plain `pg_dump` by this ratio is too long.
const RATIO: f64 = 1.1;

/// Times a backup of a large table by the program of the Job, and plain `pg_dump` of the same table, by turns.
#[derive(Args)]
pub struct Arguments {
    /// Size of the table in MiB. The disk needs three times as much room.
    #[arg(long, env = "BENCH_BACKUP_MB", default_value_t = 5120, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    megabytes: u64,
    /// Rounds of each; the shortest time counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// The program of the Job; the one beside this program when absent.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Print the numbers, and do not fail when they are missed.
    #[arg(long)]
    only_print: bool,
}

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    bytes: u64,
    /// Memory of the Job's program after a tenth of the time, and at most, in MiB.
    memory: Option<(f64, f64)>,
}

/// The folders and programs of all runs.
struct Place {
    dir: PathBuf,
    clients: PathBuf,
    program: PathBuf,
    url: String,
    port: u16,
    host: String,
}

/// Runs the measurement, and prints a table.
///
/// # Errors
/// When something cannot be started, a run fails, or a number is missed.
pub async fn run(arguments: Arguments) -> Result<()> {
    let files = tempfile::Builder::new().prefix("bench-backup-").tempdir()?;
    let server = Postgres::start(&files.path().join("server"), loopback::address()).await?;
    let url = server.create_database("bench", "bench_owner", "bench").await?;
    eprintln!("filling a table of {} MiB", arguments.megabytes);
    fill(&url, arguments.megabytes).await?;
    let place = Place {
        dir: files.path().to_owned(),
        clients: tokio::task::spawn_blocking(ensure_clients).await??,
        program: program(&arguments)?,
        url,
        port: server.address().port(),
        host: server.address().ip().to_string(),
    };
    let mut runs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        runs[0].push(plain_dump(&place, &[])?);
        runs[1].push(plain_dump(&place, &["--compress=0"])?);
        runs[2].push(job(&place)?);
    }
    let shortest = |runs: Vec<Run>| runs.into_iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let [Some(plain), Some(uncompressed), Some(ours)] = runs.map(shortest) else {
        bail!("there was no round");
    };
    report(&arguments, [plain, uncompressed, ours])
}

fn program(arguments: &Arguments) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("orchestra-backup"));
    let found = arguments.program.clone().or_else(beside).filter(|path| path.is_file());
    found.context("orchestra-backup is not beside this program: build it, or name it with --program")
}

/// The table is unlogged, so that its rows are written once.
async fn fill(url: &str, megabytes: u64) -> Result<()> {
    use sqlx::Connection as _;
    let mut owner = sqlx::postgres::PgConnection::connect(url).await?;
    owner
        .execute("CREATE UNLOGGED TABLE large (id bigint, at timestamptz, name text, body text)")
        .await?;
    let rows = megabytes * 1024 * 1024 / ROW;
    let sql = format!(
        "INSERT INTO large SELECT n, now(), 'row ' || n, md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text) || repeat('orchestra ', 10) \
         FROM generate_series(1, {rows}) n"
    );
    owner.execute(AssertSqlSafe(sql)).await?;
    owner.execute("ANALYZE large").await?;
    owner.close().await?;
    Ok(())
}

/// `pg_dump` of the server's version into a file, in the format of the Job's archives, which it compresses with gzip unless
/// `more` says otherwise.
fn plain_dump(place: &Place, more: &[&str]) -> Result<Run> {
    let folder = place.dir.join("plain");
    fs::create_dir_all(&folder)?;
    let file = folder.join("bench.dump");
    let begun = Instant::now();
    let status = Command::new(client(place)?)
        .args(["--format=custom", "--host", &place.host])
        .args(more)
        .arg("--port")
        .arg(place.port.to_string())
        .args(["--username=bench_owner", "--dbname=bench", "--file"])
        .arg(&file)
        .env("PGPASSWORD", "bench")
        .status()?;
    ensure!(status.success(), "pg_dump failed");
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(&file)?.len();
    fs::remove_dir_all(folder)?;
    Ok(Run {
        seconds,
        bytes,
        memory: None,
    })
}

/// The newest client of the folder that the server's version has.
fn client(place: &Place) -> Result<PathBuf> {
    let version = fs::read_to_string(place.dir.join("server/data/PG_VERSION"))?;
    let client = place.clients.join(version.trim()).join("bin/pg_dump");
    ensure!(client.is_file(), "{} does not exist", client.display());
    Ok(client)
}

/// The program of the Job, with an order for a folder.
fn job(place: &Place) -> Result<Run> {
    let (order, volume) = (place.dir.join("order"), place.dir.join("volume"));
    fs::create_dir_all(&order)?;
    fs::create_dir_all(&volume)?;
    let work = json!({"kind": "backup", "path": "bench/tenants/large-1/20260101T000000Z-b", "subject": {
        "cluster": "bench", "namespace": "tenants", "orchestra": "large", "orchestraUid": "1", "class": "standard",
        "databaseName": "orchdb-1", "backupName": "large-1"}});
    let store = json!({"kind": "folder", "path": volume, "prefix": "backups"});
    let text = json!({"work": work, "store": store, "deadlineSeconds": 7200}).to_string();
    for (name, text) in [
        ("order.json", text.as_str()),
        ("database-url", &place.url),
        ("manifest-key", "0123456789-key-of-the-manifest-of-a-backup"),
    ] {
        fs::write(order.join(name), text)?;
    }
    let begun = Instant::now();
    let mut child = Command::new(&place.program)
        .arg("--order")
        .arg(&order)
        .env("ORCHESTRA_OUTCOME", order.join("outcome"))
        .env("ORCHESTRA_PG_CLIENTS", &place.clients)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", place.program.display()))?;
    let mut memory = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // A program that has ended and was not waited for has no memory.
        if let Ok(usage) = Usage::of(child.id()) {
            memory.push(usage.resident);
        }
        std::thread::sleep(LOOK);
    };
    let seconds = begun.elapsed().as_secs_f64();
    let outcome = fs::read_to_string(order.join("outcome")).unwrap_or_default();
    ensure!(status.success(), "the backup failed: {outcome}");
    let bytes = size(&volume)?;
    fs::remove_dir_all(volume)?;
    let early = memory.get(memory.len() / 10).copied().unwrap_or_default();
    let most = memory.iter().copied().fold(0.0, f64::max);
    Ok(Run {
        seconds,
        bytes,
        memory: Some((early, most)),
    })
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += if found.is_dir() {
            size(&entry.path())?
        } else {
            found.len()
        };
    }
    Ok(sum)
}

#[allow(clippy::cast_precision_loss, reason = "MiB for people")]
fn report(arguments: &Arguments, [plain, uncompressed, ours]: [Run; 3]) -> Result<()> {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (ratio, (early, most)) = (ours.seconds / plain.seconds, ours.memory.unwrap_or_default());
    println!(
        "| table of {} MiB | time | ratio | written | memory |",
        arguments.megabytes
    );
    println!("|---|---:|---:|---:|---:|");
    for (name, run, memory) in [
        ("`pg_dump -Fc`", plain, String::new()),
        ("`pg_dump -Fc -Z0`", uncompressed, String::new()),
        (
            "backup",
            ours,
            format!("{early:.0} MiB after a tenth, {most:.0} MiB at most"),
        ),
    ] {
        let (seconds, written) = (run.seconds, mebibytes(run.bytes));
        let ratio = run.seconds / plain.seconds;
        println!("| {name} | {seconds:.1} s | {ratio:.2} | {written:.0} MiB | {memory} |");
    }
    if arguments.only_print {
        return Ok(());
    }
    ensure!(
        ratio <= RATIO,
        "the backup takes {ratio:.2} times as long as pg_dump, and may take {RATIO} times"
    );
    ensure!(
        most - early <= FLAT,
        "the memory grows from {early:.0} to {most:.0} MiB"
    );
    Ok(())
}
