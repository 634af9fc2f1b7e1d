//! `orchestra-operator rebuild`: prints the manifests of tenants whose cluster is lost.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;

use super::cluster;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::class;
use crate::supabase::settings::DEFAULT_API_URL;
use crate::views::rebuild;

/// Flags of `orchestra-operator rebuild`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Class whose organization has the projects, and that the tenants are to have.
    pub class: String,
    /// The lost cluster: the 12 hexadecimal digits before `-orchdb-` in the names of its projects. Omitted: the only one
    /// with projects that no OrchestraDatabase of this cluster holds.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Namespace of the operator, which holds the token Secrets of the classes.
    #[arg(short, long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
    /// Address of the Supabase Management API.
    #[arg(long, env = "SUPABASE_API_URL", default_value = DEFAULT_API_URL)]
    pub supabase_api_url: String,
}

/// The manifests, and how many projects are not in them.
pub struct RebuildReport {
    /// The manifests.
    pub printed: String,
    /// Projects of the lost cluster for which there is no manifest.
    pub left: usize,
}

/// Reads the cluster, lists the projects of the class's organization once, and reads the claim record of each.
///
/// # Errors
/// When the cluster or the projects cannot be read, or the projects are of several clusters and none is named.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<RebuildReport> {
    let ctx = cluster::class_context(client, &arguments.namespace, &arguments.supabase_api_url).await?;
    let class = class::resolve(&ctx, Some(&arguments.class))?;
    let databases = cluster::list::<OrchestraDatabase>(client).await?;
    let databases: Vec<_> = databases.into_iter().map(Arc::new).collect();
    let orchestras = cluster::list::<Orchestra>(client).await?;
    let wanted = arguments.cluster.as_deref();
    let found = rebuild::look(&ctx, &class, wanted, &databases, &orchestras).await?;
    Ok(RebuildReport {
        printed: if found.tenants.is_empty() && found.left.is_empty() {
            "# None: every project with the marker of a cluster has its OrchestraDatabase.".to_owned()
        } else {
            found.manifests(&arguments.class, Timestamp::now())?
        },
        left: found.left.len(),
    })
}
