//! A project's transaction pooler: `PgBouncer`, where it is installed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;

use crate::postgres::install::Account;
use crate::postgres::{Keeper, Stop};

/// The port of the pooler at the project's own address; clients come through the router's.
const PORT: u16 = 6432;

/// The program; its absence is said once.
static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!(
            "PgBouncer is not installed (package pgbouncer): the transaction pooler of projects, port 6543, gives whole \
             sessions, so that SET, PREPARE and advisory locks work there, which they do not on the platform."
        );
    }
    found
});

/// Whether the program is there.
pub(super) fn is_installed() -> bool {
    PROGRAM.is_some()
}

/// A running pooler. It ends when this is dropped.
pub(super) struct Pooler {
    address: SocketAddr,
    keeper: Option<Keeper>,
}

impl Pooler {
    /// Starts the pooler of the server at `server`; none where `PgBouncer` is not installed. `password` is that of the
    /// role `pgbouncer`, which reads the others' verifiers.
    ///
    /// # Errors
    /// When its files cannot be written, or it cannot be run.
    pub(super) fn start(
        dir: &Path,
        server: SocketAddr,
        password: &str,
        account: Option<Account>,
    ) -> Result<Option<Self>> {
        let Some(program) = PROGRAM.as_ref() else {
            return Ok(None);
        };
        let (host, port) = (server.ip(), server.port());
        let users = dir.join("pooler-users.txt");
        let settings = dir.join("pooler.ini");
        let text = format!(
            "[databases]\n\
             postgres = host={host} port={port} dbname=postgres auth_user=pgbouncer\n\
             [pgbouncer]\n\
             listen_addr = {host}\n\
             listen_port = {PORT}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {}\n\
             auth_query = SELECT username, password FROM pgbouncer.get_auth($1)\n\
             pool_mode = transaction\n\
             default_pool_size = 15\n\
             max_client_conn = 200\n\
             server_login_retry = 1\n\
             server_tls_sslmode = disable\n\
             ignore_startup_parameters = extra_float_digits, options, search_path, statement_timeout\n",
            users.display()
        );
        for (file, text) in [(&users, format!("\"pgbouncer\" \"{password}\"\n")), (&settings, text)] {
            fs::write(file, text)?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
            if let Some(account) = account {
                chown(file, Some(account.uid), Some(account.gid))?;
            }
        }
        let arguments = ["-q".to_owned(), settings.display().to_string()];
        let keeper = Keeper::start(program, &arguments, &dir.join("pooler.log"), account)?;
        Ok(Some(Self {
            address: SocketAddr::new(host, PORT),
            keeper: Some(keeper),
        }))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop(Stop::Terminate);
        }
    }
}
