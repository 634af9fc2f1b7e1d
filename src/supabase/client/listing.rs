//! Lists the projects of an organization, page by page.

use std::collections::HashSet;

use super::http::Client;
use super::http::undocumented;
use crate::supabase::error::Error;
use crate::supabase::listed::{ListEntry, ProjectListing, ProjectPage};
use crate::supabase::operation::Operation;

/// Projects a page (the API's maximum).
pub const PAGE: usize = 100;
/// How often a listing is read again that changes while it is read.
const LISTING_ATTEMPTS: usize = 3;

/// The outcome of reading every page once.
enum Pages {
    /// They fit together: the entries, and how many of them were not understood in full.
    Whole(Vec<ListEntry>, usize),
    /// They do not: something was created or deleted meanwhile.
    Moved,
    /// They fit together, and hold fewer entries than are counted.
    Short(Shortage),
}

/// Pages that hold fewer entries than the API counts.
#[derive(Debug, PartialEq, Eq)]
struct Shortage {
    /// The keys of the entries.
    listed: Vec<String>,
    /// How many there are to be.
    counted: usize,
}

/// Whether the entries are the first ones of an earlier listing.
fn is_as_before(entries: &[ListEntry], known: &[String]) -> bool {
    let mut pairs = entries.iter().zip(known);
    entries.len() <= known.len() && pairs.all(|(entry, known)| entry.key() == known)
}

impl Client {
    /// All projects of an organization except branches (`v1-get-all-projects-for-organization`), oldest first. The
    /// list is complete, or there is an error: pages overlap by one, so that a deletion between two pages cannot hide a
    /// project. Prefer the shared [`crate::supabase::poll::Poll`].
    ///
    /// `order` holds the keys of all entries of the caller's last listing, and afterwards those of this one. A page that
    /// begins with the same project as last time needs no overlap, because a deletion before it would have moved another
    /// project there. So a thousand projects of which none is new or gone are ten pages, and not eleven.
    pub async fn list_organization_projects(
        &self,
        organization: &str,
        order: &mut Vec<String>,
    ) -> Result<ProjectListing, Error> {
        let (mut shortage, mut lasts) = (None, false);
        for _ in 0..LISTING_ATTEMPTS {
            let known = std::mem::take(order);
            let now = match self.list_once(organization, &known).await? {
                Pages::Whole(entries, odd) => {
                    *order = entries.iter().map(|entry| entry.key().to_owned()).collect();
                    let mut listed = ProjectListing {
                        odd,
                        complete: true,
                        ..ProjectListing::default()
                    };
                    listed.extend(entries, &mut HashSet::new());
                    return Ok(listed);
                }
                Pages::Moved => None,
                Pages::Short(now) => Some(now),
            };
            lasts = now.is_some() && now == shortage;
            shortage = now;
        }
        let Some(Shortage { listed, counted }) = shortage.filter(|_| lasts) else {
            return Err(Error::ListingChanged);
        };
        tracing::warn!(
            organization,
            counted,
            listed = listed.len(),
            "fewer projects are listed than counted"
        );
        Err(Error::ListingIncomplete)
    }

    /// Reads every page once. Without a count, the end is a page that adds nothing.
    async fn list_once(&self, organization: &str, known: &[String]) -> Result<Pages, Error> {
        let mut all: Vec<ListEntry> = Vec::new();
        let mut odd = 0;
        loop {
            let before = all.len();
            let expected = match known.get(before) {
                Some(next) if is_as_before(&all, known) => Some(next.clone()),
                _ => all.pop().map(|overlap| overlap.key().to_owned()),
            };
            let page = self.page(organization, all.len(), "created_asc").await?;
            let first = page.entries.first().map(ListEntry::key);
            if !all.is_empty() && expected.as_deref() != first {
                return Ok(Pages::Moved);
            }
            let full = page.entries.len() >= page.limit.unwrap_or(PAGE).clamp(2, PAGE);
            odd += page.odd;
            all.extend(page.entries);
            let counted = page.count.is_some_and(|count| all.len() >= count);
            // The count alone does not prove that the listing is complete; that all are known does.
            if counted && (!full || (all.len() == known.len() && is_as_before(&all, known))) {
                return Ok(Pages::Whole(all, odd));
            }
            if all.len() <= before {
                return Ok(match page.count {
                    None => Pages::Whole(all, odd),
                    Some(counted) => Pages::Short(Shortage {
                        listed: all.iter().map(|entry| entry.key().to_owned()).collect(),
                        counted,
                    }),
                });
            }
        }
    }

    /// The youngest projects of an organization, up to the page on which the last awaited one is, and whether these are
    /// all projects. A creation or deletion between two pages may hide a project.
    pub async fn list_youngest_projects(
        &self,
        organization: &str,
        mut awaited: HashSet<String>,
    ) -> Result<ProjectListing, Error> {
        let mut listed = ProjectListing::default();
        let mut seen = HashSet::new();
        let mut offset = 0;
        loop {
            let page = self.page(organization, offset, "created_desc").await?;
            let full = page.entries.len() >= page.limit.unwrap_or(PAGE).clamp(2, PAGE);
            let is_end = page.entries.is_empty() || (!full && page.count.is_some());
            offset += page.entries.len();
            for entry in &page.entries {
                awaited.remove(entry.key());
            }
            listed.odd += page.odd;
            let before = seen.len();
            listed.extend(page.entries, &mut seen);
            if is_end || seen.len() == before {
                // A single page is complete.
                listed.complete = offset < PAGE && page.count.is_none_or(|count| offset >= count);
                return Ok(listed);
            }
            if awaited.is_empty() {
                return Ok(listed);
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
        let operation = Operation::ListProjects;
        let answer = self.read_json(operation, organization, &path, query).await?;
        let page = ProjectPage::read(&answer).ok_or_else(|| undocumented(operation, &answer))?;
        // An empty list without a count would prove that there is no project.
        if offset == 0 && page.entries.is_empty() && page.count.is_none() {
            return Err(undocumented(operation, &answer));
        }
        self.count_odd(operation, organization, page.odd);
        Ok(page)
    }
}

#[cfg(test)]
mod tests;
