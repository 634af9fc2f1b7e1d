//! The store of backups: a bucket of an S3-compatible service, or a folder of a mounted volume.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout, timeout_at};

use super::bounded_store::BoundedConnector;
use super::error::{Error, Result};
use super::manifest;
use super::order::Store;
use super::outcome::OutcomeReason;
use super::refused::refused;
use super::upload::Upload;

/// The time limit of a connection attempt to the store.
const CONNECT: Duration = Duration::from_secs(10);
/// The time limit without any byte sent or received.
const SILENCE: Duration = Duration::from_mins(2);
/// The time limit of all retries of a request.
const RETRIES: Duration = Duration::from_mins(2);
/// The time limit of a list and of a removal, of all their pages and objects.
const PATIENCE: Duration = Duration::from_mins(30);
/// Prefix of the name of the object that tests conditional writes.
const PROBE: &str = "create-only-probe";

/// The secrets of a store.
#[derive(Clone, Debug, Default)]
pub struct StoreSecrets {
    /// S3's access key.
    pub access_key_id: Option<SecretString>,
    /// S3's secret key.
    pub secret_access_key: Option<SecretString>,
    /// Certificates in PEM that the store's may be issued by, beside the system's.
    pub ca: Option<String>,
}

/// A store, and the folder of one backup in it.
#[derive(Clone, Debug)]
pub struct Folder {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// Its directory, on a mounted volume.
    pub(super) directory: Option<std::path::PathBuf>,
    /// The time limit of a list and of a removal.
    pub(super) patience: Duration,
}

impl Folder {
    /// The folder of a backup. No request is sent to the store yet, but a mounted volume must exist.
    ///
    /// # Errors
    /// [`OutcomeReason::InvalidOrder`], when the store is not one that can be used; [`OutcomeReason::StoreMissing`].
    pub fn open(store: &Store, secrets: &StoreSecrets, path: &str) -> Result<Self> {
        let below = |prefix: &str| Path::from(format!("{prefix}/{path}").trim_start_matches('/'));
        match store {
            Store::S3 { prefix, .. } => Ok(Self {
                store: s3(store, secrets)?,
                path: below(prefix),
                directory: None,
                patience: PATIENCE,
            }),
            Store::Folder { path: root, prefix } => {
                let local = LocalFileSystem::new_with_prefix(root).map_err(|error| {
                    let cause = error.to_string();
                    Error::new(
                        OutcomeReason::StoreMissing,
                        format!("the folder {root} does not exist: check that the volume is mounted ({cause})"),
                    )
                })?;
                let path = below(prefix);
                let directory = std::path::Path::new(root).join(path.as_ref());
                Ok(Self {
                    store: Arc::new(local.with_fsync(true)),
                    path,
                    directory: Some(directory),
                    patience: PATIENCE,
                })
            }
        }
    }

    /// Tests that the store supports conditional writes: that it creates an object and does not overwrite it.
    ///
    /// # Errors
    /// [`OutcomeReason::StoreUnsafe`], when it overwrites; [`OutcomeReason::AlreadyExists`], when the folder holds a
    /// manifest; otherwise the error of the store.
    pub async fn probe(&self) -> Result<()> {
        if self.exists(manifest::NAME).await? {
            return Err(Error::new(
                OutcomeReason::AlreadyExists,
                format!("{} already contains a backup: use another path", self.path),
            ));
        }
        // Another run may try at the same time.
        let name = format!("{PROBE}-{}", uuid::Uuid::new_v4().simple());
        let place = self.at(&name);
        let put = || async {
            let payload = PutPayload::from_static(b"orchestra-operator");
            self.store.put_opts(&place, payload, PutMode::Create.into()).await
        };
        put().await.map_err(|error| refused(&error, "write to"))?;
        let again = put().await;
        self.delete(&name).await?;
        match again {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Ok(_) => Err(Error::new(
                OutcomeReason::StoreUnsafe,
                "the store ignores If-None-Match: * and overwrites existing objects, so a backup could be replaced \
                 unnoticed: use a store with conditional writes, or a newer version of it",
            )),
            Err(error) => Err(refused(&error, "write to")),
        }
    }

    /// A folder below this one; this one itself where the path is empty.
    #[must_use]
    pub fn folder(&self, path: &str) -> Self {
        Self {
            store: self.store.clone(),
            path: Path::from(format!("{}/{path}", self.path).trim_matches('/')),
            directory: self.directory.as_ref().map(|directory| directory.join(path)),
            patience: self.patience,
        }
    }

    /// The same folder with another time limit of lists and removals.
    #[cfg(test)]
    pub(super) fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn too_slow(&self, what: &str) -> Error {
        Error::new(
            OutcomeReason::StoreUnreachable,
            format!(
                "cannot {what} the store: it took more than {} s; check that the store runs and that its address is right",
                self.patience.as_secs()
            ),
        )
    }

