//! `orchestra-sandbox management-api`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use orchestra_sandbox::api::{Behaviour, Hosting, Organization, RateLimit};
use orchestra_sandbox::router::RouterOptions;
use orchestra_sandbox::{Options, StandIn};
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for the Supabase Management API whose projects are real databases.
///
/// It starts a PostgreSQL of its own and a pooler in front of it, both on loopback addresses, and
/// runs until Ctrl-C. Faults and behaviour are set under /_sandbox while it runs.
#[derive(Args)]
pub struct Arguments {
    /// The port of the API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The loopback address of the API.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The token to accept. The environment variable keeps it out of the process list; one is
    /// made up and printed when neither is given.
    #[arg(long, env = "SANDBOX_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The slug of the organization.
    #[arg(long, default_value = "acme-org")]
    organization: String,
    /// The organization's plan: free, pro, team, enterprise or platform. Only free can pause.
    #[arg(long, default_value = "pro")]
    plan: String,
    /// Make projects plain databases of one server, without what a hosted project has: for hundreds of projects.
    #[arg(long)]
    shared: bool,
    /// A superuser's URL of a PostgreSQL to use instead of starting any; implies --shared.
    #[arg(long, env = "SANDBOX_POSTGRES_URL", hide_env_values = true)]
    postgres_url: Option<String>,
    /// The loopback address of the pooler, which then has its usual ports and no name; 127.0.0.1 with free ports, and a
    /// name, when absent.
    #[arg(long)]
    pooler_host: Option<IpAddr>,
    /// Let the pooler accept logins without TLS.
    #[arg(long)]
    allow_plain: bool,
    /// How long a project takes to become healthy, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    coming_up_ms: u64,
    /// Requests a minute for each endpoint and scope.
    #[arg(long, default_value_t = 120)]
    rate_limit: u32,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// When something cannot be started.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        arguments.host.is_loopback(),
        "{} is not a loopback address",
        arguments.host
    );
    let given_token = arguments.token.is_some();
    let stand_in = StandIn::start(options(arguments)).await?;
    let (url, organization) = (stand_in.url(), stand_in.organization());
    println!("Management API  {url}");
    println!("Organization    {organization}");
    println!("PostgreSQL      {} for projects", stand_in.version());
    println!("Session pooler  {}", stand_in.router().session_place());
    let root = tempfile::Builder::new()
        .prefix("pooler-root-")
        .suffix(".crt")
        .tempfile()?;
    std::fs::write(root.path(), stand_in.router().root())?;
    println!("Pooler's root   {} (--supabase-ca-file)", root.path().display());
    if let Some(postgres) = stand_in.postgres() {
        println!("PostgreSQL log  {}", postgres.log_file().display());
    }
    let checked = if stand_in.is_checked() {
        "on"
    } else {
        "off, the document is not there"
    };
    println!("OpenAPI checks  {checked}");
    if !given_token {
        println!("SANDBOX_TOKEN={}", stand_in.token());
    }
    println!("\nTry:  curl -H \"Authorization: Bearer $SANDBOX_TOKEN\" {url}/v1/organizations/{organization}/projects");
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

fn options(arguments: Arguments) -> Options {
    let mut router = RouterOptions {
        require_tls: !arguments.allow_plain,
        ..RouterOptions::default()
    };
    if let Some(host) = arguments.pooler_host {
        router.host = host;
        (router.session_port, router.transaction_port) = (5432, 6543);
    }
    Options {
        address: SocketAddr::new(arguments.host, arguments.port),
        organizations: vec![Organization {
            name: arguments.organization.clone(),
            slug: arguments.organization,
            plan: arguments.plan,
        }],
        tokens: arguments.token.into_iter().collect(),
        behaviour: Behaviour {
            coming_up: Duration::from_millis(arguments.coming_up_ms),
            ..Behaviour::default()
        },
        rate_limit: RateLimit {
            limit: arguments.rate_limit,
            ..RateLimit::default()
        },
        router,
        hosting: match arguments.postgres_url {
            Some(url) => Hosting::At(url),
            None if arguments.shared => Hosting::Shared,
            None => Hosting::Clusters,
        },
        ..Options::default()
    }
}
