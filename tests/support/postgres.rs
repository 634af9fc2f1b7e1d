//! A PostgreSQL server for one test.

use orchestra_operator::postgres::Login;
use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;

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

impl Server {
    /// The superuser's login to a database.
    pub fn login(&self, database: &str) -> Login {
        let login = Login::parse(&self.server.admin_url().into()).unwrap();
        Login {
            database: database.to_owned(),
            ..login
        }
    }
}
