//! Pulls from an OCI registry (OCI distribution specification 1.1).
//!
//! The crate oci-client has the types. Manifests and layers are downloaded here, because oci-client reads manifests and
//! error answers of any length (rust-oci-client issue 206), and fetches a layer from any address that its manifest
//! names (`urls`).

use std::time::Duration;

use oci_client::Reference;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::digest::{sha256, sha512};
use super::error::Error;
use super::flaw::Flaw;
use super::pull_secret::RegistryLogin;
use super::token::{self, TokenRefusal};

/// How long a connection may take to open, and the longest pause between two chunks of an answer.
const CONNECT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(20);

/// The most bytes of a manifest: clients and registries should expect 4 MiB (OCI distribution 1.1).
const MAX_MANIFEST: usize = 4 << 20;

/// The longest `Retry-After` that is followed.
const MAX_AFTER: Duration = Duration::from_mins(10);

const AGENT: &str = concat!("orchestra-operator/", env!("CARGO_PKG_VERSION"));

/// A repository that is open for reading. It is dropped after one pull, and the login with it.
pub struct Repository {
    http: reqwest::Client,
    reference: Reference,
    scheme: &'static str,
    authorization: Option<HeaderValue>,
    /// It is asked with a login.
    has_login: bool,
}

impl Repository {
    /// Opens a repository for pulls, with a login or without.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Denied`].
    pub async fn open(reference: Reference, insecure: bool, login: Option<&RegistryLogin>) -> Result<Self, Error> {
        let scheme = if insecure { "http" } else { "https" };
        let place = reference.to_string();
        let http = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(PAUSE)
            // A redirect must not send a token, or fetch content, without TLS.
            .https_only(!insecure)
            .build()
            .map_err(|error| Error::unavailable(&place, cause(error)))?;
        let base = format!("{scheme}://{}", reference.resolve_registry());
        let authorization = token::authorization(&http, &base, reference.repository(), login).await;
        let has_login = login.is_some();
        let authorization = authorization.map_err(|refusal| match refusal {
            TokenRefusal::Login => denied(&place, has_login),
            TokenRefusal::Lost(error) => Error::unavailable(&place, cause(error)),
            TokenRefusal::Service(what) => Error::unavailable(&place, what),
        })?;
        Ok(Self {
            http,
            reference,
            scheme,
            authorization,
            has_login,
        })
    }

    /// The manifest, byte for byte, and its digest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn manifest(&self) -> Result<(String, Vec<u8>), Error> {
        let accept = [
            OCI_IMAGE_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ];
        let wanted = self.reference.digest();
        let name = wanted.or(self.reference.tag()).unwrap_or("latest");
        let bytes = self
            .get(&format!("manifests/{name}"), &accept.join(", "), MAX_MANIFEST)
            .await?;
        let digest = sha256(&bytes);
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(self.flaw(Flaw::Digest("the manifest".into())));
        }
        Ok((digest, bytes))
    }

    /// The blob of this digest, of at most this size.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn blob(&self, digest: &str, size: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.get(&format!("blobs/{digest}"), "*/*", size).await?;
        let is = match digest.split_once(':') {
            Some(("sha256", _)) => sha256(&bytes),
            Some(("sha512", _)) => sha512(&bytes),
            _ => String::new(),
        };
        if is != digest {
            return Err(self.flaw(Flaw::Digest(format!("the layer {digest}"))));
        }
        Ok(bytes)
    }

    /// An error about the content of this repository.
    pub fn flaw(&self, flaw: Flaw) -> Error {
        Error::invalid(&self.reference, flaw)
    }

    async fn get(&self, what: &str, accept: &str, most: usize) -> Result<Vec<u8>, Error> {
        let (host, repository) = (self.reference.resolve_registry(), self.reference.repository());
        let mut request = self
            .http
            .get(format!("{}://{host}/v2/{repository}/{what}", self.scheme))
            .header(ACCEPT, accept);
        // reqwest drops the header when a redirect leads to another host or port.
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let lost = |error| Error::unavailable(&self.reference, cause(error));
        let mut answer = request.send().await.map_err(lost)?;
        self.check(&answer)?;
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(lost)? {
            if bytes.len() + piece.len() > most {
                let what = format!("{what} has more than the {most} bytes that are allowed");
                return Err(self.flaw(Flaw::Artifact(what)));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn check(&self, answer: &Response) -> Result<(), Error> {
        let place = self.reference.to_string();
        match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(denied(&place, self.has_login)),
            StatusCode::NOT_FOUND => Err(Error::NoArtifact(place)),
            status => Err(Error::Unavailable {
                place,
                what: format!("the registry answers {status}"),
                after: retry_after(answer),
            }),
        }
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), MAX_AFTER))
}

/// The error of a registry that refuses the caller. Many give the same answer to a wrong login and to one that may not read
/// the repository.
fn denied(place: &str, has_login: bool) -> Error {
    let what = if has_login {
        "the registry refuses the login: correct the Secret of pullSecretRef, whose login must be allowed to read it"
    } else {
        "the registry refuses access without a login: give a pullSecretRef with a login that may read it"
    };
    Error::denied(&place, what)
}

/// The innermost cause, without the address: after a redirect it may hold a token.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
