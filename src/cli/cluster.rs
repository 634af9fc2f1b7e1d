//! Objects that several commands read from the cluster.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::core::metadata::PartialObjectMetaExt as _;
use kube::runtime::events::Reporter;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::unbounded_channel;

use crate::api::slim::Slim;
use crate::api::{OrchestraClass, OrchestraPool};
use crate::class;
use crate::controller::backoff::Backoff;
use crate::controller::clock::Clock;
use crate::controller::events::Events;
use crate::controller::latest::Latest;
use crate::controller::refusals::Refusals;
use crate::controller::{Core, Stores};
use crate::run::{self, wiring};
use crate::supabase::marker::CLUSTER_NAMESPACE;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Lists all resources of a kind. The error names the role that grants the right.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn list<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let list = Api::<Slim<K>>::all(client.clone()).list(&ListParams::default()).await;
    let kind = K::plural(&());
    let list =
        list.with_context(|| format!("cannot list {kind} of the cluster (ClusterRole orchestra-viewer grants it)"))?;
    Ok(list.items.into_iter().map(|Slim(object)| object).collect())
}

/// The operator's flags, for their defaults and environment variables.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    run: run::Arguments,
}

/// A context for lookups of a class's account, token and prices.
///
/// Its stores hold the classes and pools, the namespace that marks this cluster's projects, and the names of the
/// token Secrets. They are filled once and not watched. All other stores are empty.
///
/// # Errors
/// When the cluster cannot be read, or a token must not be sent to the address of the API.
pub async fn class_context(client: &Client, namespace: &str, api_url: &str) -> anyhow::Result<Arc<class::Context>> {
    let mut arguments = Defaults::try_parse_from(["orchestra-operator"])?.run;
    namespace.clone_into(&mut arguments.namespace);
    api_url.clone_into(&mut arguments.supabase_api_url);
    // A command logs in to no database.
    arguments.supabase_ca_file = None;
    let provider = Arc::new(arguments.provider()?);
    let core = Arc::new(Core {
        client: client.clone(),
        settings: arguments.settings()?,
        stores: stores(client, namespace).await?,
        metrics: Arc::new(Metrics::default()),
        traces: Traces::default(),
        events: Events::new(client.clone(), Reporter::from("orchestra-operator")),
        refusals: Refusals::default(),
        backoff: Backoff::default(),
        clock: Clock::default(),
    });
    // No work is started, so nothing is sent to the receiver.
    let (ended, _) = unbounded_channel();
    wiring::class(core, provider, ended)
}

async fn stores(client: &Client, namespace: &str) -> anyhow::Result<Stores> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let marking = namespaces.get_metadata(CLUSTER_NAMESPACE).await.with_context(|| {
        format!("cannot read namespace {CLUSTER_NAMESPACE}, whose UID marks the projects of this cluster")
    })?;
    let classes: Vec<OrchestraClass> = list(client).await?;
    let secrets: Vec<_> = classes
        .iter()
        .filter_map(|class| class.spec.provider.as_ref()?.supabase.token_secret_ref.as_ref())
        .map(|reference| named(&reference.name, namespace))
        .collect();
    Ok(Stores {
        orchestras: store([]),
        classes: store(classes),
        databases: store([]),
        pools: store(list::<OrchestraPool>(client).await?),
        backups: store([]),
        jobs: store([]),
        secrets: store(secrets),
        connections: store([]),
        config_maps: store([]),
        namespaces: store([marking]).store().clone(),
    })
}

/// Metadata of a Secret that may exist. Reading its value shows whether it does; listing Secrets needs more rights than
/// reading the one that a class names.
fn named(name: &str, namespace: &str) -> PartialObjectMeta<Secret> {
    let metadata = ObjectMeta {
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        ..ObjectMeta::default()
    };
    metadata.into_response_partial()
}

fn store<K>(objects: impl IntoIterator<Item = K>) -> Latest<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    Latest::new(store)
}
