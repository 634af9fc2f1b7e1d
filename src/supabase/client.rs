//! The operations of the Management API that we use, typed.
//!
//! The official document has Go and TypeScript clients only, and decodes enums strictly; what we
//! need is small, so the requests are written out here.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::budget::{Budget, Operation, Permit, Turn};
use super::error::Error;
use super::health::{HealthStatus, Service, ServiceHealth};
use super::identity::Identity;
use super::keys::ApiKey;
use super::pooler::PoolerConfig;
use super::settings::Settings;
use super::types::{CreatedProject, NewProject, Organization, Project};
use crate::telemetry::metrics::Metrics;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A client for one token. Every call takes from the token's [`Budget`], and may fail with
/// [`Error::Budget`] before anything is sent.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: Arc<Settings>,
    token: SecretString,
    budget: Arc<Budget>,
    identity: Identity,
    metrics: Arc<Metrics>,
}

#[derive(Serialize)]
struct CreateBody<'a> {
    name: &'a str,
    organization_slug: &'a str,
    db_pass: &'a str,
    region_selection: &'a super::types::RegionSelection,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_instance_size: Option<&'a str>,
}

#[derive(Serialize)]
struct PasswordBody<'a> {
    password: &'a str,
}

/// One request, and what must not show in its errors.
struct Request<'a> {
    operation: Operation,
    /// The project or organization that it counts against.
    scope: &'a str,
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    secret: Option<&'a SecretString>,
}

impl Client {
    /// A client for a token; whitespace around it is dropped (Secrets made from files often end
    /// in a line feed).
    ///
    /// # Errors
    /// When the token cannot be sent, or no TLS can be set up.
    pub fn new(settings: Arc<Settings>, token: &SecretString, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let token = SecretString::from(token.expose_secret().trim());
        if token.expose_secret().is_empty() {
            return Err(Error::TokenMalformed);
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| Error::TokenMalformed)?;
        bearer.set_sensitive(true);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("orchestra-operator/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect could carry the token elsewhere, and turns a POST into a GET.
            .redirect(redirect::Policy::none())
            // Its default resends what a server says it did not process; writes are ours to
            // resend. (hyper alone still takes another connection when the first was closed
            // before a byte of the request was written.)
            .retry(reqwest::retry::never());
        if settings.is_loopback() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::Settings {
            message: format!("no HTTP client for the Management API: {}", exchange::causes(error)),
        })?;
        Ok(Self {
            http,
            settings,
            token,
            budget: Arc::default(),
            identity: Identity::default(),
            metrics,
        })
    }

    /// Where the API is and whom it may name.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The token's budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes a turn for [`Client::create_project`], before anything is written or sent.
    ///
    /// # Errors
    /// [`Error::Queued`] when others go first.
    pub async fn take_turn(&self, organization: &str, turn: &Turn) -> Result<Permit, Error> {
        self.budget
            .acquire(Operation::CreateProject, organization, Some(turn))
            .await
    }

    /// Whose token it is, and whether the API accepts it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Tells every change of whether the API accepts the token to others, too.
    #[must_use]
    pub(super) fn telling(mut self, verdicts: tokio::sync::watch::Sender<u64>) -> Self {
        self.identity = Identity::telling(verdicts);
        self
    }

    /// Creates a project (`v1-create-a-project`). The API has no idempotency key: see
    /// [`Error::outcome_unknown`].
    pub async fn create_project(&self, project: &NewProject, permit: Permit) -> Result<CreatedProject, Error> {
        let body = encode(&CreateBody {
            name: &project.name,
            organization_slug: &project.organization,
            db_pass: project.password.expose_secret(),
            region_selection: &project.region,
            desired_instance_size: project.instance_size.as_deref(),
        })?;
        let operation = Operation::CreateProject;
        let request = Request {
            body: Some(body),
            secret: Some(&project.password),
            ..Request::new(operation, &project.organization, Method::POST, &["v1", "projects"])
        };
        decode(operation, &self.exchange_with(&request, permit).await?)
    }

    /// One project (`v1-get-project`).
    pub async fn get_project(&self, reference: &str) -> Result<Project, Error> {
        self.read(Operation::GetProject, reference, &["v1", "projects", reference], vec![])
            .await
    }

