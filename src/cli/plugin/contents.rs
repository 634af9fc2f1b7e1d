//! Reads the migrations of a planned Orchestra, from where the user of the command may read them.

use std::collections::btree_map::Entry;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;

use super::registry;
use crate::api::{OciSource, Orchestra};
use crate::cli::words;
use crate::source::pull_secret::RegistryLogin;
use crate::source::{self, Files, Share, SourcePlace, hosts, login, oci};
use crate::views::preview::{ClusterObjects, ListedMigrations, scripts_of};

/// The most artifacts that one plan reads. Each may have 64 MiB.
const MOST: usize = 16;

/// Reads the sources of the Orchestra's migrations, unless they are known already. The plan says what cannot be read.
pub async fn read(client: &Client, cluster: &mut ClusterObjects, object: &Orchestra) {
    let Ok(Some(scripts)) = scripts_of(cluster, object) else {
        return;
    };
    let place = &scripts.0;
    for name in place.source.config_maps() {
        let at = (place.namespace.clone(), name.to_owned());
        if let Entry::Vacant(unread) = cluster.config_maps.entry(at) {
            unread.insert(config_map(client, &place.namespace, name).await);
        }
    }
    let Some(artifact) = &place.source.oci else { return };
    if cluster.artifacts.contains_key(&scripts) {
        return;
    }
    let listed = if cluster.artifacts.len() < MOST {
        match pulled(client, place, artifact).await {
            Ok((files, notes)) => {
                ListedMigrations::read(&files, &scripts).map(|listed| ListedMigrations { notes, ..listed })
            }
            Err(why) => Err(format!("its migrations cannot be listed: {why}")),
        }
    } else {
        Err(format!(
            "its migrations are not listed: one plan reads at most {MOST} artifacts, so give it fewer manifests"
        ))
    };
    cluster.artifacts.insert(scripts, listed);
}

async fn config_map(client: &Client, namespace: &str, name: &str) -> Result<ConfigMap, String> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match api.get_opt(name).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err("does not exist".into()),
        Err(kube::Error::Api(status)) if status.code == 403 => Err("you may not read".into()),
        Err(error) => Err(format!("cannot be read: {}", words::of(&error.into()).0)),
    }
}

/// The files of an artifact, and what a person should know about the login.
async fn pulled(client: &Client, place: &SourcePlace, artifact: &OciSource) -> Result<(Files, Vec<String>), String> {
    hosts::check_tls(place, artifact).map_err(|error| error.to_string())?;
    let named = login::of_source(client, &place.namespace, artifact).await;
    let (told, is_open) = match named {
        Ok(login) => match files(artifact, login).await {
            Ok(files) => return Ok((files, Vec::new())),
            Err(source::Error::Denied { .. }) if artifact.pull_secret_ref.is_none() => (
                "the registry wants a login, and the source names no pullSecretRef: the operator would be refused"
                    .into(),
                Some(false),
            ),
            Err(error) => return Err(error.to_string()),
        },
        Err(error) => (error.to_string(), None),
    };
    match as_reader(artifact, is_open).await {
        Ok((files, with)) => Ok((files, vec![format!("{told}; {with}")])),
        Err(why) => Err(format!("{told}; {why}")),
    }
}

/// The files of an artifact with the login of the person who reads the plan, and how they were read.
///
/// `is_open`: whether the registry gives it without a login, when that is known.
async fn as_reader(artifact: &OciSource, is_open: Option<bool>) -> Result<(Files, String), String> {
    let (host, _) = oci::split(&artifact.image);
    let own = registry::own_login(host, artifact.insecure).await?;
    let refused = match &own {
        Some(_) => format!("{host} refuses your own login: replace it with `docker login {host}`"),
        None if artifact.insecure && !hosts::is_loopback(host) => {
            format!("your own login is not sent to {host} without TLS")
        }
        None => format!("you have no login of {host}: run `docker login {host}`"),
    };
    if own.is_none() && is_open == Some(false) {
        return Err(refused);
    }
    let with = match &own {
        Some(_) => format!("it was read with your own login of {host}"),
        None => "it was read without a login".into(),
    };
    match files(artifact, own).await {
        Ok(files) => Ok((files, with)),
        Err(source::Error::Denied { .. }) => Err(refused),
        Err(error) => Err(error.to_string()),
    }
}

async fn files(artifact: &OciSource, login: Option<RegistryLogin>) -> Result<Files, source::Error> {
    let found = oci::look_up(artifact, login.clone()).await?;
    oci::pull(artifact, found, login, Share::default()).await
}
