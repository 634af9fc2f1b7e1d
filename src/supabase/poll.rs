//! The shared poll: one listing of an organization's projects answers for all who wait for one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::client::{Client, PAGE};
use super::error::Error;
use super::types::ListedProject;

/// The least time between the starts of two listings, unless set otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);

/// All projects of an organization, as they were at one time.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When its first request was sent: what happened before shows in it.
    pub started: Instant,
    /// The same as a time of day.
    pub at: Timestamp,
    /// The projects, without branches.
    pub projects: Vec<ListedProject>,
    /// Whether these are all of them; otherwise the youngest ones, and what is not among them may be
    /// there all the same.
    pub complete: bool,
}

impl Listing {
    /// The projects of exactly this name: none, one, or more, as names need not be unique.
    pub fn by_name(&self, name: &str) -> Vec<&ListedProject> {
        self.projects.iter().filter(|project| project.name == name).collect()
    }

    /// This listing with what a later one shows: nobody is told less of a project than was known before.
    fn with_younger(&self, later: &Self) -> Self {
        let known: HashSet<_> = later.projects.iter().map(|project| &project.reference).collect();
        let mut projects = self.projects.clone();
        projects.retain(|project| !known.contains(&project.reference));
        projects.extend_from_slice(&later.projects);
        Self {
            projects,
            ..self.clone()
        }
    }

    /// The project of this reference.
    pub fn by_ref(&self, reference: &str) -> Option<&ListedProject> {
        self.projects.iter().find(|project| project.reference == reference)
    }
}

#[derive(Debug, Default)]
struct PollState {
    latest: Option<Arc<Listing>>,
    /// The last listing of the youngest projects, or of all when that is newer.
    youngest: Option<Arc<Listing>>,
    /// The shortest time that a project took to become usable.
    setup: Option<Duration>,
    /// Pages of the last listing of the youngest.
    pages: u32,
    /// When the last listing of all, and of the youngest, was begun, successful or not.
    begun: [Option<Instant>; 2],
    /// When the last listing failed, and how.
    failed: Option<(Instant, Error)>,
}

/// The poll of one organization.
#[derive(Debug)]
pub struct Poll {
    client: Arc<Client>,
    organization: String,
    interval: Duration,
    state: Mutex<PollState>,
    /// Held by whoever lists: the references of the last listing of all, in their order.
    flight: tokio::sync::Mutex<Vec<String>>,
}

impl Poll {
    /// A poll that begins a listing every `interval` at most.
    pub fn new(client: Arc<Client>, organization: String, interval: Duration) -> Self {
        let flight = tokio::sync::Mutex::default();
        Self {
            client,
            organization,
            interval,
            state: Mutex::default(),
            flight,
        }
    }

    /// A listing that was begun at `not_before` or later, from the last one or a new one. Callers
    /// at the same time share one listing, and its error.
    ///
    /// # Errors
    /// [`Error::Throttled`] when the last listing is too old and a new one may not begin yet; else
    /// what the listing fails with.
    pub async fn projects_since(&self, not_before: Instant) -> Result<Arc<Listing>, Error> {
        self.since(not_before, self.interval, None::<fn() -> HashSet<String>>)
            .await
    }

    /// A listing that is no older than `age`, for whoever waits for young projects: it is read from the
    /// youngest on, and only until all that are `awaited` have been seen. A page more for a hundred that
    /// are created at once, and not one for each hundred that there are. One of several pages is begun as
    /// many times less often, and until then the last one is the answer: it is about what will come by
    /// itself.
    ///
    /// # Errors
    /// What the listing fails with, and [`Error::Throttled`] while there is none at all.
    pub async fn youngest(
        &self,
        age: Duration,
        awaited: impl FnOnce() -> HashSet<String>,
    ) -> Result<Arc<Listing>, Error> {
        let now = Instant::now();
        let not_before = now.checked_sub(age).unwrap_or(now);
        let listed = self.since(not_before, self.interval.max(age), Some(awaited)).await;
        match (listed, self.with(|state| state.youngest.clone())) {
            (Err(Error::Throttled { .. }), Some(last)) => Ok(last),
            (listed, _) => listed,
        }
    }

