//! How many requests a token may send.
//!
//! The API counts 120 requests in 60 s for each endpoint and scope (a project, an organization or
//! the token's user) and tells its count in `x-ratelimit-*` headers; the product's own guide names
//! 60 a minute for the whole token. So the budget starts with the lower number, and an endpoint
//! that has shown its headers goes by them.
//!
//! Creations take turns: of those who wait, the Orchestra that is oldest goes first, whoever asks
//! first when the limit allows more.
//!
//! This is code of our own because a ready limiter (such as `governor`) has one fixed quota,
//! cannot be corrected by what the server counts, and knows no priorities and no turns. [`Core`] is
//! pure: it is given the time.

mod core;
mod queue;
mod window;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::sync::{Notify, Semaphore};

use super::error::Error;
use core::{Core, Key};
pub use queue::Turn;
use window::Grant;

/// The longest that a caller is kept waiting; then it is told when to come back.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Callers in a queue that are kept waiting at once; the others are told at once. A pass that is kept keeps a
/// worker from those whose first pass is due, and who have no place in a queue before it.
const MAX_KEPT: usize = 4;
/// The API's window, as its documentation of rate limits states it.
const WINDOW: Duration = Duration::from_mins(1);
/// Requests that may go out at once before any limit is known.
const BURST: f64 = 10.0;
/// Requests a second before any limit is known.
const RATE: f64 = 1.0;
/// A wait that people are told of.
const LONG_WAIT: Duration = Duration::from_mins(1);
/// The longest pause that a header can impose.
const MAX_PAUSE: Duration = Duration::from_mins(10);
/// Whom the API counts requests against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The project that the path names.
    Project,
    /// The organization that the path or the body names.
    Organization,
    /// The user whose token it is.
    User,
}

/// What goes first when requests are scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What a creation or deletion waits for.
    Create,
    /// What the readiness of a database waits for.
    Readiness,
    /// Checks that nothing has drifted.
    Drift,
}

impl Priority {
    /// The share of the starting budget that is kept for those who go first. (A known limit is
    /// an endpoint's own: nothing else competes for it.)
    fn reserve(self) -> f64 {
        match self {
            Self::Create => 0.0,
            Self::Readiness => 0.2,
            Self::Drift => 0.5,
        }
    }
}

/// An endpoint of the API that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `v1-create-a-project`
    CreateProject,
    /// `v1-get-all-projects-for-organization`
    ListProjects,
    /// `v1-get-project`
    GetProject,
    /// `v1-delete-a-project`
    DeleteProject,
    /// `v1-restore-a-project`
    RestoreProject,
    /// `v1-get-services-health`
    ServicesHealth,
    /// `v1-get-pooler-config`
    PoolerConfig,
    /// `v1-get-project-api-keys`
    ApiKeys,
    /// `v1-update-database-password`
    UpdatePassword,
    /// `v1-list-all-organizations`
    ListOrganizations,
    /// `v1-get-an-organization`
    GetOrganization,
    /// `v1-get-organization-entitlements`
    GetEntitlements,
    /// `v1-list-project-addons`
    ListAddons,
}

impl Operation {
    /// The name in metrics, logs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateProject => "create_project",
            Self::ListProjects => "list_projects",
            Self::GetProject => "get_project",
            Self::DeleteProject => "delete_project",
            Self::RestoreProject => "restore_project",
            Self::ServicesHealth => "get_services_health",
            Self::PoolerConfig => "get_pooler_config",
            Self::ApiKeys => "get_api_keys",
            Self::UpdatePassword => "update_database_password",
            Self::ListOrganizations => "list_organizations",
            Self::GetOrganization => "get_organization",
            Self::GetEntitlements => "get_entitlements",
            Self::ListAddons => "list_addons",
        }
    }

    /// Whom the API counts it against.
    pub fn scope(self) -> Scope {
        match self {
            Self::CreateProject | Self::ListProjects | Self::GetOrganization | Self::GetEntitlements => {
                Scope::Organization
            }
            Self::ListOrganizations => Scope::User,
            Self::GetProject
            | Self::DeleteProject
            | Self::RestoreProject
            | Self::ServicesHealth
            | Self::PoolerConfig
            | Self::ApiKeys
            | Self::UpdatePassword
            | Self::ListAddons => Scope::Project,
        }
    }

    /// What it yields to. The listing goes first: a creation looks before it creates.
    pub fn priority(self) -> Priority {
        match self {
            Self::CreateProject | Self::ListProjects | Self::DeleteProject => Priority::Create,
            Self::RestoreProject
            | Self::ServicesHealth
            | Self::PoolerConfig
            | Self::ApiKeys
            | Self::UpdatePassword
            | Self::ListOrganizations => Priority::Readiness,
            Self::GetProject | Self::GetOrganization | Self::GetEntitlements | Self::ListAddons => Priority::Drift,
        }
    }

    /// Whether it asks for a part of a project, which may lag behind the project itself.
    pub(super) fn is_part_of_a_project(self) -> bool {
        use Operation::{ApiKeys, PoolerConfig, ServicesHealth, UpdatePassword};
        matches!(self, ServicesHealth | PoolerConfig | ApiKeys | UpdatePassword)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an answer's headers say about the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taught {
    limit: Option<u32>,
    remaining: Option<u32>,
    reset: Option<Duration>,
    retry_after: Option<Duration>,
}

