//! The shared poll: one listing of an organization's projects answers all callers that wait for a project.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::client::{Client, PAGE};
use super::error::Error;
use super::listed::{ListedProject, ProjectListing, UnclearProject};
use super::types::Project;
use crate::error::ErrorClass;

/// The least time between the starts of two listings, unless set otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);

/// When a project that is listed without a name is asked for again.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// All projects of an organization, as they were at one time.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When its first request was sent. It shows all earlier changes.
    pub started: Instant,
    /// The same time as a timestamp.
    pub at: Timestamp,
    /// The projects, without branches.
    pub projects: Vec<ListedProject>,
    /// Projects that are listed without a reference or a name.
    pub unclear: Vec<UnclearProject>,
    /// How many entries were not understood in full.
    pub odd: usize,
    /// Whether these are all projects. Otherwise they are the youngest ones, and a project that is missing may exist.
    pub complete: bool,
}

impl Listing {
    /// The projects of exactly this name: none, one, or more, as names need not be unique.
    pub fn by_name(&self, name: &str) -> Vec<&ListedProject> {
        self.projects.iter().filter(|project| project.name == name).collect()
    }

    /// The identities of the entries without a name, each as often as it is listed.
    pub fn unnamed(&self) -> Vec<&str> {
        let unnamed = self.unclear.iter().filter(|entry| entry.name.is_none());
        unnamed.map(|entry| entry.identity.as_str()).collect()
    }

