//! Commands that print: the bill, the orphans, plans of migrations, rollouts.

pub mod bill;
mod month;
pub mod orphans;
mod output;
pub mod plan;
pub mod rollout;

pub use output::Output;

use anyhow::Context as _;
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

/// All resources of a kind, or what a person lacks who cannot read them.
async fn all<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let list = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    let kind = K::plural(&());
    Ok(list
        .with_context(|| format!("cannot list {kind} of the cluster (ClusterRole orchestra-viewer lets you)"))?
        .items)
}
