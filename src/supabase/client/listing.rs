//! Lists the projects of an organization, page by page.

use std::collections::HashSet;

use super::http::Client;
use crate::supabase::error::Error;
use crate::supabase::operation::Operation;
use crate::supabase::types::{ListedProject, ProjectPage};

/// Projects a page (the API's maximum).
pub const PAGE: usize = 100;
/// How often a listing is read again that changes while it is read.
const LISTING_ATTEMPTS: usize = 3;

/// Whether the projects are the first ones of an earlier listing.
fn is_as_before(projects: &[ListedProject], known: &[String]) -> bool {
    let mut pairs = projects.iter().zip(known);
    projects.len() <= known.len() && pairs.all(|(project, known)| project.reference == *known)
}

impl Client {
    /// All projects of an organization except branches (`v1-get-all-projects-for-organization`), oldest first. The
    /// list is complete, or there is an error: pages overlap by one, so that a deletion between two pages cannot hide a
    /// project. Prefer the shared [`crate::supabase::poll::Poll`].
    ///
    /// `order` holds all references of the caller's last listing, and afterwards those of this one. A page that begins
    /// with the same project as last time needs no overlap, because a deletion before it would have moved another
    /// project there. So a thousand projects of which none is new or gone are ten pages, and not eleven.
    pub async fn list_organization_projects(
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

    /// Reads every page once; none when the pages do not fit together.
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
            // The count alone does not prove that the listing is complete; that all are known does.
            if !full || (counted && all.len() == known.len() && is_as_before(&all, known)) {
                return Ok(counted.then_some(all));
            }
        }
    }

    /// The youngest projects of an organization, up to the page on which the last awaited one is, and whether these are
    /// all projects. A creation or deletion between two pages may hide a project.
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
                // A single page is complete.
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
