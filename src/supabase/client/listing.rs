//! An organization's projects, page by page.

use std::collections::HashSet;

use super::http::Client;
use crate::supabase::error::Error;
use crate::supabase::operation::Operation;
use crate::supabase::types::{ListedProject, ProjectPage};

/// Projects a page (the API's maximum).
pub const PAGE: usize = 100;
/// How often a listing is begun again that changes while it is read.
const LISTING_ATTEMPTS: usize = 3;

/// Whether the projects are the first ones of a listing before.
fn is_as_before(projects: &[ListedProject], known: &[String]) -> bool {
    let mut pairs = projects.iter().zip(known);
    projects.len() <= known.len() && pairs.all(|(project, known)| project.reference == *known)
}

impl Client {
    /// All projects of an organization but branches (`v1-get-all-projects-for-organization`),
    /// oldest first. Complete or an error: pages overlap by one, so that a deletion between two
    /// pages cannot hide a project. Prefer the shared [`crate::supabase::poll::Poll`].
    pub async fn list_organization_projects(&self, organization: &str) -> Result<Vec<ListedProject>, Error> {
        self.list_organization_projects_again(organization, &mut Vec::new())
            .await
    }

    /// The same for one who has listed them before: `order` holds all references of that time, and
    /// then those of this one. A page that begins with the project that it began with before needs no
    /// overlap, because what was deleted before it would have moved another one there; so a
    /// thousand projects of which none is new or gone are ten pages, and not eleven.
    pub async fn list_organization_projects_again(
        &self,
        organization: &str,
        order: &mut Vec<String>,
    ) -> Result<Vec<ListedProject>, Error> {
        for _ in 0..LISTING_ATTEMPTS {
            let known = std::mem::take(order);
            if let Some(projects) = self.list_once(organization, &known).await? {
                *order = projects.iter().map(|project| project.reference.clone()).collect();
                return Ok(projects.into_iter().filter(|project| !project.is_branch).collect());
            }
        }
        Err(Error::ListingChanged)
    }

    /// Every page once; nothing when the pages do not fit together.
    async fn list_once(&self, organization: &str, known: &[String]) -> Result<Option<Vec<ListedProject>>, Error> {
        let mut all: Vec<ListedProject> = Vec::new();
        loop {
            let expected = match known.get(all.len()) {
                Some(next) if is_as_before(&all, known) => Some(next.clone()),
                _ => all.pop().map(|overlap| overlap.reference),
            };
            let ProjectPage { projects, pagination } = self.page(organization, all.len(), "created_asc").await?;
            let first = projects.first().map(|project| &project.reference);
            if !all.is_empty() && expected.as_ref() != first {
                return Ok(None);
            }
            let full = projects.len() >= pagination.limit.clamp(2, PAGE);
            all.extend(projects);
            let counted = all.len() >= pagination.count;
            // That none is new since the last time is what the count alone would have to say.
            if !full || (counted && all.len() == known.len() && is_as_before(&all, known)) {
                return Ok(counted.then_some(all));
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
