//! `orchestra-operator orphans`: prints what costs money and serves no tenant.

use std::sync::Arc;

use kube::Client;

use super::cluster;
use super::output::{self, Cell, Output};
use crate::api::{Orchestra, OrchestraDatabase};
use crate::supabase::settings::DEFAULT_API_URL;
use crate::views::orphans::{self, Orphan};

/// Flags of `orchestra-operator orphans`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Namespace of the operator, which holds the token Secrets of the classes.
    #[arg(short, long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
    /// Address of the Supabase Management API.
    #[arg(long, env = "SUPABASE_API_URL", default_value = DEFAULT_API_URL)]
    pub supabase_api_url: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// The orphans in the wanted format, and the classes that could not be checked.
pub struct OrphansReport {
    /// The orphans that were found.
    pub printed: String,
    /// One line for each class whose organization could not be listed.
    pub missed: Vec<String>,
}

/// Reads the cluster and lists the projects of each organization once.
///
/// # Errors
/// When the cluster cannot be read, or a token must not be sent to the address of the API.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<OrphansReport> {
    let ctx = cluster::class_context(client, &arguments.namespace, &arguments.supabase_api_url).await?;
    let organizations = orphans::organizations(&ctx).await;
    let databases = cluster::list::<OrchestraDatabase>(client).await?;
    let databases: Vec<_> = databases.into_iter().map(Arc::new).collect();
    let orchestras = cluster::list::<Orchestra>(client).await?;
    let orchestras: Vec<_> = orchestras.into_iter().map(Arc::new).collect();
    let found = orphans::orphans(&ctx, &organizations, &databases, &orchestras);
    Ok(OrphansReport {
        printed: render(&found, arguments.output)?,
        missed: organizations.missed,
    })
}

const HEADER: [&str; 10] = [
    "kind", "project", "name", "class", "region", "status", "since", "currency", "monthly", "next",
];

fn render(orphans: &[Orphan], output: Output) -> anyhow::Result<String> {
    let cells = orphans.iter().map(|orphan| -> Vec<Cell> {
        vec![
            Some(orphan.kind.into()),
            orphan.project.clone(),
            Some(orphan.name.clone()),
            orphan.class.clone(),
            orphan.region.clone(),
            Some(orphan.status.clone()),
            orphan.since.map(|at| at.to_string()),
            orphan.currency.clone(),
            orphan.monthly.clone(),
            Some(orphan.next.clone()),
        ]
    });
    match output {
        Output::Json => output::json(orphans),
        Output::Yaml => output::yaml(orphans),
        Output::Csv => output::csv(&HEADER, cells),
        Output::Table if orphans.is_empty() => Ok("none: everything that costs money serves a tenant".into()),
        Output::Table => Ok(output::table(&HEADER, cells, &["monthly"])),
    }
}
