//! A PostgreSQL server for one test: a fresh cluster in a temporary directory on a loopback port.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orchestra_operator::postgres::{Login, Tls, connect};

/// A running server; it stops and its files go when this is dropped.
pub struct Server {
    process: Child,
    _files: tempfile::TempDir,
    pub port: u16,
}

fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = (15..=18)
        .rev()
        .map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    std::env::split_paths(&path)
        .chain(usual)
        .map(|dir| dir.join(name))
        .find(|file| file.exists())
        .expect("PostgreSQL is not installed")
}

/// The server refuses to run as root, so root hands over to the user `postgres`.
fn command(name: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    if id != b"0\n" {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .arg(program(name));
    command
}

/// Starts a server with the superuser `postgres`, password `owner`.
pub async fn server() -> Server {
    let files = tempfile::tempdir().unwrap();
    let (data, password) = (files.path().join("data"), files.path().join("password"));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(&password, "owner").unwrap();
    own(files.path());
    let made = command("initdb")
        .args([
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
        ])
        .arg(&password)
        .arg("-D")
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = command("postgres")
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", "", "-F"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server {
        process,
        _files: files,
        port,
    };
    let begun = Instant::now();
    while let Err(error) = connect(&server.login("postgres"), "test").await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server
}

fn own(path: &Path) {
    let _ = Command::new("chown")
        .args(["-R", "postgres:postgres"])
        .arg(path)
        .status();
}

impl Server {
    /// The superuser's login to a database.
    pub fn login(&self, database: &str) -> Login {
        Login {
            host: "127.0.0.1".into(),
            port: self.port,
            database: database.into(),
            user: "postgres".into(),
            password: "owner".to_owned().into(),
            tls: Tls::Disable,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is the server's fast shutdown; it takes its own children along.
        let _ = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status();
        let _ = self.process.wait();
    }
}
