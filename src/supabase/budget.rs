//! How many requests a token may send.
//!
//! The API counts 120 requests in 60 s for each endpoint and scope (a project, an organization or
//! the token's user) and tells its count in `x-ratelimit-*` headers; the product's own guide names
//! 60 a minute for the whole token. So the budget starts with the lower number, and an endpoint
//! that has shown its headers goes by them.
//!
//! This is code of our own because a ready limiter (such as `governor`) has one fixed quota,
//! cannot be corrected by what the server counts, and knows no priorities. [`Core`] is pure: it is
//! given the time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::Error;

/// The longest that a caller is kept waiting; then it is told when to come back.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// The API's window, as its documentation of rate limits states it.
const WINDOW: Duration = Duration::from_mins(1);
/// Requests that may go out at once before any limit is known.
const BURST: f64 = 10.0;
/// Requests a second before any limit is known.
const RATE: f64 = 1.0;
/// The longest pause that a header can impose.
const MAX_PAUSE: Duration = Duration::from_mins(10);
/// Windows kept before those that ran out are dropped.
const MANY: usize = 4096;

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
            Self::ServicesHealth
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

type Key = (Operation, String);

/// What is left of an endpoint's limit for one scope.
#[derive(Debug)]
struct Window {
    remaining: u32,
    resets: Instant,
}

/// The state of a budget, without clock and waiting.
#[derive(Debug)]
struct Core {
    /// Tokens of the starting budget, as of `refilled`.
    tokens: f64,
    refilled: Instant,
    /// The limits that endpoints have shown.
    limits: HashMap<Operation, u32>,
    windows: HashMap<Key, Window>,
}

impl Core {
    fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            limits: HashMap::new(),
            windows: HashMap::new(),
        }
    }

    /// Takes one request, or says how long to wait.
    fn take(&mut self, priority: Priority, key: &Key, now: Instant) -> Result<(), Duration> {
        let limit = self.limits.get(&key.0).copied();
        let window = self.windows.get_mut(key).filter(|window| window.resets > now);
        match (window, limit) {
            (Some(window), _) if window.remaining == 0 => Err(window.resets - now),
            (Some(window), _) => {
                window.remaining -= 1;
                Ok(())
            }
            (None, Some(limit)) => {
                if self.windows.len() >= MANY {
                    self.windows.retain(|_, window| window.resets > now);
                }
                let window = Window {
                    remaining: limit - 1,
                    resets: now + WINDOW,
                };
                self.windows.insert(key.clone(), window);
                Ok(())
            }
            (None, None) => self.take_token(priority, now),
        }
    }

    fn take_token(&mut self, priority: Priority, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.refilled = now;
        let needed = 1.0 + priority.reserve() * BURST;
        if self.tokens < needed {
            return Err(Duration::from_secs_f64((needed - self.tokens) / RATE));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Goes by what the server counts. Answers may overtake each other, so within a window the
    /// lower count holds.
    fn learn(&mut self, key: &Key, taught: Taught, now: Instant) {
        if let Some(limit) = taught.limit {
            self.limits.insert(key.0, limit);
        }
        let (Some(remaining), Some(reset)) = (taught.remaining, taught.reset) else {
            return;
        };
        let resets = now + reset;
        let slack = Duration::from_secs(2);
        let same = self
            .windows
            .get(key)
            .is_some_and(|window| window.resets > now && resets <= window.resets + slack);
        let held = if same { self.windows[key].remaining } else { u32::MAX };
        self.windows.insert(
            key.clone(),
            Window {
                remaining: remaining.min(held),
                resets,
            },
        );
    }

    /// Sends nothing more for this endpoint and scope for a while.
    fn pause(&mut self, key: &Key, pause: Duration, now: Instant) {
        self.windows.insert(
            key.clone(),
            Window {
                remaining: 0,
                resets: now + pause,
            },
        );
    }
}

/// The budget of one token.
#[derive(Debug)]
pub struct Budget {
    core: Mutex<Core>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            core: Mutex::new(Core::new(Instant::now())),
        }
    }
}

impl Budget {
    /// Takes one request of an operation for a scope (a project's reference, an organization's
    /// slug, or empty for the user). Waits 2 s at most.
    ///
    /// # Errors
    /// [`Error::Budget`] when it would take longer.
    pub async fn acquire(&self, operation: Operation, scope: &str) -> Result<(), Error> {
        let key = (operation, scope.to_owned());
        let give_up = Instant::now() + MAX_WAIT;
        loop {
            let taken = self.with(|core| core.take(operation.priority(), &key, Instant::now()));
            let Err(wait) = taken else { return Ok(()) };
            if Instant::now() + wait > give_up {
                return Err(Error::Budget { after: jittered(wait) });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Learns from an answer. After a 429, says how long its sender should stay away.
    pub(super) fn learn(
        &self,
        operation: Operation,
        scope: &str,
        status: u16,
        headers: &HeaderMap,
    ) -> Option<Duration> {
        let key = (operation, scope.to_owned());
        let taught = Taught::read(headers);
        self.with(|core| {
            let now = Instant::now();
            core.learn(&key, taught, now);
            (status == 429).then(|| {
                core.pause(&key, taught.pause(), now);
                jittered(taught.pause())
            })
        })
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
