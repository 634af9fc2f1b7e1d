//! The bridge to the product's old configuration: in a cluster without any OrchestraClass, the operator's environment
//! variables define the default class and its pool.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::{Api, ListParams, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::names::FIELD_MANAGER;
use crate::api::{
    DEFAULT_CLASS_ANNOTATION, ENVIRONMENT_ANNOTATION, GoDuration, OrchestraClass, OrchestraClassSpec, OrchestraPool,
    OrchestraPoolSpec, Pools, Provider, StaticInventory,
};
use crate::controller::Settings;
use crate::controller::error::Error;
use crate::controller::write::post_parameters;

/// Name of the class and of the pool that are created from the environment.
pub const NAME: &str = "environment";

/// Creates the default class when the cluster has no OrchestraClass and the environment defines one.
pub async fn bridge(client: &Client, settings: &Settings) -> Result<(), Error> {
    let classes: Api<OrchestraClass> = Api::all(client.clone());
    let nothing = settings.token.is_none() && settings.inventory.is_empty();
    if nothing
        || !classes
            .list_metadata(&ListParams::default().limit(1))
            .await?
            .items
            .is_empty()
    {
        return Ok(());
    }
    let pooled = !settings.inventory.is_empty();
    if pooled {
        let spec = OrchestraPoolSpec {
            inventory: Some(StaticInventory::default()),
            ..OrchestraPoolSpec::default()
        };
        let mut pool = OrchestraPool::new(NAME, spec);
        pool.metadata.annotations = Some(annotations(&[ENVIRONMENT_ANNOTATION]));
        create(&Api::all(client.clone()), &pool).await?;
    }
    let spec = OrchestraClassSpec {
        provider: settings.token.is_some().then(Provider::default),
        pools: pooled.then(|| Pools {
            names: vec![NAME.into()],
            ..Pools::default()
        }),
        progress_deadline: GoDuration::from_mins(10),
        ..OrchestraClassSpec::default()
    };
    let mut class = OrchestraClass::new(NAME, spec);
    class.metadata.annotations = Some(annotations(&[ENVIRONMENT_ANNOTATION, DEFAULT_CLASS_ANNOTATION]));
    create(&classes, &class).await?;
    tracing::info!(
        class = NAME,
        "created the default class from the environment, because the cluster has no class"
    );
    Ok(())
}

fn annotations(names: &[&str]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| ((*name).to_string(), "true".to_string()))
        .collect()
}

async fn create<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    match api.create(&post_parameters(FIELD_MANAGER), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
