//! The cluster that those of projects are copies of.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use orchestra_setup::cache::cache_dir;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::pooler::Pooler;
use super::{SUPERUSER, Switches, copy, server};
use crate::postgres::{self, Cluster, Postgres, install};

/// What makes a fresh cluster a project's, in this order.
const PARTS: [&str; 6] = [
    include_str!("sql/roles.sql"),
    include_str!("sql/schemas.sql"),
    include_str!("sql/services.sql"),
    include_str!("sql/auth.sql"),
    include_str!("sql/storage.sql"),
    include_str!("sql/abilities.sql"),
];
const EXPOSED: &str = include_str!("sql/exposed.sql");
const ENSURE_RLS: &str = include_str!("sql/ensure_rls.sql");

/// How clusters of projects are run: as the platform's are where that is seen, small in all else.
const SETTINGS: [&str; 14] = [
    "TimeZone=UTC",
    "log_timezone=UTC",
    "wal_level=logical",
    "max_connections=60",
    "shared_buffers=2MB",
    "wal_buffers=64kB",
    "min_wal_size=2MB",
    "max_wal_size=256MB",
    "max_worker_processes=1",
    "max_parallel_workers=0",
    "max_logical_replication_workers=0",
    "max_wal_senders=2",
    "autovacuum_max_workers=1",
    "pg_stat_statements.max=100",
];

/// A stopped cluster to copy, of the installed server.
#[derive(Clone)]
pub(crate) struct Template {
    cluster: Cluster,
    version: String,
    /// Holds `data` and `password`.
    dir: PathBuf,
}

impl Template {
    /// Finds the server and the template in the cache, and makes what is not there. A file lock lets one process do it.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or the cache cannot be written.
    pub(crate) async fn prepare() -> Result<Self> {
        let work = tempfile::Builder::new().prefix("orchestra-template-").tempdir()?;
        let account = install::account(work.path())?;
        let cache = cache_dir()?;
        fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let lock = File::create(cache.join("project.lock"))?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        let bin = server::find(account).await?;
        let version = version(&bin)?;
        let mut template = Self {
            cluster: Cluster {
                bin,
                account,
                superuser: SUPERUSER,
                password: String::new(),
                settings: &SETTINGS,
            },
            dir: cache.join(format!("project-{version}-{}", digest())),
            version,
        };
        if !template.dir.is_dir() {
            let made = template.make(work.path()).await;
            made.context("the template of projects' databases")?;
        }
        drop(lock);
        template.cluster.password = fs::read_to_string(template.dir.join("password"))?;
        Ok(template)
    }

    /// The server's version, such as `17.6`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A cluster of its own in `dir`, started at `address`, with this password of the owner.
    ///
    /// # Errors
    /// When it cannot be copied or does not start.
    pub(super) async fn cluster(
        &self,
        dir: &Path,
        address: SocketAddr,
        (password, switches): (&str, Switches),
    ) -> Result<Postgres> {
        let (from, to, account) = (self.dir.join("data"), dir.join("data"), self.cluster.account);
        tokio::task::spawn_blocking(move || {
            copy::folder(&from, &to, account)?;
            copy::identify(&to)
        })
        .await??;
        let server = Postgres::launch_cluster(self.cluster.clone(), dir, address).await?;
        let mut admin = server.connect_admin().await?;
        postgres::run_formatted(&mut admin, "ALTER ROLE postgres PASSWORD %L", &[password]).await?;
        if switches.expose_new_tables {
            admin.execute(EXPOSED).await?;
        }
        if switches.ensure_rls {
            admin.execute(ENSURE_RLS).await?;
        }
        admin.close().await?;
        Ok(server)
    }

    /// The transaction pooler of the cluster in `dir`; none where `PgBouncer` is not installed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn pooler(&self, dir: &Path, server: SocketAddr) -> Result<Option<Pooler>> {
        Pooler::start(dir, server, &self.cluster.password, self.cluster.account)
    }

    async fn make(&self, work: &Path) -> Result<()> {
        let cluster = Cluster {
            password: crate::random::alphanumeric(32),
            ..self.cluster.clone()
        };
        postgres::init_cluster(&cluster, work, &["--wal-segsize=1"])?;
        let address = SocketAddr::new(crate::loopback::address(), 5432);
        let mut server = Postgres::launch_cluster(cluster.clone(), work, address).await?;
        let mut admin = server.connect_admin().await?;
        for part in PARTS {
            admin.execute(AssertSqlSafe(part)).await?;
        }
        let pooler = "ALTER ROLE pgbouncer PASSWORD %L";
        postgres::run_formatted(&mut admin, pooler, &[&cluster.password]).await?;
        admin.execute("CHECKPOINT").await?;
        admin.close().await?;
        tokio::task::spawn_blocking(move || server.stop()).await?;
        // Beside its final name and renamed, so that an interrupted one leaves no half template.
        let making = self.dir.with_extension("making");
        if making.exists() {
            fs::remove_dir_all(&making)?;
        }
        copy::folder(&work.join("data"), &making.join("data"), None)?;
        let password = making.join("password");
        fs::write(&password, &cluster.password)?;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
        fs::rename(&making, &self.dir)?;
        Ok(())
    }
}

/// The version of a server's program, `postgres (PostgreSQL) 15.18 (Debian …)`.
fn version(bin: &Path) -> Result<String> {
    let output = Command::new(bin.join("postgres")).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "postgres --version failed");
    text.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
        .with_context(|| format!("no version in {text:?}"))
}

/// Names what the template is made of.
fn digest() -> String {
    let mut digest = Sha256::new();
    for part in PARTS.iter().chain(&SETTINGS) {
        digest.update(part);
    }
    let digest = digest.finalize();
    hex::encode(&digest[..6])
}
