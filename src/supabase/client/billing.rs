//! The entitlements of an organization, the prices of add-ons, and the provider's backups.

use super::http::Client;
use crate::supabase::backups::ProjectBackups;
use crate::supabase::billing::{Addons, Entitlement};
use crate::supabase::error::Error;
use crate::supabase::operation::Operation;

impl Client {
    /// Reads the entitlements of an organization (`v1-get-organization-entitlements`).
    pub async fn entitlements(&self, slug: &str) -> Result<Vec<Entitlement>, Error> {
        let path = ["v1", "organizations", slug, "entitlements"];
        let place = (slug, "entitlements");
        let read = self.read_list(Operation::GetEntitlements, place, &path, vec![]).await?;
        Ok(read.items)
    }

    /// Reads the add-ons of a project and their prices (`v1-list-project-addons`). The available ones are the same for
    /// all projects of an organization.
    pub async fn addons(&self, reference: &str) -> Result<Addons, Error> {
        let path = ["v1", "projects", reference, "billing", "addons"];
        self.read(Operation::ListAddons, reference, &path, vec![]).await
    }

    /// Reads which backups the provider has made of a project (`v1-list-all-backups`).
    pub async fn backups(&self, reference: &str) -> Result<ProjectBackups, Error> {
        let path = ["v1", "projects", reference, "database", "backups"];
        self.read(Operation::ListBackups, reference, &path, vec![]).await
    }
}