    /// Deletes a project and its backups for good (`v1-delete-a-project`). An error that
    /// [`Error::is_gone`] means that it was gone before.
    pub async fn delete_project(&self, reference: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference];
        let request = Request::new(Operation::DeleteProject, reference, Method::DELETE, &path);
        done(Operation::DeleteProject, &self.send(&request).await?)
    }

    /// Restores a paused project (`v1-restore-a-project`). One that is not paused any more refuses.
    pub async fn restore_project(&self, reference: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "restore"];
        let request = Request::new(Operation::RestoreProject, reference, Method::POST, &path);
        done(Operation::RestoreProject, &self.send(&request).await?)
    }

    /// The health of services (`v1-get-services-health`). A service that the API leaves out is
    /// added as one that is coming up.
    pub async fn services_health(&self, reference: &str, services: &[Service]) -> Result<Vec<ServiceHealth>, Error> {
        let path = ["v1", "projects", reference, "health"];
        let query = services
            .iter()
            .map(|service| ("services", service.to_string()))
            .collect();
        let operation = Operation::ServicesHealth;
        let mut health: Vec<ServiceHealth> = self.read(operation, reference, &path, query).await?;
        for service in services {
            if !health.iter().any(|have| have.name == *service) {
                health.push(ServiceHealth {
                    name: service.clone(),
                    status: HealthStatus::ComingUp,
                    error: Some("not reported".to_owned()),
                });
            }
        }
        Ok(health)
    }

    /// The shared pooler's entries (`v1-get-pooler-config`); see
    /// [`super::pooler::PoolerEndpoint::choose`].
    pub async fn pooler_config(&self, reference: &str) -> Result<Vec<PoolerConfig>, Error> {
        let path = ["v1", "projects", reference, "config", "database", "pooler"];
        self.read(Operation::PoolerConfig, reference, &path, vec![]).await
    }

    /// The API keys, revealed (`v1-get-project-api-keys`); see [`super::keys::choose`].
    pub async fn api_keys(&self, reference: &str) -> Result<Vec<ApiKey>, Error> {
        let path = ["v1", "projects", reference, "api-keys"];
        let query = vec![("reveal", "true".to_owned())];
        self.read(Operation::ApiKeys, reference, &path, query).await
    }

    /// Sets the password of `postgres` (`v1-update-database-password`). The same password may be
    /// set again, so an unknown outcome is cured by a repetition.
    pub async fn update_database_password(&self, reference: &str, password: &SecretString) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "database", "password"];
        let operation = Operation::UpdatePassword;
        let request = Request {
            body: Some(encode(&PasswordBody {
                password: password.expose_secret(),
            })?),
            secret: Some(password),
            ..Request::new(operation, reference, Method::PATCH, &path)
        };
        done(operation, &self.send(&request).await?)
    }

    /// The organizations that the token sees (`v1-list-all-organizations`).
    pub async fn list_organizations(&self) -> Result<Vec<Organization>, Error> {
        self.read(Operation::ListOrganizations, "", &["v1", "organizations"], vec![])
            .await
    }

    /// One organization, with its plan (`v1-get-an-organization`).
    pub async fn get_organization(&self, slug: &str) -> Result<Organization, Error> {
        let path = ["v1", "organizations", slug];
        let mut organization: Organization = self.read(Operation::GetOrganization, slug, &path, vec![]).await?;
        slug.clone_into(&mut organization.slug);
        Ok(organization)
    }
}

impl<'a> Request<'a> {
    fn new(operation: Operation, scope: &'a str, method: Method, path: &'a [&'a str]) -> Self {
        Self {
            operation,
            scope,
            method,
            path,
            query: Vec::new(),
            body: None,
            secret: None,
        }
    }
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|_| Error::Settings {
        message: "a request to the Management API could not be written as JSON".to_owned(),
    })
}

/// The text of a `serde_json` error can repeat a value, so only its place is told.
fn decode<T: DeserializeOwned>(operation: Operation, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let (category, column) = (error.classify(), error.column());
        let cause = format!("{category:?} error in line {}, column {column}", error.line());
        Error::Undecodable { operation, cause }
    })
}

/// A success without an answer worth reading: empty or any JSON, but not some proxy's page.
fn done(operation: Operation, body: &[u8]) -> Result<(), Error> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    decode::<serde::de::IgnoredAny>(operation, body).map(|_| ())
}

mod billing;
mod exchange;
mod listing;
pub use listing::PAGE;
#[cfg(test)]
mod tests;
