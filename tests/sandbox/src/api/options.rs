//! How the stand-in is started.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Behaviour, Organization, RateLimit};
use crate::router::RouterOptions;

/// How a [`StandIn`](super::StandIn) is started. It holds tokens, so it is not shown.
#[derive(Clone)]
pub struct Options {
    /// Where the API listens; a loopback address. Port 0 takes a free one.
    pub address: SocketAddr,
    /// The organizations; the first is [`StandIn::organization`](super::StandIn::organization).
    pub organizations: Vec<Organization>,
    /// The tokens accepted; one is made up when there is none.
    pub tokens: Vec<String>,
    /// The domain of project hosts, `db.<ref>.<domain>`. Nothing answers there.
    pub project_domain: String,
    /// How the provider behaves at first.
    pub behaviour: Behaviour,
    /// The rate limit at first.
    pub rate_limit: RateLimit,
    /// The pooler.
    pub router: RouterOptions,
    /// Where projects' databases live.
    pub hosting: Hosting,
}

/// Where projects' databases live.
#[derive(Clone, Debug, Default)]
pub enum Hosting {
    /// Each in a cluster of its own with what a hosted project has, as on the platform.
    #[default]
    Clusters,
    /// Each as a plain database of the one server that is started for pools: for measurements with many projects.
    Shared,
    /// Each as a plain database of the server at this URL of a superuser.
    At(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            organizations: vec![Organization {
                slug: "acme-org".to_owned(),
                name: "Acme".to_owned(),
                plan: "pro".to_owned(),
            }],
            tokens: Vec::new(),
            project_domain: "supabase.test".to_owned(),
            behaviour: Behaviour::default(),
            rate_limit: RateLimit::default(),
            router: RouterOptions::default(),
            hosting: Hosting::default(),
        }
    }
}
