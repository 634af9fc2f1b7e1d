//! The login that a source names for its registry.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use super::error::Error;
use super::oci;
use super::pull_secret::{self, RegistryLogin};
use crate::api::OciSource;
use crate::api::slim::Slim;

/// The login of the artifact's registry, when the source names a pull Secret in this namespace.
///
/// # Errors
/// [`Error::Denied`] when the Secret holds no login of the registry, [`Error::Unavailable`] when it cannot be read.
pub async fn of_source(client: &Client, namespace: &str, oci: &OciSource) -> Result<Option<RegistryLogin>, Error> {
    let Some(reference) = &oci.pull_secret_ref else {
        return Ok(None);
    };
    let place = format!("Secret {namespace}/{}", reference.name);
    let api: Api<Slim<Secret>> = Api::namespaced(client.clone(), namespace);
    let Slim(secret) = api
        .get_opt(&reference.name)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => Error::unavailable(&place, status.message),
            error => Error::unavailable(&place, error.to_string()),
        })?
        .ok_or_else(|| Error::denied(&place, "it does not exist: create it with the login of the registry"))?;
    let config = secret
        .data
        .filter(|_| secret.type_.as_deref() == Some(pull_secret::TYPE))
        .and_then(|mut data| data.remove(pull_secret::KEY))
        .ok_or_else(|| Error::denied(&place, format!("it is not of type {}", pull_secret::TYPE)))?;
    let (host, repository) = oci::split(&oci.image);
    pull_secret::login(&config.0, host, repository)
        .map(Some)
        .map_err(|what| Error::denied(&place, what))
}
