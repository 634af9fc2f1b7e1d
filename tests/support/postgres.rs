//! A PostgreSQL server for one test.

use std::process::Command;

use orchestra_operator::postgres::Login;
use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use secrecy::ExposeSecret;

/// A running server; it stops, and its files go, when this is dropped.
pub struct Server {
    server: Postgres,
    _files: tempfile::TempDir,
}

/// Starts an empty server on a loopback address of its own.
pub async fn server() -> Server {
    let files = tempfile::tempdir().unwrap();
    let server = Postgres::start(files.path(), loopback::address()).await.unwrap();
    Server { server, _files: files }
}

/// As [`server`], of the version that hosted projects run: 17, where that can be had.
pub async fn server_as_hosted() -> Server {
    let files = tempfile::tempdir().unwrap();
    let server = Postgres::start_as_hosted(files.path(), loopback::address())
        .await
        .unwrap();
    Server { server, _files: files }
}

impl Server {
    /// Kills the server as a failing machine would, and starts it again.
    pub async fn crash(&mut self) {
        self.server.crash().await.unwrap();
    }

    /// What `pg_dump` writes of a database, but for the history, whose times differ.
    pub fn dump(&self, database: &str) -> String {
        self.run("pg_dump", database, &["--exclude-table=*_migrations", "--no-comments"])
    }

    /// What `psql` says to these arguments.
    pub fn psql(&self, database: &str, arguments: &[&str]) -> String {
        self.run(
            "psql",
            database,
            &[&["-X", "-q", "-v", "ON_ERROR_STOP=1"], arguments].concat(),
        )
    }

    /// The same, as the user of this login, in its database.
    pub fn psql_as(&self, login: &Login, arguments: &[&str]) -> String {
        let all = [&["-X", "-q", "-v", "ON_ERROR_STOP=1"], arguments].concat();
        self.run_as(login, "psql", &all)
    }

    fn run(&self, program: &str, database: &str, arguments: &[&str]) -> String {
        self.run_as(&self.login(database), program, arguments)
    }

    fn run_as(&self, login: &Login, program: &str, arguments: &[&str]) -> String {
        let out = Command::new(self.server.program(program))
            .args(arguments)
            .envs([
                ("PGHOST", login.host.as_str()),
                ("PGUSER", &login.user),
                ("PGDATABASE", &login.database),
                ("PGPASSWORD", login.password.expose_secret()),
            ])
            .env("PGPORT", login.port.to_string())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        // Its own random marks (since 15.14) differ each time.
        let text = String::from_utf8(out.stdout).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The superuser's login to a database.
    pub fn login(&self, database: &str) -> Login {
        let login = Login::parse(&self.server.admin_url().into()).unwrap();
        Login {
            database: database.to_owned(),
            ..login
        }
    }
}
