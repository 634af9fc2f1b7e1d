//! An organization's projects, page by page.

use std::collections::HashSet;

use super::super::budget::Operation;
use super::super::error::Error;
use super::super::types::{ListedProject, ProjectPage};
use super::Client;

/// Projects a page (the API's maximum).
const PAGE: usize = 100;
/// How often a listing is begun again that changes while it is read.
const LISTING_ATTEMPTS: usize = 3;
impl Client {
    /// All projects of an organization but branches (`v1-get-all-projects-for-organization`),
    /// oldest first. Complete or an error: pages overlap by one, so that a deletion between two
    /// pages cannot hide a project. Prefer the shared [`super::poll::Poll`].
    pub async fn list_organization_projects(&self, organization: &str) -> Result<Vec<ListedProject>, Error> {
        for _ in 0..LISTING_ATTEMPTS {
            if let Some(projects) = self.list_once(organization).await? {
                return Ok(projects.into_iter().filter(|project| !project.is_branch).collect());
            }
        }
        Err(Error::ListingChanged)
    }

    /// Every page once; nothing when the pages do not fit together.
    async fn list_once(&self, organization: &str) -> Result<Option<Vec<ListedProject>>, Error> {
        let mut all: Vec<ListedProject> = Vec::new();
        loop {
            let overlap = all.pop();
            let ProjectPage { projects, pagination } = self.page(organization, all.len(), "created_asc").await?;
            let fits = match (&overlap, projects.first()) {
                (None, _) => true,
                (Some(last), Some(first)) => last.reference == first.reference,
                (Some(_), None) => false,
            };
            if !fits {
                return Ok(None);
            }
            let full = projects.len() >= pagination.limit.clamp(2, PAGE);
            all.extend(projects);
            if !full {
                return Ok((all.len() >= pagination.count).then_some(all));
            }
        }
    }

    /// The youngest projects of an organization, until all that are awaited have been seen, and
    /// whether they are all there are. What is created or deleted between two pages may hide one.
    pub async fn list_youngest_projects(
        &self,
        organization: &str,
        mut awaited: HashSet<String>,
    ) -> Result<(Vec<ListedProject>, bool), Error> {
        let mut projects: Vec<ListedProject> = Vec::new();
        let mut seen = HashSet::new();
        let mut offset = 0;
        loop {
            let page = self.page(organization, offset, "created_desc").await?;
            let full = page.projects.len() >= page.pagination.limit.clamp(2, PAGE);
            offset += page.projects.len();
            for project in page.projects {
                awaited.remove(&project.reference);
                if !project.is_branch && seen.insert(project.reference.clone()) {
                    projects.push(project);
                }
            }
            if !full {
                // Of one page nothing can be hidden.
                return Ok((projects, offset < PAGE));
            }
            if awaited.is_empty() {
                return Ok((projects, false));
            }
        }
    }

    async fn page(&self, organization: &str, offset: usize, sort: &str) -> Result<ProjectPage, Error> {
        let path = ["v1", "organizations", organization, "projects"];
        let query = vec![
            ("limit", PAGE.to_string()),
            ("offset", offset.to_string()),
            ("sort", sort.to_owned()),
        ];
        self.read(Operation::ListProjects, organization, &path, query).await
    }
}

#[cfg(test)]
mod tests;
