//! A real PostgreSQL server of the sandbox's own, in a folder of its own, on a loopback address.

mod beginning;
mod clients;
pub(crate) mod install;
mod keeper;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};

pub use clients::{ensure_clients, find_clients};
use install::Account;
pub(crate) use keeper::{Keeper, Stop};

/// The superuser of a plain server.
const SUPERUSER: &str = "postgres";

/// How long a server may take to accept its first login.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. It is stopped when this is dropped, and where `setpriv` is found also when
/// the process dies without dropping it.
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    superuser: &'static str,
    password: String,
    account: Option<Account>,
    settings: &'static [&'static str],
    keeper: Option<Keeper>,
}

/// What a cluster of the sandbox's own plain server is started with.
const PLAIN: [&str; 2] = ["max_connections=200", "shared_buffers=32MB"];

/// A cluster that exists, and how it is run.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) bin: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) superuser: &'static str,
    pub(crate) password: String,
    pub(crate) settings: &'static [&'static str],
}

impl Postgres {
    /// Creates a cluster in `dir` and starts it on `host`, port 5432.
    ///
    /// # Errors
    /// When PostgreSQL is not installed and cannot be fetched (the message names the package), or does not start.
    pub async fn start(dir: &Path, host: IpAddr) -> anyhow::Result<Self> {
        Self::start_on(dir, SocketAddr::new(host, 5432)).await
    }