    /// The objects below the folder, as the store pages them: their paths from here, and their bytes.
    pub fn list(&self) -> BoxStream<'static, Result<(String, u64)>> {
        let root = self.path.clone();
        let found = self.store.list(Some(&self.path));
        let named = found.map(move |object| {
            let object = object.map_err(|error| refused(&error, "list"))?;
            let parts = object.location.prefix_match(&root);
            let parts: Vec<_> = parts
                .into_iter()
                .flatten()
                .map(|part| part.as_ref().to_owned())
                .collect();
            Ok((parts.join("/"), object.size))
        });
        // A store can send pages without objects and without end.
        let (until, late) = (Instant::now() + self.patience, self.too_slow("list"));
        let in_time = stream::unfold(Some(named.boxed()), move |named| {
            let late = late.clone();
            async move {
                let mut named = named?;
                match timeout_at(until, named.next()).await {
                    Ok(next) => next.map(|object| (object, Some(named))),
                    Err(_) => Some((Err(late), None)),
                }
            }
        });
        in_time.boxed()
    }

    fn at(&self, name: &str) -> Path {
        self.path.clone().join(name)
    }

    /// The path of an object below the store's root.
    pub fn path_of(&self, name: &str) -> String {
        self.at(name).to_string()
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// When the store returns an error.
    pub async fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.size(name).await?.is_some())
    }

    /// The bytes of an object that is there.
    ///
    /// # Errors
    /// When the store returns an error.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.store.head(&self.at(name)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused(&error, "read")),
        }
    }

    /// Writes a small object that must not exist yet.
    ///
    /// # Errors
    /// [`OutcomeReason::AlreadyExists`]; otherwise the error of the store.
    pub async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let place = self.at(name);
        let put = self
            .store
            .put_opts(&place, bytes.clone().into(), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                // The answer to an earlier try of this request may have been lost.
                match self.small(name, bytes.len() as u64).await {
                    Ok(found) if found == bytes => Ok(()),
                    Err(error) if error.reason == OutcomeReason::StoreUnreachable => Err(error),
                    _ => Err(Error::new(
                        OutcomeReason::AlreadyExists,
                        format!("{} exists already: another run wrote it", self.path_of(name)),
                    )),
                }
            }
            Err(error) => Err(refused(&error, "write to")),
        }
    }

    /// The bytes of a small object.
    ///
    /// # Errors
    /// [`OutcomeReason::StoreMissing`]; [`OutcomeReason::Damaged`], when there are more than `most`; otherwise the
    /// error of the store.
    pub async fn small(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut stream = self.stream(name).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(Error::new(
                    OutcomeReason::Damaged,
                    format!("{} has more than {most} bytes", self.path_of(name)),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The bytes of an object as they come.
    ///
    /// # Errors
    /// [`OutcomeReason::StoreMissing`]; otherwise the error of the store.
    pub async fn stream(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let found = self.store.get(&self.at(name)).await;
        let found = found.map_err(|error| refused(&error, "read"))?;
        let stream = found.into_stream();
        Ok(stream.map_err(|error| refused(&error, "read")).boxed())
    }

    /// Begins an object that is written in parts.
    ///
    /// # Errors
    /// When the store returns an error.
    pub async fn upload(&self, name: &str) -> Result<Upload> {
        let upload = self.store.put_multipart(&self.at(name)).await;
        Ok(Upload::new(upload.map_err(|error| refused(&error, "write to"))?))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.at(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(refused(&error, "delete from")),
        }
    }

    /// Removes these objects of a failed run. Objects that cannot be removed are logged: without a manifest they are no backup.
    pub async fn discard(&self, names: &[String]) {
        for name in names {
            if let Err(error) = self.delete(name).await {
                tracing::warn!(%error, name, "an archive of a failed backup could not be removed from the store");
            }
        }
    }

    /// Removes everything in the folder, the manifest first, so that the rest is no backup any more.
    ///
    /// # Errors
    /// When the store returns an error. Another call continues where this one ended.
    pub async fn remove(&self) -> Result<()> {
        let removed = timeout(self.patience, self.remove_all()).await;
        removed.unwrap_or_else(|_| Err(self.too_slow("delete from")))
    }

    async fn remove_all(&self) -> Result<()> {
        self.delete(manifest::NAME).await?;
        let found = self.store.list(Some(&self.path)).map_ok(|object| object.location);
        let removed = self.store.delete_stream(found.boxed());
        removed
            .try_for_each(|_| async { Ok(()) })
            .await
            .or_else(|error| match error {
                object_store::Error::NotFound { .. } => Ok(()),
                error => Err(refused(&error, "delete from")),
            })?;
        // The parts of an interrupted upload are in no list.
        match &self.directory {
            Some(directory) => match tokio::fs::remove_dir_all(directory).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                    OutcomeReason::StoreRefused,
                    format!("cannot remove {}: {error}", directory.display()),
                )),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}

fn s3(store: &Store, secrets: &StoreSecrets) -> Result<Arc<dyn ObjectStore>> {
    let Store::S3 {
        endpoint,
        region,
        bucket,
        path_style,
        ..
    } = store
    else {
        return Err(Error::new(OutcomeReason::InvalidOrder, "the store is no bucket"));
    };
    let unusable = |error: object_store::Error| Error::new(OutcomeReason::InvalidOrder, format!("the store: {error}"));
    let mut client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_timeout_disabled();
    if let Some(pem) = &secrets.ca {
        for certificate in Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)? {
            client = client.with_root_certificate(certificate);
        }
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.as_deref().unwrap_or("us-east-1"))
        .with_virtual_hosted_style_request(!path_style)
        .with_http_connector(BoundedConnector::default())
        // The client panics at an answer to a bulk request that names an object which it did not.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            retry_timeout: RETRIES,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = endpoint {
        // Plain http is the admin's choice: requests are signed without sending the secret key, and archives can be
        // encrypted.
        client = client.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    match (&secrets.access_key_id, &secrets.secret_access_key) {
        (Some(id), Some(key)) => {
            builder = builder
                .with_access_key_id(id.expose_secret().trim())
                .with_secret_access_key(key.expose_secret().trim());
        }
        _ => {
            return Err(Error::new(
                OutcomeReason::InvalidOrder,
                "the store's credentials are missing: the Job's Secret needs s3-access-key-id and s3-secret-access-key",
            ));
        }
    }
    let store = builder.with_client_options(client).build().map_err(unusable)?;
    Ok(Arc::new(store))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
