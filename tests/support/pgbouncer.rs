//! A real `PgBouncer` in front of a test's server, where the package is installed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orchestra_operator::postgres::Login;
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream};

/// A running pooler; it stops when this is dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PgBouncer {
    /// Starts a pooler for the database of a login; none where `PgBouncer` is not installed.
    pub async fn start(login: &Login, settings: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let program = program.into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            orchestra_sandbox::left_out("PgBouncer is not installed (Debian, Ubuntu: apt-get install pgbouncer)");
            return None;
        };
        let port = TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (users, ini) = (files.path().join("users.txt"), files.path().join("pgbouncer.ini"));
        fs::write(
            &users,
            format!("\"{}\" \"{}\"\n", login.user, login.password.expose_secret()),
        )
        .unwrap();
        let config = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n{settings}\n",
            login.host,
            login.port,
            users.display()
        );
        fs::write(&ini, config).unwrap();
        let mut command = Command::new(program);
        // It does not run as root.
        if fs::metadata(&ini).unwrap().uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        let child = command.arg(&ini).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self {
            child,
            port,
            _files: files,
        };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(pooler)
    }

    /// The same login, through the pooler, as a person who does not know better writes it into an inventory.
    pub fn login(&self, login: &Login) -> Login {
        let mut through = Login {
            host: "127.0.0.1".into(),
            port: self.port,
            ..login.clone()
        };
        through.session.may_be_pooled = true;
        through
    }
}