    /// Like [`Postgres::start`], with the port given.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_on(dir: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        let bin = match install::find() {
            Ok(bin) => bin,
            // The version of hosted projects can be fetched.
            Err(_) => crate::hosted::find_server(install::account(dir)?).await?,
        };
        Self::start_of(bin, dir, address).await
    }

    /// Like [`Postgres::start`], of the version that hosted projects run.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_as_hosted(dir: &Path, host: IpAddr) -> anyhow::Result<Self> {
        let bin = crate::hosted::find_server(install::account(dir)?).await?;
        Self::start_of(bin, dir, SocketAddr::new(host, 5432)).await
    }

    async fn start_of(bin: PathBuf, dir: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        ensure!(address.ip().is_loopback(), "{address} is not a loopback address");
        let cluster = beginning::plain(bin, dir)?;
        Self::launch_cluster(cluster, dir, address).await
    }

    /// Starts the cluster whose data are in `dir/data`.
    pub(crate) async fn launch_cluster(cluster: Cluster, dir: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        let mut server = Self {
            bin: cluster.bin,
            log: dir.join("postgres.log"),
            data: dir.join("data"),
            address,
            superuser: cluster.superuser,
            password: cluster.password,
            account: cluster.account,
            settings: cluster.settings,
            keeper: None,
        };
        server.launch().await?;
        Ok(server)
    }

    async fn launch(&mut self) -> anyhow::Result<()> {
        let arguments = server_arguments(&self.data, self.address, self.settings);
        let keeper = Keeper::start(&self.bin.join("postgres"), &arguments, &self.log, self.account)?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match self.connect_admin().await {
                Ok(connection) => {
                    connection.close().await?;
                    self.keeper = Some(keeper);
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline || keeper.has_ended() => {
                    drop(keeper);
                    let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                    return Err(error).context(format!("PostgreSQL did not start:\n{log}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Whether a pool accepts entries of this server only with `allowLegacyServers`: its version is before 16.
    pub fn is_legacy(&self) -> bool {
        let version = std::fs::read_to_string(self.data.join("PG_VERSION")).unwrap_or_default();
        version.trim().parse::<u32>().is_ok_and(|version| version < 16)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file the server writes its log to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The superuser's connection URL, password included.
    pub fn admin_url(&self) -> String {
        format!(
            "postgresql://{}:{}@{}/postgres?sslmode=disable",
            self.superuser, self.password, self.address
        )
    }

    /// A connection of the superuser.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connect_admin(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.address.ip().to_string())
            .port(self.address.port())
            .username(self.superuser)
            .password(&self.password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        Ok(PgConnection::connect_with(&options).await?)
    }

    /// Creates the login role `owner_role` and the database `name` that it owns, and gives its
    /// connection URL. `PUBLIC` keeps the CONNECT right that PostgreSQL grants by default.
    ///
    /// # Errors
    /// When the server refuses, for instance because the name is taken.
    pub async fn create_database(&self, name: &str, owner_role: &str, password: &str) -> anyhow::Result<String> {
        let mut admin = self.connect_admin().await?;
        create_database(&mut admin, name, owner_role, password).await?;
        admin.close().await?;
        Ok(format!(
            "postgresql://{owner_role}:{password}@{}/{name}?sslmode=disable",
            self.address
        ))
    }

    /// Whether it was started, and not stopped since.
    pub(crate) fn is_started(&self) -> bool {
        self.keeper.is_some()
    }

    /// The server's first process; none while it is stopped.
    pub fn id(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Stops the server; its data stay.
    pub fn stop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop(Stop::Fast);
        }
    }

    /// Kills the server as a failing machine would, and starts it again: it recovers from its log.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop(Stop::Immediate);
        }
        self.launch().await
    }

    /// One of PostgreSQL's own programs, `psql` or `pg_dump`: beside the server's, or else in `PATH`.
    pub fn program(&self, name: &str) -> PathBuf {
        let beside = self.bin.join(name);
        if beside.is_file() { beside } else { name.into() }
    }

    /// Stops the server and starts it again on the same address with the same data.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.launch().await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Postgres");
        shown.field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop(Stop::Immediate);
        }
    }
}

/// Runs one SQL statement built by the server's own `format()`: `template` takes `arguments` as
/// `%I` (identifier) and `%L` (literal).
pub(crate) async fn run_formatted(
    connection: &mut PgConnection,
    template: &str,
    arguments: &[&str],
) -> sqlx::Result<()> {
    let statement: String = sqlx::query_scalar("SELECT format($1, VARIADIC $2::text[])")
        .bind(template)
        .bind(arguments)
        .fetch_one(&mut *connection)
        .await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Creates a role that may log in and create roles, and a database that it owns.
pub(crate) async fn create_database(
    admin: &mut PgConnection,
    name: &str,
    owner_role: &str,
    password: &str,
) -> sqlx::Result<()> {
    run_formatted(
        admin,
        "CREATE ROLE %I LOGIN CREATEROLE PASSWORD %L",
        &[owner_role, password],
    )
    .await?;
    run_formatted(admin, "CREATE DATABASE %I OWNER %I", &[name, owner_role]).await
}

/// Makes a cluster in `dir/data`, with these further arguments of initdb.
pub(crate) fn init_cluster(cluster: &Cluster, dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let account = cluster.account;
    let data = &dir.join("data");
    std::fs::create_dir_all(data)?;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))?;
    let pwfile = dir.join("password");
    std::fs::write(&pwfile, &cluster.password)?;
    std::fs::set_permissions(&pwfile, std::fs::Permissions::from_mode(0o600))?;
    let log = dir.join("postgres.log");
    std::fs::write(&log, "")?;
    if let Some(account) = account {
        for path in [dir, data.as_path(), &pwfile, &log] {
            std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))?;
        }
    }
    let mut command = Command::new(cluster.bin.join("initdb"));
    command
        .arg(format!("--username={}", cluster.superuser))
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        .args(["--no-sync", "--no-instructions"])
        .args(arguments)
        .arg("--pwfile")
        .arg(&pwfile)
        .arg("-D")
        .arg(data)
        .current_dir(dir);
    install::run_as(&mut command, account);
    let output = command.output().context("initdb cannot be run")?;
    std::fs::remove_file(&pwfile)?;
    ensure!(
        output.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The rules that initdb writes name 127.0.0.1 alone.
    std::fs::write(
        data.join("pg_hba.conf"),
        "host all all 127.0.0.0/8 scram-sha-256\nhost all all ::1/128 scram-sha-256\n",
    )?;
    Ok(())
}

fn server_arguments(data: &Path, address: SocketAddr, settings: &[&str]) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    for setting in [
        format!("listen_addresses={}", address.ip()),
        format!("port={}", address.port()),
        "unix_socket_directories=".to_owned(),
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
    ] {
        arguments.extend(["-c".to_owned(), setting]);
    }
    for setting in settings {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    arguments
}