    /// This listing, updated by a later listing of the youngest projects.
    fn with_younger(&self, later: &Self) -> Self {
        let known: HashSet<_> = later.projects.iter().map(|project| &project.reference).collect();
        let mut projects = self.projects.clone();
        projects.retain(|project| !known.contains(&project.reference));
        projects.extend_from_slice(&later.projects);
        let is_in = |all: &[UnclearProject], entry: &UnclearProject| all.iter().any(|it| it.identity == entry.identity);
        let mut unclear = self.unclear.clone();
        // The later listing may show some of several entries without a reference that have the same identity.
        unclear.retain(|entry| entry.reference.is_none() || !is_in(&later.unclear, entry));
        let newer = later.unclear.iter();
        let newer = newer.filter(|entry| entry.reference.is_some() || !is_in(&self.unclear, entry));
        unclear.extend(newer.cloned());
        unclear.retain(|entry| !known.contains(&entry.identity));
        Self {
            projects,
            unclear,
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
    /// When the last listing of all, and that of the youngest, was started, whether it succeeded or not.
    begun: [Option<Instant>; 2],
    /// When the last listing failed, and how.
    failed: Option<(Instant, Error)>,
    /// When an unclear entry was listed for the first time, by its identity and its number among those that have the
    /// same one.
    seen: HashMap<(String, usize), Timestamp>,
    /// The answers to requests for projects that are listed without a name, and their times.
    asked: HashMap<String, (Instant, Identity)>,
}

impl PollState {
    /// The unclear entries of a listing, with the times when they were listed for the first time.
    fn date(&mut self, mut unclear: Vec<UnclearProject>, complete: bool) -> Vec<UnclearProject> {
        let mut listed: HashMap<String, usize> = HashMap::new();
        for entry in &mut unclear {
            let same = listed.entry(entry.identity.clone()).or_default();
            let key = (entry.identity.clone(), *same);
            *same += 1;
            entry.seen = *self.seen.entry(key).or_insert(entry.seen);
        }
        if complete {
            let is_listed = |identity: &String, number| listed.get(identity).is_some_and(|same| number < *same);
            self.seen.retain(|(identity, number), _| is_listed(identity, *number));
            self.asked.retain(|reference, _| listed.contains_key(reference));
        }
        unclear
    }
}

/// The answer to a request for a project that is listed without a name.
#[derive(Clone, Debug)]
pub enum Identity {
    /// It has a name.
    Named(Box<Project>),
    /// The answer does not show it.
    Unknown,
}

/// The poll of one organization.
#[derive(Debug)]
pub struct Poll {
    client: Arc<Client>,
    organization: String,
    interval: Duration,
    state: Mutex<PollState>,
    /// Locked while a listing is read. Holds the references of the last listing of all, in their order.
    flight: tokio::sync::Mutex<Vec<String>>,
}

impl Poll {
    /// A poll that begins one listing in an `interval` at most.
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

    /// A listing that was started at `not_before` or later: the last one, or a new one. Concurrent callers share one
    /// listing, and its error.
    ///
    /// # Errors
    /// [`Error::Throttled`] when the last listing is too old and a new one may not begin yet; otherwise the error of
    /// the listing.
    pub async fn projects_since(&self, not_before: Instant) -> Result<Arc<Listing>, Error> {
        self.since(not_before, self.interval, None::<fn() -> HashSet<String>>)
            .await
    }

    /// A listing that is no older than `age`, for a caller that waits for young projects. It is read from the youngest
    /// project on, until all `awaited` ones have been found, so its pages grow with the number of projects that are
    /// being created and not with that of all projects. A listing of n pages is started n times less often; until then
    /// the last one is returned, although it is older than `age`.
    ///
    /// # Errors
    /// The error of the listing, and [`Error::Throttled`] while there is no listing.
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

    /// The known answer for a project that is listed without a name: its name for good, and that it has none for
    /// [`ASK_AGAIN`].
    pub fn identified(&self, reference: &str) -> Option<Identity> {
        let (at, identity) = self.with(|state| state.asked.get(reference).cloned())?;
        let is_named = matches!(identity, Identity::Named(_));
        (is_named || at.elapsed() < ASK_AGAIN).then_some(identity)
    }

    /// Asks for a project that is listed without a name.
    pub async fn identify(&self, reference: &str) -> Identity {
        let identity = match self.client.get_project(reference).await {
            Ok(project) if project.name.is_some() => Identity::Named(Box::new(project)),
            // The request waits for its turn, and nothing was asked.
            Err(error) if matches!(error.class(), ErrorClass::After(_)) => return Identity::Unknown,
            Ok(_) | Err(_) => Identity::Unknown,
        };
        self.with(|state| {
            state
                .asked
                .insert(reference.to_owned(), (Instant::now(), identity.clone()))
        });
        identity
    }

    /// Records how long a project took to become usable.
    pub fn took(&self, setup: Duration) {
        self.with(|state| state.setup = Some(state.setup.map_or(setup, |known| known.min(setup))));
    }

    /// How long after its creation a project is looked at for the first time: none was usable much sooner.
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
            let again = self.client.list_organization_projects(&self.organization, &mut order);
            again.await
        };
        self.with(|state| match listed {
            Ok(listed) => {
                let ProjectListing { projects, complete, .. } = &listed;
                let (projects, complete) = (projects.len(), *complete);
                tracing::debug!(young, projects, complete, odd = listed.odd, "listed");
                let listing = Arc::new(Listing {
                    started,
                    at,
                    unclear: state.date(listed.unclear, complete),
                    projects: listed.projects,
                    odd: listed.odd,
                    complete,
                });
                state.youngest = Some(listing.clone());
                if young {
                    state.pages = u32::try_from(listing.projects.len().div_ceil(PAGE)).unwrap_or(u32::MAX);
                }
                if complete {
                    state.latest = Some(listing.clone());
                } else if let Some(latest) = &state.latest {
                    append(&mut order, &listing);
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
    #[cfg(test)]
    fn latest(&self) -> Option<Arc<Listing>> {
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
            // This caller waited for a listing that failed, and shares its error.
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

/// Adds new projects at the end, where the next listing of all has them. That listing notices if they are not there.
fn append(order: &mut Vec<String>, youngest_first: &Listing) {
    let known: HashSet<_> = order.iter().cloned().collect();
    let new = youngest_first.projects.iter().rev().map(|project| &project.reference);
    order.extend(new.filter(|reference| !known.contains(*reference)).cloned());
}

#[cfg(test)]
mod tests;