impl Taught {
    /// Reads `x-ratelimit-limit`, `-remaining`, `-reset` (seconds from now) and `Retry-After`
    /// (seconds, or a date).
    pub fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u32>().ok());
        let span = |seconds: u32| Duration::from_secs(u64::from(seconds)).min(MAX_PAUSE);
        let retry_after = number(RETRY_AFTER.as_str()).map(span).or_else(|| {
            let date = jiff::fmt::rfc2822::parse(text(RETRY_AFTER.as_str())?).ok()?;
            let seconds = date.timestamp().duration_since(jiff::Timestamp::now()).as_secs();
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(MAX_PAUSE))
        });
        Self {
            limit: number("x-ratelimit-limit").filter(|limit| *limit > 0),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").map(span),
            retry_after,
        }
    }

    /// How long a 429 asks to wait.
    fn pause(self) -> Duration {
        self.retry_after
            .or(self.reset)
            .unwrap_or(WINDOW)
            .max(Duration::from_secs(1))
    }
}

/// The budget of one token.
#[derive(Debug)]
pub struct Budget {
    core: Mutex<Core>,
    /// Wakes those who are kept waiting at an answer: it may tell of room.
    answered: Notify,
    /// Whoever is kept waiting for a turn holds one.
    seats: Semaphore,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            core: Mutex::new(Core::new(Instant::now())),
            answered: Notify::new(),
            seats: Semaphore::new(MAX_KEPT),
        }
    }
}

/// One request that may be sent. One that is not sent is given back.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    key: Key,
    grant: Grant,
    fate: Fate,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Sent,
    Answered,
}

impl Permit {
    /// The request goes out now.
    pub(super) fn send(&mut self) {
        self.fate = Fate::Sent;
    }

    /// Learns from its answer. After a 429, says how long its sender should stay away.
    pub(super) fn learn(&mut self, status: u16, headers: &HeaderMap) -> Option<Duration> {
        let taught = Taught::read(headers);
        self.fate = Fate::Answered;
        self.budget.with(|core| {
            let now = Instant::now();
            core.learn(&self.key, self.grant, taught, now);
            (status == 429).then(|| {
                core.pause(&self.key, taught.pause(), now);
                jittered(taught.pause())
            })
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.with(|core| {
            match self.fate {
                Fate::Kept => core.give_back(&self.key, self.grant, Instant::now()),
                Fate::Sent => core.lose(&self.key, self.grant, Instant::now()),
                Fate::Answered => {}
            }
            core.done(&self.key);
        });
        self.budget.answered.notify_waiters();
    }
}

impl Budget {
    /// Takes one request of an operation for a scope (a project's reference, an organization's
    /// slug, or empty for the user). Waits 2 s at most.
    ///
    /// # Errors
    /// [`Error::Budget`] when it would take longer; [`Error::Queued`] when it waits for its turn.
    pub async fn acquire(
        self: &Arc<Self>,
        operation: Operation,
        scope: &str,
        turn: Option<&Turn>,
    ) -> Result<Permit, Error> {
        let key = (operation, scope.to_owned());
        let give_up = Instant::now() + MAX_WAIT;
        let mut seat = None;
        loop {
            // Before the look, so that no answer comes between the two.
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            let taken = self.with(|core| core.take(operation.priority(), &key, turn, Instant::now()));
            let wait = match taken {
                Ok(grant) => {
                    return Ok(Permit {
                        budget: Arc::clone(self),
                        key,
                        grant,
                        fate: Fate::Kept,
                    });
                }
                Err(wait) => wait,
            };
            seat = seat.or_else(|| self.seats.try_acquire().ok().filter(|_| turn.is_some()));
            let kept = turn.is_none() || seat.is_some();
            if !kept || Instant::now() + wait.time > give_up {
                return Err(match turn {
                    Some(_) => Error::Queued {
                        after: wait.time,
                        long: wait.so_far >= LONG_WAIT,
                    },
                    None => Error::Budget {
                        after: jittered(wait.time),
                    },
                });
            }
            // Which of the two it was, the next look tells.
            let _ = tokio::time::timeout(wait.time, answered).await;
        }
    }

    /// Those who wait for their turn, by operation, the first one first.
    pub fn queues(&self) -> Vec<(Operation, Vec<Turn>)> {
        self.with(|core| core.queues(Instant::now()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        work(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A little later, so that those who were sent away do not all come back at once.
fn jittered(wait: Duration) -> Duration {
    let spread = wait.as_secs_f64().mul_add(0.1, 1.0);
    wait + Duration::from_secs_f64(rand::random_range(0.0..spread))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns_tests;
