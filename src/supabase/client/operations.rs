//! The operations on projects and organizations, typed.
//!
//! The official document has Go and TypeScript clients only, and decodes enums strictly; the operator needs little of
//! it, so the requests are written out here.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::http::{Client, HttpRequest, decode, done, encode, undocumented};
use crate::supabase::error::Error;
use crate::supabase::health::{Service, ServiceHealth, ServiceStatus};
use crate::supabase::operation::Operation;
use crate::supabase::pooler::PoolerConfig;
use crate::supabase::rate_limit::Permit;
use crate::supabase::regions::Regions;
use crate::supabase::types::{CreatedProject, NewProject, Organization, Project, RegionSelection};

#[derive(Serialize)]
struct CreateBody<'a> {
    name: &'a str,
    organization_slug: &'a str,
    db_pass: &'a str,
    region_selection: &'a RegionSelection,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_instance_size: Option<&'a str>,
}

#[derive(Serialize)]
struct PasswordBody<'a> {
    password: &'a str,
}

#[derive(Serialize)]
struct QueryBody<'a> {
    query: &'a str,
}

impl Client {
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
        let (RegionSelection::Specific(region) | RegionSelection::SmartGroup(region)) = &project.region;
        let request = HttpRequest {
            body: Some(body),
            secret: Some(&project.password),
            names: vec![&project.organization, &project.name],
            region: Some(region),
            ..HttpRequest::new(operation, &project.organization, Method::POST, &["v1", "projects"])
        };
        let answer = decode(operation, &self.exchange_with(&request, permit).await?)?;
        self.item(operation, &project.organization, &answer)
    }

    /// Which regions take new projects of a compute size (`v1-get-available-regions`). A list that cannot be read says
    /// nothing about any region.
    pub async fn regions(&self, organization: &str, size: Option<&str>) -> Regions {
        let path = ["v1", "projects", "available-regions"];
        let mut query = vec![("organization_slug", organization.to_owned())];
        query.extend(size.map(|size| ("desired_instance_size", size.to_owned())));
        match self.read_json(Operation::GetRegions, organization, &path, query).await {
            Ok(answer) => Regions::read(&answer),
            Err(error) => {
                tracing::debug!(%error, "the regions cannot be listed");
                Regions::default()
            }
        }
    }

    /// Reads one project (`v1-get-project`).
    pub async fn get_project(&self, reference: &str) -> Result<Project, Error> {
        self.read(Operation::GetProject, reference, &["v1", "projects", reference], vec![])
            .await
    }

    /// Deletes a project and its backups irrevocably (`v1-delete-a-project`). An error that [`Error::is_gone`] means
    /// that the project did not exist.
    pub async fn delete_project(&self, reference: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference];
        self.order(Operation::DeleteProject, reference, Method::DELETE, &path)
            .await
    }

    /// Pauses a project (`v1-pause-a-project`), which then takes some minutes. The API refuses if the project is not
    /// healthy, or if the plan of its organization does not allow it.
    pub async fn pause_project(&self, reference: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "pause"];
        self.order(Operation::PauseProject, reference, Method::POST, &path)
            .await
    }

    /// Restores a paused project (`v1-restore-a-project`). The API refuses if the project is not paused.
    pub async fn restore_project(&self, reference: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "restore"];
        self.order(Operation::RestoreProject, reference, Method::POST, &path)
            .await
    }

    /// Sends a request without a body whose answer tells nothing but that it was successful.
    pub(super) async fn order(
        &self,
        operation: Operation,
        reference: &str,
        method: Method,
        path: &[&str],
    ) -> Result<(), Error> {
        let request = HttpRequest::new(operation, reference, method, path);
        done(operation, &self.send(&request).await?)
    }

    /// Reads the health of services (`v1-get-services-health`). A service that the API omits is added as one that is
    /// coming up.
    pub async fn services_health(&self, reference: &str, services: &[Service]) -> Result<Vec<ServiceHealth>, Error> {
        let path = ["v1", "projects", reference, "health"];
        let query = services
            .iter()
            .map(|service| ("services", service.to_string()))
            .collect();
        let operation = Operation::GetServicesHealth;
        let mut health: Vec<ServiceHealth> = self
            .read_list(operation, (reference, "services"), &path, query)
            .await?
            .items;
        for service in services {
            if !health.iter().any(|have| have.name == *service) {
                health.push(ServiceHealth {
                    name: service.clone(),
                    status: ServiceStatus::ComingUp,
                    error: Some("not reported".to_owned()),
                });
            }
        }
        Ok(health)
    }

    /// Reads the entries of the shared pooler (`v1-get-pooler-config`); see
    /// [`crate::supabase::pooler::PoolerEndpoint::choose`].
    pub async fn pooler_config(&self, reference: &str) -> Result<Vec<PoolerConfig>, Error> {
        let path = ["v1", "projects", reference, "config", "database", "pooler"];
        let read = self
            .read_list(Operation::GetPoolerConfig, (reference, ""), &path, vec![])
            .await?;
        Ok(read.items)
    }

    /// Sets the password of `postgres` (`v1-update-database-password`). After an unknown outcome the caller may repeat
    /// it with the same password.
    pub async fn update_database_password(&self, reference: &str, password: &SecretString) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "database", "password"];
        let operation = Operation::UpdateDatabasePassword;
        let request = HttpRequest {
            body: Some(encode(&PasswordBody {
                password: password.expose_secret(),
            })?),
            secret: Some(password),
            ..HttpRequest::new(operation, reference, Method::PATCH, &path)
        };
        done(operation, &self.send(&request).await?)
    }

    /// Runs a query as the project's role that only reads (`v1-read-only-query`), without a login of the operator's. The
    /// rows, each an object of its columns.
    pub async fn read_only_query(&self, reference: &str, query: &str) -> Result<Vec<Value>, Error> {
        let path = ["v1", "projects", reference, "database", "query", "read-only"];
        let operation = Operation::ReadOnlyQuery;
        let request = HttpRequest {
            body: Some(encode(&QueryBody { query })?),
            ..HttpRequest::new(operation, reference, Method::POST, &path)
        };
        match decode(operation, &self.send(&request).await?)? {
            Value::Array(rows) => Ok(rows),
            other => Err(undocumented(operation, &other)),
        }
    }

    /// Reads the organizations of the token's user (`v1-list-all-organizations`).
    /// Also, how many were left out because they are not understood.
    pub async fn list_organizations(&self) -> Result<(Vec<Organization>, usize), Error> {
        let path = ["v1", "organizations"];
        let read = self
            .read_list(Operation::ListOrganizations, ("", "organizations"), &path, vec![])
            .await?;
        Ok((read.items, read.unread))
    }

    /// Reads one organization, with its plan (`v1-get-an-organization`).
    pub async fn get_organization(&self, slug: &str) -> Result<Organization, Error> {
        let path = ["v1", "organizations", slug];
        self.read(Operation::GetOrganization, slug, &path, vec![]).await
    }
}
