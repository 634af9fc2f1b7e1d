//! Databases of hosted projects without the Management API.

use anyhow::Result;

use super::Switches;
use super::clusters::Clusters;

/// Projects' clusters. Dropping it stops them.
pub struct Projects(Clusters);

impl Projects {
    /// Prepares the template of projects; none runs yet.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or the cache cannot be written.
    pub async fn prepare() -> Result<Self> {
        Ok(Self(Clusters::prepare().await?))
    }

    /// Creates and starts a project's cluster, and gives its owner's connection URL.
    ///
    /// # Errors
    /// When it cannot be copied or does not start.
    pub async fn create(&self, reference: &str, password: &str, switches: Switches) -> Result<String> {
        let place = self.0.create(reference, password, switches).await?;
        Ok(format!(
            "postgresql://postgres:{password}@{}/postgres?sslmode=disable",
            place.server
        ))
    }

    /// A session of the superuser, whom no user of the platform has, in the project's database.
    ///
    /// # Errors
    /// When the cluster does not run.
    pub async fn admin(&self, reference: &str) -> Result<sqlx::PgConnection> {
        self.0.admin(reference).await
    }
}