    /// Learns how long a project took to become usable.
    pub fn took(&self, setup: Duration) {
        self.with(|state| state.setup = Some(state.setup.map_or(setup, |known| known.min(setup))));
    }

    /// How long after its creation a project is worth a look: no project was usable much sooner.
    pub fn worth_a_look_after(&self) -> Duration {
        self.with(|state| state.setup.unwrap_or_default()).mul_f64(0.9)
    }

    async fn since(
        &self,
        not_before: Instant,
        spacing: Duration,
        awaited: Option<impl FnOnce() -> HashSet<String>>,
    ) -> Result<Arc<Listing>, Error> {
        let called = Instant::now();
        let young = awaited.is_some();
        if let Some(listing) = self.fresh(not_before, young) {
            return Ok(listing);
        }
        let mut order = self.flight.lock().await;
        if let Some(listing) = self.fresh(not_before, young) {
            return Ok(listing);
        }
        self.may_begin(called, not_before, spacing, young)?;
        let started = Instant::now();
        let at = Timestamp::now();
        self.with(|state| state.begun[usize::from(young)] = Some(started));
        let listed = if let Some(awaited) = awaited {
            self.client.list_youngest_projects(&self.organization, awaited()).await
        } else {
            let again = self
                .client
                .list_organization_projects_again(&self.organization, &mut order);
            let all = again.await;
            all.map(|projects| (projects, true))
        };
        self.with(|state| match listed {
            Ok((projects, complete)) => {
                tracing::debug!(young, projects = projects.len(), complete, "listed");
                let listing = Arc::new(Listing {
                    started,
                    at,
                    projects,
                    complete,
                });
                state.youngest = Some(listing.clone());
                if young {
                    state.pages = u32::try_from(listing.projects.len().div_ceil(PAGE)).unwrap_or(u32::MAX);
                }
                if complete {
                    state.latest = Some(listing.clone());
                } else if let Some(latest) = &state.latest {
                    append(&mut order, &listing.projects);
                    state.latest = Some(Arc::new(latest.with_younger(&listing)));
                }
                state.failed = None;
                Ok(listing)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        })
    }

    /// The last listing of all that succeeded.
    pub fn latest(&self) -> Option<Arc<Listing>> {
        self.with(|state| state.latest.clone())
    }

    fn fresh(&self, not_before: Instant, young: bool) -> Option<Arc<Listing>> {
        let last = self.with(|state| {
            if young {
                state.youngest.clone()
            } else {
                state.latest.clone()
            }
        });
        last.filter(|listing| listing.started >= not_before)
    }

    fn may_begin(&self, called: Instant, not_before: Instant, spacing: Duration, young: bool) -> Result<(), Error> {
        let now = Instant::now();
        self.with(|state| {
            // This caller waited for a listing that failed: its error is this caller's too.
            if let Some((failed, error)) = &state.failed
                && *failed >= called
            {
                return Err(error.clone());
            }
            let begun = state.begun[usize::from(young)];
            let spacing = spacing * if young { state.pages.max(1) } else { 1 };
            let next = begun.map_or(now, |begun| begun + spacing).max(not_before);
            if next > now {
                Err(Error::Throttled { after: next - now })
            } else {
                Ok(())
            }
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut PollState) -> T) -> T {
        work(&mut self.state.lock())
    }
}

/// What is new stands at the end of the next listing of all. Should it not, that is noticed there.
fn append(order: &mut Vec<String>, youngest_first: &[ListedProject]) {
    let known: HashSet<_> = order.iter().cloned().collect();
    let new = youngest_first.iter().rev().map(|project| &project.reference);
    order.extend(new.filter(|reference| !known.contains(*reference)).cloned());
}

#[cfg(test)]
mod tests;
