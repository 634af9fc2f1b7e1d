//! The hosted pooler (Supavisor) in front of the sandbox's PostgreSQL.
//!
//! A client logs in as `role.ref`: the part after the last dot names the project, the part before
//! it the role. `postgres` is the project's owner role, every other role name is passed on, and
//! the database `postgres` is the project's own. The login itself is the server's: its bytes pass
//! through unread, which works because PostgreSQL ignores the user name inside SCRAM.
//!
//! The session port gives a whole session of the server. Behind the transaction port is `PgBouncer` in transaction mode,
//! where it is installed, so that what a session keeps (SET, PREPARE, advisory locks) is lost there as it is on the
//! platform; else that port gives a whole session too.

mod certificates;
mod name;
mod session;
mod startup;
mod tenants;
mod wall;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use certificates::Authority;
pub use tenants::{Logins, Tenant, Tenants};

/// How a [`Router`] is started.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// The loopback address it listens on. 127.0.0.1 has a name, by which clients reach it.
    pub host: IpAddr,
    /// The port of the session pooler; 0 takes a free one.
    pub session_port: u16,
    /// The port of the transaction pooler; 0 takes a free one.
    pub transaction_port: u16,
    /// Whether a login without TLS is refused.
    pub require_tls: bool,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            session_port: 0,
            transaction_port: 0,
            require_tls: true,
        }
    }
}

/// A running pooler; it stops when this is dropped.
#[derive(Debug)]
pub struct Router {
    name: String,
    session: SocketAddr,
    transaction: SocketAddr,
    root: &'static str,
    tenants: Tenants,
    tasks: Vec<AbortHandle>,
}

/// What every connection needs.
#[derive(Clone)]
struct Gate {
    tls: TlsAcceptor,
    require_tls: bool,
    /// Whether this is the port of the transaction pooler.
    transaction: bool,
    tenants: Tenants,
}

impl Router {
    /// Listens, and passes sessions on to the PostgreSQL of their project.
    ///
    /// # Errors
    /// When an address is in use.
    pub async fn start(options: &RouterOptions) -> anyhow::Result<Self> {
        let authority = Authority::of_poolers()?;
        let name = name::of(options.host);
        let tls = authority.acceptor(certificates::names(options.host, &name))?;
        let tenants = Tenants::default();
        let gate = Gate {
            tls,
            require_tls: options.require_tls,
            transaction: false,
            tenants: tenants.clone(),
        };
        let session = listen(options.host, options.session_port).await?;
        let transaction = listen(options.host, options.transaction_port).await?;
        let (at, transactions_at) = (session.local_addr()?, transaction.local_addr()?);
        let mut listeners = vec![(session, false), (transaction, true)];
        if at.ip() == Ipv4Addr::LOCALHOST {
            // The name leads there as well; a client that is refused takes the other address.
            for (port, transaction) in [(at.port(), false), (transactions_at.port(), true)] {
                let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await;
                listeners.extend(second.ok().map(|second| (second, transaction)));
            }
        }
        Ok(Self {
            name,
            session: at,
            transaction: transactions_at,
            root: authority.root(),
            tenants,
            tasks: listeners
                .into_iter()
                .map(|(listener, transaction)| {
                    let gate = Gate {
                        transaction,
                        ..gate.clone()
                    };
                    tokio::spawn(serve(listener, gate)).abort_handle()
                })
                .collect(),
        })
    }

    /// The name under which the Management API reports it, or its address where it has no name.
    pub fn host(&self) -> &str {
        &self.name
    }

    /// The session pooler's name and port.
    pub fn session_place(&self) -> String {
        format!("{}:{}", self.name, self.session.port())
    }

    /// Where the session pooler listens.
    pub fn session_address(&self) -> SocketAddr {
        self.session
    }

    /// Where the transaction pooler listens.
    pub fn transaction_address(&self) -> SocketAddr {
        self.transaction
    }

    /// The root that its certificate is issued by, in PEM.
    pub fn root(&self) -> &str {
        self.root
    }

    /// The projects it knows.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn listen(host: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port))
        .await
        .with_context(|| format!("the pooler cannot listen on {host}:{port}"))
}

async fn serve(listener: TcpListener, gate: Gate) {
    // Dropped with this task, which ends every session.
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let gate = gate.clone();
                    sessions.spawn(async move {
                        if let Err(error) = session::run(stream, &gate).await {
                            tracing::debug!(%error, "pooler session ended");
                        }
                    });
                }
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}
